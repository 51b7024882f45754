import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from oracles.rendering import render
from strata.figures.probes import draw_accuracy, draw_elsewhere, draw_embedding, draw_repurposing


def make_probes(n_depths=5, n_components=12, n_nmf=4):
    """As `strata.probes.tokens.analyse` returns it, of random values."""
    rng = np.random.default_rng(0)
    sizes = {
        "target": 2,
        "depth": n_depths,
        "fitted_depth": n_depths,
        "component": n_components,
        "nmf_component": n_nmf,
    }

    def field(*dims):
        return dims, rng.random([sizes[d] for d in dims])

    fields = {}
    for prefix, depth in (("", ["depth"]), ("shared_", [])):
        for name in ("cosine", "match", "nmf_span"):
            fields[prefix + name] = field("target", *depth)
        for name in ("random_cosine", "random_match"):
            for end in ("", "_low", "_high"):
                fields[prefix + name + end] = field("target", *depth)
        for name, dim in (("svd_share", "component"), ("nmf_share", "nmf_component")):
            dims, values = field("target", *depth, dim)
            fields[prefix + name] = dims, values / values.sum(-1, keepdims=True)
        for end in ("", "_low", "_high"):
            fields[f"{prefix}accuracy{end}"] = field("target", "depth")
        if prefix:
            continue
        for end in ("", "_low", "_high"):
            fields[f"elsewhere_accuracy{end}"] = field("target", "fitted_depth", "depth")
    for name in ("most_frequent", "chance", "unknown_share"):
        fields[name] = field("target")
    fields |= {name: ("target", [1234, 1180]) for name in ("n_scored", "n_elsewhere", "n_documents")}
    coordinates = {name: np.arange(size) for name, size in sizes.items() if name != "target"}
    coordinates |= {"target": ["input", "next"], "depth": np.arange(n_depths, dtype=float)}
    return xr.Dataset(fields, coordinates, {"n_channels": 2 * n_components, "interval": 0.9})


def make_energies(n_depths=5):
    """As `strata.lens.repurposing.analyse` returns it, of random values."""
    rng = np.random.default_rng(1)
    dims = ("token_set", "state", "depth")
    names = [name + end for name in ("energy", "cosine") for end in ("", "_low", "_high")]
    fields = {name: (dims, rng.random((3, 2, n_depths))) for name in names}
    fields |= {"random_subspace": 0.125, "m": 16, "n_tokens": 2000, "n_prompts": 40}
    fields |= {"p_unlikely_median": 2e-9, "p_unlikely_95": 1e-7, "p_unlikely_max": 3e-6}
    sets, states = ["unlikely", "likely", "random"], ["whole", "centred"]
    coordinates = {"token_set": sets, "state": states, "depth": np.arange(n_depths, dtype=float)}
    return xr.Dataset(fields, coordinates, {"interval": 0.9})


def lines(axes):
    """The values of each labelled line."""
    return {line.get_label(): line.get_ydata() for line in axes.lines if line.get_label()[0] != "_"}


def band(collection, n):
    """Lower and upper edge of a filled band through n points."""
    corners = collection.get_paths()[0].vertices
    return corners[1 : n + 1, 1], corners[n + 2 : 2 * n + 2, 1][::-1]


@pytest.mark.parametrize("target", [0, 1])
def test_accuracies_and_their_baselines_are_drawn(target):
    probes = make_probes()
    figure = draw_accuracy(probes)
    render(figure)
    axes, part = figure.axes[target], probes.isel(target=target)
    drawn = lines(axes)
    expected = {
        "a probe for each depth": part["accuracy"],
        "one probe for all depths": part["shared_accuracy"],
        "tokens that occur in the fitted text": [1 - part["unknown_share"]] * 2,
        "always the most frequent token": [part["most_frequent"]] * 2,
        "guesses by frequency": [part["chance"]] * 2,
    }
    assert drawn.keys() == expected.keys()
    for label, values in expected.items():
        np.testing.assert_allclose(drawn[label], values)
    for collection, name in zip(axes.collections, ("accuracy", "shared_accuracy"), strict=True):
        low, high = np.sort([part[f"{name}_low"], part[f"{name}_high"]], axis=0)
        np.testing.assert_allclose(np.sort(band(collection, 5), axis=0), [low, high])
    name, n = [("input", "1,234"), ("next", "1,180")][target]
    assert axes.get_title() == f"{name} token ({n} tokens of {n} documents)"
    assert "depth" in axes.get_xlabel() and "90%" in figure.get_supxlabel()


