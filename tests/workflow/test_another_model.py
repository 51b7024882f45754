"""A second model of another build, through every stage beside the first.

Llama's: rotary positions, root-mean-square norms, an unembedding of its own, a gated MLP.
"""

import json

import pytest
import xarray as xr

NAME = "llama"


@pytest.fixture(scope="module")
def results(project, llama):
    """Results of both models, after a run of the second when the first's were there."""
    config = project.read("config.yaml")
    changed = project.read("config.yaml")
    changed["models"][NAME] = changed["models"]["organism"] | {"source": llama}
    changed["run"] = ["organism", NAME]
    try:
        project.write("config.yaml", changed)
        planned = project.planned("all")
        done = project.snakemake("all")
    finally:
        project.write("config.yaml", config)
    again = project.snakemake("all")  # of the first alone, as other tests expect it
    assert done.returncode == again.returncode == 0, done.stdout + done.stderr + again.stderr
    assert planned["extract_activations"] == planned["plot_lens_models"] == 1
    return project.folder / "results"


def test_every_file_and_figure_of_the_first_is_there_of_the_second(results):
    def files(model: str) -> set[str]:
        return {str(path.relative_to(results / model)) for path in (results / model).rglob("*.*")}

    of_the_first = {name for name in files("organism") if not name.startswith("evaluation")}
    assert files(NAME) == of_the_first


def test_every_file_says_which_model_made_it(results):
    for path in sorted((results / NAME).rglob("*.nc")):
        with xr.open_dataset(path, engine="h5netcdf") as dataset:
            assert json.loads(dataset.attrs["provenance"])["model"]["name"] == NAME, path


def test_what_the_model_lacks_is_said(results):
    with xr.open_dataset(results / NAME / "weights.h5", engine="h5netcdf") as weights:
        assert "position_embedding" not in weights
    with xr.open_dataset(results / NAME / "embedding.nc", engine="h5netcdf") as embedding:
        assert embedding.attrs["position_embedding"].startswith("absent")
