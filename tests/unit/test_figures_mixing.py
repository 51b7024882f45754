import numpy as np
import xarray as xr

from oracles.rendering import overlaps, render
from strata.figures.mixing import WAYS, draw_mixing

DEPTHS, SHARES = [0, 4, 11], [0.1, 1.0]


def make_mixing(low=-0.02, high=0.05):
    rng = np.random.default_rng(0)
    dims = {"guessed": ["right", "wrong"], "applied": list(WAYS), "towards": ["next", "random"]}
    dims |= {"share": SHARES, "depth": DEPTHS}
    change = xr.DataArray(rng.normal(0, 0.3, [len(names) for names in dims.values()]), dims)
    beyond = change.sel(towards="next", drop=True) - change.sel(towards="random", drop=True)
    fields = {}
    for name, values in (("change", change), ("beyond_random", beyond)):
        fields |= {name: values, f"{name}_low": values + low, f"{name}_high": values + high}
    counts = {
        "n_places": ("guessed", [70, 31]),
        "change_n": ("guessed", [44, 25]),
        "loss": ("guessed", [0.654, 1.25]),
    }
    return xr.Dataset(fields | counts, attrs={"interval": 0.9, "horizon": 5})


def panels_of(figure):
    """(what, way, guess): both halves' panels."""
    return np.array([half.axes for half in figure.subfigs]).reshape(2, 2, 2)


def test_changes_are_drawn_as_they_were_measured():
    mixing = make_mixing()
    figure = draw_mixing(mixing)
    assert not overlaps(figure)
    change, beyond = panels_of(figure)
    for i, way in enumerate(WAYS):
        for j, guess in enumerate(("right", "wrong")):
            at = mixing.sel(applied=way, guessed=guess)
            assert change[i, j].get_shared_y_axes().joined(change[0, 0], change[i, j])
            for share in SHARES:
                own = at.sel(share=share)
                lines = {line.get_label(): line for line in change[i, j].lines}
                for label, towards in ((f"{share:g}", "next"), (f"{share:g}, of another token", "random")):
                    np.testing.assert_array_equal(lines[label].get_xdata(), DEPTHS)
                    expected = own["change"].sel(towards=towards)
                    np.testing.assert_array_equal(lines[label].get_ydata(), expected)
                assert lines[f"{share:g}"].get_color() == lines[f"{share:g}, of another token"].get_color()
                (line,) = (line for line in beyond[i, j].lines if line.get_label() == f"{share:g}")
                np.testing.assert_array_equal(line.get_ydata(), own["beyond_random"])
                band = beyond[i, j].collections[SHARES.index(share)].get_paths()[0].vertices
                edges = band[band[:, 0] == 4, 1]
                middle = float(own["beyond_random"].sel(depth=4))
                np.testing.assert_allclose([edges.min(), edges.max()], [middle - 0.02, middle + 0.05])
    titles = [axes.get_title() for axes in change[0]]
    assert titles == ["after a right guess", "after a wrong guess"]
    assert [axes.get_ylabel() for axes in change[:, 0]] == list(WAYS.values())
    told = figure.get_supxlabel()
    for words in ("70 places in 44 documents", "1.25 nat", "5 tokens", "90%"):
        assert words in told


def test_where_no_guess_was_right_there_is_nothing_in_its_panels():
    mixing = make_mixing(np.nan, np.nan)
    mixing = mixing.where(mixing["guessed"] == "wrong")
    mixing = mixing.assign({name: ("guessed", [0, 31]) for name in ("n_places", "change_n")})
    figure = draw_mixing(mixing)
    render(figure)
    assert not any(axes.collections for axes in panels_of(figure).flat)
    assert "nan" not in figure.get_supxlabel() and "right guess: no place" in figure.get_supxlabel()
