import numpy as np
import pytest
import xarray as xr

from strata.figures.kept import draw_kept


def make(ahead: float, copying: bool = True) -> tuple[xr.Dataset, xr.Dataset, xr.Dataset]:
    """A lens, probes and averages of traces of a model of two blocks, with half-depths in the lens."""
    depths = np.arange(0, 2.5, 0.5)
    at = depths[:, None] + np.array([[0, 0, 0, 0]])
    lens = xr.Dataset(
        {
            "kl_final": (("depth", "token"), 3.0 - at),
            "rank_of_input": (("depth", "token"), 10.0 ** (at + ahead) - 1),
            "rank_of_target": (("depth", "token"), np.where(at + ahead >= [[1, 1, 1, 2]], 0, 99)),
        },
        {
            "depth": depths,
            "prompt": ("token", ["a", "a", "b", "b"]),
            "fact": ("token", ["a", "a", "b", "b"]),
            "category": ("token", ["copying" if copying else "semantic"] * 4),
            "target_id": ("token", [1, 1, 1, 1]),
        },
    )
    values = np.array([[0.9, 0.5, 0.1 + ahead], [0.1, 0.3, 0.6]])
    probes = xr.Dataset(
        {f"accuracy{end}": (("target", "depth"), values) for end in ("", "_low", "_high")},
        {"target": ["input", "next"], "depth": [0.0, 1.0, 2.0]},
    )
    averages = xr.Dataset(
        {"transition_depth": (("prompt", "noise"), [[0.5], [1.5], [np.nan]])},
        {
            "noise": ["3x"],
            "depth": [0, 1],
            "prompt": ["a", "b", "c"],
            "prompt_category": ("prompt", ["x"] * 3),
            "prompt_fact": ("prompt", ["a", "b", "c"]),
        },
    )
    return lens, probes, averages


def drawn(**models):
    parts = zip(*models.values(), strict=True)
    return draw_kept(*(dict(zip(models, part, strict=True)) for part in parts), "3x")


def test_every_panel_has_a_line_for_each_model_by_share_of_depth():
    figure = drawn(plain=make(0.0), **{"every$depth$": make(0.25)})
    distance, rank, copied, probed, following, taken = figure.axes
    assert all(len(axes.lines) == 2 for axes in figure.axes)
    np.testing.assert_allclose(distance.lines[0].get_xydata(), [[0, 3], [0.5, 2]])
    np.testing.assert_allclose(rank.lines[1].get_xydata(), [[0, 0.25], [0.5, 1.25], [1, 2.25]])
    np.testing.assert_allclose(copied.lines[0].get_xydata(), [[0, 0], [0.5, 0.5], [1, 1]])
    np.testing.assert_allclose(probed.lines[1].get_xydata(), [[0, 0.9], [0.5, 0.5], [1, 0.35]])
    np.testing.assert_allclose(following.lines[0].get_ydata(), [0.1, 0.3, 0.6])
    assert "noise 3x" in taken.get_title()
    legend = figure.legends[0].get_texts()
    assert [text.get_text() for text in legend] == ["plain", "every$depth$"]
    assert not legend[1].get_parse_math()


@pytest.mark.parametrize(("share", "expected"), [(0.2, 0), (0.3, 0.5), (0.74, 0.5), (0.8, 1)])
def test_prompts_that_cross_are_counted_from_where_they_cross(share, expected):
    line = drawn(plain=make(0.0)).axes[-1].lines[0]
    assert line.get_drawstyle() == "steps-post"
    x, y = line.get_data()
    assert y[np.searchsorted(x, share, side="right") - 1] == expected


def test_a_model_that_copies_nothing_has_no_line_there():
    figure = drawn(plain=make(0.0), none=make(0.0, copying=False))
    assert [len(axes.lines) for axes in figure.axes] == [2, 2, 1, 2, 2, 2]
