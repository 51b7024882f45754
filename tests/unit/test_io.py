"""Files keep what was put into them, names and all."""

import json

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import strata
from strata import io
from strata.pieces import PieceFile

SIZES = {"depth": 3, "layer": 2, "head": 4, "token": 6, "channel": 5}
LAYOUT = {
    "resid": ("depth", "token", "channel"),
    "attention_last": ("layer", "head", "token"),
    "logprob_next": ("token",),
}
# Byte-level tokens: the space, a line end, NUL and a lone byte of a longer character.
STRINGS = ["The", "Ġcat", "Ċ", "Ā", "ð", "1"]


def fill(path, dtype="float32", **made_by):
    rng = np.random.default_rng(0)
    values = {name: rng.normal(size=[SIZES[d] for d in dims]) for name, dims in LAYOUT.items()}
    with io.ActivationFile(path, SIZES, LAYOUT, dtype, **made_by) as file:
        for start, stop in ((0, 4), (4, 6)):
            part = {
                name: (values[name] / file.form.scale).take(range(start, stop), axis=dims.index("token"))
                for name, dims in LAYOUT.items()
            }
            file.write(start, part)
        labels = {"prompt": ["a"] * 4 + ["b"] * 2, "position": [0, 1, 2, 3, 0, 1], "token_str": STRINGS}
        file.label(labels)
    return values


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_activations_come_back_with_names_and_coordinates(tmp_path, dtype):
    path = str(tmp_path / "activations.h5")
    values = fill(path, dtype, model={"name": "tiny"})
    with io.open_dataset(path) as dataset:
        assert dict(dataset.sizes) == SIZES
        for name, dims in LAYOUT.items():
            assert dataset[name].dims == dims and dataset[name].dtype == "float32"
            assert np.array_equal(dataset[name].values, values[name].astype(dtype))
        assert set(dataset["resid"].coords) >= {"prompt", "position", "token_str", "depth"}
        assert dataset["token_str"].values.tolist() == STRINGS
        one = dataset.isel(token=(dataset["prompt"] == "b").values)
        assert np.array_equal(one["resid"].values, values["resid"][:, 4:].astype(dtype))
        assert io.made_by(dataset) == {"strata": strata.__version__, "model": {"name": "tiny"}}


def test_half_the_digits_hold_what_is_beyond_the_half_type(tmp_path):
    """States of some models reach 8e5, float16 65,504."""
    path = tmp_path / "activations.h5"
    with io.ActivationFile(path, SIZES, {"resid": LAYOUT["resid"]}, "float16") as file:
        assert 4e6 < file.form.largest < 4.2e6
        values = np.geomspace(0.004, file.form.largest, 90).reshape(3, 6, 5)
        file.write(0, {"resid": values / file.form.scale})
    with h5py.File(path) as stored:
        assert stored["resid"].dtype == "float16"
    with xr.open_dataset(path, engine="h5netcdf") as dataset:
        assert dataset["resid"].dtype == "float32"
        np.testing.assert_allclose(dataset["resid"], values, rtol=2**-11)


def test_unlabelled_opening_needs_only_the_engine(tmp_path):
    path = tmp_path / "activations.h5"
    fill(path)
    with xr.open_dataset(path, engine="h5netcdf") as dataset:
        assert dataset["resid"].dims == ("depth", "token", "channel")


def test_dataset_comes_back_with_what_made_it(tmp_path):
    path = str(tmp_path / "data.nc")
    dataset = xr.Dataset(
        {"p": (("prompt", "depth"), np.array([[0.5, np.nan], [1, 2]], "float32"))},
        coords={"prompt": ["a", "ĠbĊ"]},
        attrs={"kind": "layer", "absent": None},
    )
    io.write_dataset(dataset, path, model={"name": "tiny", "revision": None}, config={"seed": 3, "on": True})
    with io.open_dataset(path) as back:
        xr.testing.assert_equal(back.load(), dataset)
        assert back["p"].dtype == "float32" and back.attrs["kind"] == "layer"
        made_by = json.loads(back.attrs["provenance"])
    assert made_by["model"] == {"name": "tiny", "revision": None}
    assert made_by["config"] == {"seed": 3, "on": True}


def test_one_array_under_two_names_is_stored_once(tmp_path):
    array, dims = np.random.default_rng(0).normal(size=(400, 500)).astype("float32"), ("vocab", "channel")
    arrays = {"token": array, "other": array.copy(), "tied": array, "half": array / 2}
    strings = np.array([f"w{i}" for i in range(len(array))], object)
    dataset = xr.Dataset(
        {name: (dims, values) for name, values in arrays.items()}, coords={"token_str": ("vocab", strings)}
    )
    path = str(tmp_path / "data.h5")
    io.write_dataset(dataset, path, seed=1)
    assert (tmp_path / "data.h5").stat().st_size < 3.4 * array.nbytes
    with h5py.File(path) as file:
        assert file["tied"] == file["token"] and file["other"] != file["token"]
    with io.open_dataset(path) as back:
        xr.testing.assert_equal(back.load(), dataset)


def test_many_strings_and_numbers_take_little_room_and_come_back(tmp_path):
    rng = np.random.default_rng(0)
    words = np.array([*STRINGS, "", " two words", "𝔘" * 30], dtype=object)
    dataset = xr.Dataset(
        {"top_str": (("token", "k"), rng.choice(words, (5000, 4))), "few": ("k", words[:4])},
        coords={"kind": ("token", rng.choice(words, 5000)), "id": ("token", rng.integers(0, 9, 5000))},
    )
    big = xr.concat([dataset] * 4, "token", data_vars="minimal")
    path = str(tmp_path / "data.nc")
    io.write_dataset(big, path)
    # Each string of variable length would take 40 bytes and more.
    assert (tmp_path / "data.nc").stat().st_size < 6 * (big["top_str"].size + big["kind"].size)
    with io.open_dataset(path) as back:
        for name in big.variables:
            assert back[name].dims == big[name].dims
            assert (back[name].values == big[name].values).all(), name


