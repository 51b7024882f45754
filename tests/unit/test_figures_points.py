import numpy as np

from strata.figures.points import label_points
from strata.figures.style import new_figure


def labels(points, order, **changes):
    axes = new_figure(4, 4).subplots()
    label_points(axes, np.array(points, float), np.array(["Ġa", "b", "$c$", "d"]), order, **changes)
    return axes.texts


def test_labels_stand_at_their_points_first_come_first_served():
    points = [[0, 0], [0.1, 0.1], [10, 10], [10, 0]]
    found = labels(points, [1, 0, 2, 3], room=(0.1, 0.1))
    assert [text.get_text() for text in found] == ["b", "$c$", "d"], "a is too near to b"
    assert [text.xy[0] for text in found] == [0.1, 10, 10]
    assert not any(text.get_parse_math() for text in found)
    assert len(labels(points, [1, 0, 2, 3], room=(0, 0))) == 4
    assert [text.get_text() for text in labels(points, [0, 2, 3], most=2)] == ["·a", "$c$"]


def test_a_point_without_a_place_does_not_take_the_others_room():
    found = labels([[np.nan, 0], [0, 0], [10, 10], [10, 0]], [1, 2, 3], room=(0.1, 0.1))
    assert [text.get_text() for text in found] == ["b", "$c$", "d"]
