"""The table of findings, the page that is written from it, and its figures, on planted numbers."""

import inspect
import json
import re
from math import nan
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml

from strata.figures import findings as figures
from strata.findings.answers import PACKAGES, Answer, answer
from strata.findings.estimates import HOLDS, NOT_ASKED, UNDECIDED, Estimate
from strata.findings.page import describe_model, noise_of, transitions_of, write_page
from strata.findings.table import files_behind, read_findings
from strata.inputs import BadInput, read_yaml

ROOT = Path(__file__).parents[2]
CONFIG = read_yaml(ROOT / "config.yaml")
TABLE = read_findings(ROOT / "workflow", CONFIG)
FINDINGS = {name: row for section in TABLE.values() for name, row in section["findings"].items()}


# The table ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FINDINGS)
def test_a_row_gives_its_statistic_what_it_takes(name):
    row = FINDINGS[name]
    module, function = row["statistic"].split(".")
    inspect.signature(getattr(PACKAGES[module], function)).bind(**row["data"], **row["options"])


def test_the_order_of_the_categories_comes_first():
    assert [row["statistic"] for row in FINDINGS.values()][:4] == [
        *["traces.later_than"] * 3,
        "traces.concordance",
    ]


def test_keys_of_the_configuration_are_filled_in():
    assert FINDINGS["whole_order"]["options"]["noise"] == CONFIG["figures"]["noise"]
    assert FINDINGS["converges"]["options"]["statistics"] == CONFIG["lens"]["statistics"]


def test_a_model_without_tagged_text_is_not_asked_for_its_syntax():
    models = {"a": {"tagged_text": "x"}, "b": {}}
    files = files_behind(TABLE, models)
    assert "results/a/syntax/probes.nc" in files and "results/b/lens/questions.nc" in files
    assert not [file for file in files if file.startswith("results/b/syntax")]
    row = FINDINGS["next_token_late"]
    asked = answer("next_token_late", row, {"b": {}}, lambda path: pytest.fail(f"{path} was opened"))
    assert asked.estimates["b"].missing == "no tagged text" and asked.verdicts["b"] == NOT_ASKED


def test_a_twin_is_asked_of_where_both_are_run():
    models = {"a": {"twin": "b"}, "b": {}, "c": {"twin": "d"}}
    row, asked = FINDINGS["twin_pays"], []

    def opened(path: str):
        asked.append(path)
        return planted_lens()

    found = answer("twin_pays", row, models, opened)
    assert asked == ["results/a/lens/logit.nc", "results/b/lens/logit.nc"]
    assert found.estimates["a"].value == 0
    assert [found.estimates[model].missing for model in "bc"] == ["no twin", "no twin that is run"]
    only = {"twins": {"findings": {"twin_pays": row}}}
    needed = files_behind(only, {"a": {"twin": "b"}, "b": {}})
    assert set(asked) <= set(needed)
    assert not any("None" in path or "/d/" in path for path in files_behind(only, models))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"config": {"noise": "figures.nois"}}, "figures.nois"),
        ({"holds": {"above": 0, "below": 1}}, "holds"),
        ({"statistik": "traces.onset"}, "statistik"),
    ],
)
def test_a_broken_row_is_one_line(tmp_path, change, told):
    table = read_yaml(ROOT / "workflow/findings.yaml")
    table["traces"]["findings"]["whole_order"] |= change
    (tmp_path / "schemas").mkdir()
    (tmp_path / "findings.yaml").write_text(yaml.safe_dump(table, sort_keys=False))
    schema = (ROOT / "workflow/schemas/findings.schema.yaml").read_text()
    (tmp_path / "schemas/findings.schema.yaml").write_text(schema)
    with pytest.raises(BadInput, match=told) as error:
        read_findings(tmp_path, CONFIG)
    assert "\n" not in str(error.value)


# The page -----------------------------------------------------------------------------------

ORDER = ["non_english", "semantic"]


def averages(shift: float) -> xr.Dataset:
    """What trace/by_category.nc holds of a model of ten blocks."""
    made = {"strata": "9.9", "model": {"source": "folder/tiny", "dtype": "float16"}}
    means = np.array([[2.0], [7.0], [nan]]) + shift
    return xr.Dataset(
        {
            "transition_mean": (("category", "noise"), means),
            "transition_low": (("category", "noise"), means - 0.25),
            "transition_high": (("category", "noise"), means + 0.5),
            "n_transition": (("category", "noise"), [[11], [12], [0]]),
        },
        {
            "category": ["semantic", "non_english", "copying"],
            "noise": ["3x"],
            "noise_sd": ("noise", [0.125 + shift]),
            "depth": np.arange(10),
        },
        {"provenance": json.dumps(made)},
    )


