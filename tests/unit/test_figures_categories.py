"""Categories in one order, whatever figure shows them."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from strata import io
from strata.figures.categories import in_order

NAMES = ["all", "copying", "non_english", "passages", "plain_english", "semantic"]
EXPECTED = ["all", "non_english", "semantic", "copying", "passages", "plain_english"]
ORDER = ["non_english", "invented", "semantic"]


@pytest.fixture
def data():
    values = np.arange(len(NAMES) * 2).reshape(-1, 2)
    labels = {"category": NAMES, "kind": ("category", [name[0] for name in NAMES])}
    return xr.Dataset({"x": (("category", "depth"), values), "y": ("depth", [5, 6])}, labels)


def test_categories_of_the_order_come_first_and_take_their_values_along(data, tmp_path):
    path = str(tmp_path / "data.nc")
    io.write_dataset(data, path)
    with io.open_dataset(path) as stored:
        found = in_order(stored, ORDER).load()
    assert found["category"].values.tolist() == EXPECTED
    assert found["kind"].values.tolist() == [name[0] for name in EXPECTED]
    xr.testing.assert_identical(found.sel(category=NAMES).drop_attrs(), data)


def test_rows_of_a_table_stay_together(data):
    table = pd.DataFrame({"category": NAMES[::-1] * 2, "depth": [0] * 6 + [1] * 6})
    found = in_order(table, ORDER)
    assert found["category"].drop_duplicates().tolist() == [
        *EXPECTED[:3],
        "plain_english",
        "passages",
        "copying",
    ]
    assert (found.groupby("category")["depth"].agg(list).map(lambda depths: depths == [0, 1])).all()


def test_what_has_no_categories_stays_as_it_is():
    for one in (xr.Dataset({"x": ("depth", [1])}), pd.DataFrame({"group": ["b", "a"]})):
        assert in_order(one, ORDER) is one
    of_tokens = xr.Dataset({"x": ("token", [1, 2])}, {"category": ("token", ["b", "a"])})
    assert in_order(of_tokens, ORDER) is of_tokens
