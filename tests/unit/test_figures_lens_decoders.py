import numpy as np
import pandas as pd
import pytest
import xarray as xr

from oracles.lens_example import make_lens
from oracles.rendering import render
from strata.figures.lens_decoders import draw_contextless, draw_decoders, draw_divergence, draw_models
from strata.figures.style import CATEGORY_COLOURS, DECODER_COLOURS
from strata.stats.draws import interval_of_mean
from strata.stats.seeding import generator

DEPTHS = [0.0, 0.5, 1.0, 1.5, 2.0]


def make_table(decoders=("logit", "tuned"), categories=("all", "semantic", "c$o$py_ing"), seed=0):
    rng = np.random.default_rng(seed)
    parts = []
    for decoder in decoders:
        for category in categories:
            for metric in ("bits_of_target", "kl_final", "agreement"):
                mean = rng.uniform(0.2, 0.8, len(DEPTHS))
                if metric == "kl_final":
                    mean[-1] = 0
                part = {"decoder": decoder, "norm": "plain", "category": category, "depth": DEPTHS}
                part |= {"metric": metric, "mean": mean, "low": mean * 0.9, "high": mean * 1.1}
                parts.append(pd.DataFrame(part | {"n_prompts": 4 + len(category), "n_tokens": 9}))
    return pd.concat(parts, ignore_index=True)


def curve(axes, name):
    return next(line for line in axes.lines if line.get_label() == name)


def test_divergence_is_drawn_as_the_table_has_it():
    table = make_table(("logit", "tuned"), ("all", "semantic", "copying"))
    alone = table["category"] == "copying"
    table.loc[alone, ["low", "high"]] = np.nan  # too few facts
    table.loc[alone, "n_prompts"] = 1
    figure = draw_divergence(table, "tuned")
    render(figure)
    assert figure.get_suptitle() == "tuned lens, normalised without gain and bias"
    of_decoder = table[table["decoder"] == "tuned"]
    for axes, metric, n in zip(figure.axes, ("kl_final", "agreement"), (4, 5), strict=True):
        assert [line.get_label() for line in axes.lines] == ["semantic (12)", "copying (1)"]
        assert axes.get_xticks().tolist() == [0, 1, 2] and len(axes.collections) == 1
        for category, label in {"semantic": "semantic (12)", "copying": "copying (1)"}.items():
            chosen = (of_decoder["metric"] == metric) & (of_decoder["category"] == category)
            expected, line = of_decoder[chosen].iloc[:n], curve(axes, label)
            np.testing.assert_array_equal(line.get_xdata(), expected["depth"])
            np.testing.assert_array_equal(line.get_ydata(), expected["mean"])
            assert line.get_color() == CATEGORY_COLOURS[category]
            assert np.array(line.get_xdata())[line.get_markevery()].tolist() == [0, 1, 2][: n - 2]
            if category == "semantic":
                edges = axes.collections[0].get_paths()[0].vertices
                at = edges[edges[:, 0] == 0.5, 1]
                middle = expected[expected["depth"] == 0.5]
                assert np.isclose([at.min(), at.max()], middle[["low", "high"]].iloc[0]).all()
    assert "nat" in figure.axes[0].get_ylabel() and figure.axes[0].get_yscale() == "log"


def test_divergence_of_blocks_that_add_nothing_can_be_drawn():
    table = make_table(["logit"])
    columns = ["mean", "low", "high"]
    table.loc[table["metric"] == "kl_final", columns] = 0
    figure = draw_divergence(table, "logit")
    render(figure)
    assert (figure.axes[0].lines[0].get_ydata() == 0).all()


def test_rounding_does_not_stretch_the_scale_of_divergences():
    table = make_table(["logit"])
    table.loc[(table["metric"] == "kl_final") & (table["depth"] == 1.5), ["mean", "low", "high"]] = 1e-12
    low, high = draw_divergence(table, "logit").axes[0].get_ylim()
    assert 1e3 < high / low < 1e6


