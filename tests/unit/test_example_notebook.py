"""The example notebook runs from top to bottom on SmolLM2, says what is so, and is kept without outputs."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell

from oracles.trace_example import AVERAGE, make_trace
from strata import io
from strata.trace.averages import average_by_category

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs/notebook.ipynb"
MODEL = ROOT / "data/models/SmolLM2-135M-Instruct.Q4_1.gguf"
SAYS = """
assert trace["target"].values == [" Paris"] and trace["top_str"].values == ["ĠParis"], trace
assert 0.76 < clean < 0.78 and corrupted < 0.2 and 16 < handed_over < 28, (clean, corrupted, handed_over)
assert lens["top_str"].values[-1, -1, 0] == "ĠParis"
"""


def test_it_is_kept_without_outputs_and_without_traces_of_a_machine():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert all(not cell.get("outputs") and not cell.get("execution_count") for cell in notebook.cells)
    assert all(not cell.metadata for cell in notebook.cells)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    assert notebook.metadata == {"kernelspec": kernel, "language_info": {"name": "python"}}


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """In a project with SmolLM2 and results."""
    if not MODEL.is_file():
        pytest.skip(f"{MODEL.name} is not here: make smollm2")
    project = tmp_path_factory.mktemp("project")
    (project / "docs").mkdir()
    (project / "data").symlink_to(ROOT / "data")
    averages = average_by_category(make_trace(), **AVERAGE)
    (project / "results/organism/trace").mkdir(parents=True)
    io.write_dataset(averages, str(project / "results/organism/trace/by_category.nc"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells.append(new_code_cell(SAYS))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", str(ROOT / "workflow/scripts"))
        environment.setenv("STRATA_CACHE", str(project / "cache"))
        client = NotebookClient(
            notebook, timeout=300, resources={"metadata": {"path": str(project / "docs")}}
        )
        return client.execute()


def outputs(notebook, id: str) -> list[dict]:
    """What a cell shows, by MIME type, without what it says of its progress."""
    [cell] = [cell for cell in notebook.cells if cell["id"] == id]
    return [output.data for output in cell.outputs if "data" in output]


def test_its_cells_run_and_the_answers_are_right(executed):
    [cell] = [cell for cell in executed.cells if cell["id"] == "trace-data"]
    assert cell.outputs[-1].text.startswith("clean 0.77, corrupted 0.")


@pytest.mark.parametrize("id", ["lens", "trace", "own"])
def test_texts_show_their_picture(executed, id):
    [shown] = outputs(executed, id)
    assert shown["text/html"].startswith('<img src="data:image/png;base64,')


@pytest.mark.parametrize("id", ["figure", "results"])
def test_figures_show(executed, id):
    [shown] = outputs(executed, id)
    assert "image/png" in shown
