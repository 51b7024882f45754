import numpy as np
import pandas as pd
import pytest
import xarray as xr

from oracles.lens_example import make_lens
from strata.lens.comparison import METRICS, compare, prompt_means

OPTIONS = {"resamples": 200, "interval": 0.9, "seed": 3}


def make_prompts():
    """Prompts of several lengths in three categories, one of which has a single prompt."""
    categories = ["rote", "fact", "rote", "fact", "fact", "alone"]
    parts = [make_lens(2, 2 + i % 4, f"p{i}", category, seed=i) for i, category in enumerate(categories)]
    return xr.concat(parts, "token")


def slow_metrics(lens, depth, token):
    """Every metric of one cell, by its definition; None where it has no value."""
    here, last = (lens.isel(depth=d, token=token) for d in (depth, -1))
    has_target = int(here["target_id"]) >= 0
    return {
        "bits_of_target": -np.log2(np.exp(float(here["logprob_target"]))) if has_target else None,
        "kl_final": float(here["kl_final"]),
        "agreement": float(int(here["top_id"][0]) == int(last["top_id"][0])),
    }


def rows(table, **where):
    for name, value in where.items():
        table = table[table[name] == value]
    return table


def test_means_equal_the_loop():
    logit = make_prompts()
    other = {name: logit[name] * 0.7 for name in ("kl_final", "logprob_target")}
    lenses = {"logit": logit, "tuned": logit.assign(other | {"top_id": logit["top_id"].roll(k=1)})}
    table = compare(lenses, **OPTIONS)
    assert len(table) == 2 * 4 * 3 * 5  # decoders, categories and all, metrics, depths
    assert list(table["category"].unique()) == ["all", "rote", "fact", "alone"]
    for decoder, lens in lenses.items():
        prompts, categories = lens["prompt"].values, lens["category"].values
        for depth in range(lens.sizes["depth"]):
            cells = [slow_metrics(lens, depth, token) for token in range(lens.sizes["token"])]
            for category in ("all", "rote", "fact", "alone"):
                for metric in METRICS:
                    by_prompt, n_tokens = [], 0
                    for prompt in dict.fromkeys(prompts):
                        values = [
                            cell[metric]
                            for cell, p, c in zip(cells, prompts, categories, strict=True)
                            if p == prompt and category in ("all", c) and cell[metric] is not None
                        ]
                        n_tokens += len(values)
                        by_prompt += [sum(values) / len(values)] if values else []
                    found = rows(
                        table,
                        decoder=decoder,
                        category=category,
                        metric=metric,
                        depth=lens["depth"].values[depth],
                    )
                    assert len(found) == 1
                    assert found["mean"].item() == pytest.approx(sum(by_prompt) / len(by_prompt), abs=1e-12)
                    assert found["n_prompts"].item() == len(by_prompt)
                    assert found["n_tokens"].item() == n_tokens


def planted(values, prompts, categories=None):
    """One depth before the last, whose KL at each token is given; every guess is the final one."""
    n = len(values)
    cells = xr.DataArray(np.zeros((2, n)), dims=("depth", "token"))
    kl = cells.copy(data=[values, np.zeros(n)])
    return xr.Dataset(
        {"kl_final": kl, "logprob_target": cells - np.log(2), "top_id": cells.expand_dims(k=1, axis=-1)},
        coords={
            "depth": [0.0, 1.0],
            "prompt": ("token", prompts),
            "position": ("token", np.arange(n)),
            "category": ("token", categories or ["c"] * n),
            "fact": ("token", prompts),
        },
        attrs={"decoder": "logit", "norm": "whole"},
    )


def test_a_prompt_counts_once_however_long_it_is():
    lens = planted([1.0, 2.0, 3.0, 10.0], ["long", "long", "long", "short"])
    found = rows(compare({"logit": lens}, **OPTIONS), metric="kl_final", category="all", depth=0.0)
    assert found["mean"].item() == 6.0  # (2 + 10) / 2, not 16 / 4
    assert (found["n_prompts"].item(), found["n_tokens"].item()) == (2, 4)
    bits = rows(compare({"logit": lens}, **OPTIONS), metric="bits_of_target")
    np.testing.assert_allclose(bits["mean"], 1)  # a probability of one half
    assert (rows(compare({"logit": lens}, **OPTIONS), metric="agreement")["mean"] == 1).all()


def test_prompts_of_one_fact_are_drawn_together():
    values = np.random.default_rng(1).normal(5, 2, 40)
    names = [f"p{i}" for i in range(80)]
    lens = planted(np.repeat(values, 2), names)
    widths = []
    for facts in (names, np.repeat(np.arange(40).astype(str), 2)):
        table = compare({"logit": lens.assign_coords(fact=("token", facts))}, 2000, 0.9, 0)
        found = rows(table, metric="kl_final", category="c", depth=0.0)
        widths.append(found["high"].item() - found["low"].item())
    assert widths[1] / widths[0] == pytest.approx(2**0.5, rel=0.1)


