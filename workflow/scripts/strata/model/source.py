"""Where a model comes from: a folder, or the Hugging Face hub."""

from pathlib import Path

from safetensors import SafetensorError


class ModelUnavailable(RuntimeError):
    """A model cannot be loaded; the message is one line and says what to do."""


def is_folder_source(source: str) -> bool:
    """Whether a model's source means a folder rather than a hub id (``name`` or ``owner/name``)."""
    return source.startswith((".", "/", "~")) or source.count("/") >= 2 or Path(source).is_dir()


def load(loader, source: str, revision: str | None, **options):
    """What a loader of transformers makes of a source; no code of the model's repository is run.

    Raises
    ------
    ModelUnavailable
        If the source is not there, cannot be reached, or cannot be read.
    """
    folder = is_folder_source(source)
    if folder:
        source = str(Path(source).expanduser())
        if not Path(source).is_dir():
            raise ModelUnavailable(f"model folder {source} does not exist")
    try:
        return loader(source, revision=revision or "main", trust_remote_code=False, **options)
    except (OSError, ValueError, SafetensorError) as error:
        if folder:
            reason = str(error).splitlines()[0]
            raise ModelUnavailable(f"model folder {source} cannot be loaded: {reason}") from error
        raise ModelUnavailable(
            f"model {source!r} is neither a folder here nor to be had from the Hugging Face hub; without "
            f"a network, run `hf download {source} --local-dir FOLDER` where there is one, bring the "
            "folder, and name it as the model's `source` in config.yaml"
        ) from error