def test_probes_at_other_depths_are_rows_by_columns():
    probes = make_probes()
    figure = draw_elsewhere(probes)
    render(figure)
    for target, axes in enumerate(figure.axes[:2]):
        (image,) = axes.images
        expected = probes["elsewhere_accuracy"].isel(target=target)
        # The first row is at the bottom, and a cell is centred on its depths.
        np.testing.assert_allclose(image.get_array(), expected.transpose("fitted_depth", "depth"))
        assert image.origin == "lower" and tuple(image.get_extent()) == (-0.5, 4.5, -0.5, 4.5)
        assert "1,234" in figure.axes[0].get_title() and "tried" in axes.get_xlabel()


def test_alignment_and_weights_are_drawn():
    probes = make_probes()
    figure = draw_embedding(probes)
    render(figure)
    for row, part in enumerate(probes.isel(target=t) for t in range(2)):
        alignment, svd, nmf, span = figure.axes[4 * row : 4 * row + 4]
        drawn = lines(alignment)
        np.testing.assert_allclose(drawn["mean cosine"], part["cosine"])
        np.testing.assert_allclose(drawn["own embedding nearest"], part["match"])
        np.testing.assert_allclose(drawn["mean cosine, shared probe"], float(part["shared_cosine"]))
        np.testing.assert_allclose(drawn["own embedding nearest, shared probe"], float(part["shared_match"]))
        assert len(alignment.collections) == 2  # what random matrices have, of either measure

        cumulative = [line.get_ydata() for line in svd.lines]
        np.testing.assert_allclose(cumulative[:5], part["svd_share"].cumsum("component"))
        np.testing.assert_allclose(lines(svd)["shared probe"], part["shared_svd_share"].cumsum())
        np.testing.assert_allclose(lines(svd)["no direction favoured"], np.arange(1, 13) / 24)

        times = nmf.images[0].get_array()
        np.testing.assert_allclose(times[:5], 24 * part["nmf_share"])
        assert times.mask[5].all() and not times.mask[:5].any()
        np.testing.assert_allclose(times[6], 24 * part["shared_nmf_share"])
        assert [label.get_text() for label in nmf.get_yticklabels()] == ["0", "1", "2", "3", "4", "shared"]
        bottom, top = nmf.transData.transform([(0, 0), (0, 6)])[:, 1]
        assert bottom < top  # the deepest is on top

        own, shared, evenly = (line.get_ydata() for line in span.lines)
        np.testing.assert_allclose(own, part["nmf_span"])
        assert set(shared) == {float(part["shared_nmf_span"])} and set(evenly) == {4 / 24}
        assert span.get_ylim()[0] == 0 and span.get_ylim()[1] > max(*own, *shared, *evenly)


def test_energies_are_told_in_multiples_of_a_random_subspace():
    energies = make_energies()
    figure = draw_repurposing(energies)
    render(figure)
    labels = {
        "unlikely": "16 least likely tokens",
        "likely": "16 most likely tokens",
        "random": "16 random tokens",
    }
    for column, state in enumerate(energies["state"].values):
        above, below = figure.axes[column], figure.axes[2 + column]
        for name, label in labels.items():
            part = energies.sel(state=state, token_set=name)
            np.testing.assert_allclose(lines(above)[label], part["energy"] / 0.125)
            np.testing.assert_allclose(lines(below)[label], part["cosine"])
        assert set(lines(above)["random subspace of 16 dimensions"]) == {1}
        assert above.get_ylim()[0] == 0
    assert "median 2e-09, maximum 3e-06; 2,000 tokens" in figure.get_supxlabel()


@pytest.mark.long
def test_deep_models_fit():
    for figure in (
        draw_accuracy(make_probes(49)),
        draw_embedding(make_probes(49, 60, 40)),
        draw_elsewhere(make_probes(49)),
        draw_repurposing(make_energies(49)),
    ):
        render(figure)
        for axes in figure.axes:
            drawn = [label for label in axes.get_yticklabels() if label.get_text()]
            extents = sorted((label.get_window_extent().y0, label.get_window_extent().y1) for label in drawn)
            assert all(one[1] <= other[0] + 1 for one, other in zip(extents, extents[1:], strict=False))


def test_drawing_needs_no_torch():
    code = "import sys, strata.figures.probes; sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}).returncode == 0
    )
