import numpy as np
import pytest
import torch
import xarray as xr
from scipy import stats

from oracles import planted, slices, tiny_models
from oracles.rendering import render
from strata.embedding.outlier_channels import follow
from strata.figures.embedding_outliers import draw_outlier_channels
from strata.model.architecture import find_parts
from strata.model.head_rows import READINGS, head_rows
from strata.model.slices import READS_AND_WRITES, head_reads, key_sizes, slice_sizes, written_sizes

OPTIONS = {"draws": 3, "resamples": 300, "interval": 0.9, "seed": 0}


# Weights ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", slices.FAMILIES)
def test_sizes_are_those_of_the_named_parameters(name):
    model = tiny_models.build(name)
    sizes, by_head = slice_sizes(find_parts(model))
    for layer in (0, tiny_models.LAYERS - 1):
        for channel in (0, 5, tiny_models.WIDTH - 1):
            expected = slices.FAMILIES[name](model, layer, channel)
            for part, size in zip(READS_AND_WRITES, sizes[:, layer, channel], strict=True):
                assert float(size) == pytest.approx(expected[part], rel=1e-4), part
            np.testing.assert_allclose(by_head[layer, :, channel], expected["heads"], rtol=1e-4)


@pytest.mark.parametrize("name", tiny_models.NAMES)
def test_every_family_has_sizes(name):
    parts = find_parts(tiny_models.build(name))
    sizes, by_head = slice_sizes(parts)
    assert sizes.shape == (4, parts.n_layers, parts.n_channels)
    assert by_head.shape == (parts.n_layers, parts.n_heads, parts.n_channels)
    assert (sizes > 0).all() and (by_head > 0).all()


@pytest.mark.parametrize("name", slices.PIECES)
def test_heads_and_keys_read_and_write_by_the_named_parameters(name):
    model = tiny_models.build(name)
    parts = find_parts(model)
    reads = head_reads(parts)
    for layer in (0, tiny_models.LAYERS - 1):
        of_keys = dict(zip(("reads", "writes"), key_sizes(parts, layer), strict=True))
        for channel in (0, 5, tiny_models.WIDTH - 1):
            expected = slices.PIECES[name](model, layer, channel)
            for reading, found in zip(READINGS, reads[:, layer, :, channel], strict=True):
                np.testing.assert_allclose(found, expected[reading], rtol=1e-4, err_msg=reading)
            for direction, sizes in of_keys.items():
                np.testing.assert_allclose(sizes[:, channel], expected[direction], rtol=1e-4)


@pytest.mark.parametrize("name", tiny_models.NAMES)
def test_the_pieces_of_every_family_make_up_its_slices(name):
    parts = find_parts(tiny_models.build(name))
    sizes, _ = slice_sizes(parts)
    rows = head_rows(parts)
    for own in rows:
        assert (own.any(2).sum(0) == 1).all(), "every row makes queries or keys or values"
    size = sum(own.sum(1) for own in rows)
    assert (size == size[0, 0]).all(), "heads are of one size"
    # What heads share counts once.
    reads = head_reads(parts)
    if all((own.sum(2) <= 1).all() for own in rows):
        np.testing.assert_allclose(reads.square().sum((0, 2)).sqrt(), sizes[0], rtol=1e-4)
    else:
        assert (reads.square().sum((0, 2)).sqrt() > sizes[0]).all()
    for layer in range(parts.n_layers):
        of_keys = key_sizes(parts, layer)
        np.testing.assert_allclose(of_keys.norm(dim=1), sizes[[2, 3], layer], rtol=1e-4)
        np.testing.assert_allclose(written_sizes(parts, layer), of_keys[1].norm(dim=1), rtol=1e-4)


# Channels -----------------------------------------------------------------------------------


def frequency_of(n_channels, outliers, count):
    role = np.full(n_channels, "", object)
    role[list(outliers)], role[n_channels - 1] = "outlier", "control"
    ids = np.arange(len(count))
    return xr.Dataset(
        {"channel_role": ("channel", role), "count": ("vocab", np.asarray(count, float))},
        coords={"token_id": ("vocab", ids)},
    )


def text_of(n_channels, vocab, lengths=(9, 14, 6, 11), seed=0):
    """States, next tokens (none at a document's end) and documents."""
    rng = np.random.default_rng(seed)
    document = np.repeat(np.arange(len(lengths)), lengths)
    following = rng.integers(vocab, size=len(document))
    following[np.append(np.diff(document) > 0, True)] = -1
    return torch.from_numpy(rng.normal(1, 2, (len(document), n_channels))).float(), following, document


