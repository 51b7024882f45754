import numpy as np

from strata.figures.points import label_points, robust_limits, within
from strata.figures.style import new_figure


def labels(points, order, **changes):
    axes = new_figure(4, 4).subplots()
    axes.set(xlim=(0, 10), ylim=(0, 10))
    label_points(axes, np.array(points, float), np.array(["Ġa", "b", "$c$", "d"]), order, **changes)
    return axes.texts


def test_labels_stand_at_their_points_first_come_first_served():
    points = [[0, 0], [0.1, 0.1], [10, 10], [10, 0]]
    found = labels(points, [1, 0, 2, 3], room=(0.1, 0.1))
    assert [text.get_text() for text in found] == ["b", "$c$", "d"], "a is too near to b"
    assert [text.xy[0] for text in found] == [0.1, 10, 10]
    beside = [[0, 0], [0, 0.9], [0, 1.1], [0, 5]]
    assert [text.get_text() for text in labels(beside, [0, 1, 2, 3], room=(0.1, 0.1))] == ["·a", "$c$", "d"]
    assert not any(text.get_parse_math() for text in found)
    assert len(labels(points, [1, 0, 2, 3], room=(0, 0))) == 4
    assert [text.get_text() for text in labels(points, [0, 2, 3], most=2)] == ["·a", "$c$"]


def test_a_point_without_a_place_does_not_take_the_others_room():
    found = labels([[np.nan, 0], [0, 0], [10, 10], [10, 0]], [1, 2, 3], room=(0.1, 0.1))
    assert [text.get_text() for text in found] == ["b", "$c$", "d"]


def test_limits_are_the_range_where_nothing_is_far_out():
    values = np.random.default_rng(0).normal(size=500)
    assert robust_limits(values) == (values.min(), values.max())
    two_groups = np.append(values, values + 8)
    assert robust_limits(two_groups) == (two_groups.min(), two_groups.max())
    assert robust_limits(np.append(np.zeros(9), 5.0)) == (0, 5), "most are alike: no scale to hold it against"


def test_limits_leave_out_what_would_squeeze_the_rest():
    values = np.random.default_rng(0).normal(size=500)
    assert robust_limits(np.append(values, [90, -70])) == (values.min(), values.max())


def test_points_beyond_limits_are_moved_to_the_edge_and_known():
    points = np.array([[0.0, 0], [5, 1], [-3, -9], [1, 1]])
    moved, beyond = within(points, np.array([[-1, 2], [-2, 1]]))
    np.testing.assert_array_equal(moved, [[0, 0], [2, 1], [-1, -2], [1, 1]])
    assert beyond.tolist() == [False, True, True, False]