@pytest.mark.parametrize("where", ["variable", "coordinate"])
def test_half_precision_is_refused_in_netcdf(tmp_path, where):
    half = ("token", np.zeros(3, "float16"))
    dataset = xr.Dataset({"x": half}) if where == "variable" else xr.Dataset(coords={"x": half})
    with pytest.raises(TypeError, match=r"data\.nc: float16 .*: x"):
        io.write_dataset(dataset, str(tmp_path / "data.nc"))
    assert not (tmp_path / "data.nc").exists()


TEXTS = ["a\tb", "a\nb", "a\r\nb", "a\rb", 'say "hi"', '"', "007", "1.50", "NA", "null", "", " é\u2028", "\\"]


@pytest.mark.parametrize("texts", [TEXTS, ["007"], ["1.50", "2"], ["NA"], ["True"]])
def test_prompts_come_back_letter_by_letter(tmp_path, texts):
    """Also where every text looks like a number, which would be read as one."""
    columns = ("id", "category", "text", "subject", "target", "pair", "subject_kind", "top_str", "reason")
    table = pd.DataFrame({column: texts for column in columns})
    table["p_target"] = [None] + [0.25] * (len(texts) - 1)
    table["accepted"], table["n_tokens"] = True, 7
    io.write_table(table, str(tmp_path / "prompts.tsv"))
    back = io.read_prompts(str(tmp_path / "prompts.tsv"))
    for column in columns:
        assert back[column].tolist() == texts
    assert back["accepted"].tolist() == [True] * len(texts) and back["n_tokens"].sum() == 7 * len(texts)
    assert np.isnan(back["p_target"][0]) and (back["p_target"][1:] == 0.25).all()


def test_corpus_comes_back(tmp_path):
    tokens, kinds = np.arange(6, dtype="uint16").reshape(2, 3), np.zeros((2, 3), "uint8")
    io.write_corpus(str(tmp_path / "tokens.npz"), tokens, kinds, ["facts", "rote"])
    back = io.read_corpus(str(tmp_path / "tokens.npz"))
    assert np.array_equal(back[0], tokens) and np.array_equal(back[1], kinds) and back[2] == ["facts", "rote"]


def in_words(rng, *shape):
    """Words, of which the first half of the last axis has no long or accented one."""
    words = np.array(["a", "Ġbc", "", "Zweifelsfälle"], object)
    return words[np.sort(rng.integers(4, size=shape), axis=-1 if len(shape) == 1 else 1)]


@pytest.mark.parametrize("cuts", [[0, 9], [0, 4, 5, 9], [0, 0, 9]])
@pytest.mark.parametrize("chunk", [1, 100, 2**18])
def test_what_is_written_in_pieces_is_read_as_if_it_were_not(tmp_path, monkeypatch, cuts, chunk):
    monkeypatch.setattr(io, "CHUNK", chunk)
    rng = np.random.default_rng(0)
    dataset = xr.Dataset(
        {
            "entropy": (("depth", "token"), rng.random((3, 9), np.float32), {"units": "nat"}),
            "top_id": (("depth", "token", "k"), rng.integers(9, size=(3, 9, 2), dtype=np.int32)),
            "top_str": (("depth", "token", "k"), in_words(rng, 3, 9, 2)),
            "share": (("token", "word"), np.where(rng.random((9, 2)) < 0.5, np.nan, 0.5)),
            "logprob": ("token", rng.random(9)),
        },
        {
            "depth": [0.0, 0.5, 1.0],
            "word": ["demanded", "other"],
            "prompt": ("token", in_words(rng, 9)),
            "beginning": ("token", rng.random(9) < 0.5),
        },
        {"decoder": "logit"},
    )
    whole, pieces = str(tmp_path / "whole.nc"), str(tmp_path / "pieces.nc")
    io.write_dataset(dataset, whole, model={"name": "tiny"})
    with PieceFile(pieces, "token", 9, model={"name": "tiny"}) as file:
        for start, stop in zip(cuts, cuts[1:], strict=False):
            file.write(dataset.isel(token=slice(start, stop)))
    with io.open_dataset(whole) as expected, io.open_dataset(pieces) as found:
        xr.testing.assert_identical(found, expected)
        for name in ("entropy", "top_id", "share", "logprob"):
            assert found[name].dtype == expected[name].dtype


def test_nothing_is_written_in_pieces_too(tmp_path):
    """Of no token, say, where none of the prompts asked for is there."""
    dataset = xr.Dataset({"entropy": (("depth", "token"), np.empty((3, 0), np.float32))}, {"depth": range(3)})
    with PieceFile(path := str(tmp_path / "pieces.nc"), "token", 0) as file:
        file.write(dataset)
    with io.open_dataset(path) as found:
        xr.testing.assert_equal(found, dataset)


def test_pieces_of_half_the_digits_are_refused(tmp_path):
    half = xr.Dataset({"entropy": (("depth", "token"), np.zeros((3, 2), np.float16))})
    with (
        pytest.raises(TypeError, match=r"pieces.nc: float16.*entropy"),
        PieceFile(str(tmp_path / "pieces.nc"), "token", 2) as file,
    ):
        file.write(half)
