import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgba

from oracles.contrast import contrast, luminance
from oracles.lens_example import PROMPT, VOCABULARY, WIDE_TOKENS, make_lens
from oracles.rendering import render
from strata.figures.lens import BOX_COLOUR, COLOURINGS, draw_grid, draw_updates
from strata.figures.style import NO_VALUE_COLOUR, readable
from strata.lens.comparison import at_whole_depths


def column_labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def cells(axes):
    """Each cell's text, by (column, row)."""
    return {tuple(map(round, text.get_position())): text for text in axes.texts}


def boxed(axes):
    (boxes,) = axes.collections
    assert (boxes.get_edgecolor() == to_rgba(BOX_COLOUR)).all() and len(boxes.get_facecolor()) == 0
    return {tuple(np.round(path.vertices[:4].mean(0)).astype(int).tolist()) for path in boxes.get_paths()}


def test_grid_shows_guesses_targets_and_agreement():
    lens, window = make_lens(), (1, 5)
    right, guess = np.array([False, True, False, True, True, False]), lens["top_id"].values[-1, :, 0]
    target = np.where(right, guess, (guess + 1) % len(VOCABULARY))
    lens = lens.assign_coords(target_id=("token", target), target_str=("token", VOCABULARY[target]))
    figure = draw_grid(lens, PROMPT, window)
    render(figure)
    axes = figure.axes[0]
    shown = lens.isel(token=slice(*window), k=0).sel(depth=[0, 1, 2, 3])
    ids, strings = shown["top_id"].values, shown["top_str"].values

    found = cells(axes)
    assert len(found) == ids.size
    for depth, token in np.ndindex(ids.shape):
        text, whole = found[token, depth].get_text(), readable(strings[depth, token], 99)
        assert text == whole or (text.endswith("…") and whole.startswith(text[:-1]) and len(text) > 5)
    assert not any(t.get_parse_math() for t in axes.texts)
    assert boxed(axes) == {(t, d) for d, t in np.ndindex(ids.shape) if ids[d, t] == ids[-1, t]}
    assert 4 < len(boxed(axes)) < 16, "the case must hold cells with and without a box"

    lowest = axes.transData.transform([(0, 0), (0, len(ids) - 1)])[:, 1]
    assert lowest[0] < lowest[1]  # the deepest row is on top
    assert column_labels(axes.yaxis) == ["0", "1", "2", "3"]
    assert column_labels(axes.xaxis) == [readable(t) for t in shown["token_str"].values]
    above = column_labels(axes.child_axes[0].xaxis)
    assert [text.startswith("★") for text in above] == right[slice(*window)].tolist()
    assert [t.removeprefix("★ ") for t in above] == [readable(t) for t in shown["target_str"].values]
    assert "positions 1 to 4" in axes.get_xlabel()


@pytest.mark.parametrize(
    "norm,told", [("whole", "whole final norm"), ("plain", "normalised without gain and bias")]
)
def test_figures_say_decoder_and_norm(norm, told):
    lens = make_lens(decoder="tuned").assign_attrs(norm=norm)
    title = draw_grid(lens, PROMPT, (0, 4)).axes[0].get_title()
    assert title == f"prompt p$1$\ntuned lens, {told}"


def of_the_top(lens, name):
    return lens[name].isel(k=0).values


EXPECTED = {
    "logit": (lambda lens: of_the_top(lens, "top_logit"), None, "logit of the top guess"),
    "probability": (
        lambda lens: np.exp(of_the_top(lens, "top_logprob")),
        (0, 1),
        "probability of the top guess",
    ),
    "rank": (
        lambda lens: lens["rank_of_final"].values + 1,
        (1, 100),
        "rank of the final top guess, log scale",
    ),
    "kl_final": (
        lambda lens: lens["kl_final"].values,
        (0, 30),
        "KL(final ‖ depth) [nat], square-root scale",
    ),
    "kl_input": (
        lambda lens: lens["kl_input"].values,
        (0, 30),
        "KL(input ‖ depth) [nat], square-root scale",
    ),
    "input_rank": (
        lambda lens: lens["rank_of_input"].values + 1,
        (1, 1000),
        "rank of the input token, log scale",
    ),
}


def test_every_colouring_is_expected():
    assert list(COLOURINGS) == list(EXPECTED)


@pytest.mark.parametrize("colouring", EXPECTED)
def test_colours_are_the_values(colouring):
    lens = make_lens()
    of, limits, label = EXPECTED[colouring]
    figure = draw_grid(lens, PROMPT, (0, 6), colouring, half_depths=True)
    render(figure)
    image = figure.axes[0].images[0]
    values = of(lens)
    np.testing.assert_allclose(image.get_array(), values, atol=1e-12)
    assert image.get_clim() == (limits or (values[2:].min(), values[2:].max()))
    bar = figure.axes[1]
    assert bar.get_ylabel() == label
    low, high = image.get_clim()
    ticks = [t for t in map(float, column_labels(bar.yaxis)) if low <= t <= high]
    assert len(ticks) >= 4 and (limits is None or (ticks[0], ticks[-1]) == limits)
    # Bright is confident, or near.
    ends = [luminance(image.to_rgba(v)) for v in image.get_clim()]
    assert (ends[0] < ends[1]) == (colouring in ("logit", "probability"))