def planted_lens() -> xr.Dataset:
    """Two prompts of two tokens, a fact each."""
    return xr.Dataset(
        {"logprob_target": (("depth", "token"), np.full((2, 4), -1.0))},
        {
            "depth": [0.0, 1.0],
            "prompt": ("token", ["a", "a", "b", "b"]),
            "fact": ("token", ["a", "a", "b", "b"]),
            "category": ("token", ["x"] * 4),
        },
    )


def an_answer(name: str, drawn: bool = True, **estimates: Estimate) -> Answer:
    verdicts = {m: NOT_ASKED if e.missing else UNDECIDED for m, e in estimates.items()}
    return Answer(
        name,
        f"{name} in short",
        f"{name} is said.",
        "",
        "a share",
        "above 0.5: as half is",
        {"above": 0.5},
        drawn,
        estimates,
        verdicts,
        {},
    )


@pytest.fixture
def page() -> str:
    """The page of two models, each section with two findings."""
    prompts = pd.DataFrame(
        {"category": ["semantic", "semantic", "copying"], "accepted": ["True", "False", "True"]}
    )
    text = xr.Dataset(
        {"token_id": ("token", [1, 2, 3])},
        {"document": ("token", [0, 0, 1])},
        {"provenance": json.dumps({"config": {"source": "data/own.txt"}})},
    )
    both = {"first": averages(0.0), "second": averages(1.0)}
    about = {
        name: describe_model(prompts, text, data, ORDER) | {"noise_sd": noise_of(data, "3x")}
        for name, data in both.items()
    }
    answers = {
        section: [
            an_answer(
                f"{section} one",
                first=Estimate(0.1234, -0.0456, 0.7891, 17, p=0.00123),
                second=Estimate(missing="no position embedding"),
            ),
            an_answer(
                f"{section} two",
                first=Estimate.of_weights(0.25, 8),
                second=Estimate(0.5, 0.4, 0.6, 9, chance=0.321),
            ),
        ]
        for section in TABLE
    }
    pictures = {key: f"figures/{key}.png" for key, section in TABLE.items() if "caption" in section}
    return write_page(TABLE, answers, about, transitions_of(both, "3x", ORDER), "3x", pictures)


def tables(page: str) -> list[list[list[str]]]:
    """Every table of a page in Markdown, its cells as text."""
    blocks = re.findall(r"(?:^\|.*\|\n)+", page, re.M)
    return [[[c.strip() for c in line.strip("| ").split(" |")] for line in b.splitlines()] for b in blocks]


def test_every_table_of_the_page_is_whole(page):
    for table in tables(page):
        assert {len(row) for row in table[2:]} <= {len(table[0]), 1}, table
        assert set(table[1]) == {"---"}, table
    assert "\n\n\n" not in page


def test_numbers_of_the_page_are_those_of_the_data(page):
    values = [table for table in tables(page) if table[0][:2] == ["model", "value"]]
    assert len(values) == 2 * len(TABLE)
    for one, two in zip(values[::2], values[1::2], strict=True):
        assert one[0] == ["model", "value", "interval", "n", "p", "verdict"]
        assert one[2] == ["first", "0.123", "−0.046 to 0.789", "17", "0.0012", "undecided"]
        assert one[3] == ["second", "–", "–", "–", "–", "cannot be asked: no position embedding"]
        assert two[0] == ["model", "value", "interval", "n", "verdict"]
        assert two[2] == ["first", "0.250", "none: exact", "8", "undecided"]
        assert two[3] == ["second", "0.500", "0.400 to 0.600", "9", "undecided (chance 0.321)"]


def test_transitions_come_first_in_the_order_that_is_expected(page):
    shown = next(table for table in tables(page) if table[0][0] == "category")
    assert shown[0] == ["category", "first", "second"]
    assert shown[2] == ["non_english", "7.00 [6.75, 7.50]; 0.70; n = 12", "8.00 [7.75, 8.50]; 0.80; n = 12"]
    assert shown[3][0] == "semantic" and shown[4] == ["copying", "no prompt crosses", "no prompt crosses"]
    assert page.index("| non_english |") < page.index("### ")


