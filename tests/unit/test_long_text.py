import numpy as np
import pytest
import torch
import xarray as xr

from oracles import attention as slow
from oracles import tiny_models
from strata.attention.long_text import first_by_position
from strata.model.architecture import find_parts
from strata.model.batching import within_context
from strata.stats.bootstrap import Bootstrap

BOOTSTRAP = Bootstrap(200, 0.9, 1)
SAMPLES = np.random.default_rng(3).integers(0, tiny_models.VOCAB, (5, 14)).tolist()


@pytest.mark.parametrize("name", tiny_models.NAMES)
def test_every_head_and_position_equals_transformers_own_pattern(name):
    model = tiny_models.build(name)
    found = first_by_position(find_parts(model), SAMPLES, BOOTSTRAP)
    runs = [
        model(input_ids=torch.tensor([s]), output_attentions=True, use_cache=False).attentions
        for s in SAMPLES
    ]
    for layer in range(tiny_models.LAYERS):
        first = np.array([run[layer][0, :, :, 0].numpy() for run in runs])  # (sample, head, query)
        np.testing.assert_allclose(found["first_by_position"].sel(layer=layer), first.mean(0), atol=1e-5)
        of_layer = found.sel(layer=layer)
        np.testing.assert_allclose(of_layer["first_of_layer"], first.mean((0, 1)), atol=1e-5)
    assert int(found["first_of_layer_n"]) == 5


def test_the_interval_is_that_of_the_mean_over_samples():
    """Of means of samples drawn with replacement, drawn here without the library."""
    model = tiny_models.build("gpt2")
    samples = np.random.default_rng(4).integers(0, tiny_models.VOCAB, (40, 14)).tolist()
    found = first_by_position(find_parts(model), samples, Bootstrap(4000, 0.9, 0)).sel(layer=2)
    patterns = [model(input_ids=torch.tensor([s]), output_attentions=True).attentions for s in samples]
    each = np.stack([pattern[2][0, :, :, 0].mean(0) for pattern in patterns])
    drawn = each[np.random.default_rng(9).integers(40, size=(4000, 40))].mean(1)
    low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
    width = (high - low)[1:]
    assert (width > 0).all()
    assert (abs(found["first_of_layer_low"] - low)[1:] < 0.2 * width).all()
    assert (abs(found["first_of_layer_high"] - high)[1:] < 0.2 * width).all()


def test_how_samples_are_batched_changes_nothing():
    parts = find_parts(tiny_models.build("llama"))
    alone, together = (first_by_position(parts, SAMPLES, BOOTSTRAP, max_tokens=most) for most in (1, 1000))
    xr.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)


def test_a_head_that_looks_at_the_first_position_is_seen():
    found = first_by_position(find_parts(slow.looks_at(0)), [[1, 2, 3, 4], [7, 8, 9, 1]], BOOTSTRAP)
    np.testing.assert_allclose(found["first_by_position"], 1, atol=1e-6)
    elsewhere = first_by_position(find_parts(slow.looks_at(1)), [[1, 2, 3, 4]], BOOTSTRAP)
    np.testing.assert_allclose(
        elsewhere["first_of_layer"], [[1, 0, 0, 0]] * elsewhere.sizes["layer"], atol=1e-6
    )
    assert elsewhere["first_of_layer_low"].isnull().all()


def test_a_sample_is_as_long_as_the_model_can_read():
    assert within_context(tiny_models.build("gpt2"), 10_000) == tiny_models.build("gpt2").config.n_positions
    assert within_context(tiny_models.build("gpt2"), 3) == 3
    assert within_context(tiny_models.build("bloom"), 10_000) == 10_000, "ALiBi knows no last position"


@pytest.mark.parametrize("samples", [[], [[1, 2], [1, 2, 3]]])
def test_samples_of_different_lengths_are_refused(samples):
    with pytest.raises(ValueError, match="of one length"):
        first_by_position(find_parts(tiny_models.build("gpt2")), samples, BOOTSTRAP)


def test_it_can_be_written_and_read(tmp_path):
    found = first_by_position(find_parts(tiny_models.build("gpt2")), SAMPLES, BOOTSTRAP)
    slow.check_kept(found, str(tmp_path / "long.nc"))
