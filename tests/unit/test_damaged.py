"""Files of results that are cut short, garbled, another's or foreign: found when read, and named."""

import logging
import random
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import xarray as xr

from pipeline.job import job
from pipeline.session import failure
from strata import io

KINDS = ["lens.nc", "weights.h5", "activations.h5"]


@pytest.fixture
def data() -> xr.Dataset:
    """Large and small variables, numbers and texts, scalars and nothing."""
    rng = np.random.default_rng(0)
    return xr.Dataset(
        {
            "entropy": (("depth", "token"), rng.normal(size=(5, 4000))),
            "rank": (("depth", "token"), rng.integers(0, 50, (5, 4000))),
            "share": ("depth", rng.normal(size=5).astype("float32")),
            "top_str": ("token", np.array([f"t{n}" for n in range(4000)], object)),
            "name": ("depth", np.array(list("abcde"), object)),
            "total": 7.5,
            "nothing": ("none", np.zeros(0)),
        },
        coords={"depth": np.arange(5.0), "accepted": ("depth", [True, False] * 2 + [True])},
    )


def write(folder: Path, name: str, data: xr.Dataset) -> str:
    """A file of that kind in the results of a model, written as jobs do: its path from the project."""
    path = f"results/one/{name}"
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    if name != "activations.h5":
        io.write_dataset(data, path, model={"name": "one"})
        return path
    with io.ActivationFile(
        path, {"depth": 5, "token": 4000}, {"resid": ("depth", "token")}, "float32"
    ) as file:
        file.write(0, {"resid": data["entropy"].values.astype("float32")})
        file.label({"prompt": ["a"] * 4000, "token_id": range(4000)})
    return path


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging.root, "handlers", [])  # jobs put theirs in the place of all
    return tmp_path


def script_of(*inputs: str) -> SimpleNamespace:
    return SimpleNamespace(log=["rule.log"], input=inputs, resources={}, threads=1, rule="rule")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_whole_is_read(here, data, kind):
    path = write(here, kind, data)
    io.check_whole(path)
    for place in (path, str(here / path), f"./{path}"):
        io.open_dataset(place).close()
    if kind != "activations.h5":
        with io.open_dataset(path) as back:
            xr.testing.assert_equal(back.load(), data)
            assert io.made_by(back)["file"] == path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.7, 0.999])
def test_a_file_cut_short(here, data, kind, share):
    path = Path(write(here, kind, data))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(io.BadFile, match=f"^{path}: no readable (netCDF|HDF5) file$"):
        io.open_dataset(str(path))


@pytest.mark.parametrize(
    "content", [b"<!DOCTYPE html>", b"version https://git-lfs.github.com/spec/v1\n", b"\0" * 999]
)
def test_what_is_no_such_file(here, content):
    Path("x.nc").write_bytes(content)
    with pytest.raises(io.BadFile, match="^x.nc: no readable netCDF file$"):
        io.open_dataset("x.nc")
    with pytest.raises(FileNotFoundError):
        io.open_dataset("y.nc")


@pytest.mark.parametrize("kind", ["lens.nc", pytest.param("weights.h5", marks=pytest.mark.long)])
def test_garbled_numbers_are_never_read(here, data, kind):
    path = Path(write(here, kind, data))
    content, draw = path.read_bytes(), random.Random(0)
    for name, n in {"entropy": 30, "rank": 30, "share": 10, "depth": 5}.items():
        with h5py.File(path) as file:
            stored = file[name].id
            chunks = [stored.get_chunk_info(i) for i in range(stored.get_num_chunks())]
        for _ in range(n):
            chunk, garbled = draw.choice(chunks), bytearray(content)
            garbled[chunk.byte_offset + draw.randrange(chunk.size)] ^= draw.randrange(1, 256)
            path.write_bytes(garbled)
            with pytest.raises(io.BadFile, match=f"^{path}: (damaged: {name} cannot be read|no readable)"):
                io.check_whole(str(path))
        path.write_bytes(content)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # xarray wonders at what it decodes
@pytest.mark.parametrize("kind", KINDS)
def test_garbled_anywhere_is_a_value_or_a_line(here, data, kind):
    path = Path(write(here, kind, data))
    content, draw = path.read_bytes(), random.Random(0)
    for _ in range(60):
        garbled = bytearray(content)
        for _ in range(20):
            garbled[draw.randrange(len(content))] ^= draw.randrange(1, 256)
        path.write_bytes(garbled)
        try:
            io.check_whole(str(path))
        except io.BadFile as bad:
            assert str(bad).startswith(f"{path}: ") and str(bad).isprintable()


def test_a_file_in_anothers_place(here, data):
    path, other = write(here, "lens.nc", data), "results/two/lens.nc"
    Path(other).parent.mkdir()
    Path(path).rename(other)
    with pytest.raises(io.BadFile, match=f"^{other}: it is {path}, put in its place$"):
        io.open_dataset(other)
    kind = "results/one/hidden.nc"
    Path(other).rename(kind)
    with pytest.raises(io.BadFile, match=f"^{kind}: it is {path}, put in its place$"):
        io.open_dataset(kind)


def test_a_file_of_others(here, data):
    data.to_netcdf("foreign.nc", engine="h5netcdf")
    with pytest.raises(io.BadFile, match="^foreign.nc: it does not say what made it"):
        io.open_dataset("foreign.nc")
    with h5py.File("foreign.h5", "w") as file:
        file.attrs["provenance"] = "[1]"
    with pytest.raises(io.BadFile, match="^foreign.h5: it does not say what made it"):
        io.open_dataset("foreign.h5")


def test_what_is_written_elsewhere_says_no_path_of_this_machine(here, data):
    io.write_dataset(data, str(here / "a.nc"))
    Path("a.nc").rename("b.nc")
    with io.open_dataset("b.nc") as back:
        assert "file" not in io.made_by(back)


def test_a_job_names_the_file_that_it_stumbles_over(here, data):
    """HDF5 does not: of several, the damaged one is looked for. The run's last line says what makes it."""
    paths = [write(here, name, data) for name in ("a.nc", "b.nc", "c.nc")]
    with h5py.File(paths[1], "r+") as file:
        offset = file["entropy"].id.get_chunk_info(0).byte_offset
    with Path(paths[1]).open("r+b") as file:
        file.seek(offset + 9)
        file.write(b"garbled")
    snakemake = SimpleNamespace(
        log=["rule.log"], input=["x.tsv", *paths], resources={}, threads=1, rule="rule"
    )
    with pytest.raises(SystemExit) as ended, job(snakemake):
        opened = [io.open_dataset(path) for path in paths]
        for dataset in opened:
            dataset["entropy"].values.sum()
    told = "BadFile: results/one/b.nc: damaged: entropy cannot be read"
    assert str(ended.value) == f"rule: {told} (all of it: rule.log)"
    assert failure("rule", "rule.log", None, {"results/one/b.nc": "read_lens"}) == (
        f"rule failed: {told}: delete it: read_lens makes it again (log: rule.log)"
    )
    assert failure("rule", "rule.log") == f"rule failed: {told} (log: rule.log)"


def test_an_error_of_another_kind_stays_what_it_is(here, data):
    path = write(here, "a.nc", data)
    Path(path).write_bytes(b"")
    snakemake = script_of(path)
    with pytest.raises(SystemExit, match="^rule: ValueError: too few prompts"), job(snakemake):
        raise ValueError("too few prompts")
