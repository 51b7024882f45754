"""Are early guesses guesses without context?

A readout that knows the current token alone can do no better than to say what follows that token most often,
and one that knows nothing, what is most frequent. Every depth's readout is held to both distributions, the
bigram and the unigram, estimated on other documents than those read.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from scipy.sparse import csr_array
from torch import Tensor
from torch.linalg import vecdot

from strata.exponentials import logsumexp_
from strata.lens.names import DECODER, REFERENCE
from strata.lens.readout import Carry
from strata.lens.stream import pieces
from strata.model.readout import LogitDecoder
from strata.names import BEGINNING, CHANNEL, DEPTH, DOCUMENT, SPLIT, TOKEN, TOKEN_ID
from strata.progress import Progress, silent
from strata.stats.bootstrap import Bootstrap
from strata.stats.defined import ratio
from strata.stats.seeding import generator
from strata.text.documents import next_in_document

UNIGRAM, BIGRAM = REFERENCES = ("unigram", "bigram")

TILE_VALUES = 2**24
"""Logits held at once (64 MB)."""

STATES_BYTES = 2**28
"""Size of the states of the documents that are read together."""


@dataclass(frozen=True)
class Bigrams:
    """Which token follows which, with Witten's and Bell's interpolation (1991, method C).

    P(w | c) = (n(c w) + T(c) P(w)) / (n(c) + T(c)), where T(c) is the number of different tokens that
    followed c, and P(w) = (n(w) + T / V) / (n + T) likewise, over a vocabulary of V tokens: what is new has
    the weight that new things had so far. ``counts`` (token, next token); ``unigram`` (vocab), of what
    follows anything.
    """

    counts: csr_array
    unigram: np.ndarray

    @classmethod
    def of(cls, ids: np.ndarray, following: np.ndarray, vocab: int) -> "Bigrams":
        """Count tokens (token) and what ``following`` (token) follows each.

        Raises
        ------
        ValueError
            If there are none.
        """
        if not len(ids):
            raise ValueError("no pair of tokens to count")
        counts = csr_array((np.ones(len(ids)), (ids, following)), shape=(vocab, vocab))
        count = np.bincount(following, minlength=vocab)
        kinds = np.count_nonzero(count)
        return cls(counts, (count + kinds / vocab) / (len(following) + kinds))

    def known(self, ids: np.ndarray) -> np.ndarray:
        """Whether anything was seen to follow these tokens."""
        return np.diff(self.counts.indptr)[ids] > 0

    def after(self, ids: np.ndarray) -> np.ndarray:
        """P(next token | token): (token, vocab), the unigram where nothing is known."""
        counts = self.counts[ids].toarray()
        kinds = np.count_nonzero(counts, axis=1)[:, None]
        interpolated = ratio(counts + kinds * self.unigram, counts.sum(1, keepdims=True) + kinds)
        return np.where(kinds, interpolated, self.unigram)


def measure(
    resid: xr.DataArray,
    carries: Mapping[str, Carry],
    decoder: LogitDecoder,
    *,
    tokens: int,
    resamples: int,
    interval: float,
    seed: int,
    progress: Progress = silent,
) -> xr.Dataset:
    """How far every depth's readout is from the unigram and the bigram distribution, and whether it agrees.

    Pairs are counted in the documents of the split ``train``; read are those of ``test``. A document's value
    is the mean over its tokens, and intervals come from resampling documents.

    Parameters
    ----------
    resid : (depth, token, channel), with ``token_id``, ``document`` and ``split`` (token), perhaps
        ``beginning``: tokens before a text, which states are run with and nothing is read of
    carries : name of a decoder to what it does to these depths of whole documents before the norm
    decoder : the model's own final norm and unembedding
    tokens : to read, drawn evenly from those that anything was seen to follow and that a token follows
    resamples, interval, seed : see `Bootstrap`; ``seed`` draws the tokens too

    Returns
    -------
    Dataset
        By (reference, decoder, depth), the reference being ``unigram`` or ``bigram``: ``kl``, KL(reference ‖
        readout) in nat; ``top_shared``, the share of tokens whose top guess is the reference's; each with
        ``_low``, ``_high``, ``_n``. ``bits`` (reference) of the true next token under the reference, with the
        same. ``n_counted`` (pairs), ``n_read`` (tokens), ``known_share`` of the held-out tokens that anything
        was seen to follow.

    Raises
    ------
    ValueError
        If nothing is counted, or there is no token to read.
    """
    ids, following = resid[TOKEN_ID].values, next_in_document(resid)
    split, followed = resid[SPLIT].values, following >= 0
    if BEGINNING in resid.coords:
        followed &= ~resid[BEGINNING].values
    train = followed & (split == "train")
    bigrams = Bigrams.of(ids[train], following[train], len(decoder.unembedding))
    held_out = np.flatnonzero(followed & (split == "test"))
    known = bigrams.known(ids[held_out])
    if not known.any():
        raise ValueError("no held-out token is one that anything was seen to follow")
    n_read = min(tokens, int(known.sum()))
    rows = np.sort(generator(seed, "contextless").choice(held_out[known], n_read, replace=False))

    device, depths = decoder.unembedding.device, resid[DEPTH].values
    size = max(1, TILE_VALUES // len(bigrams.unigram))
    found = np.empty((2, len(REFERENCES), len(carries), len(depths), len(rows)))
    bits = np.empty((len(REFERENCES), len(rows)))
    whole = np.flatnonzero(np.isin(resid[DOCUMENT].values, resid[DOCUMENT].values[rows]))
    together = max(1, STATES_BYTES // (4 * len(depths) * resid.sizes[CHANNEL]))
    for documents in progress(pieces(resid[DOCUMENT].values[whole], together), "pieces"):
        piece = slice(documents[0].start, documents[-1].stop)
        lengths = [document.stop - document.start for document in documents]
        stream = torch.from_numpy(resid.isel({TOKEN: whole[piece]}).values).float().to(device)
        inside = np.flatnonzero(np.isin(rows, whole[piece]))
        places = torch.from_numpy(np.searchsorted(whole[piece], rows[inside]))
        carried = [carry(stream, stream[:0], lengths)[0][:, places] for carry in carries.values()]
        for start in range(0, len(inside), size):
            now = inside[start : start + size]
            after = bigrams.after(ids[rows[now]])
            references = np.stack([np.broadcast_to(bigrams.unigram, after.shape), after])
            bits[:, now] = -np.log2(references[:, np.arange(len(now)), following[rows[now]]])
            compare = _against(torch.from_numpy(references).float().to(device))
            for i, by_depth in enumerate(carried):
                for j, states in enumerate(by_depth[:, start : start + size]):
                    found[:, :, i, j, now] = compare(decoder.logits(states)).cpu().numpy()

    bootstrap = Bootstrap(resamples, interval, seed)
    by_document = _document_means(resid[DOCUMENT].values[rows])
    dims = (REFERENCE, DECODER, DEPTH)
    parts = [
        bootstrap.estimate("kl", np.mean, by_document(found[0]), dims=dims),
        bootstrap.estimate("top_shared", np.mean, by_document(found[1]), dims=dims),
        bootstrap.estimate("bits", np.mean, by_document(bits), dims=(REFERENCE,)),
    ]
    counted = {"n_counted": int(train.sum()), "n_read": n_read, "known_share": known.mean()}
    coordinates = {REFERENCE: list(REFERENCES), DECODER: list(carries), DEPTH: depths.astype(int)}
    return xr.merge(parts).assign(counted).assign_coords(coordinates).assign_attrs(interval=interval)


def _against(references: Tensor) -> Callable[[Tensor], Tensor]:
    """Compares logits (token, vocab) with references, probabilities (reference, token, vocab).

    It returns KL(reference ‖ readout), and whether both have one top: (2, reference, token). Logits are
    written over.
    """
    negative_entropy, top = -torch.special.entr(references).sum(-1), references.argmax(-1)

    def compare(logits: Tensor) -> Tensor:
        shared, cross = top == logits.argmax(-1), vecdot(references, logits[None])
        kl = negative_entropy - cross + logsumexp_(logits)
        return torch.stack([kl, shared.to(kl)])

    return compare


def _document_means(document: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Takes values (..., token) to their means by document (..., document)."""
    index = np.unique(document, return_inverse=True)[1]
    share = np.zeros((len(index), index.max() + 1))
    share[np.arange(len(index)), index] = 1 / np.bincount(index)[index]
    return lambda values: values @ share
