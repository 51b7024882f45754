import numpy as np
import pytest

from oracles import tiny_models
from oracles.noised import IDS, TARGET, noised, table
from strata import io
from strata.model.architecture import find_parts
from strata.model.slices import written_sizes
from strata.trace.averages import average_heads
from strata.trace.heads import trace_heads
from strata.trace.neuron_groups import NeuronGroups
from strata.trace.neurons import trace_neurons
from strata.trace.sites import of_neurons
from strata.trace.sweep import trace_prompts

PROMPTS = [noised(IDS[:5], subject=(2,)), noised(IDS[:4], subject=(1,), seed=1), noised(IDS[:6], (3,))]
ROWS = [("a", "x", 2, 2, TARGET), ("b", "y", 1, 1, TARGET), ("c", "x", 3, 3, TARGET)]
STRINGS = [["t"] * len(prompt.input_ids) for prompt in PROMPTS]
LEVELS = {"1": 1.0}


def rows():
    return table(ROWS, n_tokens=[5, 4, 6], target="t", top_str="t")


@pytest.fixture(scope="module")
def parts():
    return find_parts(tiny_models.build("llama"))


def test_groups_of_neurons_are_labelled(parts):
    """Every site of the sweep is where its labels say."""
    found = trace_neurons(parts, rows(), PROMPTS, STRINGS, 3, 5, LEVELS)
    assert found["p_target"].dims == ("neuron_group", "prompt", "noise", "sample", "layer", "position")
    assert found["neuron_group"].values.tolist() == ["1", "2", "3", "random"]
    sizes = [written_sizes(parts, layer) for layer in range(parts.n_layers)]
    chosen = of_neurons(NeuronGroups(sizes, 3, 5))
    traces = trace_prompts(parts, PROMPTS, {"n": chosen}, everywhere=())["n"]
    for index, (trace, prompt) in enumerate(zip(traces, PROMPTS, strict=True)):
        width = len(prompt.input_ids)
        for layer, group in np.ndindex(tiny_models.LAYERS, 4):
            at = found.isel(neuron_group=group, prompt=index, noise=0, layer=layer)
            own = trace.restored[:, :, 4 * layer + group].numpy()
            np.testing.assert_array_equal(at["p_target"][:, :width], np.exp(own[0]))
            np.testing.assert_array_equal(at["logit_difference"][:, :width], own[1])
        np.testing.assert_allclose(found["p_clean"][index], np.exp(trace.clean[0].numpy()), rtol=1e-6)


def test_with_no_prompts_nothing_is_traced_and_the_file_says_so(parts, tmp_path):
    none = rows()[:0], [], []
    for name, found, along in (
        ("heads", trace_heads(parts, *none, LEVELS), "head"),
        ("neurons", trace_neurons(parts, *none, 3, 5, LEVELS), "neuron_group"),
    ):
        path = str(tmp_path / f"{name}.nc")
        io.write_dataset(found, path, model={})
        read = io.open_dataset(path)
        averages = average_heads(read, along, min_gap=0.5, n_resamples=10, interval=0.9, seed=0)
        assert not averages.data_vars and name in averages.attrs["not_traced"]
