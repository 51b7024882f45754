"""Causal tracing by one sweep through depth.

Meng et al. 2022 (ROME, section 2.1): run the prompt with its subject corrupted (the *corrupted*
run), put something at one position back to its value in the *clean* run (the *restored* run), and
see what becomes of the answer. Done literally, that is a forward pass for every site. Here all
sites of a position go through the model together, once, and nothing is computed that cannot have
changed:

- below its first restored layer, and before its position, a restored run is the corrupted run: a
  site enters at its own depth and carries only its positions from there on; those before are read
  from the corrupted run's keys and values;
- in the first layer of a window only the position itself can change;
- the embedding differs from the corrupted one only where it was corrupted;
- only the last position is decoded, so the last MLP, and the last map of the last attention, run on no other.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from strata.model.architecture import Parts, Past, changed, given
from strata.model.device import at_once
from strata.model.memory import Fitting
from strata.model.workers import Workers, working
from strata.names import HEAD
from strata.progress import Progress, nested, silent
from strata.trace.corruption import Prompt
from strata.trace.measures import MEASURES, Readout
from strata.trace.runs import Runs, run
from strata.trace.sites import Restoration

ON_GPU = 16
"""Times as many rows on a GPU: its calls cost more than what few rows are to it."""


@dataclass(frozen=True)
class Trace:
    """Measures of one prompt's runs; ``measure`` is in the order of `MEASURES`.

    ``restored`` (measure, row, site, position), ``site`` along the restoration's ``dim``; NaN before
    the subject, where restoring changes nothing, and where it was not asked for. ``corrupted``
    (measure, row). ``clean`` (measure). ``labels`` (row): noise level and sample. ``alternative_id``:
    the clean run's best token but the target.
    """

    restored: Tensor
    corrupted: Tensor
    clean: Tensor
    labels: Sequence[tuple[str, int]]
    alternative_id: int


def trace_prompts(
    parts: Parts,
    prompts: Sequence[Prompt],
    restorations: Mapping[str, Restoration],
    max_rows: int = 1024,
    progress: Progress = silent,
    everywhere: Collection[str] | None = None,
) -> dict[str, list[Trace]]:
    """Trace prompts at every site, from the first token of the subject to the last of the prompt.

    A prompt's clean and corrupted runs serve all restorations; prompts of equal length go together.

    Parameters
    ----------
    restorations : mapping
        By any name; see `restoration`.
    max_rows : int
        Hidden states that go through a block at once, `ON_GPU` times as many on one; bounds memory, changes
        nothing else.
    progress : callable
        Given the batches and what they are, returns them again; of a single one, its positions.
    everywhere : collection of str, optional
        Noise levels at which the tokens between subject and final token are traced too; None: all.

    Returns
    -------
    dict
        For each name the traces in the order of ``prompts``.
    """
    traces = {name: [None] * len(prompts) for name in restorations}
    max_rows = rows_at_once(parts, max_rows)
    found = batches(prompts, max_rows)
    progress, inside = nested(progress, found)

    with working(parts) as workers:

        def together(some: list[int]) -> dict[str, list[Trace]]:
            own = [prompts[index] for index in some]
            return _trace_together(parts, workers, own, restorations, max_rows, everywhere, inside)

        fitting = Fitting("prompts")
        for batch in progress(found, "batches of prompts"):
            for some, by_name in fitting(together, batch):
                for name, done in by_name.items():
                    for index, trace in zip(some, done, strict=True):
                        traces[name][index] = trace
    return traces


def rows_at_once(parts: Parts, max_rows: int) -> int:
    """Hidden states that go through a block at once, where the model is; ``max_rows`` on a CPU."""
    return at_once(max_rows, parts.device, ON_GPU)


def batches(prompts: Sequence[Prompt], max_rows: int) -> list[list[int]]:
    """Indices of prompts of one length, by their subject's position; mostly within ``max_rows`` rows."""
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i].input_ids), prompts[i].subject[0]))
    found: list[list[int]] = []
    room, length = 0, None
    for index in order:
        prompt = prompts[index]
        rows = len(prompt.labels) * (len(prompt.input_ids) - prompt.subject[0])
        if len(prompt.input_ids) != length or rows > room:
            found.append([])
            room, length = max_rows, len(prompt.input_ids)
        found[-1].append(index)
        room -= rows
    return found


