"""What prompts ask is drawn again, with all its wordings: one more wording of each is no more evidence."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from oracles.lens_questions import make_run
from strata.lens.questions import ask
from strata.stats.thresholds import LEAST_UNITS

OPTIONS = {"resamples": 60, "interval": 0.9, "seed": 3}
ASKED = (
    "target_depth",
    "target_depth_change",
    "repeat_depth",
    "repeat_share",
    "repeat_change",
    "copied_change",
    "copied_change_overall",
    "prediction_depth",
)


def again(lens, facts):
    """The same prompts once more by other names; ``facts`` says what a prompt asks, by its name."""
    other = lens.assign_coords(prompt=("token", lens["prompt"].values + "-again"))
    both = xr.concat([lens, other], "token")
    return both.assign_coords(fact=("token", np.array([facts(p) for p in both["prompt"].values], object)))


@pytest.fixture(scope="module")
def found():
    """All questions: of each prompt once, twice as wordings of a fact, twice as facts, and of few facts."""
    lenses, table, counts = make_run(prompts_of_category=LEAST_UNITS + 1)
    twice = pd.concat([table, table.assign(id=table["id"] + "-again")], ignore_index=True)
    kin = {
        "together": lambda prompt: prompt.removesuffix("-again"),
        "apart": lambda prompt: prompt,
        "few": lambda prompt: prompt[:-1] if prompt.endswith("-0") else prompt.removesuffix("-again")[:-1],
    }
    answers = {
        name: ask({d: again(lens, facts) for d, lens in lenses.items()}, twice, counts, **OPTIONS)
        for name, facts in kin.items()
    }
    return answers | {"once": ask(lenses, table, counts, **OPTIONS)}


@pytest.mark.parametrize("name", ASKED)
def test_another_wording_changes_no_interval(found, name):
    known = found["once"][f"{name}_low"].notnull()
    assert known.any()
    for end in ("", "_low", "_high"):
        one, other = (found[of][name + end] for of in ("once", "together"))
        np.testing.assert_allclose(other, one, atol=1e-9, err_msg=end)
    width, of_apart = (found[of][f"{name}_high"] - found[of][f"{name}_low"] for of in ("together", "apart"))
    varies = known & (width > 1e-6)
    assert float(of_apart.where(varies).mean()) < 0.85 * float(width.where(varies).mean())


@pytest.mark.parametrize("name", ASKED)
def test_many_prompts_of_few_facts_have_no_interval(found, name):
    few = found["few"]
    if "category" in few[name].dims:
        few = few.sel(category="copying" if name != "target_depth_change" else "semantic")
    assert few[name].notnull().any() and few[f"{name}_low"].isnull().all()
