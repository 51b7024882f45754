import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle

from oracles.rendering import render
from strata.figures.syntax import draw_accuracy, draw_centres, draw_keys

TASKS = [(target, label) for target in ("input", "next") for label in ("tag", "relation", "role", "token")]


def make_result(n_depths=7):
    """As `strata.probes.syntax.analyse` returns it, of random values; one centre is unknown."""
    rng = np.random.default_rng(0)
    dims, shape = ("target", "label"), (2, 4)
    fields = {}
    for name in ("accuracy", "control_accuracy", "selectivity"):
        values = np.sort(rng.random((3, *shape, n_depths)), axis=0)
        for end, part in zip(("_low", "", "_high"), values, strict=True):
            fields[name + end] = (*dims, "depth"), part
    for name in ("gain_centre", "context_centre", "loss_centre"):
        values = np.sort((n_depths - 1) * rng.random((3, *shape)), axis=0)
        values[:, 0, 0] = np.nan if name == "loss_centre" else values[:, 0, 0]
        for end, part in zip(("_low", "", "_high"), values, strict=True):
            fields[name + end] = dims, part
    lost, in_context, gained = np.sort(rng.random((3, *shape)) / 2, axis=0)
    fields |= {"lost": (dims, lost), "gained_in_context": (dims, in_context), "gained": (dims, gained)}
    fields |= {name: (dims, rng.random(shape)) for name in ("most_frequent", "given_token")}
    fields["n_classes"] = dims, rng.integers(5, 3000, shape)
    coords = {"target": ["input", "next"], "label": ["tag", "relation", "role", "token"]}
    result = xr.Dataset(fields, coords | {"depth": np.arange(n_depths, dtype=float)}, {"interval": 0.9})
    result["control_accuracy"].loc[{"label": "token"}] = np.nan
    return result


def make_description(n_layers=6, labels=("token", "next token", "tag", "next tag", "role", "kind")):
    """As `strata.keys.agreement.describe` returns it, of random values; few keys have tags in layer 1."""
    rng = np.random.default_rng(1)
    shape = len(labels), n_layers
    fields = {"silent": ("layer", rng.random(n_layers))}
    for name in ("agreement", "beyond_token"):
        values = np.sort(rng.random((3, *shape)), axis=0)
        for end, part in zip(("_low", "", "_high"), values, strict=True):
            fields[f"{name}_mean{end}"] = ("label", "layer"), part
        counts = rng.integers(2, 40, shape)
        counts[2:, 1] = 1
        fields[f"{name}_n"] = ("label", "layer"), counts
        fields[f"{name}_chance"] = "label", rng.random(len(labels)) / 5
    coords = {"label": list(labels), "layer": np.arange(n_layers), "key": np.arange(40)}
    return xr.Dataset(fields, coords, {"interval": 0.9, "n_triggers": 12})


def lines(axes):
    """The values of each labelled line."""
    return {line.get_label(): line.get_ydata() for line in axes.lines if line.get_label()[0] != "_"}


def edges(collection, n):
    """Lower and upper edge of a filled band through n points."""
    corners = collection.get_paths()[0].vertices
    return corners[1 : n + 1, 1], corners[n + 2 : 2 * n + 2, 1][::-1]


def test_accuracies_and_their_baselines_are_drawn():
    result = make_result()
    figure = draw_accuracy(result)
    render(figure)
    for axes, (target, label) in zip(figure.axes, TASKS, strict=True):
        part, drawn = result.sel(target=target, label=label), lines(axes)
        np.testing.assert_allclose(drawn["probe"], part["accuracy"])
        assert ("control task" in drawn) == (label != "token")
        if label != "token":
            np.testing.assert_allclose(drawn["control task"], part["control_accuracy"])
            np.testing.assert_allclose(
                np.sort(edges(axes.collections[1], 7), axis=0),
                [part["control_accuracy_low"], part["control_accuracy_high"]],
            )
        assert set(drawn["usual label of the current token"]) == {float(part["given_token"])}
        assert set(drawn["always the most frequent label"]) == {float(part["most_frequent"])}
        assert f"({int(part['n_classes']):,})" in axes.get_title()
    assert "90%" in figure.get_supxlabel()
    assert figure.axes[0].get_title().startswith("current word: part of speech")
    assert figure.axes[7].get_title().startswith("next token")


