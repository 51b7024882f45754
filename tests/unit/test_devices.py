"""A model on a GPU, and one spread over several devices, says what it says whole on the CPU."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from oracles import tiny_models
from oracles.captured import activations_of, decoder_of
from oracles.noised import IDS, noised
from strata.attention.long_text import first_by_position
from strata.attention.over_text import over_text, variability
from strata.keys.triggers import find_triggers
from strata.lens import jacobian, mixing, tuned
from strata.lens.extended import carry_through
from strata.lens.readout import carry_by, read_activations
from strata.lens.stream import stream_depths
from strata.model import loading
from strata.model.architecture import find_parts
from strata.model.attribution import attribute
from strata.model.capture import capture_documents
from strata.model.continuations import continuations
from strata.probes.linear import Moments, fit_better
from strata.stats.bootstrap import Bootstrap
from strata.trace.approximate import approximate
from strata.trace.corruption import noise_levels
from strata.trace.sites import WHATS, of_heads, restoration
from strata.trace.sweep import trace_prompts

FAMILIES = ["gpt2", "llama", "gemma3", "opt-350m", "gpt-neox", "bloom"]
DOCUMENTS = [[5, 17, 3, 60, 2, 44, 9, 1], [7, 7, 2, 90, 33, 12], [4, 50, 6, 8, 1, 1, 2, 9]]
BOOTSTRAP = Bootstrap(5, 0.9, 0)
NO_GPU = "there is no GPU here"
CLOSE = {"atol": 2e-3, "rtol": 2e-3}
"""float32 on both sides; products are summed in another order."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of a tiny model, saved when it is first asked for."""

    def saved(name):
        path = tmp_path_factory.getbasetemp() / name
        if not path.exists():
            tiny_models.build(name).save_pretrained(path)
        return str(path)

    return saved


def model_bytes(name):
    return sum(p.numel() * p.element_size() for p in tiny_models.build(name).parameters())