@torch.inference_mode()
def _trace_together(
    parts: Parts,
    workers: Workers,
    prompts: Sequence[Prompt],
    restorations: Mapping[str, Restoration],
    max_rows: int,
    everywhere: Collection[str] | None,
    progress: Progress,
) -> dict[str, list[Trace]]:
    """Trace prompts of one length."""
    clean, corrupted = run(parts, prompts, {chosen.part for chosen in restorations.values()})
    last = clean.states[-1][:, -1]
    readout = Readout(parts, last, [p.target_id for p in prompts], [p.completions for p in prompts])
    counts = [len(prompt.labels) for prompt in prompts]
    prompt_of_clean = torch.arange(len(prompts), device=last.device)
    owner = prompt_of_clean.repeat_interleave(torch.tensor(counts, device=last.device))
    cleans, noised = readout(last, prompt_of_clean), readout(corrupted.states[-1][:, -1], owner)
    traced_at = torch.cat([prompt.traced_at(everywhere) for prompt in prompts]).to(last.device)

    def traced(chosen: Restoration) -> list[Trace]:
        n_sites, (n_rows, length) = len(chosen.layers), traced_at.shape
        numbers = torch.arange(n_rows * n_sites * length, device=last.device).view(n_rows, n_sites, length)

        def swept(parts: Parts, where: tuple[int, Tensor]) -> list[tuple[Tensor, Tensor]]:
            position, rows = where
            place = _Place(parts, prompts, clean, corrupted, owner, rows, position, max_rows)
            return [
                (numbers[rows][:, sites, position].T.flatten(), made.flatten(0, 1))
                for sites, made in place.last_states(chosen)
            ]

        places = _places(traced_at, workers.n)
        where, states = [], []
        for _, found in zip(progress(places, "positions"), workers.map(swept, places), strict=True):
            where += [each for each, _ in found]
            states += [each for _, each in found]
        # All positions at once: products of many rows are faster. The runs of a prompt follow one another.
        where, order = torch.cat(where).sort()
        restored = torch.full((len(MEASURES), *numbers.shape), torch.nan)
        states, of_prompt = torch.cat(states)[order], owner[where // (n_sites * length)]
        n_shares = min(workers.n, len(states))
        shares = [*zip(*(each.tensor_split(n_shares) for each in (states, of_prompt)), strict=True)]
        measured = [*workers.map(lambda _, share: readout(*share), shares)]
        restored.flatten(1)[:, where.cpu()] = torch.cat(measured, dim=1).cpu()
        return [
            Trace(own, of_noised, of_clean, prompt.labels, alternative)
            for prompt, own, of_noised, of_clean, alternative in zip(
                prompts,
                restored.split(counts, 1),
                noised.cpu().split(counts, 1),
                cleans.cpu().unbind(1),
                readout.alternative_ids,
                strict=True,
            )
        ]

    return {name: traced(chosen) for name, chosen in restorations.items()}


def _places(traced_at: Tensor, n: int) -> list[tuple[int, Tensor]]:
    """Positions and rows that are traced there, the largest first; cut so that ``n`` have as much to do."""
    positions = traced_at.any(0).nonzero().flatten().tolist()
    rows = {at: traced_at[:, at].nonzero().flatten() for at in positions}
    states = {at: len(own) * (traced_at.shape[1] - at) for at, own in rows.items()}
    places = []
    for at, own in rows.items():
        parts = min(len(own), math.ceil(n * states[at] / sum(states.values())))
        places += [(at, part) for part in own.tensor_split(parts)]
    return sorted(places, key=lambda place: len(place[1]) * (traced_at.shape[1] - place[0]), reverse=True)


@dataclass(frozen=True)
class _Place:
    """A position of prompts of one length: all its sites are swept through depth together.

    ``clean`` has a run for each prompt. ``corrupted`` has a run for each row of all, ``owners`` the prompt of
    each; ``rows`` are those that are traced here.
    """

    parts: Parts
    prompts: Sequence[Prompt]
    clean: Runs
    corrupted: Runs
    owners: Tensor
    rows: Tensor
    position: int
    max_rows: int

    @property
    def owner(self) -> Tensor:
        """The prompt of each row."""
        return self.owners[self.rows]

    def last_states(self, chosen: Restoration) -> Iterator[tuple[slice, Tensor]]:
        """The last position's final state with every site restored: (site, row, channel), some at a time."""
        n_sites, n_rows, length = len(chosen.layers), len(self.rows), self.corrupted.states[0].shape[1]
        if chosen.restores_state:
            yield slice(1), self._embedding_restored(chosen)
        # As many as there are layers are swept at once, or more where that still fits into one piece.
        step = self.parts.n_layers * max(1, self.max_rows // (n_rows * (length - self.position)))
        for start in range(int(chosen.restores_state), n_sites, step):
            sites = range(start, min(start + step, n_sites))
            yield slice(sites.start, sites.stop), self._sweep(chosen, sites)

    def _embedding_restored(self, chosen: Restoration) -> Tensor:
        """The same for depth 0 alone, (1, row, channel)."""
        final = self.corrupted.states[-1][self.rows, -1]
        differs = (self.corrupted.states[0][self.rows] != self.clean.states[0][self.owner]).any(-1)
        here = differs[:, self.position]
        if chosen.part is None:
            whole = here & (differs.sum(-1) == 1)
            final[whole] = self.clean.states[-1][self.owner[whole], -1]
            here &= ~whole
        if here.any():
            first = replace(chosen, layers=chosen.layers[:1])
            final[here] = replace(self, rows=self.rows[here])._sweep(first, range(1))[0]
        return final[None]

    def _sweep(self, chosen: Restoration, sites: range) -> Tensor:
        """The same for some of the sites, by number."""
        states = self.corrupted.states
        _, length, n_channels = states[0].shape
        carried = states[0].new_empty(len(sites), len(self.rows), length - self.position, n_channels)
        done = 0
        for layer in range(self.parts.n_layers):
            entered = [site for site in sites if chosen.layers[site].start == layer]
            new = carried[done : done + len(entered)]
            if chosen.restores_state:
                self._enter(new, layer, self.clean.states[layer][self.owner, self.position])
                done += len(new)
            if done:
                self._advance(carried[:done], layer, chosen, sites)
            if entered and not chosen.restores_state:
                # What is put back here can reach other positions from the next layer on. Windows that begin
                # in one layer are alike in it.
                apart = entered if chosen.pieces else entered[:1]
                alone = states[layer][self.rows, self.position, None].repeat(len(apart), 1, 1, 1)
                self._advance(alone, layer, chosen, apart)
                self._enter(new, layer + 1, alone[:, :, 0])
                done += len(new)
        return carried[:, :, -1].clone()  # a view would keep all of it

    def _enter(self, sites: Tensor, depth: int, value: Tensor) -> None:
        """Fill sites (site, row, position, channel) that differ from the corrupted run in one state."""
        sites[:] = self.corrupted.states[depth][self.rows, self.position :]
        sites[:, :, 0] = value

    def _advance(self, carried: Tensor, layer: int, chosen: Restoration, sites: Sequence[int]) -> None:
        """Carry sites (site, row, position, channel) through a block, in place."""
        n_sites, n_rows, length, _ = carried.shape
        keys, values = self.corrupted.keys[layer], self.corrupted.values[layer]
        past = Past(*(each[self.rows, :, : self.position] for each in (keys, values)))
        step = max(1, self.max_rows // (n_rows * length))
        for start in range(0, n_sites, step):
            piece = carried[start : start + step]
            held = {
                place: site
                for place, site in enumerate(sites[start : start + len(piece)])
                if layer in chosen.layers[site]
            }
            if layer == self.parts.n_layers - 1 and length > 1:
                # Nothing held here in the last layer can reach the last position.
                edited = self._last_position_only(layer, length)
            elif chosen.part and held:
                edited = self._held(chosen, layer, held, piece.shape)
            else:
                edited = nullcontext()
            with edited:
                out = self.parts.run_block(layer, piece.flatten(0, 1), self.position, past)
            piece[:] = out.view_as(piece)

    @contextmanager
    def _held(
        self, chosen: Restoration, layer: int, sites: Mapping[int, int], shape: torch.Size
    ) -> Iterator[None]:
        """While open, what a sub-block, or a piece, makes at this position, the first carried, is put there.

        ``sites``: numbers of sites by their place among those carried.
        """
        if chosen.restores_state:
            value = self.corrupted.outputs[chosen.part][layer][self.rows, self.position]
        elif chosen.pieces:
            value = self.clean.pieces[chosen.part][layer][self.owner, self.position]
            members = self._members(chosen, layer)[[chosen.pieces[site] for site in sites.values()]]
        else:
            value = self.clean.outputs[chosen.part][layer][self.owner, self.position]

        places = list(sites)

        def put(added: Tensor) -> Tensor:
            added.view(shape)[places, :, 0] = value.to(added)
            return added

        def put_pieces(entering: Tensor) -> Tensor:
            here = entering.view(*shape[:3], -1)[:, :, 0]
            here[places] = torch.where(members.to(here.device), value.to(here), here[places])
            return entering

        if chosen.pieces:
            held = given(self.parts.last_maps(chosen.part)[layer], put_pieces)
        else:
            held = changed(self.parts.sub_blocks(chosen.part)[layer], put)
        with held:
            yield

    def _members(self, chosen: Restoration, layer: int) -> Tensor:
        """What of that which enters a last linear map is of each piece, (piece, row, entering channel)."""
        clean = self.clean.pieces[chosen.part][layer]
        if chosen.grouping is None:
            n_heads = self.parts.n_heads
            head = torch.arange(n_heads, device=clean.device).repeat_interleave(clean.shape[-1] // n_heads)
            return head == torch.arange(n_heads, device=clean.device)[:, None, None]
        here, row = self.owner.unique(return_inverse=True)
        ids = [self.prompts[prompt].input_ids for prompt in here.tolist()]
        return chosen.grouping.members(clean[here, self.position], layer, self.position, ids)[:, row]

    @contextmanager
    def _last_position_only(self, layer: int, length: int) -> Iterator[None]:
        """While open, attention's last map and the MLP run on the last position, the only right one then."""

        # Some families give their MLP rows and positions in a row.
        def cut(module, args):
            read = args[0]
            return (read[:, -1:] if read.dim() == 3 else read[length - 1 :: length], *args[1:])

        def fill(added: Tensor) -> Tensor:
            before = (0, 0, length - 1, 0)
            return pad(added, before) if added.dim() == 3 else pad(added[:, None], before).flatten(0, 1)

        last_map = self.parts.last_maps(HEAD)[layer]
        handles = [each.register_forward_pre_hook(cut) for each in (last_map, self.parts.mlps[layer])]
        try:
            with changed(last_map, fill), changed(self.parts.mlp_outs[layer], fill):
                yield
        finally:
            for handle in handles:
                handle.remove()