def test_centres_are_ordered_with_their_intervals():
    result = make_result()
    figure = draw_centres(result)
    render(figure)
    depths, amounts = figure.axes
    names = {"tag": "part of speech", "relation": "relation", "role": "role of the phrase"}
    gains = {task: float(result["gain_centre"].sel(target=task[0], label=task[1])) for task in TASKS}
    order = sorted(TASKS, key=gains.get)
    whose = {"input": "current", "next": "next"}
    expected = [f"{whose[t]} token" if n == "token" else f"{whose[t]} word: {names[n]}" for t, n in order]
    assert [label.get_text() for label in depths.get_yticklabels()] == expected
    bottom, top = depths.transData.transform([(0, 7), (0, 0)])[:, 1]
    assert bottom < top  # the earliest is on top

    points = {
        (line.get_marker(), round(line.get_ydata()[0])): line
        for line in depths.lines
        if len(line.get_xdata()) == 1
    }
    bars = [line for line in depths.lines if len(line.get_xdata()) == 2]
    assert len(points) == len(bars) == 3 * 8 - 1
    spans = {(*np.round(line.get_xdata(), 9),): line.get_color() for line in bars}
    markers = {"gain_centre": "o", "context_centre": "D", "loss_centre": "s"}
    colours = {"input": "#0072B2", "next": "#D55E00"}
    for row, (target, label) in enumerate(order):
        part = result.sel(target=target, label=label)
        for name, marker in markers.items():
            if np.isfinite(part[name]):
                assert points[marker, row].get_xdata()[0] == pytest.approx(float(part[name]))
                bounds = (*(round(float(part[name + end]), 9) for end in ("_low", "_high")),)
                assert spans[bounds] == colours[target]
            else:
                assert (marker, row) not in points
    boxes = sorted(
        (round(p.get_y() + p.get_height() / 2), *sorted((p.get_x(), p.get_x() + p.get_width())))
        for p in amounts.patches
        if isinstance(p, Rectangle)
    )
    for row, (target, label) in enumerate(order):
        part = result.sel(target=target, label=label)
        lost, later, gained = (float(part[n]) for n in ("lost", "gained_in_context", "gained"))
        expected = [(row, -lost, 0), (row, 0, gained - later), (row, gained - later, gained)]
        np.testing.assert_allclose(boxes[3 * row : 3 * row + 3], expected, atol=1e-12)
    left, right = amounts.get_xlim()
    assert left < -float(result["lost"].max()) and right >= float(result["gained"].max())


def test_agreement_of_triggers_is_drawn():
    description = make_description()
    figure = draw_keys(description)
    render(figure)
    panels = np.reshape(figure.axes, (2, 4))
    groups = [["token", "next token"], ["tag", "next tag", "role"], ["kind"]]
    words = {"tag": "part of speech", "next tag": "next part of speech", "role": "role of the phrase"}
    words["kind"] = "kind of text"
    for row, name in zip(panels, ("agreement", "beyond_token"), strict=True):
        for axes, labels in zip(row, groups, strict=False):
            drawn = lines(axes)
            shown = [label for label in labels if (name, label) != ("beyond_token", "token")]
            assert list(drawn) == [words.get(label, label) for label in shown]
            dotted = [line for line in axes.lines if line.get_linestyle() == ":"]
            for label, band, line in zip(shown, axes.collections, dotted, strict=True):
                part = description.sel(label=label)
                few = part[f"{name}_n"] < 2
                expected = part[f"{name}_mean"].where(~few)
                np.testing.assert_allclose(drawn[words.get(label, label)], expected)
                assert few.any() == (label not in ("token", "next token"))
                if not few.any():
                    bounds = [part[f"{name}_mean_low"], part[f"{name}_mean_high"]]
                    np.testing.assert_allclose(np.sort(edges(band, 6), axis=0), bounds)
                assert set(line.get_ydata()) == {float(part[f"{name}_chance"])}
                (own,) = (ln for ln in axes.lines if ln.get_label() == words.get(label, label))
                assert to_rgba(own.get_color()) == to_rgba(line.get_color())
            assert axes.get_ylim()[0] < 0 and axes.get_ylim()[1] > 1
    silent, counted = panels[:, -1]
    np.testing.assert_allclose([p.get_height() for p in silent.patches], description["silent"])
    for label, name in (("token", "token"), ("tag", "part of speech")):
        np.testing.assert_array_equal(lines(counted)[name], description["agreement_n"].sel(label=label))
    assert "12 strongest" in figure.get_supxlabel() and "40 keys a layer" in figure.get_supxlabel()


def test_keys_of_untagged_text_have_no_empty_panels():
    figure = draw_keys(make_description(labels=("token", "next token")))
    render(figure)
    assert len(figure.axes) == 4 and list(lines(figure.axes[-1])) == ["token"]


@pytest.mark.long
def test_deep_models_fit():
    for figure in (
        draw_accuracy(make_result(49)),
        draw_centres(make_result(49)),
        draw_keys(make_description(48)),
    ):
        render(figure)
        for axes in figure.axes:
            for labels, side in ((axes.get_xticklabels(), "x"), (axes.get_yticklabels(), "y")):
                boxes = [
                    label.get_window_extent() for label in labels if label.get_text() and label.get_visible()
                ]
                extents = sorted((getattr(b, f"{side}0"), getattr(b, f"{side}1")) for b in boxes)
                assert all(a[1] <= b[0] + 1 for a, b in zip(extents, extents[1:], strict=False))


def test_drawing_needs_no_torch():
    code = "import sys, strata.figures.syntax; sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)})
    assert done.returncode == 0
