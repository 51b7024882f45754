"""Corrupted prompts: noise on the subject's embeddings, or another subject in its place.

Noise is that of Meng et al. 2022 (ROME, section 2.1): Gaussian, on the embeddings of all of the
subject's tokens. The corruption without noise is that of Zhang & Nanda 2024 ("Towards Best
Practices of Activation Patching"): the subject's tokens are those of another subject, so that the
model reads a text of the kind it was trained on.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest

import numpy as np
import pandas as pd
import torch

from strata.model.architecture import Parts
from strata.names import CATEGORY, TARGET_ID
from strata.stats.seeding import digest
from strata.trace.names import SUBJECT_POSITION, SUBJECT_START

REPLACED = "replaced"
"""The name of the noise level at which the subject is replaced."""


@dataclass(frozen=True)
class SeededNoise:
    """`seeded_noise` of one prompt, an array (row, subject token, channel) that is drawn whenever it is read.

    ``rows``: level, sample and standard deviation of each; ``shape`` of the array.
    """

    prompt: str
    rows: Sequence[tuple[str, int, float]]
    seed: int
    shape: tuple[int, int, int]

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        drawn = np.zeros(self.shape, np.float32)
        for own, (level, sample, deviation) in zip(drawn, self.rows, strict=False):
            own[:] = np.float32(deviation) * seeded_noise(self.prompt, level, sample, self.seed, own.shape)
        return drawn if dtype is None else drawn.astype(dtype)

    def __getitem__(self, key) -> np.ndarray:
        return np.asarray(self)[key]


@dataclass(frozen=True)
class Prompt:
    """A prompt, its corrupted versions, and the answers to follow.

    ``input_ids`` (position). ``subject``: the positions of the subject's tokens. ``labels`` (row):
    noise level and sample of each corrupted version; ``corrupted_ids`` (row, subject token): its
    tokens; ``noise`` (row, subject token, channel): what is added to their embeddings.
    ``target_id``: the answer's first token; ``rest``: its others. ``completions``: token ids of a named set
    of completions, perhaps empty. ``written``: how many tokens at the end of ``input_ids`` are the answer's
    own, written behind the prompt's final one (`strata.trace.whole_target`). ``ends_alone``: whether tokens
    between subject and final token are traced at no level.
    """

    input_ids: Sequence[int]
    subject: Sequence[int]
    labels: Sequence[tuple[str, int]]
    corrupted_ids: np.ndarray
    noise: np.ndarray | SeededNoise
    target_id: int
    completions: Sequence[int] = ()
    rest: Sequence[int] = ()
    written: int = 0
    ends_alone: bool = False

    def traced_at(self, everywhere: Collection[str] | None) -> torch.Tensor:
        """Where something is restored in each corrupted version, (row, position).

        At the subject's tokens and the final one; at the noise levels ``everywhere`` (None: at all of
        them) at the tokens between them too. Before the subject, restoring changes nothing.
        """
        position = torch.arange(len(self.input_ids))
        final = len(self.input_ids) - 1 - self.written
        begun = (position >= self.subject[0]) & (position <= final)
        ends = begun & ((position <= self.subject[-1]) | (position == final))
        everywhere = () if self.ends_alone else everywhere
        whole = torch.tensor([everywhere is None or level in everywhere for level, _ in self.labels])
        return torch.where(whole[:, None], begun, ends)


def inputs_of(prompts: Sequence[Prompt], width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What the model is given of prompts of one length: their clean runs first, then all corrupted ones.

    Parameters
    ----------
    width : channels of a token's embedding

    Returns
    -------
    Token ids (run, position), and what is added to the tokens' embeddings (run, position, channel).
    """
    counts = torch.tensor([1] * len(prompts) + [len(prompt.labels) for prompt in prompts])
    own = torch.tensor([list(prompt.input_ids) for prompt in prompts])
    ids = own.repeat(2, 1).repeat_interleave(counts, 0)
    noise = torch.zeros(*ids.shape, width)
    row = len(prompts)
    for prompt in prompts:
        rows = slice(row, row := row + len(prompt.labels))
        ids[rows, list(prompt.subject)] = torch.as_tensor(prompt.corrupted_ids)
        noise[rows, list(prompt.subject)] = torch.as_tensor(np.asarray(prompt.noise))
    return ids, noise