@pytest.mark.parametrize("name", ["gpt2", "gemma2", "opt-350m", "llama"])
def test_silencing_is_what_the_models_own_modules_say(name):
    model = tiny_models.build(name)
    parts = find_parts(model)
    states, following, document = text_of(parts.n_channels, tiny_models.VOCAB)
    frequency = frequency_of(parts.n_channels, [4, 7], np.arange(tiny_models.VOCAB) + 1.0)
    found = follow(parts, states, following, document, frequency, **OPTIONS)
    kept = np.flatnonzero(following >= 0)
    mean = states[kept].mean(0)
    np.testing.assert_allclose(found["final_mean"], mean, rtol=1e-5)

    def measures(channel):
        """Mean loss and entropy, token by token."""
        values = []
        for i in kept:
            state = states[i].clone()
            if channel is not None:
                state[channel] = mean[channel]
            p = parts.logits(state).double().softmax(-1).numpy()
            values.append([-np.log(p[following[i]]), -(p * np.log(p)).sum()])
        return np.mean(values, 0)

    untouched = measures(None)
    np.testing.assert_allclose([found["loss"], found["entropy"]], untouched, rtol=1e-4)
    role = found["role"].values
    assert sorted(role[role != ""]) == ["control", "outlier", "outlier", "random", "random", "random"]
    for channel in np.flatnonzero(role != ""):
        at = found.sel(channel=channel)
        expected = measures(channel) - untouched
        np.testing.assert_allclose([at["loss_change"], at["entropy_change"]], expected, atol=1e-4)
        assert at["loss_change_low"].isnull()  # too few documents
    assert found["loss_change"].isnull().sum() == parts.n_channels - 6
    assert int(found["n_tokens"]) == len(kept)


def test_a_channel_that_adds_frequency_to_the_logits_is_found():
    """Channels 3 and 5 of the unembedding are the logarithm of the count; 5 is read with gain -2."""
    model = planted.idle_blocks()
    count = np.random.default_rng(0).permutation(planted.VOCAB).astype(float)  # one token was never seen
    with torch.no_grad():
        model.lm_head.weight[:, 3] = torch.from_numpy(np.log(count + 1)).float()
        model.lm_head.weight[:, 5] = torch.from_numpy(np.log(count + 1)).float()
        model.transformer.ln_f.weight[5] = -2
    parts = find_parts(model)
    states, following, document = text_of(planted.WIDTH, planted.VOCAB)
    found = follow(parts, states, following, document, frequency_of(48, [3, 5], count), **OPTIONS)
    np.testing.assert_allclose(found["direct_rho"].sel(channel=[3, 5]), [1, -1])
    seen = count > 0
    column = (model.lm_head.weight[:, 9] * model.transformer.ln_f.weight[9]).numpy()
    expected = stats.spearmanr(column[seen], count[seen]).statistic
    assert float(found["direct_rho"].sel(channel=9)) == pytest.approx(expected)


def test_percentiles_run_from_the_least_to_the_most():
    model = tiny_models.build("gpt2")
    with torch.no_grad():
        for block in model.transformer.h:
            block.mlp.c_fc.weight[4] *= 100  # every key reads channel 4
            block.attn.c_proj.weight[:, 7] = 0  # no head writes channel 7
    parts = find_parts(model)
    states, following, document = text_of(parts.n_channels, tiny_models.VOCAB)
    frequency = frequency_of(parts.n_channels, [4, 7], np.arange(tiny_models.VOCAB) + 1.0)
    found = follow(parts, states, following, document, frequency, **OPTIONS)
    percentile = found["slice_percentile"]
    assert (percentile.sel(part="MLP reads", channel=4) == 100).all()
    assert (percentile.sel(part="attention writes", channel=7) == 0).all()
    assert (found["head_percentile"].sel(channel=7) == 0).all()
    np.testing.assert_allclose(percentile.mean("channel"), 50)


