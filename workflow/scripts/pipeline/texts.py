"""The texts that a model's section of config.yaml declares, and what they must be.

No array library is imported here: this runs at every start of the pipeline.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.fetch import target_for
from strata.inputs import BadInput
from strata.model.source import is_folder_source
from strata.text.plain import check_counts, check_text

LONG = "long_text"
"""The key of a text for long samples; where a section has none, ``text`` serves."""

TAGGED = "tagged_text"
"""The key of a text whose words are tagged."""

CORPUS = "organism"
"""In place of a file: the generated corpus, for models that were trained on it."""

COUNTS = "token_counts.tsv"
"""How often each token occurred in training, as an organism's folder brings it."""


def origin(config: Mapping, model: str, kind: str) -> dict[str, Any]:
    """Where a model's text, of a kind, comes from; how the organism's corpus is written.

    ``kind``: ``text``, ``long_text`` or ``tagged_text``.
    """
    section = config["models"][model]
    source = section["text" if kind == LONG and not section.get(LONG) else kind]
    if source != CORPUS:
        return {"source": str(Path(source).expanduser())}
    written = config["organism"]["corpus"]
    return {
        "source": CORPUS,
        "corpus": {key: value for key, value in written.items() if key != "tokenizer_documents"},
    }


def drawn(config: Mapping, model: str, kind: str) -> dict[str, Any]:
    """How a model's text is drawn, or its long samples, or its tagged text: see `origin`."""
    made, text, syntax = origin(config, model, kind), config["text"], config["syntax"]
    if kind == LONG:
        return made | config["attention"]["long"] | {"documents": text["documents"]}
    if kind == TAGGED:
        keys = ("documents", "max_tokens", *(("filler",) if "corpus" in made else ()))
        return made | {"seed": syntax["statistics"]["seed"]} | {key: syntax[key] for key in keys}
    return made | {key: text[key] for key in ("documents", "max_tokens", "seed")}


def known_counts(model: Mapping) -> str | None:
    """The counts of a model's training that its section declares or its folder brings, if any."""
    if model.get("token_counts"):
        return str(Path(model["token_counts"]).expanduser())
    brought = Path(model["source"]).expanduser() / COUNTS
    return str(brought) if is_folder_source(model["source"]) and brought.is_file() else None


def check_texts(models: Mapping[str, Mapping], file: str = "config.yaml") -> None:
    """Check the texts of some models.

    Raises
    ------
    BadInput
        If a model has no text, its file is missing or not what it should be, or is the corpus of a model that
        was not trained on it.
    """
    for name, model in models.items():
        where = f"{file}: models.{name}"
        if not model.get("text"):
            raise BadInput(
                f"{where}.text: none (expected: a text file, its documents separated by blank lines, that "
                "lenses and probes are fitted to and tokens are counted in)"
            )
        for key in ("text", LONG):
            if model.get(key):
                _check_source(
                    model, key, "a text file, its documents separated by blank lines", check_text, where
                )
        if model.get("tagged_text"):
            from strata.text.conllu import check_conllu

            _check_source(model, "tagged_text", "a CoNLL-U file", check_conllu, where)
        if model.get("token_counts"):
            _check_counts(str(Path(model["token_counts"]).expanduser()), f"{where}.token_counts")


def _check_source(model: Mapping, key: str, kind: str, check: Callable[[str], None], where: str) -> None:
    source = model[key]
    if source == CORPUS:
        folder = Path(model["source"]).expanduser()
        if not (is_folder_source(model["source"]) and (folder / COUNTS).is_file()):
            raise BadInput(
                f"{where}.{key}: the organism's corpus is for a model that was trained on it, whose folder "
                f"has {COUNTS} (expected: {kind})"
            )
    elif not Path(source).expanduser().is_file():
        expected = f"`make {target}` brings it" if (target := target_for(source)) else f"expected: {kind}"
        raise BadInput(f"{where}.{key}: no file {source!r} ({expected})")
    else:
        check(str(Path(source).expanduser()))


def _check_counts(path: str, where: str) -> None:
    if not Path(path).is_file():
        raise BadInput(f"{where}: no file {path!r} (expected: a table of token_id and count)")
    try:
        check_counts(path)
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from error
