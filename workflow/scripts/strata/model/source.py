"""Where a model comes from: a folder, a GGUF file that is unpacked into one, or the Hugging Face hub."""

import json
import ssl
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from safetensors import SafetensorError

TIMEOUT = 3
"""Seconds that the hub has for an answer; transformers would ask five times, for 90."""


class ModelUnavailable(RuntimeError):
    """A model cannot be loaded; the message is one line and says what to do."""


LARGEST_JSON = 2**28
"""Bytes of a JSON file that comes with a model or a lens, at most; large vocabularies take some 40 MB."""


def read_json(path: Path) -> Any:
    """What a JSON file says that comes with a model or a lens.

    Raises
    ------
    OSError, ValueError
        If it cannot be read, is no JSON, or is too large to be what it should be.
    """
    if (size := path.stat().st_size) > LARGEST_JSON:
        raise ValueError(f"{size:,} bytes (expected: at most {LARGEST_JSON:,})")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("brackets within brackets, too deep") from error


def is_gguf_source(source: str) -> bool:
    """Whether a model's source means a GGUF file."""
    return source.lower().endswith(".gguf")


def is_folder_source(source: str) -> bool:
    """Whether a model's source means a folder rather than a hub id (``name`` or ``owner/name``)."""
    return source.startswith((".", "/", "~")) or source.count("/") >= 2 or Path(source).is_dir()


def is_cached(source: str, revision: str | None = None) -> bool:
    """Whether a model of the hub has been brought here before, its weights included."""
    folder = cached_folder(source, revision)
    return folder is not None and any(folder.glob("*.safetensors"))


def cached_folder(source: str, revision: str | None = None) -> Path | None:
    """Where what was brought of a model of the hub lies, its configuration among it; None if nothing was."""
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(source, "config.json", revision=revision)
    except ValueError:  # no name that the hub could have
        return None
    return Path(found).parent if isinstance(found, str) else None


def hub_answers() -> bool:
    """Whether the hub can be reached, whatever it says; not if ``HF_HUB_OFFLINE`` is set."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        urlopen(Request(constants.ENDPOINT, method="HEAD"), timeout=TIMEOUT).close()
    except HTTPError:
        return True
    except URLError as error:
        return isinstance(error.reason, ssl.SSLError)
    except OSError:
        return False
    return True


def unreachable(source: str) -> str:
    """What is said of a source that is nowhere to be found."""
    return (
        f"model {source!r} is neither a folder here nor to be had from the Hugging Face hub; without "
        f"a network, run `hf download {source} --local-dir FOLDER` where there is one, bring the "
        "folder, and name it as the model's `source`"
    )


def load(loader, source: str, revision: str | None, **options):
    """What a loader of transformers makes of a source; no code of the model's repository is run.

    Of the hub, what was brought before is read where it cannot be reached.

    Raises
    ------
    ModelUnavailable
        If the source is not there, cannot be reached, or cannot be read.
    """
    if is_gguf_source(source):
        raise ModelUnavailable(f"{source} is to be unpacked first, by strata.model.unpacking.unpack_gguf")
    folder = is_folder_source(source)
    if folder:
        source = str(Path(source).expanduser())
        if not Path(source).is_dir():
            raise ModelUnavailable(f"model folder {source} does not exist")
    elif not hub_answers():
        options["local_files_only"] = True
    try:
        return loader(source, revision=revision or "main", trust_remote_code=False, **options)
    except (OSError, ValueError, SafetensorError) as error:
        if folder:
            reason = str(error).splitlines()[0]
            raise ModelUnavailable(f"model folder {source} cannot be loaded: {reason}") from error
        raise ModelUnavailable(unreachable(source)) from error
