"""Documents that go through a model together: of like length, padded on the right.

A causal model does not see what comes after a token. Padding on the right changes nothing before it, under
local attention and rotary positions too, and no mask is needed: what is computed of padding is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from strata.model.architecture import Parts


@dataclass(frozen=True)
class Batch:
    """Some of many documents in one rectangle.

    ``which`` (row): their indices among all. ``lengths`` (row), in tokens. ``ids`` (row, position): token
    ids, 0 in the padding.
    """

    which: Sequence[int]
    lengths: Sequence[int]
    ids: Tensor

    @property
    def present(self) -> Tensor:
        """Where there is a token and no padding: bool (row, position)."""
        positions = torch.arange(self.ids.shape[1], device=self.ids.device)
        return positions < torch.tensor(self.lengths, device=self.ids.device)[:, None]


def within_context(model: PreTrainedModel, n_tokens: int) -> int:
    """So many tokens, or as many as the model has positions for, if these are fewer."""
    return min(n_tokens, _context(model) or n_tokens)


def check_lengths(model: PreTrainedModel, lengths: Sequence[int], names: Sequence[str] | None = None) -> None:
    """Refuse texts that are longer than a model has positions for.

    Parameters
    ----------
    lengths : of the texts, in tokens
    names : what they are called; documents by their number, if not given

    Raises
    ------
    ValueError
        Names the first that is too long, and says how many there are.
    """
    most = _context(model)
    too_long = [index for index, length in enumerate(lengths) if most is not None and length > most]
    if too_long:
        first = too_long[0]
        name = f"document {first}" if names is None else names[first]
        more = f" (as {len(too_long) - 1} others)" if len(too_long) > 1 else ""
        raise ValueError(f"{name} has {lengths[first]} tokens, more than the model's {most} positions{more}")


def _context(model: PreTrainedModel) -> int | None:
    """How many positions a model has; ALiBi knows no last one."""
    return getattr(model.config.get_text_config(), "max_position_embeddings", None)


def batches(
    documents: Sequence[Sequence[int]],
    max_tokens: int,
    parts: Parts,
    names: Sequence[str] | None = None,
) -> list[Batch]:
    """All documents, the shortest first, in batches of bounded size, where the model's states are kept.

    Parameters
    ----------
    documents : token ids
    max_tokens : of a batch, padding included, unless one document alone has more
    names : of the documents, for errors

    Raises
    ------
    ValueError
        See `check_lengths`.
    """
    check_lengths(parts.model, [*map(len, documents)], names)
    found: list[list[int]] = []
    for index in sorted(range(len(documents)), key=lambda index: len(documents[index])):
        if not found or (len(found[-1]) + 1) * len(documents[index]) > max_tokens:
            found.append([])
        found[-1].append(index)
    return [_batch(documents, which, parts.device) for which in found]


def _batch(documents: Sequence[Sequence[int]], which: list[int], device: str | torch.device) -> Batch:
    lengths = [len(documents[index]) for index in which]
    width = max(lengths)
    rows = [[*documents[index], *[0] * (width - n)] for index, n in zip(which, lengths, strict=True)]
    return Batch(which, lengths, torch.tensor(rows, device=device))
