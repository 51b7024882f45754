"""How much text a model is given, as nearly as is known here: what was made, or what its tokenizer says."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from pipeline.counts import Counts, at_most, grouped
from pipeline.models import settings_of
from pipeline.texts import drawn
from strata import io
from strata.costs.running import Prompt
from strata.model.source import ModelUnavailable
from strata.names import SPLIT, TARGET_ID, TOKEN_ID
from strata.organism.texts import open_texts
from strata.text import documents
from strata.text.prompts import subject_span, target_tokens
from strata.text.tokenizer import Tokenizer, load_tokenizer

EVERY = "all {n} prompts and passages, as if the model completed each (prompts.tsv is not there yet)"


def counted(config: Mapping, model: str, prompts: Mapping[str, Mapping], vocab: int) -> Counts:
    """What goes through a model.

    Parameters
    ----------
    prompts : contents of files of data/prompts
    vocab : tokens of the model
    """
    results = Path("results") / model
    counts, tokenizer = at_most(config, model, prompts, vocab), _tokenizer(config, model)
    if (results / "prompts.tsv").is_file():
        counts = _curated(counts, io.read_prompts(str(results / "prompts.tsv")), config["trace"]["shown"])
    elif tokenizer:
        counts = _tokenised(counts, tokenizer, prompts, config["trace"]["shown"])
    if (results / "text/text.nc").is_file():
        with io.open_dataset(str(results / "text/text.nc")) as text:
            counts = _of_text(counts, text)
    elif tokenizer:
        counts = _of_text(counts, _drawn(tokenizer, config, model))
    if (results / "syntax/text.nc").is_file():
        with io.open_dataset(str(results / "syntax/text.nc")) as text:
            counts = replace(counts, tagged=[*map(len, documents.documents_of(text))])
    return counts


def _tokenizer(config: Mapping, model: str) -> Tokenizer | None:
    """The model's tokenizer, if it is here."""
    settings = settings_of(model, config["models"][model])
    try:
        return load_tokenizer(settings["source"], settings["revision"], settings["beginning_token"])
    except ModelUnavailable:
        return None


def _curated(counts: Counts, table: pd.DataFrame, shown: Sequence[str]) -> Counts:
    n_target = table["target_ids"].str.split().str.len()
    chosen = table[table["accepted"]].assign(n_target=n_target)
    traced = [
        (row.category, row.id, Prompt(row.n_tokens, row.subject_start, row.subject_position, row.n_target))
        for row in chosen[chosen[TARGET_ID] >= 0].itertuples()
    ]
    return replace(
        counts,
        **grouped(traced, shown),
        candidates=(table["n_tokens"] + n_target).tolist(),
        texts=chosen["n_tokens"].tolist(),
        told=f"{len(chosen)} of {len(table)} prompts and passages, those that the model completes",
    )


def _tokenised(
    counts: Counts, tokenizer: Tokenizer, prompts: Mapping[str, Mapping], shown: Sequence[str]
) -> Counts:
    traced, candidates, texts = [], [], []
    for content in prompts.values():
        for prompt in content["prompts"]:
            ids, offsets = tokenizer.encode_with_offsets(prompt["text"])
            target = target_tokens(prompt, tokenizer.following)
            texts.append(len(ids))
            candidates.append(len(ids) + len(target))
            if target and "subject" in prompt and (span := subject_span(prompt, offsets)):
                traced.append((content["category"], prompt["id"], Prompt(len(ids), *span, len(target))))
    told = EVERY.format(n=len(texts))
    return replace(counts, **grouped(traced, shown), candidates=candidates, texts=texts, told=told)


def _drawn(tokenizer: Tokenizer, config: Mapping, model: str) -> xr.Dataset:
    """The text that `gather_text` would draw."""
    made = drawn(config, model, "text")
    how = (made["documents"], made["max_tokens"], len(tokenizer), made["seed"])
    texts, _ = documents.sample(open_texts(made), tokenizer.encode_alone, *how, beginning=tokenizer.beginning)
    return documents.as_dataset(texts)


def _of_text(counts: Counts, text: xr.Dataset) -> Counts:
    train = text[TOKEN_ID].values[text[SPLIT].values == next(iter(documents.SPLITS))]
    return replace(counts, text=[*map(len, documents.documents_of(text))], kinds=len(np.unique(train)))
