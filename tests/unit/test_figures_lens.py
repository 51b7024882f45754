import warnings

import numpy as np
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle
from transformers.convert_slow_tokenizer import bytes_to_unicode

from strata.figures.lens import BOX_COLOUR, draw_divergence, draw_grid
from strata.figures.style import CATEGORY_COLOURS, category_colours, readable

VOCABULARY = np.array(["Ġthe", "Ċ", "$x$", "ĠåĽ½", "Ġcommunications", "Ã", "Ġ$"], dtype=object)


def make_lens(n_depths=4, n_tokens=6, prompt="p$1$", category="semantic", seed=0):
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, len(VOCABULARY), (n_depths, n_tokens, 2))
    target = np.where(np.arange(n_tokens) % 2, ids[-1, :, 0], (ids[-1, :, 0] + 1) % len(VOCABULARY))
    target[-1] = -1
    tokens = rng.integers(0, len(VOCABULARY), n_tokens)
    kl = rng.gamma(2, 1, (n_depths, n_tokens))
    return xr.Dataset(
        {
            "top_id": (("depth", "token", "k"), ids),
            "top_logit": (("depth", "token", "k"), rng.normal(0, 3, ids.shape)),
            "top_str": (("depth", "token", "k"), VOCABULARY[ids]),
            "kl_final": (("depth", "token"), kl),
        },
        coords={
            "depth": np.arange(n_depths),
            "prompt": ("token", np.full(n_tokens, prompt, dtype=object)),
            "position": ("token", np.arange(n_tokens)),
            "token_id": ("token", tokens),
            "token_str": ("token", VOCABULARY[tokens]),
            "target_id": ("token", target),
            "target_str": ("token", np.where(target < 0, "", VOCABULARY[target])),
            "category": ("token", np.full(n_tokens, category, dtype=object)),
        },
    )