def test_the_page_says_what_made_it(page):
    models = tables(page)[0]
    assert models[2][:3] == ["first", "`folder/tiny`, float16", "10"]
    assert models[2][3:] == ["`data/own.txt`, 2 documents, 3 tokens", "2 of 3", "0, 1", "9.9"]
    assert "first 0.125, second 1.12" in page and "`3x`" in page


def test_a_model_that_was_unpacked_is_named_by_its_file():
    made = {"strata": "9.9", "model": {"source": "results/a/model", "file": "a.gguf", "dtype": "float32"}}
    data = averages(0.0).assign_attrs(provenance=json.dumps(made))
    text = xr.Dataset(
        {"token_id": ("token", [1])},
        {"document": ("token", [0])},
        {"provenance": json.dumps({"config": {"source": "own.txt"}})},
    )
    prompts = pd.DataFrame({"category": ["semantic"], "accepted": [True]})
    about = describe_model(prompts, text, data, ORDER)
    assert about["source"] == "a.gguf" and about["by_category"] == {"non_english": 0, "semantic": 1}


def test_verdicts_are_gathered_in_one_table(page):
    verdicts = tables(page)[1]
    assert verdicts[0] == ["statement", "holds if", "first", "second"]
    one = ["undecided: 0.123 [−0.046, 0.789]", "cannot be asked: no position embedding"]
    assert ["lens one in short", "above 0.5", *one] in verdicts
    two = ["undecided: 0.250", "undecided: 0.500 [0.400, 0.600]"]
    assert ["lens two in short", "above 0.5", *two] in verdicts
    assert len(verdicts) == 2 + 3 * len(TABLE)


def test_verdicts_follow_the_rule_of_the_row():
    row = FINDINGS["own_match"]
    zero = xr.Dataset(
        {
            "share": ("variant", [0.95]),
            "share_low": ("variant", [0.91]),
            "share_high": ("variant", [0.99]),
            "share_n": 5,
        },
        {"variant": ["embedding"]},
    )
    asked = answer("own_match", row, {"a": {}}, {"results/a/embedding/zero_layer.nc": zero}.get)
    assert asked.estimates == {"a": Estimate(0.95, 0.91, 0.99, 5)} and asked.verdicts == {"a": HOLDS}
    assert asked.rule.startswith("above 0.9: ")


# Figures ------------------------------------------------------------------------------------


def points(axes) -> list[tuple[float, float]]:
    return [(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines if len(line.get_xdata()) == 1]


def test_transitions_are_drawn_as_shares_of_depth():
    both = {"first": averages(0.0), "second": averages(1.0)}
    figure = figures.draw_transitions(transitions_of(both, "3x", ORDER), {"first": 10, "second": 10})
    first, second = figure.axes
    assert points(first) == [(0.7, 0), (0.2, 1)] and np.allclose(points(second), [(0.8, 0), (0.3, 1)])
    assert np.allclose(first.lines[0].get_xdata(), [0.675, 0.75])
    assert [t.get_text() for t in first.get_yticklabels()] == ["non english", "semantic", "copying"]


def test_values_are_drawn_with_their_thresholds():
    answers = [
        an_answer("x", a=Estimate(0.3, 0.2, 0.4, 5), b=Estimate(missing="none")),
        an_answer("hidden", drawn=False, a=Estimate(9, 9, 9, 5), b=Estimate(9, 9, 9, 5)),
    ]
    axes = figures.draw_values(answers, ["a", "b"]).axes[0]
    assert [x for x, _ in points(axes)] == [0.3]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["x in short"]
    assert any(list(line.get_xdata()) == [0.5, 0.5] for line in axes.lines)


def test_the_lens_is_drawn_by_share_of_depth():
    depths = np.arange(0, 3.5, 0.5)
    lens = xr.Dataset(
        {
            "kl_final": (("depth", "token"), np.outer(3 - depths, [1.0, 3.0])),
            "rank_of_input": (("depth", "token"), np.tile([0, 1], (len(depths), 1))),
        },
        {
            "depth": depths,
            "prompt": ("token", ["a", "b"]),
            "fact": ("token", ["a", "b"]),
            "category": ("token", ["x", "x"]),
        },
    )
    left, right = figures.draw_lens({"tiny": lens}).axes
    assert np.allclose(left.lines[0].get_xdata(), [0, 1 / 3, 2 / 3])
    assert np.allclose(left.lines[0].get_ydata(), [6, 4, 2])
    assert np.allclose(right.lines[0].get_ydata(), 0.5)