def test_the_interval_of_many_prompts_is_the_normal_one():
    values = np.random.default_rng(0).normal(5, 2, 400)
    lens = planted(values, [f"p{i}" for i in range(400)])
    found = rows(compare({"logit": lens}, 4000, 0.95, 0), metric="kl_final", category="all", depth=0.0)
    half = 1.96 * values.std() / np.sqrt(400)
    np.testing.assert_allclose(
        [found["low"].item(), found["high"].item()], [values.mean() - half, values.mean() + half], atol=0.02
    )


def test_few_prompts_have_no_interval():
    found = rows(compare({"logit": make_prompts()}, **OPTIONS), category="alone")
    assert len(found) and found[["low", "high"]].isna().all(axis=None)
    assert found["mean"].notna().all()


def test_tokens_without_a_target_do_not_count_for_bits():
    lens = make_prompts()
    none = (lens["prompt"] == "p0").values
    lens["logprob_target"] = lens["logprob_target"].where(~xr.DataArray(none, dims="token"))
    table = compare({"logit": lens}, **OPTIONS)
    bits, kl = (rows(table, category="rote", metric=m, depth=1.0) for m in ("bits_of_target", "kl_final"))
    assert (bits["n_prompts"].item(), kl["n_prompts"].item()) == (1, 2)
    others = rows(
        compare({"logit": lens.isel(token=~none)}, **OPTIONS),
        category="rote",
        metric="bits_of_target",
        depth=1.0,
    )
    assert bits["mean"].item() == others["mean"].item()


def test_a_tie_is_no_agreement():
    lens = planted([0.0, 0.0], ["a", "b"])
    lens["top_id"][0, 0] = 1
    lens["rank_of_final"] = lens["kl_final"] * 0
    found = rows(compare({"logit": lens}, **OPTIONS), metric="agreement", category="all")
    assert found["mean"].tolist() == [0.5, 1.0]


def test_intervals_hang_on_the_seed_and_the_category_alone():
    parts = [make_lens(2, 3, f"p{i}", ["rote", "fact"][i % 2], seed=i) for i in range(40)]
    lens = xr.concat([*parts, make_lens(2, 3, "p40", "alone", seed=40)], "token")
    table = compare({"logit": lens}, **OPTIONS)
    pd.testing.assert_frame_equal(table, compare({"logit": lens}, **OPTIONS))
    without = lens.isel(token=(lens["category"] != "rote").values)
    for category in ("fact", "alone"):
        pd.testing.assert_frame_equal(
            rows(table, category=category).reset_index(drop=True),
            rows(compare({"logit": without}, **OPTIONS), category=category).reset_index(drop=True),
        )
    other = compare({"logit": lens}, **OPTIONS | {"seed": 4})
    assert not other["low"].equals(table["low"]) and other["mean"].equals(table["mean"])


def test_categories_do_not_share_their_draws():
    values = np.random.default_rng(0).normal(5, 2, 20)
    names, halves = [f"p{i}" for i in range(40)], ["one"] * 20 + ["two"] * 20
    table = compare({"logit": planted(np.tile(values, 2), names, halves)}, **OPTIONS)
    one, two = (rows(table, category=c, metric="kl_final", depth=0.0) for c in ("one", "two"))
    assert one["mean"].item() == two["mean"].item() and one["low"].item() != two["low"].item()


def test_decoders_share_their_draws():
    lens = make_prompts()
    table = compare({"logit": lens, "worse": lens.assign(kl_final=lens["kl_final"] + 7)}, **OPTIONS)
    both = [rows(table, decoder=name, metric="kl_final") for name in ("logit", "worse")]
    for bound in ("mean", "low", "high"):
        np.testing.assert_allclose(both[1][bound].values - 7, both[0][bound].values)


def test_what_cannot_be_compared_is_refused():
    lens = make_prompts()
    for options, told in (
        ({"resamples": 0}, "resamples .* not 0"),
        ({"interval": 1.0}, "interval .* not 1.0"),
    ):
        with pytest.raises(ValueError, match=told):
            compare({"logit": lens}, **OPTIONS | options)
    with pytest.raises(ValueError, match="logit and tuned were read out on different tokens"):
        compare({"logit": lens, "tuned": lens.isel(token=slice(1, None))}, **OPTIONS)
    with pytest.raises(ValueError, match="logit and tuned have different norms: whole and plain"):
        compare({"logit": lens, "tuned": lens.assign_attrs(norm="plain")}, **OPTIONS)
    with pytest.raises(ValueError, match="cannot be called 'all'"):
        compare({"logit": planted([1.0], ["p"], ["all"])}, **OPTIONS)


def test_prompt_means_keep_the_order_of_appearance():
    lens = planted([1.0, 3.0, 5.0], ["z", "z", "a"], ["late", "late", "early"])
    means = prompt_means(lens["kl_final"])
    assert means.index.tolist() == [("late", "z", "z"), ("early", "a", "a")]
    assert means[0.0].tolist() == [2.0, 5.0] and means.columns.tolist() == [0.0, 1.0]
