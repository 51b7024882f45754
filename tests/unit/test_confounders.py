"""Confounders of prompts, known by hand."""

import numpy as np
import pandas as pd
import pytest

from oracles.transitions import make_averages, one
from strata.trace.confounders import transitions


def test_confounders_of_prompts():
    averages = make_averages({"semantic": np.array([2.5]), "copying": np.array([np.nan])})
    prompts = pd.DataFrame(
        {
            "id": ["other", "p1", "p0"],
            "n_tokens": [3, 9, 12],
            "subject_start": [0, 3, 1],
            "subject_position": [0, 4, 1],
            "subject_n_tokens": [1, 2, 1],
            "subject_id": [7, 8, 9],
            "target_id": [8, 9, 7],
            "p_target": [0.2, 1.0, 0.75],
        }
    )
    counts = pd.DataFrame({"token_id": [9, 8, 7], "count": [0, 99, 999]})
    table = transitions(averages, prompts, counts)
    assert len(table) == 4
    first = one(table, prompt="p0", noise="3x")
    assert first["category"] == "semantic" and first["transition_depth"] == 2.5
    assert first[["distance", "log_target_count", "log_subject_count", "log_position"]].tolist() == [
        10,
        3,
        0,
        1,
    ]
    assert first["fact"] == "f0" and first["place"] == 2.5
    assert first["logit_clean"] == pytest.approx(np.log(3)) and first["several_tokens"] == 0
    second = one(table, prompt="p1", noise="0.5")
    assert np.isnan(second["transition_depth"]) and second["transition_reason"] == "never overtakes"
    assert second["place"] == np.inf
    assert second[["distance", "log_target_count", "log_subject_count", "log_position"]].tolist() == [
        4,
        0,
        2,
        2,
    ]
    assert second["logit_clean"] == pytest.approx(np.log(1e6), rel=1e-4) and second["several_tokens"] == 1
    with pytest.raises(ValueError, match="p1"):
        transitions(averages, prompts[prompts["id"] != "p1"], counts)
