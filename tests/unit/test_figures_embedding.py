import numpy as np
import pytest
import xarray as xr

from oracles.rendering import notice, render
from strata.figures import embedding as figures


def make_embedding(n=400, n_far=0):
    """Components 0 to 2 of tokens of which a few may lie far out in the second."""
    rng = np.random.default_rng(0)
    left = rng.normal(0, 0.02, (n, 3))
    left[:n_far, 2] = np.linspace(0.9, 1, n_far)
    space = np.arange(n) % 2 == 0
    return xr.Dataset(
        {
            "token_left": (("vocab", "component"), left),
            "leading_space": ("vocab", space),
            "auc_leading_space": ("component", [0.5, 0.6, 0.7]),
        },
        {"component": range(3), "token_str": ("vocab", np.array(["Ġ$x$", "y"] * (n // 2), object))},
        {"position_embedding": "absent"},
    )


def drawn(axes):
    return {dots.get_label(): np.asarray(dots.get_offsets()) for dots in axes.collections}


def test_every_token_is_a_dot_by_its_leading_space():
    embedding = make_embedding()
    figure = figures.draw_token_components(embedding)
    render(figure)
    axes = figure.axes[0]
    left, space = embedding["token_left"].values[:, 1:], embedding["leading_space"].values
    found = drawn(axes)
    assert list(found) == ["leading space", "none"]
    np.testing.assert_allclose(found["leading space"], left[space])
    np.testing.assert_allclose(found["none"], left[~space])
    assert "component 1 0.60, component 2 0.70" in axes.get_title()


@pytest.mark.parametrize("n_far", [1, 7])
def test_a_few_tokens_far_out_are_at_the_edge_and_counted(n_far):
    embedding = make_embedding(n_far=n_far)
    figure = figures.draw_token_components(embedding)
    render(figure)
    axes = figure.axes[0]
    found = drawn(axes)
    far = found[f"beyond the axes ({n_far})"]
    assert sum(map(len, found.values())) == 400, "every token is drawn once"
    left = embedding["token_left"].values[:, 1:]
    near = left[n_far:, 1]
    np.testing.assert_allclose(far[:, 0], left[:n_far, 0])
    np.testing.assert_allclose(far[:, 1], near.max())
    assert axes.get_ylim()[1] < 2 * near.max() < 0.9
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["leading space", "none", f"beyond the axes ({n_far})"]


def test_without_positions_a_line_says_so():
    assert notice(figures.draw_position_components(make_embedding())) == "position embedding absent"
