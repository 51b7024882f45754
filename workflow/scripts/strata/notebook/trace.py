"""A causal trace of one prompt."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from strata.model.continuations import continuations
from strata.names import PROMPT
from strata.notebook.load import Model, loaded
from strata.notebook.pictured import Pictured, drawn, title
from strata.progress import bar, silent
from strata.text.prompt_files import check_subject
from strata.text.prompts import Curated, curate, subject_span, target_tokens, untraceable
from strata.text.tokens import plain_text
from strata.trace.corruption import corrupt, noise_levels, subject_tokens
from strata.trace.dataset import as_dataset
from strata.trace.sites import restoration
from strata.trace.sweep import trace_prompts

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class TraceDataset(Pictured):
    """What `trace` measures, with its picture."""

    __slots__ = ()

    def figure(self) -> "Figure":
        """Probability of the target by depth and restored token: see `strata.figures.trace.draw_trace`."""
        from strata.figures.trace import draw_trace

        return drawn(partial(draw_trace, self, str(self[PROMPT].values[0])))


def trace(
    model: Model | str | Path,
    text: str,
    subject: str,
    target: str | None = None,
    *,
    noise: float = 3.0,
    samples: int = 10,
    seed: int = 0,
    occurrence: int | None = None,
    what: str = "state",
    window: int = 3,
    device: str | None = None,
    dtype: str | None = None,
    progress: bool = True,
) -> TraceDataset:
    """Noise the subject of a prompt, restore one state at a time, and see where the answer comes back.

    Meng et al. 2022 (ROME, section 2.1).

    Parameters
    ----------
    model : what `strata.notebook.load` has loaded; or what it loads: a folder, a ``.gguf`` file, a hub id
    text : ends where the completion begins
    subject : words of it, whole tokens, neither the first token nor the last
    target : the completion, with its leading space; measured is its first token. If not given, the token
        that the model itself goes on with
    noise : standard deviation of the Gaussian noise on the subject's embeddings, in multiples of the standard
        deviation of all their entries. The pipeline takes that of the subjects of all prompts together: for
        its own prompts on SmolLM2, a single subject's is 0.8 to 1.3 times as large. ``noise_sd`` says
        what it was
    samples : draws of noise
    seed : of the draws, which depend on the text too
    occurrence : which one is meant, from 1, where the subject occurs several times
    what : is restored: the ``state`` entering each layer; the outputs of a window of MLPs, ``mlp``, or of
        attentions, ``attn``; or the state with later outputs held at their corrupted values,
        ``state_severed_mlp``, ``state_severed_attn``
    window : layers of a window
    device, dtype : of a model that is not loaded yet: ``auto`` and ``float32``, if not given
    progress : whether to show bars

    Returns
    -------
    TraceDataset
        With the dims and variables of ``trace/state.nc`` (docs/outputs.md), one prompt and one noise level:
        ``p_target`` (prompt, noise, sample, depth or layer, position), the probability of the target's first
        token with one thing restored, NaN before the subject; ``p_corrupted`` (prompt, noise, sample),
        nothing restored; ``p_clean`` (prompt), nothing noised; likewise ``logit_difference``, ``kl_clean``
        (nat). ``prompt`` is the text, cut to a title's length. Where the model does not go on with the
        target, the attribute ``note`` says so.

    Raises
    ------
    ValueError
        If the subject does not occur in the text, or several times and it is not said which; if it is not
        whole tokens, or the first or last; if the text's own tokens change where the target follows; if the
        text is longer than the model has positions for; if noise, samples, what or window is none that there
        can be; if a device or a dtype is given for a model that is loaded.
    OverflowError
        If the model overflows in this dtype.
    ModelUnavailable
        See `strata.notebook.load.load`.
    """
    if noise <= 0 or samples < 1:
        raise ValueError(f"noise is above 0 and samples are at least 1, not {noise} and {samples}")
    model, show = loaded(model, device, dtype, progress), bar if progress else silent
    parts, tokenizer = model.parts, model.tokenizer
    restored = restoration(what, parts.n_layers, window)
    ids, prompt = _prompt(model, text, subject, target, occurrence)
    table = pd.DataFrame([prompt.as_row()])
    [own] = subject_tokens(table, [ids])
    levels = noise_levels(parts, own, absolute=[], relative=[noise])
    n_channels = parts.token_embedding.embedding_dim
    corrupted = corrupt(table, [ids], levels=levels, n_samples=samples, n_channels=n_channels, seed=seed)
    traces = trace_prompts(parts, corrupted, {what: restored}, progress=show)
    dataset = as_dataset(traces[what], table, [tokenizer.strings(ids)], levels, restored.dim)
    note = {"note": prompt.reason} if prompt.reason else {}
    return TraceDataset.of(dataset.assign_attrs(model=model.source, subject=subject, seed=seed, **note))


def _prompt(
    model: Model, text: str, subject: str, target: str | None, occurrence: int | None
) -> tuple[list[int], Curated]:
    """The text's tokens, and what curation says of it.

    Raises
    ------
    ValueError
        See `trace`.
    """
    known = {"target": target, "occurrence": occurrence}
    prompt: dict[str, Any] = {"id": title(text), "text": text, "subject": subject}
    prompt |= {field: value for field, value in known.items() if value is not None}
    name, tokenizer = f"prompt {title(text)!r}", model.tokenizer
    check_subject(prompt, name)
    ids, offsets = tokenizer.encode_with_offsets(text)
    wanted = target_tokens(prompt, tokenizer.following)
    [made] = continuations(model.parts, [ids], [wanted], [name])
    [top_str] = tokenizer.strings([made.top_id])
    if target is None:
        prompt, wanted = prompt | {"target": plain_text(top_str)}, [made.top_id]
        made = replace(made, completes=True)
    if faults := untraceable(subject_span(prompt, offsets), len(ids), wanted):
        raise ValueError(f"{name}: {'; '.join(faults)}")
    said = (made.p_target, made.p_whole_target, made.completes, made.top_id, top_str)
    return ids, curate(prompt, "", ids, offsets, wanted, *said)
