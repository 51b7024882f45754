"""A model's files are known by their contents, and read again only where something happened to them."""

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from pipeline import contents
from pipeline.contents import KEPT, SEEN, digest_of


@pytest.fixture
def files(tmp_path, monkeypatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    contents._digest.cache_clear()
    Path("model").mkdir()
    for name, text in {"config.json": "{}", "model.safetensors": "weights"}.items():
        Path("model", name).write_text(text)
    return ["model/config.json", "model/model.safetensors"]


def again(paths) -> str:
    """As another start of the pipeline does."""
    contents._digest.cache_clear()
    return digest_of(paths)


def reads(monkeypatch) -> list:
    """Files that are read through from here on."""
    found, whole = [], hashlib.file_digest
    monkeypatch.setattr(
        hashlib, "file_digest", lambda file, kind: found.append(file.name) or whole(file, kind)
    )
    return found


def test_a_digest_is_of_names_and_contents(files):
    first = digest_of(files)
    assert first == again(reversed(files)) and len(first) == 16 and digest_of([]) == ""
    shutil.copytree("model", "elsewhere/copy")
    assert again([f"elsewhere/copy/{Path(path).name}" for path in files]) == first
    os.rename("model/config.json", "model/generation_config.json")
    assert again(["model/generation_config.json", files[1]]) != first


@pytest.mark.parametrize("how", [shutil.copy, shutil.copy2, os.replace])
def test_another_file_in_ones_place_is_seen_whatever_its_time(files, how):
    """Of the same size and the same time, as archives and copies keep it."""
    first, stat = digest_of(files), os.stat(files[1])
    Path("other").write_text("WEIGHTS")
    os.utime("other", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    how("other", files[1])
    os.utime(files[1], ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert os.stat(files[1]).st_size == stat.st_size and again(files) != first


def test_what_nothing_happened_to_is_not_read_again(files, monkeypatch):
    first, read = digest_of(files), reads(monkeypatch)
    assert again(files) == first and read == []
    os.utime(files[1])
    assert again(files) == first and read == [files[1]], "new times, the same contents"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}'])
def test_what_was_remembered_may_be_lost(files, text):
    first = digest_of(files)
    (KEPT / SEEN).write_text(text)
    assert again(files) == first


def test_nothing_need_be_writable(files, monkeypatch):
    first = digest_of(files)
    shutil.rmtree(".snakemake")
    Path(".snakemake").touch()
    assert again(files) == first
