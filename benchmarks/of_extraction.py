"""Rows of extraction: every output, written to disk, against the plain forward pass of the same texts."""

import tempfile
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import torch
from frame import Row, Turns, without_strata
from shapes import random_model

from strata.io import ActivationFile
from strata.model.architecture import Parts
from strata.model.batching import batches
from strata.model.capture import LAYOUT, capture_documents, sizes

MUST = {"float32": "<= 1.10", "float16": "<= 1.05"}
LENGTHS = (8, 12, 20, 24, 60, 120)
MAX_TOKENS = 1024


def rows(shape: str, device: torch.device, rounds: int, quick: bool) -> Iterator[Row]:
    parts = random_model(shape, device)
    vocab = parts.token_embedding.num_embeddings
    texts = [torch.randint(vocab, (length,)).tolist() for length in LENGTHS for _ in range(4)]

    @torch.inference_mode()
    def forward() -> None:
        with without_strata():
            for batch in batches(texts, MAX_TOKENS, parts):
                parts.model(input_ids=batch.ids, use_cache=False)

    with tempfile.TemporaryDirectory() as folder:
        ways = {dtype: lambda dtype=dtype: extract(parts, texts, dtype, Path(folder)) for dtype in MUST}
        turns = Turns({"forward": forward, **ways}, rounds)
    told = f"{shape}, {sum(map(len, texts))} tokens"
    for dtype, must in MUST.items():
        yield Row(f"extraction, {dtype}", told, "plain forward", turns.ratio(dtype, "forward"), must)


def extract(parts: Parts, texts: list[list[int]], dtype: str, folder: Path) -> None:
    starts = list(accumulate(map(len, texts), initial=0))
    with ActivationFile(folder / dtype, sizes(parts, starts[-1]), LAYOUT, dtype) as file:
        for text, taken in capture_documents(parts, texts, LAYOUT, file.form, MAX_TOKENS):
            file.write(starts[text], taken)
