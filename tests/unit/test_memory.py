"""Where memory runs out, less goes together, the results are the same, and the log says so."""

import numpy as np
import pytest
import torch
import xarray as xr

from oracles import tiny_models
from oracles.captured import decoder_of
from oracles.noised import IDS, noised
from strata.lens import readout
from strata.model import capture
from strata.model.architecture import find_parts
from strata.model.memory import Fitting
from strata.trace import sweep
from strata.trace.sites import restoration

ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory."),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    MemoryError(),
]
DOCUMENTS = [IDS, IDS[:5], IDS[1:6], IDS[2:], IDS[:5]]


@pytest.fixture(scope="module")
def parts():
    return find_parts(tiny_models.build("gpt2"))


@pytest.fixture(params=ERRORS, ids=lambda error: type(error).__name__)
def error(request):
    return request.param


def for_few(function, how_many, room, error):
    """The function, with room for so few; and what it was given."""
    given = []

    def narrow(*args, **options):
        given.append(how_many(*args))
        if given[-1] > room:
            raise error
        return function(*args, **options)

    return narrow, given


def test_parts_are_halved_once_and_stay_small(error, caplog):
    do, given = for_few(list, len, 2, error)
    fitting = Fitting("letters")
    assert list(fitting(do, "abcdefg")) == [(s, list(s)) for s in ("a", "b", "c", "d", "e", "f", "g")]
    assert given == [7, 3, *[1] * 7]
    assert list(fitting(do, "xy")) == [("x", ["x"]), ("y", ["y"])]
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "memory ran out: letters go 3 at a time, not 7",
        "memory ran out: letters go 1 at a time, not 3",
    ]


def test_one_alone_that_has_no_room_and_other_errors_are_raised(error):
    with pytest.raises(type(error)):
        list(Fitting("letters")(for_few(list, len, 0, error)[0], "abc"))
    with pytest.raises(RuntimeError, match="shapes"):
        list(Fitting("letters")(for_few(list, len, 0, RuntimeError("shapes"))[0], "abc"))


def test_documents_leave_the_same_in_smaller_batches(parts, monkeypatch, caplog, error):
    whole = dict(capture.capture_documents(parts, DOCUMENTS))
    narrow, given = for_few(capture.capture, lambda parts, ids, *_: len(ids), 2, error)
    monkeypatch.setattr(capture, "capture", narrow)
    apart = dict(capture.capture_documents(parts, DOCUMENTS))
    assert given[0] > 2 >= given[-1] and "documents go" in caplog.text and apart.keys() == whole.keys()
    for index, found in apart.items():
        for name, values in whole[index].items():
            np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-6, err_msg=name)


def test_prompts_are_read_out_alike_in_smaller_pieces(parts, monkeypatch, caplog, error):
    taken = [taken for _, taken in sorted(capture.capture_documents(parts, DOCUMENTS), key=lambda of: of[0])]
    kept = {
        name: (capture.LAYOUT[name], np.concatenate([each[name] for each in taken], axis=1))
        for name in ("resid", "attn_out", "mlp_out")
    }
    tokens = [token for document in DOCUMENTS for token in document]
    names = np.repeat(list("abcde"), list(map(len, DOCUMENTS)))
    activations = xr.Dataset(kept, {"prompt": ("token", names), "token_id": ("token", tokens)})
    carry, targets = readout.carry_by(n_layers=parts.n_layers), np.append(tokens[1:], -1)
    what = (activations, decoder_of(parts), carry, targets, 3)
    whole = readout.read_activations(*what)
    narrow, given = for_few(readout.read_out, lambda states, *_: states.shape[1], 13, error)
    monkeypatch.setattr(readout, "read_out", narrow)
    apart = readout.read_activations(*what)
    assert given[0] == len(tokens) and max(given[1:]) <= 13 and "prompts go 2 at a time" in caplog.text
    for name, values in whole.items():
        torch.testing.assert_close(apart[name], values, rtol=1e-4, atol=1e-5, equal_nan=True, msg=name)


def test_traces_are_the_same_in_smaller_batches(parts, monkeypatch, caplog, error):
    prompts = [noised(seed=seed) for seed in range(3)]
    chosen = {"state": restoration("state", parts.n_layers, 1)}
    whole = sweep.trace_prompts(parts, prompts, chosen)["state"]
    narrow, given = for_few(sweep.run, lambda parts, prompts, _: len(prompts), 1, error)
    monkeypatch.setattr(sweep, "run", narrow)
    apart = sweep.trace_prompts(parts, prompts, chosen)["state"]
    assert given == [3, 1, 1, 1] and "prompts go 1 at a time" in caplog.text
    for found, expected in zip(apart, whole, strict=True):
        torch.testing.assert_close(found.restored, expected.restored, rtol=1e-4, atol=1e-5, equal_nan=True)
        torch.testing.assert_close(found.corrupted, expected.corrupted, rtol=1e-4, atol=1e-5, equal_nan=True)
