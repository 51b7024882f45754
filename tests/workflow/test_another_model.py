"""A second model of another build, through every stage, in one run with the first.

Llama's: rotary positions, root-mean-square norms, an unembedding of its own, a gated MLP.
"""

import json
import re

import pytest
import xarray as xr
from small_project import MODEL, SECOND

OF_POSITIONS = (
    *("embedding_position_components", "embedding_positions", "embedding_position_channels"),
    *("embedding_lissajous", "embedding_sinusoids", "embedding_smoothing", "embedding_silencing"),
    *("embedding_rivalry", "embedding_pairs", "embedding_gains_norm1", "embedding_gains_norm2"),
)
"""Figures that there is nothing for where no position embedding is."""


@pytest.fixture(scope="module")
def results(project):
    """Results of both models."""
    return project.folder / "results"


def test_every_file_and_figure_that_is_not_of_what_it_lacks_is_there_of_the_second(results):
    def files(model: str) -> set[str]:
        return {str(path.relative_to(results / model)) for path in (results / model).rglob("*.*")}

    tagged = ("syntax", "figures/syntax")
    lacking = ("evaluation", *tagged, *(f"figures/{name}." for name in OF_POSITIONS))
    assert files(SECOND) == {name for name in files(MODEL) if not name.startswith(lacking)}
    assert all(any(name.startswith(one) for name in files(MODEL)) for one in lacking)


def test_every_file_says_which_model_made_it(results):
    for path in sorted((results / SECOND).rglob("*.nc")):
        with xr.open_dataset(path, engine="h5netcdf") as dataset:
            assert json.loads(dataset.attrs["provenance"])["model"]["name"] == SECOND, path


def test_what_the_model_lacks_is_said(results):
    with xr.open_dataset(results / SECOND / "weights.h5", engine="h5netcdf") as weights:
        assert "position_embedding" not in weights
    with xr.open_dataset(results / SECOND / "embedding.nc", engine="h5netcdf") as embedding:
        assert embedding.attrs["position_embedding"].startswith("absent")


@pytest.mark.long
def test_findings_are_asked_of_both(project):
    done = project.snakemake("findings")
    assert done.returncode == 0, done.stdout + done.stderr
    page = (project.folder / "docs/findings.md").read_text()
    assert f"| statement | holds if | {MODEL} | {SECOND} |" in page
    assert "no tagged text" in page and "no position embedding" in page
    twins = page.partition("## Trained to guess at every depth")[2]
    assert f"| {MODEL} | – | – | – | cannot be asked: no twin |" in twins
    assert re.search(rf"\| {SECOND} \| −?\d\.\d{{3}} \| .* \| [1-9]\d* \| \w", twins)
    pictures = sorted((project.folder / "docs/figures").glob("findings_*.png"))
    assert len(pictures) == 5 and all(5000 < picture.stat().st_size < 150_000 for picture in pictures)
    assert all(f"(figures/{picture.name})" in page for picture in pictures)


def test_the_models_are_drawn_together(results):
    for name in ("lens_models", "models_kept"):
        assert (results / f"models/{name}.png").stat().st_size > 5000
