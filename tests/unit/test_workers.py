"""Threads that run one model side by side."""

import threading

import pytest
import torch

from oracles import tiny_models
from oracles import trace as oracle
from oracles.noised import IDS, noised
from strata.lens import jacobian
from strata.model.architecture import changed, find_parts
from strata.model.workers import working
from strata.trace.sites import of_heads, restoration
from strata.trace.sweep import _places, trace_prompts

TWO = torch.tensor([IDS[:2]])


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def parts():
    return find_parts(tiny_models.build("gpt2"))


def test_each_has_its_own_modules_and_the_same_weights(parts):
    with working(parts) as workers:
        met = threading.Barrier(2, timeout=60)

        def meet(own, _):
            met.wait()
            return own

        first, second = workers.map(meet, range(2))
    models = [parts.model, first.model, second.model]
    for one, other in [(0, 1), (0, 2), (1, 2)]:
        pairs = [*zip(models[one].parameters(), models[other].parameters(), strict=True)]
        assert pairs and all(own is others for own, others in pairs)
        assert not set(models[one].modules()) & set(models[other].modules())


def test_what_one_changes_no_other_sees(parts):
    """Each holds an MLP's output at its own number while the other does the same."""
    together = threading.Barrier(2, timeout=60)
    hidden = torch.zeros(1, 2, parts.n_channels)

    def run(own, number):
        with changed(own.mlp_outs[0], lambda added: torch.full_like(added, number)):
            together.wait()
            made = own.run_block(0, hidden, 0)
            together.wait()
        return made

    with working(parts) as workers:
        three, five = workers.map(run, [3.0, 5.0])
    torch.testing.assert_close(five - three, torch.full_like(three, 2))


def test_results_come_in_order_without_gradients_and_on_one_thread_each(parts):
    with working(parts) as workers, torch.inference_mode():
        assert workers.n == 2
        found = [*workers.map(lambda own, n: (n, torch.get_num_threads(), own.embed(TWO)), range(9))]
    assert [n for n, *_ in found] == [*range(9)]
    assert {threads for _, threads, _ in found} == {1}
    assert all(states.is_inference() for *_, states in found)
    assert torch.get_num_threads() == 2


def test_an_error_of_one_is_raised_and_what_has_not_begun_is_not_done(parts):
    done = []

    def fail(own, n):
        done.append(n)
        raise ValueError(f"no {n}")

    with pytest.raises(ValueError, match="no 0"), working(parts) as workers:
        list(workers.map(fail, range(1000)))
    assert len(done) < 1000
    assert torch.get_num_threads() == 2


def test_one_where_torch_has_one_thread_or_the_model_is_elsewhere(parts):
    torch.set_num_threads(1)
    with working(parts) as workers:
        assert workers.n == 1
        assert [*workers.map(lambda own, n: own, range(2))] == [parts, parts]
    torch.set_num_threads(2)
    with working(find_parts(tiny_models.build("gpt2").to("meta"))) as workers:
        assert workers.n == 1


@pytest.mark.parametrize("name", tiny_models.NAMES)
def test_traces_agree_with_one_forward_per_site(name):
    parts = find_parts(tiny_models.build(name))
    width = parts.token_embedding.embedding_dim
    prompts = [noised(IDS[:5], (2,), samples=3, width=width), noised(IDS[1:6], (1, 2), seed=1, width=width)]
    whats = {"state": "state", "attn": "attn", "state_severed_mlp": "state_severed_mlp", "heads": 1}
    chosen = {what: restoration(what, parts.n_layers, 2) for what in whats if what != "heads"}
    chosen["heads"] = of_heads(parts.n_layers, parts.n_heads)
    found = trace_prompts(parts, prompts, chosen)
    for what, of_oracle in whats.items():
        for prompt, trace in zip(prompts, found[what], strict=True):
            restored, *_ = oracle.trace(parts, prompt, of_oracle, 2)
            restored[..., : prompt.subject[0]] = torch.nan
            own = trace.restored[:, :, 1 :: parts.n_heads] if what == "heads" else trace.restored
            torch.testing.assert_close(own, restored, equal_nan=True, atol=5e-5, rtol=1e-5)


def test_more_threads_than_there_is_to_trace(parts):
    torch.set_num_threads(30)
    prompt = noised(IDS[:3], (2,), samples=1)
    [trace] = trace_prompts(parts, [prompt], {"state": restoration("state", parts.n_layers)})["state"]
    restored, *_ = oracle.trace(parts, prompt, "state")
    torch.testing.assert_close(trace.restored[..., 2], restored[..., 2], equal_nan=True, atol=5e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["gpt2", "gemma3"])
def test_jacobians_are_those_of_one_thread(name):
    """Of documents that go through the model together, and of one that goes alone."""
    parts = find_parts(tiny_models.build(name))
    documents = [IDS, IDS[1:], IDS[::-1] * 3]
    by_two = jacobian.fit(parts, documents, skip=1, max_tokens=16)
    torch.set_num_threads(1)
    by_one = jacobian.fit(parts, documents, skip=1, max_tokens=16)
    torch.testing.assert_close(by_two.weight, by_one.weight)
    assert by_one.weight.abs().max() > 0.1


@pytest.mark.parametrize("n", [1, 2, 3, 16])
def test_every_row_of_every_position_is_in_one_place_and_none_is_more_than_a_share(n):
    torch.manual_seed(0)
    traced_at = torch.rand(7, 12) < 0.6
    places = _places(traced_at, n)
    again = torch.zeros_like(traced_at, dtype=torch.long)
    for position, rows in places:
        again[rows, position] += 1
    assert torch.equal(again, traced_at.long())
    states = [len(rows) * (12 - position) for position, rows in places]
    assert states == sorted(states, reverse=True)
    # With one row less, since rows are not divided.
    least = [size - (12 - position) for size, (position, _) in zip(states, places, strict=True)]
    assert max(least) < sum(states) / n
    if n == 1:
        assert len(places) == traced_at.any(0).sum()
