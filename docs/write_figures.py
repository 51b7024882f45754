"""Write docs/figures.md, the index of all figures, from the table of figures and their captions."""

from pathlib import Path

from pipeline.figure_table import index
from strata.inputs import read_yaml

ROOT = Path(__file__).parents[1]


def figures_page() -> str:
    """The page as it should be."""
    captions = {
        path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "workflow/report").glob("*.rst")
    }
    return index(read_yaml(ROOT / "workflow/figures.yaml"), captions)


if __name__ == "__main__":
    (ROOT / "docs/figures.md").write_text(figures_page(), encoding="utf-8")
