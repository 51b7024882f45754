import numpy as np
import pytest
import torch

from oracles import tiny_models
from oracles import trace as oracle
from strata.architecture import find_parts
from strata.trace import seeded_noise, trace_states

IDS = [5, 17, 3, 60, 2, 44, 9]
TARGET = 31


def noise_for(subject, samples=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(samples, len(subject), tiny_models.WIDTH, generator=generator)


@pytest.mark.parametrize("subject", [[1], [2, 3], [5]])
@pytest.mark.parametrize("name", tiny_models.NAMES)
def test_sweep_agrees_with_one_forward_per_site(name, subject):
    model = tiny_models.build(name)
    parts = find_parts(model)
    noise = noise_for(subject)
    swept = trace_states(parts, IDS, subject, TARGET, noise)
    restored, corrupted, clean = oracle.trace_states(
        model, parts.token_embedding, parts.blocks, IDS, subject, TARGET, noise
    )
    first = subject[0]
    torch.testing.assert_close(swept.logp_restored[..., first:], restored[..., first:], atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(swept.logp_corrupted, corrupted, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(swept.logp_clean, clean, atol=2e-5, rtol=1e-5)
    assert swept.logp_restored[..., :first].isnan().all()
    # The sweep leaves out what comes before the subject because it equals the corrupted run there.
    before = restored[..., :first]
    torch.testing.assert_close(before, corrupted[:, None, None].expand_as(before), atol=2e-5, rtol=1e-5)
    # The noise must have done something, or all of this is empty.
    assert (corrupted - clean).abs().max() > 0.01


def test_small_pieces_change_nothing():
    parts = find_parts(tiny_models.build("gpt2"))
    noise = noise_for([2])
    whole = trace_states(parts, IDS, [2], TARGET, noise)
    pieces = trace_states(parts, IDS, [2], TARGET, noise, max_rows=1)
    torch.testing.assert_close(
        pieces.logp_restored, whole.logp_restored, equal_nan=True, atol=1e-5, rtol=1e-5
    )


def test_no_noise_is_the_clean_run_everywhere():
    parts = find_parts(tiny_models.build("llama"))
    trace = trace_states(parts, IDS, [2], TARGET, torch.zeros(2, 1, tiny_models.WIDTH))
    values = trace.logp_restored[..., 2:]
    torch.testing.assert_close(values, trace.logp_clean.expand_as(values), atol=1e-5, rtol=1e-5)


def test_restoring_the_noised_embedding_or_the_last_state_gives_clean():
    parts = find_parts(tiny_models.build("ctrl"))
    trace = trace_states(parts, IDS, [2], TARGET, noise_for([2]))
    clean = trace.logp_clean.expand(3)
    torch.testing.assert_close(trace.logp_restored[:, 0, 2], clean, atol=1e-5, rtol=1e-5)
    assert (trace.logp_restored[:, -1, -1] - clean).abs().max() > 1e-4  # the last block still mixes


def test_the_model_is_left_as_it_was():
    model = tiny_models.build("gpt2")
    ids = torch.tensor([IDS])
    before = model(input_ids=ids).logits
    trace_states(find_parts(model), IDS, [2], TARGET, noise_for([2]))
    assert torch.equal(model(input_ids=ids).logits, before)


def test_noise_depends_on_prompt_sample_and_seed_alone():
    draw = seeded_noise("capital-france", 3, 0, (1, 8))
    assert np.array_equal(draw, seeded_noise("capital-france", 3, 0, (1, 8)))
    for other in (("capital-japan", 3, 0), ("capital-france", 4, 0), ("capital-france", 3, 1)):
        assert not np.array_equal(draw, seeded_noise(*other, (1, 8)))
    many = np.concatenate([seeded_noise("p", s, 0, (1, 100)) for s in range(200)])
    assert abs(many.mean()) < 0.03 and abs(many.std() - 1) < 0.03
