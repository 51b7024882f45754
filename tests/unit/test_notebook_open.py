"""Results are opened by name, and what is not there is answered with what is."""

import pandas as pd
import pytest
import xarray as xr

import strata
from strata import io

FILES = ("activations.h5", "lens/logit.nc", "syntax/keys.nc")
TABLES = ("prompts.tsv", "syntax/keys.tsv")


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results/tiny"
    for name in (*FILES, *TABLES, "claims.html"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    for name in FILES:
        io.write_dataset(xr.Dataset({"x": ("depth", [1.0, 2.0])}, attrs={"of": name}), folder / name)
    io.write_table(pd.DataFrame({"id": ["null"], "reason": [""], "p_target": [0.5]}), folder / "prompts.tsv")
    io.write_table(pd.DataFrame({"layer": [3], "noise": ["1"]}), folder / "syntax/keys.tsv")
    (tmp_path / "results/models").mkdir()
    return tmp_path / "results"


@pytest.mark.parametrize("name", ["activations", "lens/logit", "lens/logit.nc", "syntax/keys.nc"])
def test_labelled_data_by_name(results, name):
    found = strata.open("tiny", name, results)
    assert found.attrs["of"].startswith(name) and found["x"].dims == ("depth",)
    found.close()


def test_tables_by_name_and_names_in_them_as_written(results):
    assert strata.open("tiny", "prompts", results)[["id", "reason"]].values.tolist() == [["null", ""]]
    assert strata.open("tiny", "syntax/keys.tsv", str(results))["noise"].tolist() == ["1"]


def test_the_results_are_those_of_the_working_directory(results, monkeypatch):
    monkeypatch.chdir(results.parent)
    assert len(strata.open("tiny", "prompts")) == 1


def test_a_name_of_two_files_is_told_apart_by_its_suffix(results):
    with pytest.raises(ValueError, match="may be syntax/keys.nc or syntax/keys.tsv$"):
        strata.open("tiny", "syntax/keys", results)


@pytest.mark.parametrize(
    ("model", "name", "says"),
    [
        ("tinny", "lens/logit", r"no results of 'tinny' in .*results \(there: tiny\)$"),
        (
            "tiny",
            "lens/logic",
            r"no 'lens/logic' in .*results/tiny \(there: activations, lens/logit, prompts, "
            r"syntax/keys.nc, syntax/keys.tsv\)$",
        ),
        ("tiny", "../tiny/prompts", "no '../tiny/prompts'"),
    ],
)
def test_what_is_not_there_is_answered_with_what_is(results, model, name, says):
    with pytest.raises(FileNotFoundError, match=says):
        strata.open(model, name, results)


def test_where_nothing_is_it_is_said_what_writes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there: none; the pipeline writes them: snakemake"):
        strata.open("tiny", "lens/logit", tmp_path)