def test_decoders_are_drawn_as_the_table_has_them():
    table = make_table()
    figure = draw_decoders(table.sample(frac=1, random_state=0).sort_values("depth", kind="stable"))
    render(figure)
    panels = np.array(figure.axes).reshape(3, 3)
    order = [label.get_ylabel().split("\n")[0] for label in panels[:, 0]]
    assert sorted(order[1:]) == ["c$o$py ing", "semantic"] and order[0] == "all prompts"
    names = {"all prompts": "all", "c$o$py ing": "c$o$py_ing", "semantic": "semantic"}
    for row, told in zip(panels, order, strict=True):
        for axes, metric in zip(row, ("bits_of_target", "kl_final", "agreement"), strict=True):
            assert len(axes.lines) == 2
            for decoder in ("logit", "tuned"):
                chosen = (table["metric"] == metric) & (table["decoder"] == decoder)
                expected = table[chosen & (table["category"] == names[told])]
                if metric == "kl_final":  # at the last depth nothing but 0
                    expected = expected[expected["depth"] < 2]
                line = curve(axes, decoder)
                np.testing.assert_array_equal(line.get_xdata(), expected["depth"])
                np.testing.assert_array_equal(line.get_ydata(), expected["mean"])
                assert line.get_color() == DECODER_COLOURS[decoder]
                assert np.array(line.get_xdata())[line.get_markevery()].tolist() == (
                    [0, 1] if metric == "kl_final" else [0, 1, 2]
                )
                band = axes.collections[[line.get_label() for line in axes.lines].index(decoder)]
                edges = band.get_paths()[0].vertices
                at = edges[edges[:, 0] == 0.5, 1]
                middle = expected[expected["depth"] == 0.5]
                assert np.isclose(at.min(), middle["low"].item()) and np.isclose(
                    at.max(), middle["high"].item()
                )
    assert panels[0, 1].get_yscale() == "log"
    assert [axes.get_title() for axes in panels[0]] == [
        "true next token [bit]",
        "KL(final ‖ depth) [nat], log scale",
        "top guess is the final one [share of tokens]",
    ]
    assert panels[0, 0].get_ylabel() == "all prompts\n(7)"
    legend = figure.legends[0]
    assert sorted(text.get_text() for text in legend.get_texts()) == ["logit", "tuned"]
    assert legend.get_title().get_text() == "decoder, normalised without gain and bias"


def test_bits_of_depth_0_do_not_flatten_the_rest():
    table = make_table()
    bits = table["metric"] == "bits_of_target"
    table.loc[bits & (table["depth"] < 1), ["mean", "low", "high"]] = 30.0
    low, high = draw_decoders(table).axes[0].get_ylim()
    assert low == 0 and np.isclose(high, 1.05 * table[bits & (table["depth"] >= 1)]["high"].max())


def test_decoders_of_single_prompts_have_no_bands():
    figure = draw_decoders(make_table().assign(low=np.nan, high=np.nan))
    render(figure)
    assert not any(axes.collections for axes in figure.axes)
    assert all(len(axes.lines) == 2 for axes in figure.axes)


def test_exact_decoders_can_be_drawn():
    table = make_table(["extended"])
    table.loc[table["metric"] == "kl_final", ["mean", "low", "high"]] = 0.0
    render(draw_decoders(table))