@pytest.fixture(params=["CPU and disk", "GPU", "GPU, memory and disk", "CPU and GPU"])
def moved(request, monkeypatch, folder):
    """Loads a tiny model in one of these ways."""
    if "GPU" in request.param and not torch.cuda.is_available():
        pytest.skip(NO_GPU)

    def load(name):
        source, size = folder(name), model_bytes(name)
        if request.param == "GPU":
            return loading.load_model(source, device="cuda")
        if request.param == "CPU and GPU":
            return over_both(source)
        room = {
            "CPU and disk": {"cpu": int(0.6 * size)},
            "GPU, memory and disk": {0: int(0.6 * size), "cpu": size // 5},
        }[request.param]
        monkeypatch.setattr(loading, "_room", lambda: room)
        model = loading.load_model(source, device="auto")
        assert "disk" in set(model.hf_device_map.values())
        return model

    return load


def over_both(source):
    """Blocks run in turn on the CPU and on the GPU: what two GPUs would do."""
    from accelerate import dispatch_model

    model = loading.load_model(source)
    blocks = {id(block): layer for layer, block in enumerate(find_parts(model).blocks)}
    places = {
        name: 0 if id(module) in blocks and blocks[id(module)] % 2 else "cpu"
        for name, module in model.named_modules()
        if id(module) in blocks or not list(module.children()) and not _inside(name, model, blocks)
    }
    return dispatch_model(model, places, main_device="cpu")


def _inside(name, model, blocks):
    parents = [name.rsplit(".", n)[0] for n in range(1, name.count(".") + 1)]
    return any(id(model.get_submodule(parent)) in blocks for parent in parents)


def close(found, expected):
    torch.testing.assert_close(found.cpu(), expected.cpu(), equal_nan=True, **CLOSE)


def same(found, expected):
    for name, values in expected.items():
        np.testing.assert_allclose(found[name].values, values.values, err_msg=name, **CLOSE)


@pytest.mark.parametrize("name", FAMILIES)
def test_traces(name, moved):
    here, there = find_parts(tiny_models.build(name)), find_parts(moved(name))
    width = here.token_embedding.embedding_dim
    prompts = [
        noised(IDS[:6], subject=(2,), others=[(40,)], completions=(8, 71), width=width),
        noised(IDS[::-1], subject=(1, 2), seed=1, width=width),
    ]
    chosen = {what: restoration(what, here.n_layers, 3, "code") for what in WHATS}
    expected, found = (trace_prompts(parts, prompts, chosen) for parts in (here, there))
    for what in WHATS:
        for one, other in zip(found[what], expected[what], strict=True):
            for field in ("restored", "corrupted", "clean"):
                close(getattr(one, field), getattr(other, field))
    for one, other in zip(*(approximate(parts, prompts) for parts in (there, here)), strict=True):
        for field in ("restored", "corrupted", "clean"):
            close(getattr(one, field), getattr(other, field))
    levels = [noise_levels(parts, IDS, [], [3])["3x"] for parts in (here, there)]
    assert levels[0] == pytest.approx(levels[1], rel=1e-4)


@pytest.mark.parametrize("name", FAMILIES)
def test_activations_and_continuations(name, moved):
    here, there = find_parts(tiny_models.build(name)), find_parts(moved(name))
    expected, found = (dict(capture_documents(parts, DOCUMENTS)) for parts in (here, there))
    for document, arrays in expected.items():
        for kind, values in arrays.items():
            np.testing.assert_allclose(found[document][kind], values, equal_nan=True, err_msg=kind, **CLOSE)
    expected, found = (continuations(parts, DOCUMENTS, [[3], [4, 5], [6]]) for parts in (here, there))
    for one, other in zip(found, expected, strict=True):
        assert one.p_target == pytest.approx(other.p_target, rel=1e-3)


@pytest.mark.parametrize("name", FAMILIES)
def test_heads_and_attribution(name, moved):
    here, there = find_parts(tiny_models.build(name)), find_parts(moved(name))
    prompt = noised(IDS[:6], subject=(2,), width=here.token_embedding.embedding_dim)
    chosen = {"heads": of_heads(here.n_layers, here.n_heads)}
    expected, found = (trace_prompts(parts, [prompt], chosen)["heads"][0] for parts in (here, there))
    close(found.restored, expected.restored)
    prompts = pd.DataFrame({"id": list("abc"), "category": "x", "fact": list("abc"), "target_id": [3, 4, 6]})
    same(*(attribute(parts, DOCUMENTS, prompts) for parts in (there, here)))


@pytest.mark.parametrize("name", ["gpt2", "gemma3", "opt-350m"])
@pytest.mark.parametrize("decoder", ["logit", "extended", "jacobian"])
@pytest.mark.parametrize("updates", [False, True])
def test_lenses(name, decoder, updates, moved):
    def read(parts):
        own = decoder_of(here).to(parts.device)
        carry = {
            "logit": lambda: carry_by(n_layers=parts.n_layers),
            "extended": lambda: carry_through(parts, 2),
            "jacobian": lambda: carry_by(jacobian.fit(parts, DOCUMENTS, 2), n_layers=parts.n_layers),
        }[decoder]()
        return read_activations(activations_of(here, IDS), own, carry, np.array([*IDS[1:], -1]), 3, updates)

    here, there = find_parts(tiny_models.build(name)), find_parts(moved(name))
    expected, found = read(here), read(there)
    for field in ("top_logit", "entropy", "kl_final", "kl_input", "logprob_target"):
        close(found[field], expected[field])


@pytest.mark.parametrize("name", FAMILIES)
def test_mixed_states(name, moved):
    here, there = find_parts(tiny_models.build(name)), find_parts(moved(name))
    places = mixing.draw_places(DOCUMENTS, 2, 2, 0)
    options = {"depths": [0, 3], "shares": [0.5], "horizon": 2}
    same(*(mixing.losses(parts, DOCUMENTS, places, **options) for parts in (there, here)))


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_attention_over_text_and_triggers(name, moved):
    here, there = find_parts(tiny_models.build(name)), find_parts(moved(name))
    for measure in (
        lambda parts: over_text(parts, DOCUMENTS, 2, BOOTSTRAP),
        lambda parts: first_by_position(parts, [d[:6] for d in DOCUMENTS], BOOTSTRAP),
        lambda parts: variability(parts, DOCUMENTS, 5),
    ):
        same(measure(there), measure(here))
    text = xr.Dataset(
        coords={
            "token_id": ("token", sum(DOCUMENTS, [])),
            "document": ("token", np.repeat(range(len(DOCUMENTS)), [*map(len, DOCUMENTS)])),
            "position": ("token", [p for document in DOCUMENTS for p in range(len(document))]),
        }
    )
    expected, found = (find_triggers(parts, text, n_keys=4, k=2, seed=0) for parts in (here, there))
    same(found[["activation"]], expected[["activation"]])


@pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_GPU)
def test_fits():
    torch.manual_seed(0)
    states, labels = torch.randn(400, 12), torch.randint(5, (400,))
    states += 2 * torch.nn.functional.one_hot(labels, 12)

    def probe(device):
        x, y = states.to(device), labels.to(device)
        moments = Moments.of(x[:300], y[:300], 5)
        return fit_better(moments, np.arange(5), (x[:300], y[:300]), (x[300:], y[300:]), 2, 0)[0]

    close(probe("cuda").weight, probe("cpu").weight)
    parts = find_parts(tiny_models.build("gpt2"))
    depths = stream_depths(parts.n_layers)
    decoder = decoder_of(parts)
    stream = torch.randn(len(depths), 200, parts.n_channels)

    def maps(device):
        own = decoder.to(device)

        def batches():
            return iter(stream.to(device).split(100, 1))

        return tuned.fit(batches, batches, own, depths, 5, 0.02)

    close(maps("cuda").weight, maps("cpu").weight)