@pytest.mark.parametrize(
    "colouring,name,cap,beyond",
    [
        ("rank", "rank_of_final", 99, 5000),
        ("input_rank", "rank_of_input", 999, 5000),
        ("kl_final", "kl_final", 30, 45.5),
        ("kl_input", "kl_input", 30, 45.5),
    ],
)
def test_a_scale_ends_at_its_cap(colouring, name, cap, beyond):
    lens = make_lens()
    inside, outside = lens.copy(deep=True), lens.copy(deep=True)
    inside[name][2, 1], outside[name][2, 1] = cap, beyond
    at_cap, off = (draw_grid(a, PROMPT, (0, 6), colouring).axes[0].images[0] for a in (inside, outside))
    assert at_cap.colorbar.extend == "neither" and off.colorbar.extend == "max"
    shown = np.array([image.to_rgba(image.get_array())[1, 1] for image in (at_cap, off)])
    darkest = at_cap.get_cmap()(1.0)
    np.testing.assert_allclose(shown, [darkest, darkest], atol=0.01)


def test_ranks_are_coloured_on_a_log_scale_and_divergences_on_a_square_root_one():
    rank = draw_grid(make_lens(), PROMPT, (0, 6), "rank").axes[0].images[0].norm
    assert np.isclose(rank(10), 0.5)  # 1, 10, 100
    kl = draw_grid(make_lens(), PROMPT, (0, 6), "kl_input").axes[0].images[0].norm
    assert np.isclose(kl(7.5), 0.5)  # a quarter of 30


def test_the_likeness_of_depth_0_to_itself_does_not_wash_out_the_rest():
    lens = make_lens()
    lens["top_logit"][:2] += 100  # depth 0 and the half-depth above it
    image = draw_grid(lens, PROMPT, (0, 6), half_depths=True).axes[0].images[0]
    later = lens["top_logit"].values[2:, :, 0]
    assert image.get_clim() == (later.min(), later.max())
    assert image.colorbar.extend == "max"


@pytest.mark.parametrize(
    "stride,half_depths,input_row,rows",
    [
        (1, False, True, "0 1 2 3 4 5"),
        (1, False, False, "1 2 3 4 5"),
        (1, True, True, "0 0½ 1 1½ 2 2½ 3 3½ 4 4½ 5"),
        (1, True, False, "1 1½ 2 2½ 3 3½ 4 4½ 5"),
        (2, False, True, "0 2 4 5"),
        (2, False, False, "2 4 5"),
        (2, True, True, "0 0½ 2 2½ 4 4½ 5"),
        (3, True, False, "3 3½ 5"),
        (5, True, True, "0 0½ 5"),
        (7, False, True, "0 5"),
        (7, True, False, "5"),
    ],
)
def test_a_stride_keeps_the_last_depth_and_no_stale_half_depth(stride, half_depths, input_row, rows):
    lens = make_lens(n_layers=5)
    axes = draw_grid(lens, PROMPT, (0, 3), "kl_final", stride, half_depths, input_row).axes[0]
    few = draw_grid(at_whole_depths(lens), PROMPT, (0, 3), "kl_final", stride, half_depths, input_row).axes[0]
    assert column_labels(few.yaxis) == [d for d in rows.split() if "½" not in d]  # where a lens has none
    assert column_labels(axes.yaxis) == [r.replace("½", "½ attn") for r in rows.split()]
    depths = [float(r.replace("½", ".5")) for r in rows.split()]
    expected = lens["kl_final"].sel(depth=depths, token=slice(0, 3)).values[:, :3]
    np.testing.assert_allclose(axes.images[0].get_array(), expected, atol=1e-12)


def test_a_box_is_for_the_guess_itself_not_for_a_tie():
    lens = make_lens(n_layers=1, n_tokens=1)
    lens["top_id"][:, 0, 0] = [4, 4, 7]
    lens["rank_of_final"][:] = 0
    assert boxed(draw_grid(lens, PROMPT, (0, 1), half_depths=True).axes[0]) == {(0, 2)}


def inside_its_cell(axes, text, column, row):
    extent = text.get_window_extent()
    low, high = axes.transData.transform([(column - 0.5, row - 0.5), (column + 0.5, row + 0.5)])
    return (low <= extent.min).all() and (extent.max <= high).all()


