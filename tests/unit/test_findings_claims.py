"""Claims that compare depths, repeats and decoders, published figures, and the scorecard."""

import re
from math import isnan, nan
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from pytest import approx

from pipeline.figure_table import expand_figures
from strata.figures.findings import draw_verdicts
from strata.findings import embedding, lens, published, traces
from strata.findings.answers import answers_of
from strata.findings.asking import lacks
from strata.findings.estimates import (
    FAILS,
    HOLDS,
    NOT_ASKED,
    UNDECIDED,
    Estimate,
    independent_difference,
    verdict,
)
from strata.findings.scorecard import as_page, scorecard
from strata.findings.table import files_asked, read_findings
from strata.inputs import read_yaml

ROOT = Path(__file__).parents[2]
CONFIG = read_yaml(ROOT / "config.yaml")
TABLE = read_findings(ROOT / "workflow", CONFIG)
STATISTICS = {"resamples": 200, "interval": 0.95, "seed": 0}
XL, SMALL = "openai-community/gpt2-xl", "openai-community/gpt2"


def test_at_least_forty_statements_each_with_a_source():
    rows = [row for section in TABLE.values() for row in section["findings"].values()]
    assert len(rows) >= 40 and all(section["source"] for section in TABLE.values())


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(7, 13, HOLDS), (8, 9, HOLDS), (6, 9, UNDECIDED), (9, 14, UNDECIDED), (1, 6.9, FAILS), (14, 15, FAILS)],
)
def test_between_two_numbers(low, high, expected):
    assert verdict(Estimate((low + high) / 2, low, high, 9), {"between": [7, 13]}) == expected
    assert verdict(Estimate(10, nan, nan, 2), {"between": [7, 13]}) == UNDECIDED


def test_the_difference_of_two_independent_estimates():
    """Symmetric intervals: half widths add as 3, 4 and 5 do."""
    found = independent_difference(Estimate(10, 7, 13, 5), Estimate(2, -2, 6, 8))
    assert found == Estimate(8, 3, 13, 5)
    none = Estimate(missing="not there")
    assert independent_difference(none, found) is none and independent_difference(found, none) is none


def shown(found: Estimate) -> tuple:
    return found.value, found.low, found.high, found.n


def values(dims: dict, at: dict, name: str, value: float, half: float, n: int | None = None) -> xr.Dataset:
    """A variable with its ends at one place, NaN elsewhere."""
    result = xr.Dataset(coords=dims)
    for end, number in {"": value, "_low": value - half, "_high": value + half}.items():
        array = xr.DataArray(np.full([len(v) for v in dims.values()], nan), dims, list(dims))
        array.loc[at] = number
        result[name + end] = array
    return result if n is None else result.assign({f"{name}_n": n})


def test_shares_of_the_first_block():
    dims = {"decoder": ["logit"], "category": ["all"], "layer": [0, 1]}
    at = {"decoder": "logit", "category": "all", "layer": 0}
    questions = xr.merge(
        [values(dims, at, "kl_input_share", 0.5, 0.3, 9), values(dims, at, "kl_final_share", 0.8, 0.4, 7)]
    )
    assert shown(lens.first_block_of_input(questions)) == approx((-0.3, -0.8, 0.2, 7))


def test_repeats_and_commas():
    dims, at = {"decoder": ["logit"], "repeat": [1, 2, 3]}, {"decoder": "logit"}
    first, third = (
        values(dims, at | {"repeat": r}, "repeat_share", v, h, n)
        for r, v, h, n in [(1, 0.2, 0.3, 9), (3, 0.9, 0.4, 4)]
    )
    questions = first.fillna(third)
    assert shown(lens.repeats_needed(questions, 1, 3)) == approx((0.7, 0.2, 1.2, 9))
    commas = values({"decoder": ["logit"]}, at, "comma_change_overall", -0.5, 0.1, 20)
    assert shown(lens.comma_change(commas)) == approx((-0.5, -0.6, -0.4, 20))


def test_bigrams_on_the_way_and_at_the_end():
    dims = {"reference": ["unigram", "bigram"], "decoder": ["logit"], "depth": np.arange(9)}
    at = {"reference": "bigram", "decoder": "logit"}
    early, last = (
        values(dims, at | {"depth": d}, "kl", v, h, 30) for d, v, h in [(2, 1.0, 0.3), (8, 3.0, 0.4)]
    )
    assert shown(lens.nearer_to_bigrams(early.fillna(last), 0.25)) == approx((-2.0, -2.5, -1.5, 30))


def planted_lens(at_one: float) -> xr.Dataset:
    """Twenty prompts of one token; KL(final ‖ 1), of 2 depths, is ``at_one`` plus the prompt's number."""
    names = [str(i) for i in range(20)]
    kl = np.stack([np.full(20, 5.0), at_one + np.arange(20.0), np.zeros(20)])
    return xr.Dataset(
        {"kl_final": (("depth", "token"), kl)},
        {
            "depth": [0, 1, 2],
            **{key: ("token", names) for key in ("prompt", "fact")},
            "category": ("token", ["x"] * 20),
            "beginning": ("token", [False] * 20),
        },
    )


