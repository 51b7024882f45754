import numpy as np
import pytest

from oracles import intervals
from oracles import restoration as oracle
from oracles.random_traces import OPTIONS, make_trace, record_draws
from strata.trace.subject_tokens import average_subject_tokens


def make_long_subjects(lengths, n_depths=4, seed=0):
    """Prompts of 7 tokens; subject of ``lengths`` tokens, the first at position 1."""
    trace = make_trace(2 * len(lengths), 1, 3, n_depths, seed=seed).isel(prompt=slice(0, None, 2))
    p = np.random.default_rng(seed).uniform(0, 1, trace.p_target.shape)
    p[..., 0] = np.nan
    return trace.assign(p_target=trace.p_target.copy(data=p)).assign_coords(
        subject_start=("prompt", np.ones(len(lengths), int)),
        subject_position=("prompt", np.array(lengths)),
        n_tokens=("prompt", np.full(len(lengths), 7)),
    )


def test_the_answer_passes_from_token_to_token():
    trace = make_long_subjects([1, *[3] * 15])
    corrupted, clean = 0.1, 0.9
    p = np.full(trace.p_target.shape, corrupted)
    for depth, position in enumerate((1, 2, 3)):  # each token holds the answer at one depth
        p[..., depth, position] = clean
    trace["p_target"] = trace.p_target.copy(data=p)
    trace["p_clean"] = trace.p_clean.copy(data=np.full(16, clean))
    trace["p_corrupted"] = trace.p_corrupted.copy(data=np.full(trace.p_corrupted.shape, corrupted))
    table = average_subject_tokens(trace, **OPTIONS).squeeze("noise")
    assert table.subject_length.values.tolist() == [1, 3] and table.n_prompts.values.tolist() == [1, 15]
    np.testing.assert_allclose(table.restoration.sel(subject_length=3), np.eye(3, 4), atol=1e-9)
    np.testing.assert_allclose(table.restoration_low.sel(subject_length=3), np.eye(3, 4), atol=1e-9)
    single = table.sel(subject_length=1)
    np.testing.assert_allclose(single.restoration[0], [1, 0, 0, 0], atol=1e-9)
    assert np.isnan(single.restoration[1:]).all() and np.isnan(single.restoration_low).all()


def test_subject_tokens_equal_the_loop_over_the_same_draws(monkeypatch):
    trace = make_long_subjects([2, 3, 3, *[2] * 36], seed=3)
    draws = record_draws(monkeypatch)
    table = average_subject_tokens(trace, **OPTIONS | {"min_gap": 0.4})
    at = table.squeeze("noise").sel(subject_length=2)
    rows = np.flatnonzero(trace.subject_position.values == 2)
    assert 0 < at.n_excluded < len(rows) and at.n_prompts + at.n_excluded == len(rows)
    of_two = draws[: OPTIONS["n_resamples"]]
    for k in range(2):

        def mean(draw, k=k):
            return oracle.mean_curve(trace, 0, draw, 0.4, lambda prompt: 1 + k)

        line = at.sel(subject_token=k)
        np.testing.assert_allclose(line.restoration, mean([(i, [0, 1, 2]) for i in rows]), rtol=1e-5)
        found = [[(i, [0, 1, 2])] for i in range(len(rows))]
        each = [
            [[oracle.curve(trace, rows[i], 0, own, 0.4, 1 + k) for i, own in fact] for fact in draw]
            for draw in (found, *of_two)
        ]
        for depth in range(4):
            at_depth = [[[curve[depth] for curve in fact] for fact in draw] for draw in each]
            ends = intervals.studentised(at_depth[0], at_depth[1:], OPTIONS["interval"])
            drawn = [float(line[f"restoration_{end}"][depth]) for end in ("low", "high")]
            np.testing.assert_allclose(drawn, ends, rtol=1e-4)


def test_a_subject_of_which_only_the_last_token_was_noised_is_refused():
    trace = make_long_subjects([1, 2])
    trace["p_target"] = trace.p_target.where(trace.prompt != "p2")
    with pytest.raises(ValueError, match="subject token.*p2"):
        average_subject_tokens(trace, **OPTIONS)
