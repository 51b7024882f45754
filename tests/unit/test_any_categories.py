"""One category, and two, of names that nobody has heard of: every statistic and every figure by category."""

from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from oracles import attention as patterns
from oracles.lens_example import VOCABULARY, make_lens
from oracles.lens_questions import join, make_prompts
from oracles.rendering import render
from oracles.trace_example import AVERAGE, make_trace
from oracles.transitions import HOW, ORDER, make_averages, make_table
from strata import io
from strata.attention import final_token, hidden
from strata.attention.contrast import contrast_heads
from strata.inputs import read_yaml
from strata.lens.answers import answers
from strata.lens.comparison import compare
from strata.lens.questions import ask
from strata.stats.bootstrap import Bootstrap
from strata.trace.attribution import average_attribution
from strata.trace.averages import average_by_category, average_by_gap, average_heads, left_out
from strata.trace.confounders import CONTINUOUS, INDICATORS, transitions
from strata.trace.curves import curve_difference, curve_differences
from strata.trace.effects import category_means, effect_sizes
from strata.trace.order import exclusion, trend
from strata.trace.pairs import control_run, matched_pairs, pair_prompts
from strata.trace.regression import regression
from strata.trace.severed import severed_share
from strata.trace.subject_tokens import average_subject_tokens
from strata.trace.testing import COLUMNS, CORRECTED, corrected

ROOT = Path(__file__).parents[2]
TABLE = read_yaml(ROOT / "workflow/figures.yaml")
NOISE, SAMPLED = "0.5", {"resamples": 20, "interval": 0.9, "seed": 0}
NAMES = {"one": ["people"], "two": ["people", "places"]}
LEVELS = {1: [NOISE], 2: [NOISE, "3x"]}  # as many as categories; a level alone looks like a number in a table
CONTRAST = {"facts": ["people"], "rote": ["places", "rivers"]}
OTHERS = {"orders of others": ORDER, "no order": ()}
WITHOUT_CATEGORIES = {"attention_text.nc", "contextless.nc", "mixing.nc", "probes.nc", "repurposing.nc"}


def test_names_of_other_regressors_are_no_categories():
    schema = read_yaml(ROOT / "workflow/schemas/prompts.schema.yaml")["properties"]["category"]
    assert {"all", "constant", *CONTINUOUS, *INDICATORS} <= set(schema["allOf"][0]["not"]["enum"])


def traced(names: list[str], **options) -> xr.Dataset:
    trace = make_trace(levels=LEVELS[len(names)], **options)
    return trace.assign_coords(category=("prompt", np.resize(names, trace.sizes["prompt"])))


def attributed(heads: xr.Dataset) -> xr.Dataset:
    """What each part adds to the logits of the same prompts, of any size."""
    by_head = heads["p_target"].isel(noise=0, sample=0, position=-1, drop=True).assign_coords(head=[0, 1])
    by_layer = by_head.isel(head=0, drop=True)
    by_prompt = by_layer.isel(layer=0, drop=True)
    return xr.Dataset(
        {
            "attention": by_head,
            "mlp": -by_layer,
            "token_embedding": by_prompt,
            "constant": -by_prompt,
            "logit_difference": 2 * by_prompt,
        }
    )


def compared(names: list[str], order) -> dict[str, pd.DataFrame]:
    """The tables of rule compare_order."""
    averages = average_by_category(traced(names), **AVERAGE)
    n = averages.sizes["prompt"]
    prompts = pd.DataFrame({"id": averages["prompt"].values, "pair": [""] * (n - 1) + ["p0"]})
    prompts = prompts.assign(n_tokens=6 + np.arange(n) % 5, subject_start=1, subject_position=1)
    prompts = prompts.assign(p_target=0.8, target_id=0, subject_id=1, subject_n_tokens=1)
    table = transitions(averages, prompts, pd.DataFrame({"token_id": [0, 1], "count": [5, 9]}))
    tests = [trend(table, HOW, order), exclusion(table, HOW, order)]
    return {
        "means": category_means(averages),
        "effects": effect_sizes(table, HOW, order),
        "trend": tests[0],
        "order.tsv": corrected(pd.concat([test for test in tests if len(test)] or tests, ignore_index=True)),
        "pairs": matched_pairs(table, pair_prompts(prompts), HOW),
        "control": control_run(table, table, "prefix", HOW),
        "regression.tsv": regression(table, 0.9, order),
        "curves.tsv": curve_differences(averages, order, HOW),
    }


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("order", OTHERS.values(), ids=OTHERS)
def test_without_the_categories_of_the_order_there_is_nothing_to_compare(names, order):
    tables = compared(names, order)
    for name in ("trend", "regression.tsv"):
        assert tables[name].empty and tables[name].columns.tolist() == COLUMNS
    curves = tables["curves.tsv"]
    assert curves.empty and curves.columns.tolist() == [*CORRECTED[:4], "site", "depth", *CORRECTED[4:]]
    assert tables["effects"]["group"].nunique() == len(names) - 1
    assert tables["means"]["group"].unique().tolist() == names
    assert set(tables["control"]["group"]) == {f"prefix less plain, {c}" for c in ["all", *names]}
    assert len(tables["pairs"])


def test_two_categories_of_an_order_of_ones_own_are_compared():
    tables = compared(["people", "places"], ["places", "rivers", "people"])
    assert set(tables["trend"]["group"]) == {"places ≤ people"}
    assert set(tables["curves.tsv"]["group"]) == {"places less people"}
    reference = tables["regression.tsv"].query("statistic == 'reference'")
    assert set(reference["group"]) == {"people"}
    assert {"places", *CONTINUOUS, *INDICATORS} <= set(tables["regression.tsv"]["group"])