def test_an_extended_decoder_is_compared_prompt_by_prompt():
    """What differs between prompts is in both, and leaves no doubt of the difference."""
    found = lens.nearer_when_extended(planted_lens(4.0), planted_lens(1.0), 0.5, STATISTICS)
    assert shown(found) == approx((-3.0, -3.0, -3.0, 20))


def test_attention_far_into_a_text():
    share = np.array([[0.9, 0.1, 0.3], [0.9, 0.5, 0.7]])
    text = xr.Dataset(
        {
            f"first_of_layer{end}": (("layer", "position"), share + d)
            for end, d in {"": 0, "_low": -0.1, "_high": 0.2}.items()
        },
        {"position": [0, 512, 513]},
    ).assign(first_of_layer_n=20)
    assert shown(traces.first_position_far(text, 512)) == approx((0.4, 0.3, 0.6, 20))
    assert "514" in traces.first_position_far(text, 514).missing
    assert isnan(
        traces.first_position_far(text.assign(first_of_layer_low=nan * text["first_of_layer"]), 512).low
    )


def test_severed_at_a_share_of_depth():
    dims = {"category": ["semantic"], "noise": ["3x"], "site": ["subject", "final"], "depth": np.arange(12)}
    at = {"category": "semantic", "noise": "3x", "site": "final", "depth": 9}
    severed = values(dims, at, "share", 0.7, 0.1).assign(n_prompts=(("category", "noise"), [[6]]))
    found = traces.severed_share(severed, "3x", "semantic", 0.8333, "final")
    assert shown(found) == approx((0.7, 0.6, 0.8, 6))


def test_channels():
    frequency = xr.Dataset({"outlying_share": ("channel", [0.1, 0.6, 0.2])})
    assert embedding.standing_out(frequency) == Estimate.of_weights(0.6, 3)
    assert embedding.standing_out(frequency * nan).missing
    gains = xr.Dataset({"outlier_layers": ("channel", [0, 9, 1, 8, 2])})
    assert embedding.outliers_among(gains, [1, 3]) == Estimate.of_weights(2, 5)
    assert embedding.outliers_among(gains, [0, 3]) == Estimate.of_weights(1, 5)
    channels = xr.Dataset({"position_std": ("channel", [0.31, 0.29, 1.0])})
    present = channels.assign_attrs(position_embedding="present")
    assert embedding.moved_channels(present, 0.3) == Estimate.of_weights(2, 3)
    assert embedding.moved_channels(channels, 0.3).missing == "no position embedding"


def test_probabilities_clean_and_corrupted():
    clean = np.r_[np.full(20, 0.3), 0.9]
    trace = xr.Dataset(
        {
            "p_clean": ("prompt", clean),
            "p_corrupted": (("prompt", "noise", "sample"), np.stack([clean / 3, clean], -1)[:, None]),
        },
        {
            "category": ("prompt", ["known"] * 20 + ["other"]),
            "fact": ("prompt", [str(i) for i in range(21)]),
            "noise": ["3x"],
        },
    )
    assert shown(published.probability(trace, "known", STATISTICS)) == approx((0.3, 0.3, 0.3, 20))
    assert shown(published.probability(trace, "known", STATISTICS, "3x")) == approx((0.2, 0.2, 0.2, 20))
    assert published.probability(trace, "known", STATISTICS, "1x").missing
    assert published.probability(trace, "none", STATISTICS).missing


def test_the_layer_of_the_peak():
    """Prompts that count peak at layer 2, one that does not count at layer 0."""
    curve = np.zeros((17, 1, 1, 4))
    curve[:16, ..., 2], curve[16, ..., 0] = 1, 99
    averages = xr.Dataset(
        {
            "restoration_prompt": (("prompt", "noise", "site", "layer"), curve),
            "included": (("prompt", "noise"), np.arange(17)[:, None] < 16),
            "noise_sd": ("noise", [0.135]),
        },
        {"noise": ["3x"], "site": ["final"], "prompt_category": ("prompt", ["known"] * 17)},
    )
    found = published.peak_layer(averages, "3x", "known", "final", STATISTICS)
    assert shown(found) == approx((2, 2, 2, 16))
    assert published.peak_layer(averages, "3x", "semantic", "final", STATISTICS).missing
    assert published.noise_deviation(averages, "3x") == Estimate.of_weights(0.135, 17)


