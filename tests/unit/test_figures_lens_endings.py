import numpy as np
import xarray as xr

from oracles import endings as oracle
from oracles.rendering import notice, overlaps, render
from strata.figures.lens_endings import WORD_COLOURS, draw_endings
from strata.lens.questions_of_endings import endings
from strata.stats.bootstrap import Bootstrap

WAYS, KINDS = [3] * 16 + [6] * 4, [True] * 16 + [False] * 4


def make_questions(decoders=("logit", "tuned", "jacobian", "extended")):
    lenses = {name: oracle.make_endings(WAYS, KINDS, seed=100 * n)[0] for n, name in enumerate(decoders)}
    _, table = oracle.make_endings(WAYS, KINDS)
    found = endings(lenses, table, Bootstrap(50, 0.9, 0))
    return found.assign_attrs(norm="plain", interval=0.9)


def test_words_and_their_differences_are_drawn_as_they_were_measured():
    questions = make_questions()
    figure = draw_endings(questions)
    render(figure)
    assert overlaps(figure) == []
    panels = np.array(figure.axes[:16]).reshape(4, 4)
    for column, decoder in zip(panels.T, questions["decoder"].values, strict=True):
        at = questions.sel(decoder=decoder)
        assert column[0].get_title() == decoder
        for line, (word, place) in zip(
            column[0].lines, [(w, p) for w in ("demanded", "other") for p in ("way", "end")], strict=True
        ):
            np.testing.assert_array_equal(
                line.get_ydata(), at["ending_log_rank"].sel(word=word, place=place, demand="all")
            )
            assert line.get_color() == WORD_COLOURS[word]
        for axes, place in zip(column[1:3], ("way", "end"), strict=True):
            *lines, zero = axes.lines
            assert set(zero.get_ydata()) == {0} and len(axes.collections) == 1  # 4 pairs have no interval
            for line, demand in zip(lines, ("one word named", "both words named"), strict=True):
                expected = at["ending_logprob_change"].sel(demand=demand, place=place)
                np.testing.assert_array_equal(line.get_ydata(), expected)
        # Beyond 2 tokens before the last are the ways of 4 of 20 pairs alone.
        tiles = column[3].collections[0].get_array()
        np.testing.assert_array_equal(tiles, at["ending_from_end"].sel(from_end=[1, 2]))
        assert column[3].get_ylim() == (2.5, 0.5)
    low, high = panels[3, 0].collections[0].get_clim()
    assert low == -high and high == abs(questions["ending_from_end"].sel(from_end=[1, 2])).max()
    told = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "one word named (4 pairs)" in told and "both words named (16 pairs)" in told
    assert "mean over 20 pairs of texts, bands: 90%" in figure.get_supxlabel()


def test_one_decoder_can_be_drawn():
    render(draw_endings(make_questions(["logit"])))


def test_without_such_texts_there_is_nothing_to_draw():
    assert "demands its last word" in notice(draw_endings(xr.Dataset()))