def test_single_heads_and_keys_that_meet_a_channel_are_found():
    model = tiny_models.build("gpt2")
    with torch.no_grad():
        block = model.transformer.h[2]
        block.mlp.c_fc.weight[4, 9] = 100  # key 9 of layer 2 reads channel 4, key 11 writes it
        block.mlp.c_proj.weight[11, 4] = 100
        block.attn.c_attn.weight[4, 8:16] = 100  # head 1 makes its queries of it, no head its values
        block.attn.c_attn.weight[4, 64:] = 0
    parts = find_parts(model)
    states, following, document = text_of(parts.n_channels, tiny_models.VOCAB)
    frequency = frequency_of(parts.n_channels, [4, 7], np.arange(tiny_models.VOCAB) + 1.0)
    found = follow(parts, states, following, document, frequency, **OPTIONS)
    at = found.sel(channel=4, layer=2)
    assert at["head_read_percentile"].sel(reading="query", head=1) == 100
    assert (at["head_read_percentile"].sel(reading="value") == 0).all()
    assert found.attrs["top_channels"] == 1 and at["top_key"].dims == ("direction", "k")
    for direction, key in (("reads", 9), ("writes", 11)):
        top = at.sel(direction=direction).isel(k=0)
        assert top["top_key"] == key and top["top_key_percentile"] == 100
        weights = slices.PIECES["gpt2"]
        every = [weights(model, 2, channel)[direction] for channel in range(parts.n_channels)]
        own = np.array([sizes[key] for sizes in every]) ** 2
        assert float(top["top_key_share"]) == pytest.approx(own[4] / own.sum(), rel=1e-4)
        # By hand: for how many keys the channel is the largest of all, and how the fifth key stands.
        every = np.array(every)
        assert float(at["keys_at_top"].sel(direction=direction)) == pytest.approx(
            np.mean(every.argmax(0) == 4)
        )
        shares = every**2 / (every**2).sum(0)
        order = np.argsort(-shares[4])[:5]
        assert at["top_key"].sel(direction=direction).values.tolist() == order.tolist()
        standing = [100 * np.mean(np.delete(every[:, k], 4) < every[4, k]) for k in order]
        np.testing.assert_allclose(at["top_key_percentile"].sel(direction=direction), standing)
    # Every key has one channel at its top.
    np.testing.assert_allclose(found["keys_at_top"].sum("channel"), 1, rtol=1e-5)


# The figure ---------------------------------------------------------------------------------


def test_the_figure_shows_what_was_followed():
    parts = find_parts(tiny_models.build("llama"))
    states, following, document = text_of(parts.n_channels, tiny_models.VOCAB)
    frequency = frequency_of(parts.n_channels, [4, 7], np.arange(tiny_models.VOCAB) + 1.0)
    found = follow(parts, states, following, document, frequency, **OPTIONS)
    figure = draw_outlier_channels(found)
    render(figure)
    panels = {axes.get_title(): axes for axes in figure.axes}
    for channel in (4, 7):
        lines = {line.get_label(): line.get_ydata() for line in panels[f"channel {channel}"].lines}
        for part in READS_AND_WRITES:
            expected = found["slice_percentile"].sel(part=part, channel=channel)
            np.testing.assert_allclose(lines[part], expected)
    keys = figure.axes[2].lines
    for line, direction in zip(keys, ("reads", "writes"), strict=False):
        np.testing.assert_allclose(line.get_ydata(), found["keys_at_top"].sel(channel=4, direction=direction))
    assert set(keys[2].get_ydata()) == {1 / parts.n_channels}
    (image,) = figure.axes[4].images
    at = found.sel(channel=4)
    *reading, writing = np.split(image.get_array(), 4)
    for kind, rows in zip(READINGS, reading, strict=True):
        expected = at["head_read_percentile"].sel(reading=kind).transpose("head", "layer")
        np.testing.assert_allclose(rows, expected)
    np.testing.assert_allclose(writing, at["head_percentile"].transpose("head", "layer"))
    told = figure.axes[6].texts[0].get_text().split("\n")
    assert [line.split(":")[0] for line in told] == [
        *("query heads", "key heads", "value heads", "heads write", "keys read", "keys write")
    ]
    best = at["top_key_share"].sel(direction="writes")
    layer, place = np.unravel_index(best.values.argmax(), best.shape)
    key = int(at["top_key"].sel(direction="writes").values[layer, place])
    assert told[5].startswith(f"keys write: {layer}.{key} ({float(best.max()):.0%})")
    best = at["head_percentile"]
    layer, head = np.unravel_index(best.values.argmax(), best.shape)
    assert told[3].startswith(f"heads write: {layer}.{head} ({float(best.max()):.0f})")
    loss = next(axes for title, axes in panels.items() if title.startswith("loss"))
    labels = [label.get_text() for label in loss.get_yticklabels()]
    assert labels[:3] == ["4, outlier", "7, outlier", f"{parts.n_channels - 1}, control"] and len(labels) == 6
    assert loss.lines[1].get_xdata() == float(found["loss_change"].sel(channel=4))


def test_without_outlying_channels_it_says_so():
    parts = find_parts(tiny_models.build("gpt2"))
    states, following, document = text_of(parts.n_channels, tiny_models.VOCAB)
    frequency = frequency_of(parts.n_channels, [], np.arange(tiny_models.VOCAB) + 1.0)
    figure = draw_outlier_channels(follow(parts, states, following, document, frequency, **OPTIONS))
    assert "No channel" in figure.texts[0].get_text()