@pytest.mark.parametrize("n_layers,n_tokens,half_depths", [(2, 1, True), (12, 24, False), (48, 5, True)])
def test_everything_in_a_grid_can_be_read(n_layers, n_tokens, half_depths):
    lens = make_lens(n_layers, n_tokens)
    lens["top_str"][:, :, 0] = np.resize(np.array(WIDE_TOKENS, dtype=object), lens["top_str"].shape[:2])
    figure = draw_grid(lens, PROMPT, (0, n_tokens), "kl_final", half_depths=half_depths)
    render(figure)
    axes = figure.axes[0]
    colours = axes.images[0].to_rgba(axes.images[0].get_array())
    shown = lens["depth"].values[:: 1 if half_depths else 2]
    for (column, row), text in cells(axes).items():
        assert inside_its_cell(axes, text, column, row)
        assert contrast(text.get_color(), colours[row, column]) >= 4.5
        whole = readable(str(lens["top_str"].sel(depth=shown[row]).values[column, 0]), 99)
        assert len(text.get_text()) >= min(5, len(whole))
    rows = [label.get_window_extent() for label in axes.get_yticklabels()]
    assert all(low.y1 <= high.y0 for low, high in zip(rows, rows[1:], strict=False))
    title, above = axes.title.get_window_extent(), axes.child_axes[0].xaxis.label.get_window_extent()
    assert title.y0 >= above.y1
    edge = figure.bbox
    assert edge.x0 <= title.x0 and title.x1 <= edge.x1 and title.y1 <= edge.y1


def test_a_grid_shows_the_prompt_that_it_is_asked_for():
    one, other = make_lens(), make_lens(n_tokens=4, prompt="q", seed=7)
    both = xr.concat([one, other], "token")
    for draw, lenses in ((draw_grid, (both, other)), (draw_updates, (_updates(both), _updates(other)))):
        whole, alone = (draw(lens, "q", (1, 9)).axes[0] for lens in lenses)
        np.testing.assert_array_equal(whole.images[0].get_array(), alone.images[0].get_array())
        assert [t.get_text() for t in whole.texts] == [t.get_text() for t in alone.texts]
        assert "positions 1 to 3" in whole.get_xlabel() and whole.get_title().startswith("prompt q")


def test_grid_is_not_starred_where_there_is_no_target():
    assert column_labels(draw_grid(make_lens(), PROMPT, (5, 9)).axes[0].child_axes[0].xaxis) == [""]


def test_of_a_rejected_prompt_it_is_said_that_it_was():
    for draw in (draw_grid, draw_updates):
        [text] = draw(make_lens(), "nobody", (0, 4)).texts
        assert text.get_text() == "nobody: not accepted on this model, see prompts.tsv for the reason."


def test_grid_refuses_what_it_cannot_show():
    lens = make_lens()
    for draw in (draw_grid, draw_updates):
        with pytest.raises(ValueError, match="positions 6 to 8"):
            draw(lens, PROMPT, (6, 9))
    with pytest.raises(ValueError, match="logit, probability, rank, .* not 'colour'"):
        draw_grid(lens, PROMPT, (0, 4), "colour")
    for stride in (0, -1, 1.5):
        with pytest.raises(ValueError, match=f"stride .* not {stride}"):
            draw_grid(lens, PROMPT, (0, 4), stride=stride)


def make_updates(n_layers=3, n_tokens=6):
    """What a file of updates holds; attention's and the MLP's values differ everywhere."""
    return _updates(make_lens(n_layers, n_tokens))


def _updates(lens):
    lens = lens.drop_dims("guess").drop_vars(["kl_final", "kl_input"])
    n_layers = lens.sizes["depth"] // 2
    parts = [lens.isel(depth=slice(first, first + 2 * n_layers, 2)) for first in (0, 1)]
    parts = [
        part.drop_vars("depth").rename(depth="layer").assign_coords(layer=np.arange(n_layers))
        for part in parts
    ]
    return xr.concat(parts, xr.DataArray(["attn", "mlp"], dims="part", name="part"))


def test_updates_show_what_each_part_adds():
    updates, window = make_updates(), (2, 6)
    updates["rank_of_target"][0, 1, 3], updates["rank_of_target"][1, 2, 4] = 0, 4000
    figure = draw_updates(updates.isel(part=[1, 0]), PROMPT, window)  # whatever the order in the file
    render(figure)
    axes = figure.axes[0]
    assert column_labels(axes.yaxis) == [f"{layer} {p}" for layer in range(3) for p in ("attention", "MLP")]
    found, values = cells(axes), axes.images[0].get_array()
    colours = axes.images[0].to_rgba(values)
    boxes = set()
    for layer in range(3):
        for index, part in enumerate(("attn", "mlp")):
            row = 2 * layer + index
            for column, token in enumerate(range(*window)):
                at = updates.sel(part=part, layer=layer).isel(token=token)
                whole = readable(str(at["top_str"].values[0]), 99)
                assert whole.startswith(found[column, row].get_text().removesuffix("…"))
                rank = int(at["rank_of_target"])
                if rank < 0:
                    np.testing.assert_allclose(colours[row, column], to_rgba(NO_VALUE_COLOUR))
                else:
                    assert values[row, column] == rank + 1
                if int(at["rank_of_final"]) == 0:
                    boxes.add((column, row))
    assert boxed(axes) == boxes and boxes
    assert axes.images[0].get_clim() == (1, 1000) and axes.images[0].colorbar.extend == "max"
    assert axes.get_title().endswith("logit lens, whole final norm")
    assert column_labels(axes.child_axes[0].xaxis)[-1] == ""


def test_updates_at_a_token_without_a_target_can_be_drawn():
    render(draw_updates(make_updates(), PROMPT, (5, 6)))