def test_models_are_drawn_by_relative_depth():
    def prompts(n_layers, n_prompts):
        parts = [make_lens(n_layers, 3 + i, f"p{i}", ["a", "b"][i % 2], seed=i) for i in range(n_prompts)]
        return parts, xr.concat(parts, "token")

    (small_parts, small), (_, deep), (_, one) = prompts(2, 16), prompts(30, 2), prompts(4, 1)
    figure = draw_models({"small": small, "deep$x$": deep, "one": one})
    render(figure)
    bits, distance, agreement = figure.axes
    assert [line.get_label() for line in distance.lines] == ["small (2, 16)", "deep$x$ (30, 2)", "one (4, 1)"]
    np.testing.assert_allclose(distance.lines[0].get_xdata(), [0, 0.5])  # 0 at the end is left out
    np.testing.assert_allclose(agreement.lines[0].get_xdata(), [0, 0.5, 1])
    np.testing.assert_allclose(agreement.lines[1].get_xdata(), np.arange(31) / 30)

    surprise = [part["logprob_target"].values[::2] / -np.log(2) for part in small_parts]
    np.testing.assert_allclose(
        bits.lines[0].get_ydata(), np.mean([np.nanmean(s, 1) for s in surprise], 0), rtol=1e-5
    )
    by_prompt = np.array([part["kl_final"].values[::2].mean(1) for part in small_parts])
    in_order = by_prompt[np.argsort([f"p{i}" for i in range(16)])]  # as their facts are sorted
    np.testing.assert_allclose(distance.lines[0].get_ydata(), by_prompt.mean(0)[:2])
    ids = [part["top_id"].values[::2, :, 0] for part in small_parts]
    expected = np.mean([(i == i[-1]).mean(1) for i in ids], axis=0)
    np.testing.assert_allclose(agreement.lines[0].get_ydata(), expected)

    edges = distance.collections[0].get_paths()[0].vertices
    at = edges[edges[:, 0] == 0.5, 1]
    expected = interval_of_mean(in_order.T, 1000, 0.95, generator(0))
    np.testing.assert_allclose([at.min(), at.max()], expected[:, 1])
    assert len(distance.collections) == 1, "two prompts have no band"
    assert distance.get_yscale() == "log" and "d / L" in distance.get_xlabel()
    assert figure.get_suptitle() == "logit lens, whole final norm"
    assert len({line.get_color() for line in distance.lines}) == 3
    assert len({line.get_linestyle() for line in distance.lines}) == 3


def test_models_of_several_decoders_or_norms_are_refused():
    lens = make_lens()
    with pytest.raises(ValueError, match="logit lens, normalised.*; logit lens, whole final norm"):
        draw_models({"a": lens, "b": lens.assign_attrs(norm="plain")})
    with pytest.raises(ValueError, match="logit lens.*; tuned lens"):
        draw_models({"a": lens, "b": make_lens(decoder="tuned")})


def test_contextless_guesses_are_drawn_as_they_were_measured():
    rng = np.random.default_rng(0)
    dims = ("reference", "decoder", "depth")
    kl, shared = rng.uniform(1, 9, (2, 2, 2, 3))
    fields = {"kl": kl, "kl_low": kl * 0.9, "kl_high": kl * 1.1}
    fields |= {"top_shared": shared / 9, "top_shared_low": shared / 10, "top_shared_high": shared / 9}
    contextless = xr.Dataset(
        {name: (dims, values) for name, values in fields.items()} | {"bits": ("reference", [9.0, 6.0])},
        coords={"reference": ["unigram", "bigram"], "decoder": ["logit", "tuned"], "depth": [0, 1, 2]},
        attrs={"interval": 0.95, "norm": "plain"},
    ).assign(n_read=7, n_counted=1234, kl_n=3)
    figure = draw_contextless(contextless)
    render(figure)
    panels = np.array(figure.axes).reshape(2, 2)
    for row, (reference, bits) in zip(panels, (("bigram", 6), ("unigram", 9)), strict=True):
        assert row[0].get_ylabel().startswith(reference) and f"{bits}.0 bit" in row[0].get_ylabel()
        for axes, name in zip(row, ("kl", "top_shared"), strict=True):
            for decoder in ("logit", "tuned"):
                expected = contextless[name].sel(reference=reference, decoder=decoder)
                np.testing.assert_array_equal(curve(axes, decoder).get_ydata(), expected)
    assert "1,234" in figure.get_supxlabel()
