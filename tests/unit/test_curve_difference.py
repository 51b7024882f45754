"""Planted differences of whole curves."""

import numpy as np
import pytest

from oracles.transitions import HOW, make_averages, one
from strata.trace.curves import curve_difference
from strata.trace.testing import COLUMNS


def test_planted_difference_of_curves_is_found_where_it_is():
    averages = make_averages({"invented": np.full(20, 8.0), "semantic": np.full(25, 8.0)})
    averages["restoration_prompt"][:20, 1, 0, 3] += 0.3
    averages["restoration_prompt"][..., 0] = 1.0  # alike in all prompts: no spread
    found = curve_difference(averages, "invented", "semantic", HOW)
    assert found.columns.tolist() == [*COLUMNS[:4], "site", "depth", *COLUMNS[4:]]
    at = found[found["noise"] == "3x"]
    differ = (at["low"] > 0) | (at["high"] < 0)
    assert at.loc[differ, ["site", "depth"]].to_numpy().tolist() == [["subject", 3]]
    values = averages["restoration_prompt"].values[:, 1, 0, 3]
    row = one(at, site="subject", depth=3)
    assert row["value"] == pytest.approx(values[:20].mean() - values[20:].mean())
    assert row["p"] == 1 / 200 and row["n"] == 45
    np.testing.assert_array_equal(at["p"] <= 0.1, differ)
    alike = at[at["depth"] == 0]
    assert (alike["value"].abs() < 1e-12).all() and (alike["p"] == 1).all()


def test_curves_without_a_difference_are_rarely_told_apart():
    trials, differ = 150, 0
    for seed in range(trials):
        averages = make_averages({"invented": np.full(8, 8.0), "semantic": np.full(9, 8.0)}, seed=seed)
        found = curve_difference(averages.isel(noise=[0]), "invented", "semantic", HOW)
        differ += (found["p"] <= 0.1).any()
    assert 0.02 < differ / trials < 0.19  # 10 % of curves as a whole, not of 12 depths and sites


def test_excluded_prompts_take_no_part_in_curves():
    averages = make_averages({"invented": np.full(6, 8.0), "semantic": np.full(6, 8.0)})
    averages["restoration_prompt"][0] = np.nan
    averages["included"][0] = False
    found = curve_difference(averages, "invented", "semantic", HOW)
    assert (found["n"] == 11).all() and found["value"].notna().all()
    few = curve_difference(averages.isel(prompt=slice(4, None)), "invented", "copying", HOW)
    assert few["value"].isna().all() and few["p"].isna().all()


def test_without_included_prompts_nothing_is_told():
    averages = make_averages({"invented": np.full(6, 8.0), "semantic": np.full(6, 8.0)})
    averages["included"][:] = False
    found = curve_difference(averages, "invented", "semantic", HOW)
    assert (found["n"] == 0).all() and found["value"].isna().all()


def test_prompts_of_one_fact_count_once_in_curves():
    averages = make_averages({"invented": np.full(6, 8.0), "semantic": np.full(8, 8.0)})
    facts = [f"f{i}" for i in (0, 1, 2, 3, 4, 4, 6, 7, 8, 9, 10, 10, 10, 13)]
    found = curve_difference(
        averages.assign_coords(prompt_fact=("prompt", facts)), "invented", "semantic", HOW
    )
    values = averages["restoration_prompt"].values[:, 0, 1, 2]
    first = [*values[:4], values[4:6].mean()]
    second = [*values[6:10], values[10:13].mean(), values[13]]
    row = one(found, noise="0.5", site="final", depth=2)
    assert row["n"] == 11 and row["value"] == pytest.approx(np.mean(first) - np.mean(second))
