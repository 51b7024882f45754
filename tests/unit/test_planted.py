"""Traces of models in which it is known on paper where the answer is written and where it moves."""

import numpy as np
import pytest
import torch
import xarray as xr

from oracles import planted
from strata.model.architecture import find_parts
from strata.trace.corruption import REPLACED, Prompt
from strata.trace.sites import restoration
from strata.trace.sweep import trace_prompts
from strata.trace.transition import transition_depth

IDS, SUBJECT = [3, 7, 11, 2, 5], 1
LAST = len(IDS) - 1
OTHERS = [t for t in range(planted.VOCAB) if t not in IDS][:4]
SAME = {"atol": 1e-5, "rtol": 1e-5}


def prompt(target_id: int) -> Prompt:
    """Noise that turns the subject into another token, a different one each time, and these tokens."""
    noise = np.zeros((2 * len(OTHERS), 1, planted.WIDTH), "f4")
    noise[: len(OTHERS), 0, IDS[SUBJECT]] = -1.0
    noise[range(len(OTHERS)), 0, OTHERS] = 1.0
    return Prompt(
        input_ids=IDS,
        subject=[SUBJECT],
        labels=[(level, sample) for level in ("1", REPLACED) for sample in range(len(OTHERS))],
        corrupted_ids=np.array([[IDS[SUBJECT]]] * len(OTHERS) + [[other] for other in OTHERS]),
        noise=noise,
        target_id=target_id,
    )


def probabilities(model, target_id: int, what: str = "state"):
    """Of the target: restored (row, site, position), corrupted (row), clean."""
    chosen = {what: restoration(what, planted.LAYERS)}
    [trace] = trace_prompts(find_parts(model), [prompt(target_id)], chosen)[what]
    p, corrupted, clean = (of[0].exp() for of in (trace.restored, trace.corrupted, trace.clean))
    assert clean > 0.95 and (corrupted < 0.1).all()
    return p, corrupted, clean


def is_clean_at(sites: set[tuple[int, int]], p, corrupted, clean):
    """The clean value at these (site, position), the corrupted one at all others from the subject on."""
    for site in range(planted.LAYERS):
        for position in range(SUBJECT, len(IDS)):
            expected = clean.expand(len(p)) if (site, position) in sites else corrupted
            torch.testing.assert_close(p[:, site, position], expected, **SAME, msg=f"{site}, {position}")


@pytest.mark.parametrize("layer", range(planted.LAYERS))
def test_trace_switches_at_the_layer_of_transfer(layer):
    model = planted.one_transfer(layer, LAST, SUBJECT)
    # Depth d enters block d: up to the moving block the subject holds the answer, after it the last token.
    sites = {(d, SUBJECT) for d in range(layer + 1)} | {(d, LAST) for d in range(layer + 1, planted.LAYERS)}
    is_clean_at(sites, *probabilities(model, IDS[SUBJECT]))


@pytest.mark.parametrize("layer", range(planted.LAYERS))
def test_only_the_attention_that_moves_the_answer_restores_it(layer):
    model = planted.one_transfer(layer, LAST, SUBJECT)
    is_clean_at({(layer, LAST)}, *probabilities(model, IDS[SUBJECT], "attn"))
    is_clean_at(set(), *probabilities(model, IDS[SUBJECT], "mlp"))


@pytest.mark.parametrize(("layer", "transfer"), [(0, 1), (1, 4), (2, 5)])
class TestFactWrittenByOneMlp:
    """The subject's state holds its name, from the MLP on the answer too, which attention moves."""

    def traced(self, layer, transfer, what):
        model = planted.fact_in_mlp(layer, transfer, LAST, SUBJECT)
        return probabilities(model, planted.fact(IDS[SUBJECT]), what)

    def state_sites(self, first, transfer):
        """The subject from a depth to the transfer, the last token after it."""
        subject = {(depth, SUBJECT) for depth in range(first, transfer + 1)}
        return subject | {(depth, LAST) for depth in range(transfer + 1, planted.LAYERS)}

    def test_state(self, layer, transfer):
        is_clean_at(self.state_sites(0, transfer), *self.traced(layer, transfer, "state"))

    def test_only_that_mlp_at_the_subject_restores_it(self, layer, transfer):
        is_clean_at({(layer, SUBJECT)}, *self.traced(layer, transfer, "mlp"))

    def test_only_that_attention_at_the_end_restores_it(self, layer, transfer):
        is_clean_at({(transfer, LAST)}, *self.traced(layer, transfer, "attn"))

    def test_severing_mlps_kills_what_comes_before_the_mlp(self, layer, transfer):
        sites = self.state_sites(layer + 1, transfer)
        is_clean_at(sites, *self.traced(layer, transfer, "state_severed_mlp"))

    def test_severing_attention_at_the_subject_changes_nothing(self, layer, transfer):
        sites = self.state_sites(0, transfer)
        is_clean_at(sites, *self.traced(layer, transfer, "state_severed_attn"))


def test_transition_depth_lies_between_the_transfer_and_the_next_depth():
    layer = 2
    p, corrupted, clean = probabilities(planted.one_transfer(layer, LAST, SUBJECT), IDS[SUBJECT])
    lift = (p.mean(0) - corrupted.mean()) / (clean - corrupted.mean())
    restored = xr.DataArray(
        np.stack([lift[:, SUBJECT], lift[:, LAST]]),
        dims=("site", "depth"),
        coords={"site": ["subject", "final"], "depth": range(planted.LAYERS)},
    )
    depth = float(transition_depth(restored)["transition_depth"])
    assert depth == pytest.approx(layer + 0.5, abs=0.01)
