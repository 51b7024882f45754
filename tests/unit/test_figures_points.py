import numpy as np

from oracles.rendering import overlaps
from strata.figures.points import label_points, robust_limits, within
from strata.figures.style import new_figure


def words(points, labels, **changes):
    axes = new_figure(4, 4).subplots()
    axes.set(xlim=(0, 10), ylim=(0, 10))
    label_points(axes, np.array(points, float), labels, **changes)
    return axes.texts


def told(*given, **changes):
    return [word.get_text() for word in words(*given, **changes)]


def test_labels_are_at_their_points_first_come_first_served():
    points = [[0, 0], [0.1, 0.1], [9, 9], [9, 0]]
    found = words(points, {1: "b", 0: "a", 2: "$c$", 3: "d"})
    assert [word.get_text() for word in found] == ["b", "$c$", "d"], "a would lie upon b"
    assert [word.xy[0] for word in found] == [0.1, 9, 9]
    assert not any(word.get_parse_math() for word in found)
    assert told(points, {0: "a", 2: "c", 3: "d"}, most=2) == ["a", "c"]


def test_a_label_is_as_wide_as_its_word():
    points = [[1, 5], [3, 5], [8, 5]]
    assert told(points, {0: "a", 1: "b", 2: "c"}) == ["a", "b", "c"]
    assert told(points, {0: "a" * 12, 1: "b", 2: "c"}) == ["a" * 12, "c"]
    left_of_its_point = {2: "c" * 40, 0: "a", 1: "b"}
    assert told(points, left_of_its_point) == ["c" * 40]
    assert told([[1, 5], [3, 6]], {0: "a" * 12, 1: "b"}) == ["a" * 12, "b"], "above it there is room"


def test_no_label_lies_upon_the_legend():
    axes = new_figure(4, 4).subplots()
    axes.plot([0, 10], [0, 10], label="a line")
    axes.legend(loc="upper left")
    label_points(axes, np.array([[0.5, 9.8], [5, 1]]), {0: "under it", 1: "beside"})
    assert [word.get_text() for word in axes.texts] == ["beside"]


def test_labels_lie_upon_each_other_on_no_scale():
    rng = np.random.default_rng(0)
    figure = new_figure(5, 4)
    axes = figure.subplots()
    points = 10 ** rng.uniform(0, 4, (200, 2))
    axes.set(xscale="log", yscale="symlog", xlim=(1, 1e4), ylim=(0, 1e4), ylabel="a label\nof two lines")
    label_points(axes, points, {index: f"word {index}" for index in range(200)})
    assert len(axes.texts) > 20 and overlaps(figure) == []


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