def subject_tokens(prompts: pd.DataFrame, ids: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """Ids of the tokens of every prompt's subject.

    Parameters
    ----------
    prompts : DataFrame
        Rows of ``prompts.tsv`` with a subject.
    ids : (prompt, position)
    """
    spans = zip(ids, prompts[SUBJECT_START], prompts[SUBJECT_POSITION], strict=True)
    return [tuple(tokens[first : last + 1]) for tokens, first, last in spans]


def level_names(absolute: Sequence[float], relative: Sequence[float]) -> list[str]:
    """Names of noise levels: ``0.5`` of an absolute one, ``3x`` of a relative one."""
    return [*(f"{sd:g}" for sd in absolute), *(f"{times:g}x" for times in relative)]


def noise_levels(
    parts: Parts, subject_ids: Sequence[int], absolute: Sequence[float], relative: Sequence[float]
) -> dict[str, float]:
    """Standard deviations of the noise, by the level's name.

    Relative ones are multiples of the subjects' embeddings' own: as in ROME, the standard deviation
    over all their entries, as the embedding gives them out (Gemma 3's has a factor in it).
    """
    ids = torch.as_tensor(sorted(set(subject_ids)), device=parts.device)
    own = parts.token_embedding(ids).float().std().item()
    deviations = [*map(float, absolute), *(times * own for times in relative)]
    return dict(zip(level_names(absolute, relative), deviations, strict=True))


def seeded_noise(prompt: str, level: str, sample: int, seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normal noise that depends on the prompt's id, the level, the sample and the seed alone.

    Adding prompts, levels or samples, reordering or sharding them changes nothing.
    """
    entropy = np.frombuffer(digest(seed, prompt, level, sample), np.uint64)
    return np.random.default_rng(entropy).standard_normal(shape, np.float32)


class Subjects:
    """The subjects of all prompts, and which may stand in the place of which.

    They come from prompts of the same category, have as many tokens and, where there is a column
    ``subject_kind``, are of the same kind. Never the same tokens, and never the subject of a prompt
    with the same target, which would corrupt nothing.

    Parameters
    ----------
    prompts : DataFrame
        Rows of ``prompts.tsv`` with a subject and a target.
    ids : (prompt, position)
    """

    def __init__(self, prompts: pd.DataFrame, ids: Sequence[Sequence[int]]):
        subjects = subject_tokens(prompts, ids)
        kinds = prompts.get("subject_kind", pd.Series("", index=prompts.index))
        self._names = prompts["id"].tolist()
        self._alike = list(zip(prompts[CATEGORY], kinds, map(len, subjects), strict=True))
        self._targets = prompts[TARGET_ID].tolist()
        self._with_target, self._kin = defaultdict(set), defaultdict(set)
        for subject, target, key in zip(subjects, self._targets, self._alike, strict=True):
            self._with_target[target].add(subject)
            self._kin[key].add(subject)

    def number(self, row: int) -> int:
        """How many others there are for a prompt."""
        kin = self._kin[self._alike[row]]
        return len(kin) - len(kin & self._with_target[self._targets[row]])

    def others(self, row: int, n: int, seed: int) -> list[tuple[int, ...]]:
        """Up to ``n`` others for a prompt, (sample, subject token).

        The choice is a ranking of all candidates by a hash of the seed, the prompt's id and the
        candidate: the order of the prompts does not matter, and a prompt that is added changes a choice
        only if its own subject is chosen.
        """
        name = self._names[row]

        def rank(subject: tuple[int, ...]) -> bytes:
            return digest(seed, name, subject)

        return nsmallest(n, self._kin[self._alike[row]] - self._with_target[self._targets[row]], key=rank)


def replacements(
    prompts: pd.DataFrame,
    ids: Sequence[Sequence[int]],
    n: int,
    seed: int,
    rows: Sequence[int] | None = None,
) -> list[list[tuple[int, ...]]]:
    """For each prompt up to ``n`` other subjects that may stand in its subject's place; see `Subjects`.

    Parameters
    ----------
    rows : of the prompts for which they are chosen, among all; None: for every one

    Returns
    -------
    list of (sample, subject token), a list for each prompt; empty where there is no other subject.
    """
    subjects = Subjects(prompts, ids)
    return [subjects.others(row, n, seed) for row in (range(len(prompts)) if rows is None else rows)]


def corrupt_as(
    made: Mapping,
    parts: Parts,
    prompts: pd.DataFrame,
    ids: Sequence[Sequence[int]],
    rows: Sequence[int] | None = None,
) -> tuple[list[Prompt], dict[str, float]]:
    """Corrupted versions of every prompt, as the section ``trace`` of config.yaml says.

    Parameters
    ----------
    made : ``noise``, ``samples``, ``replacements``, ``shared``, ``seed`` of that section
    prompts, ids
        See `corrupt`.
    rows : of the prompts that are corrupted, as among all; None: every one

    Returns
    -------
    The prompts, and the standard deviation of the noise by level.
    """
    subject_ids = [token for subject in subject_tokens(prompts, ids) for token in subject]
    levels = noise_levels(parts, subject_ids, **made["noise"])
    others = replacements(prompts, ids, made["replacements"], made["seed"], rows)
    corrupted = corrupt(
        prompts if rows is None else prompts.iloc[rows],
        ids if rows is None else [ids[row] for row in rows],
        levels=levels,
        n_samples=made["samples"],
        n_channels=parts.token_embedding.embedding_dim,
        seed=made["seed"],
        others=others,
        shared=made["shared"],
    )
    return corrupted, levels


def corrupt(
    prompts: pd.DataFrame,
    ids: Sequence[Sequence[int]],
    *,
    levels: Mapping[str, float],
    n_samples: int,
    n_channels: int,
    seed: int,
    others: Sequence[Sequence[Sequence[int]]] | None = None,
    shared: bool = False,
) -> list[Prompt]:
    """Corrupted versions of every prompt: ``n_samples`` draws of noise at each level, and ``others``.

    Parameters
    ----------
    prompts : DataFrame
        Rows of ``prompts.tsv`` with a subject and a target.
    ids : (prompt, position)
    levels : mapping
        Name of a noise level to its standard deviation.
    others : (prompt, sample, subject token), optional
        Tokens that stand in the subject's place in further versions without noise.
    shared : bool
        The same draws for all prompts, as in ROME's code: its prompts are not independent.
    """

    def corrupted(row, tokens: Sequence[int], replacing: Sequence[Sequence[int]]) -> Prompt:
        subject = range(row.subject_start, row.subject_position + 1)
        drawn = [(level, sample, sd) for level, sd in levels.items() for sample in range(n_samples)]
        own = [[tokens[position] for position in subject]] * len(drawn)
        shape = (len(own) + len(replacing), len(subject), n_channels)
        return Prompt(
            input_ids=tokens,
            subject=subject,
            labels=[
                *((level, sample) for level, sample, _ in drawn),
                *((REPLACED, sample) for sample in range(len(replacing))),
            ],
            corrupted_ids=np.array([*own, *replacing]),
            noise=SeededNoise("" if shared else row.id, drawn, seed, shape),
            target_id=row.target_id,
            completions=[int(token) for token in row.completion_ids.split()],
            rest=[int(token) for token in row.target_ids.split()[1:]],
        )

    others = others if others is not None else [()] * len(ids)
    rows = list(prompts.itertuples())
    return [corrupted(*each) for each in zip(rows, ids, others, strict=True)]
