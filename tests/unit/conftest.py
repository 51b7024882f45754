"""Of the families of models, those unlike each other are for every run; the others are long, together."""

import pytest

from oracles.tiny_models import NAMES, UNLIKE

ALIKE = {*NAMES} - {"gpt2", "gpt-neox", *UNLIKE}


@pytest.hookimpl(tryfirst=True)  # before marks choose
def pytest_collection_modifyitems(items):
    for item in items:
        params = item.callspec.params.values() if hasattr(item, "callspec") else ()
        if any(isinstance(value, str) and value in ALIKE for value in params):
            item.add_marker(pytest.mark.long)