def test_whole_curves_of_other_categories_are_compared_too():
    averages = make_averages({name: np.full(5, 8.0) for name in ("c", "a", "b")})
    found = curve_differences(averages, ["b", "x", "c"], HOW)
    assert found["group"].unique().tolist() == ["b less c", "a less c"]
    assert (found["p_adjusted"] == (found["p"] * 4).clip(upper=1)).all()  # two pairs, two levels
    alone = found[found["group"] == "a less c"].reset_index(drop=True).drop(columns=["p_adjusted", "family"])
    pd.testing.assert_frame_equal(alone, curve_difference(averages, "a", "c", HOW))


def test_effects_come_in_the_order_and_then_as_they_appear():
    table = make_table({name: np.array([8.0, 8.5, 9.0]) for name in ("d", "c", "b", "a")})
    groups = effect_sizes(table, HOW, ["b", "x", "d"])["group"].unique().tolist()
    assert groups == ["b to d", "b to c", "b to a", "d to c", "d to a", "c to a"]


def analysed(names: list[str], folder: Path) -> dict[str, object]:
    """What the rules of traces, attention and lens write, by the file's name."""
    trace, window = traced(names), traced(names, axis="layer", seed=1)
    options = {name: value for name, value in AVERAGE.items() if name != "min_gap"}
    found = {"by_category.nc": average_by_category(trace, **AVERAGE)}
    found |= {
        f"by_category_{measure}.nc": found["by_category.nc"]
        for measure in ("logit_difference", "kl_clean", "p_set", "p_whole")
    }
    found |= {f"by_category_{part}.nc": average_by_category(window, **AVERAGE) for part in ("mlp", "attn")}
    heads = window.assign(p_target=xr.concat([window["p_target"], 0.5 * window["p_target"]], "head"))
    found["by_category_heads.nc"] = average_heads(heads, **AVERAGE)
    neurons = heads.rename(head="neuron_group").assign_coords(neuron_group=["1", "random"])
    found["by_category_neurons.nc"] = average_heads(neurons, "neuron_group", **AVERAGE)
    found["by_category_attribution.nc"] = average_attribution(attributed(heads), Bootstrap(**SAMPLED))
    found |= {f"severed_{part}.nc": severed_share(trace, trace, **AVERAGE) for part in ("mlp", "attn")}
    found["by_gap.nc"] = average_by_gap(trace, [0.25, 0.5, 0.99], **options)
    found["subject_tokens.nc"] = average_subject_tokens(trace, **AVERAGE)
    assert set(left_out(found["by_gap.nc"])["category"]) <= set(names)

    categories = np.resize(names, 7).tolist()
    prompts = patterns.make_prompts(categories, [4 + i % 5 for i in range(7)])
    attended = patterns.make_activations(prompts, patterns.random_patterns(prompts, 5, 2))
    rng = np.random.default_rng(0)
    coordinates = {"prompt": prompts["id"].to_numpy(object), "noise": [NOISE, "3x"]}
    transition = xr.DataArray(rng.uniform(1, 4, (7, 2)), coordinates, ("prompt", "noise"))
    found["attention.nc"] = final_token.analyse(attended, prompts, transition, **SAMPLED)
    heads = contrast_heads(found["attention.nc"], **CONTRAST, bootstrap=Bootstrap(**SAMPLED))
    token = {"depth": range(6), "prompt": ("token", prompts["id"].to_numpy(object))}
    resid = xr.DataArray(rng.normal(size=(6, 7, 8)), token, ("depth", "token", "channel"))
    moved = {"cropped": 1, "n_offsets": 1, "shuffles": 20, "pooled": {"both": NAMES["two"]}} | SAMPLED
    found["hidden.nc"] = hidden.analyse(resid, prompts, transition, **moved)

    lens = join(*(make_lens(3, 5, f"p{i}", c, seed=i, target=1) for i, c in enumerate(categories)))
    counts = pd.Series(np.arange(len(VOCABULARY)) + 5, name="count")
    questions = ask({"logit": lens}, make_prompts(lens), counts, **SAMPLED)
    assert {*names, "all"} <= set(answers(questions)["group"])
    found |= {"{decoder}.nc": lens, "questions.nc": questions}
    for name, table in (
        compared(names, ORDER)
        | {"comparison.tsv": compare({"logit": lens}, **SAMPLED), "attention_heads.tsv": heads}
    ).items():
        if name.endswith(".tsv"):
            io.write_table(table, str(folder / name))
            found[name] = io.read_table(str(folder / name))
    return found


@pytest.mark.long
@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_every_figure_by_category_can_be_drawn(names, tmp_path):
    found = analysed(names, tmp_path)
    settings = {"figures.noise": NOISE, "average.order": ORDER, "hidden.cropped": 1}
    settings |= {"attention.contrast": CONTRAST}
    drawn = set()
    for row, figure in TABLE.items():
        if figure["job"] not in ("restoration", "attention", "lens"):
            continue
        files = {argument: path.rpartition("/")[2] for argument, path in figure["data"].items()}
        data = {argument: found.get(file) for argument, file in files.items()}
        if WITHOUT_CATEGORIES & set(files.values()):
            if row != "attention_sink":
                continue
            data["in_text"] = None
        module, _, function = figure["draw"].rpartition(".")
        draw = getattr(import_module(f"strata.figures.{module}"), function)
        options = {argument: settings[key] for argument, key in figure.get("config", {}).items()}
        options |= figure.get("options", {})
        if "decoder" in options:
            options["decoder"] = "logit"
        render(draw(**data, **options))
        drawn.add(row)
    assert len(drawn) > 20