def test_first_position_over_some_layers():
    share = np.arange(8.0).reshape(2, 4)
    text = xr.Dataset(
        {
            f"first_of_heads_in_text{end}": (("heads", "layer"), share + d)
            for end, d in {"": 0, "_low": -1, "_high": 1}.items()
        },
        {"heads": ["mean", "best"]},
    ).assign(n_documents_in_text=30)
    assert shown(published.first_position_in_text(text)) == approx((1.5, 0.5, 2.5, 30))
    assert shown(published.first_position_in_text(text, 1, 3)) == approx((1.5, 0.5, 2.5, 30))
    assert shown(published.first_position_in_text(text, 3)) == approx((3, 2, 4, 30))


def test_a_statement_of_one_model_is_asked_of_no_other():
    models = {"a": {"source": XL}, "b": {"source": "folder"}}
    assert "results/a/trace/state.nc" in files_asked(TABLE, "a", models)
    assert "results/b/trace/state.nc" not in files_asked(TABLE, "b", models)
    averages = xr.Dataset({"noise_sd": ("noise", [0.135])}, {"noise": ["3x"], "prompt": range(3)})
    row = {"published": {"findings": {"xl_noise": TABLE["published"]["findings"]["xl_noise"]}}}
    ((answer,),) = answers_of(row, models, lambda path: averages).values()
    assert answer.verdicts == {"a": HOLDS, "b": NOT_ASKED} and XL in answer.estimates["b"].missing
    ((alone,),) = answers_of(row, models, lambda path: averages, ["a"]).values()
    assert list(alone.verdicts) == ["a"]


def test_a_decoder_that_is_not_used_is_not_asked_for():
    models = {"a": {"source": "folder"}}
    assert "results/a/lens/extended.nc" in files_asked(TABLE, "a", models)
    without = read_findings(ROOT / "workflow", CONFIG | {"lens": CONFIG["lens"] | {"decoders": ["logit"]}})
    assert "results/a/lens/extended.nc" not in files_asked(without, "a", models)
    row = without["lens"]["findings"]["extended_decodes"]
    assert "no extended" in lacks(row, "a", models)


@pytest.fixture
def answered():
    """Two sections: a claim that holds, one that cannot be asked; and one that cannot be asked alone."""
    frequency = xr.Dataset({"outlying_share": ("channel", [0.1, 0.6])})
    rows = TABLE["embedding"]["findings"]
    table = {
        "embedding": {**TABLE["embedding"], "findings": {"gain_stands_out": rows["gain_stands_out"]}},
        "published": {
            **TABLE["published"],
            "findings": {"xl_noise": TABLE["published"]["findings"]["xl_noise"]},
        },
    }
    return table, answers_of(table, {"a_<b>": {"source": "folder"}}, lambda path: frequency)


def test_the_scorecard_has_all_that_a_verdict_rests_on(answered):
    claims = scorecard(*answered, "a_<b>").set_index("claim")
    holds, other = claims.loc["gain_stands_out"], claims.loc["xl_noise"]
    assert (holds["verdict"], holds["value"], holds["low"], holds["n"]) == (HOLDS, 0.6, 0.6, 2)
    assert (
        holds["holds_if"].startswith("above 0.5: ") and "Scherlis" in holds["source"] and not holds["reason"]
    )
    assert other["verdict"] == NOT_ASKED and np.isnan(other["value"]) and "gpt2-xl" in other["reason"]
    page = as_page(*answered, "a_<b>")
    assert "1 hold, 0 do not hold, 0 are undecided, 1 cannot be asked" in page
    cells = re.findall(r"<td[^>]*>(.*?)</td>", page)
    assert [cells[8 * row + 2] for row in (0, 1)] == [HOLDS, NOT_ASKED]
    assert [cells[8 * row + 3] for row in (0, 1)] == ["0.600", "–"]
    assert holds["figure"] == "results/a_<b>/figures/embedding_gains_summary.png" and other["figure"] == ""
    assert holds["data"] == "results/a_<b>/embedding/frequency.nc"
    links = re.findall('href="(.*?)">(.*?)<', page)
    assert links == [
        ("figures/embedding_gains_summary.png", "embedding_gains_summary"),
        ("embedding/frequency.nc", "frequency"),
    ]
    assert "a_<b>" not in page and "a_&lt;b&gt;" in page


def test_every_claim_has_a_figure_that_is_drawn_from_the_configuration():
    figures = read_yaml(ROOT / "workflow/figures.yaml")
    drawn = {figure.png for figure in expand_figures(figures, CONFIG, "workflow/figures.yaml")}
    shown = {row["figure"] for section in TABLE.values() for row in section["findings"].values()}
    assert shown <= drawn and len(shown) > 20


def test_a_claim_that_no_model_can_be_asked_is_not_drawn(answered):
    table, answers = answered
    (axes,) = draw_verdicts(table, answers).axes
    said = [text.get_text() for text in axes.texts]
    assert said == [table["embedding"]["title"], "one channel's gain stands out", "holds  0.60"]
