"""How tests are shared among processes: those of the workflow stay together, as they need one run of it."""

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items):
    for item in items:
        path = Path(item.path)
        group = "workflow" if path.parent.name == "workflow" else path.stem
        item.add_marker(pytest.mark.xdist_group(group))
