"""Models of a run: the files that rules depend on, and whether these are there and whole, before any job."""

import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from pipeline.fetch import target_for
from strata.inputs import BadInput
from strata.model.families import FAMILIES, LEARNED_POSITIONS
from strata.model.gguf import check_gguf, read_header
from strata.model.safetensors import check_weights
from strata.model.source import (
    ModelUnavailable,
    cached_folder,
    hub_answers,
    is_cached,
    is_folder_source,
    is_gguf_source,
    read_json,
    unreachable,
)

UNPACKED = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
"""What is made of a GGUF file, in results/{model}/model."""

SMALL = 64_000_000
"""Bytes of the weights of a small model."""

LOADED_BY = ("source", "revision", "dtype", "device")
"""Keys of a model's section that say how it is loaded."""


def files_of(name: str, section: Mapping) -> list[str]:
    """What is loaded of a model that is files; of one on the hub, nothing here to depend on.

    Parameters
    ----------
    name, section : of the model, under ``models``
    """
    source = settings_of(name, section, ("source",))["source"]
    if is_gguf_source(section["source"]):
        return [f"{source}/{file}" for file in UNPACKED]
    if not is_folder_source(source):
        return []
    kinds = ("*.json", "*.safetensors", "*.txt", "*.model")  # weights, configuration, tokenizer
    return sorted(str(path) for kind in kinds for path in Path(source).glob(kind))


def sources_of(section: Mapping) -> list[str]:
    """The files that a model came as: a GGUF file, or those of a folder; of one on the hub, none."""
    source = os.path.expanduser(section["source"])
    return [source] if is_gguf_source(source) else files_of("", section)


def settings_of(name: str, section: Mapping, keys: Iterable[str] = LOADED_BY) -> dict:
    """What a job is told of its model: its name, and keys of its section.

    The source is the folder or hub id that it is loaded from; of a model that was a GGUF file, ``file``
    says which.
    """
    source = os.path.expanduser(section["source"])
    settings = {"name": name, **{key: section[key] for key in keys}, "source": source}
    settings["beginning_token"] = section.get("beginning_token", True)
    if is_gguf_source(source):
        settings |= {"source": f"results/{name}/model", "file": source}
    return settings


def features_of(section: Mapping) -> set[str]:
    """What a model has that not every model has, of what figures may need.

    Whether it has a position embedding is told without loading it: by the tensors of a GGUF file, or by the
    class that its configuration names. Where that is not known, of a model that the hub has and that was
    not brought yet, say, it is taken to have one.

    Returns
    -------
    Some of ``tagged_text``, ``position_embedding``.
    """
    tagged = {"tagged_text"} if section.get("tagged_text") else set()
    return tagged | ({"position_embedding"} if _may_embed_positions(section) else set())


def busy_processors(section: Mapping) -> int:
    """Processors that help a job on a model: a small one's products gain nothing from a second."""
    return 1 if is_small(section["source"]) else 4


@cache
def is_small(source: str) -> bool:
    """Whether a model's products are too small to be shared by threads; of one on the hub, no."""
    path = Path(source).expanduser()
    files = [path] if is_gguf_source(source) else list(path.glob("*.safetensors"))
    return bool(files) and sum(file.stat().st_size for file in files if file.is_file()) < SMALL


def _may_embed_positions(section: Mapping) -> bool:
    path = Path(section["source"]).expanduser()
    if is_gguf_source(section["source"]):
        return read_header(path).has_position_embedding
    is_folder = is_folder_source(section["source"])
    folder = path if is_folder else cached_folder(section["source"], section["revision"])
    if folder is None:
        return True
    try:
        (architecture,) = read_json(folder / "config.json")["architectures"]
    except (ValueError, KeyError, TypeError):  # what is wrong with it, loading says
        return True
    return architecture in LEARNED_POSITIONS or architecture not in FAMILIES


def check_sources(config: Mapping, file: str = "config.yaml") -> None:
    """Check that every model that is run is there, as far as that takes no library for arrays.

    Raises
    ------
    BadInput
        One line: the model, what is wrong with its source, what was expected.
    """
    for name in config["run"]:
        section = config["models"][name]
        try:
            _check_source(section["source"], section["revision"])
        except ModelUnavailable as error:
            raise BadInput(f"{file}: models.{name}.source: {error}") from error


def _check_source(source: str, revision: str | None) -> None:
    path = Path(source).expanduser()
    if is_gguf_source(source):
        target = target_for(path)
        bring = (
            f"`make {target}` brings it" if target else "expected: a whole GGUF file, a folder or a hub id"
        )
        if not path.is_file():
            raise ModelUnavailable(f"no file {source!r} ({bring})")
        try:
            check_gguf(path)
        except ModelUnavailable as error:
            raise ModelUnavailable(f"{error} ({bring})" if target else str(error)) from error
    elif is_folder_source(source):
        _check_folder(source, path)
    elif not (is_cached(source, revision) or hub_answers()):
        raise ModelUnavailable(unreachable(source))


def _check_folder(source: str, folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise ModelUnavailable(
            f"no model in folder {source!r} (expected: a folder with config.json, a .gguf file, or a "
            "Hugging Face id owner/name)"
        )
    there = {path.name for path in folder.glob("*.safetensors")}
    needed = set()
    for index in folder.glob("*.safetensors.index.json"):
        try:
            needed |= set(read_json(index)["weight_map"].values())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelUnavailable(f"{index} does not say which file has which weights") from error
    if missing := sorted(needed - there):
        raise ModelUnavailable(f"folder {source!r} lacks {', '.join(missing)}, which its index names")
    if not there:
        raise ModelUnavailable(f"no weights in folder {source!r} (expected: *.safetensors)")
    check_weights(folder, [folder / name for name in sorted(needed or there)])