def render(figure):
    """Draw the whole figure; a warning (a letter the font lacks, say) is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FigureCanvasAgg(figure).draw()


@pytest.mark.parametrize(
    "token,text",
    [
        ("ĠParis", "·Paris"),
        ("ĊĊ", "↵↵"),
        ("ĉ", "→"),
        ("č", "\\r"),
        ("ĠĠĠ", "···"),
        ("Ġcafé", "·caf\\xe9"),  # the byte E9 alone is no text
        ("ĠcafÃ©", "·café"),
        ("ÃŁ", "ß"),
        ("âĢĻ", "’"),
        ("âĢ", "\\xe2\\x80"),
        ("Ā", "\\x00"),
        ("Â\u0143", "\\xad"),  # a soft hyphen is not seen
        ("ĠåĽ½", "·\\u56fd"),  # a letter the font lacks
        ("$x^2$", "$x^2$"),
        ("<b>&", "<b>&"),
        ("<|endoftext|>", "<|endofte…"),
        ("Ġcommunications", "·communic…"),
        ("▁Paris", "·Paris"),
        ("▁école", "·école"),
        ("<0x0A>", "↵"),
        ("word</w>", "word·"),
        ("", ""),
    ],
)
def test_tokens_are_readable(token, text):
    assert readable(token) == text
    assert len(readable(token, 4)) <= 4


def test_every_byte_is_told_apart_and_visible():

    alphabet = bytes_to_unicode()
    shown = {byte: readable(character) for byte, character in alphabet.items()}
    assert len(set(shown.values())) == 256
    assert all(text.isprintable() and not text.isspace() for text in shown.values())
    assert {byte: shown[byte] for byte in range(33, 127)} == {byte: chr(byte) for byte in range(33, 127)}


def test_a_category_keeps_its_colour():
    assert category_colours(["other", "semantic"])["semantic"] == CATEGORY_COLOURS["semantic"]
    many = category_colours([f"c{i}" for i in range(9)])
    assert len(many) == 9 and not set(many.values()) & set(CATEGORY_COLOURS.values())


def test_grid_shows_guesses_targets_and_agreement():
    lens, window = make_lens(), (1, 5)
    figure = draw_grid(lens, window)
    render(figure)
    axes = figure.axes[0]
    shown = lens.isel(token=slice(*window), k=0)
    ids, strings = shown["top_id"].values, shown["top_str"].values

    cells = {tuple(map(round, t.get_position())): t for t in axes.texts}
    for depth, token in np.ndindex(ids.shape):
        assert cells[token, depth].get_text() == readable(strings[depth, token], 8)
    assert len(cells) == ids.size
    assert not any(t.get_parse_math() for t in axes.texts)

    boxes = [p for p in axes.patches if isinstance(p, Rectangle)]
    assert all(p.get_edgecolor() == to_rgba(BOX_COLOUR) for p in boxes)
    centres = {(round(p.get_x() + p.get_width() / 2), round(p.get_y() + p.get_height() / 2)) for p in boxes}
    assert centres == {(t, d) for d, t in np.ndindex(ids.shape) if ids[d, t] == ids[-1, t]}

    np.testing.assert_array_equal(axes.images[0].get_array(), shown["top_logit"].values)
    lowest = axes.transData.transform([(0, 0), (0, len(ids) - 1)])[:, 1]
    assert lowest[0] < lowest[1]  # the deepest row is on top
    inputs = [label.get_text() for label in axes.get_xticklabels()]
    assert inputs == [readable(t) for t in shown["token_str"].values]
    above = [label.get_text() for label in axes.child_axes[0].get_xticklabels()]
    right = ids[-1] == shown["target_id"].values
    assert right.tolist() == [True, False, True, False]
    assert [text.startswith("★") for text in above] == right.tolist()
    assert [t.removeprefix("★ ") for t in above] == [readable(t) for t in shown["target_str"].values]
    assert "positions 1 to 4" in axes.get_xlabel()


def test_grid_is_not_starred_where_there_is_no_target():
    labels = draw_grid(make_lens(), (5, 9)).axes[0].child_axes[0].get_xticklabels()
    assert [label.get_text() for label in labels] == [""]


def test_grid_refuses_what_it_cannot_show():
    two = xr.concat([make_lens(), make_lens(prompt="q")], "token")
    with pytest.raises(ValueError, match="one prompt, not 2"):
        draw_grid(two, (0, 4))
    with pytest.raises(ValueError, match="positions 6 to 8"):
        draw_grid(make_lens(), (6, 9))


def test_divergence_is_the_mean_over_prompts_of_means_over_tokens():
    parts = [make_lens(n_tokens=n, prompt=f"s{n}", seed=n) for n in (3, 5, 9)]
    alone = make_lens(prompt="a", category="copying", seed=50)
    figure = draw_divergence(xr.concat([parts[0], alone, *parts[1:]], "token"))
    render(figure)
    distance, agreement = figure.axes
    lines = {line.get_label(): line for line in distance.lines}
    assert set(lines) == {"semantic (3)", "copying (1)"}
    by_prompt = np.stack([p["kl_final"].values.mean(1) for p in parts])
    np.testing.assert_allclose(lines["semantic (3)"].get_ydata(), by_prompt.mean(0)[:-1])
    assert lines["semantic (3)"].get_color() == CATEGORY_COLOURS["semantic"]

    assert len(distance.collections) == 1  # one prompt has no band
    edges = distance.collections[0].get_paths()[0].vertices
    half = 2 * by_prompt.std(0, ddof=1) / np.sqrt(3)
    for depth in range(3):
        at = edges[edges[:, 0] == depth, 1]
        assert np.isclose(at.max(), (by_prompt.mean(0) + half)[depth])
        assert np.isclose(at.min(), max((by_prompt.mean(0) - half)[depth], 0))

    ids = [p["top_id"].isel(k=0).values for p in parts]
    share = np.mean([(i == i[-1]).mean(1) for i in ids], axis=0)
    line = next(line for line in agreement.lines if line.get_label() == "semantic (3)")
    np.testing.assert_allclose(line.get_ydata(), share)
    assert "nats" in distance.get_ylabel() and distance.get_yscale() == "log"


def test_divergence_of_blocks_that_add_nothing_can_be_drawn():
    lens = make_lens()
    figure = draw_divergence(lens.assign(kl_final=lens["kl_final"] * 0))
    render(figure)
    assert (figure.axes[0].lines[0].get_ydata() == 0).all()


def test_the_likeness_of_depth_0_to_itself_does_not_wash_out_the_rest():
    lens = make_lens()
    lens["top_logit"][0] += 100
    image = draw_grid(lens, (0, 6)).axes[0].images[0]
    later = lens["top_logit"].values[1:, :, 0]
    assert image.get_clim() == (later.min(), later.max())
