import numpy as np
import pytest
import torch
import xarray as xr

from oracles import probes as oracle
from strata import io
from strata.lens.repurposing import SETS, along, analyse, token_sets
from strata.model.norms import Norm
from strata.model.readout import LogitDecoder
from strata.stats.thresholds import LEAST_UNITS

DEPTHS, TOKENS, CHANNELS, VOCAB, M = 4, 600, 32, 200, 4
PLANTED = 2  # the depth at which states lie in the span of unlikely tokens' embeddings
SETTINGS = {"m": M, "max_tokens": TOKENS, "resamples": 200, "interval": 0.9, "seed": 0}


class Alone(dict):
    """Every prompt asks a fact of its own."""

    def __missing__(self, prompt):
        return prompt


def lowest(logits):
    return np.argsort(logits, axis=-1)[..., :M]


def make(seed=0):
    """Random states, but for one depth; an embedding that has nothing to do with the unembedding."""
    rng = np.random.default_rng(seed)
    embedding, unembedding = rng.normal(size=(2, VOCAB, CHANNELS)).astype(np.float32)
    states = rng.normal(size=(DEPTHS, TOKENS, CHANNELS)).astype(np.float32)
    decoder = LogitDecoder(Norm("layer", torch.ones(CHANNELS), None, 1e-5), torch.from_numpy(unembedding) / 2)
    logits = decoder.logits(torch.from_numpy(states[-1])).numpy()
    amounts = rng.normal(size=(TOKENS, M)).astype(np.float32)
    states[PLANTED] = np.einsum("tm,tmc->tc", amounts, embedding[lowest(logits)])
    prompts = np.sort(rng.integers(20, size=TOKENS)).astype(str)
    resid = xr.DataArray(
        states,
        dims=("depth", "token", "channel"),
        coords={"depth": range(DEPTHS), "prompt": ("token", prompts)},
    )
    return resid, decoder, embedding, logits


def test_sets_are_the_extremes_and_random_ones():
    logits = torch.randn(50, VOCAB, generator=torch.Generator().manual_seed(0))
    sets = token_sets(logits, M, torch.Generator().manual_seed(1)).numpy()
    order = np.argsort(logits.numpy(), axis=1)
    for name, expected in (("unlikely", order[:, :M]), ("likely", order[:, -M:])):
        assert (np.sort(sets[SETS.index(name)]) == np.sort(expected)).all()
    random = sets[SETS.index("random")]
    assert all(len(set(row)) == M for row in random)
    assert len(np.unique(random)) > VOCAB / 2  # other ones for each token, from the whole vocabulary


def test_energy_and_cosine_against_least_squares():
    generator = torch.Generator().manual_seed(2)
    states = torch.randn(3, 5, 7, generator=generator, dtype=torch.float64)
    embeddings = torch.randn(5, 4, 7, generator=generator, dtype=torch.float64)
    energy, cosine = along(states, embeddings)
    for depth, token in np.ndindex(3, 5):
        expected = oracle.along(states[depth, token].numpy(), embeddings[token].numpy())
        assert (float(energy[depth, token]), float(cosine[depth, token])) == pytest.approx(expected)


def test_energy_by_hand():
    embeddings = torch.tensor([[[2.0, 0, 0], [1, 1, 0]]])
    energy, cosine = along(torch.tensor([[[3.0, 0, 4]], [[0, 0, 1]], [[0, -2, 0]]]), embeddings)
    np.testing.assert_allclose(energy[:, 0], [0.36, 0, 1], atol=1e-6)
    root = np.sqrt(0.5)
    np.testing.assert_allclose(cosine[:, 0], [(0.6 + 0.6 * root) / 2, 0, -root / 2], atol=1e-6)


def test_planted_energy_is_found_where_it_is():
    resid, decoder, embedding, logits = make()
    found = analyse(resid, Alone(), decoder, embedding, **SETTINGS)
    whole = found["energy"].sel(state="whole")
    unlikely = whole.sel(token_set="unlikely")
    assert float(unlikely.sel(depth=PLANTED)) == pytest.approx(1, abs=1e-5)
    others = [d for d in range(DEPTHS) if d != PLANTED]
    np.testing.assert_allclose(unlikely.sel(depth=others), M / CHANNELS, atol=0.015)
    np.testing.assert_allclose(whole.sel(token_set=["likely", "random"]), M / CHANNELS, atol=0.03)
    assert float(found["random_subspace"]) == M / CHANNELS
    probability = torch.from_numpy(logits).double().softmax(-1).numpy()
    largest = np.take_along_axis(probability, lowest(logits), 1).max(1)
    for name, expected in (("median", np.median(largest)), ("max", largest.max())):
        assert float(found[f"p_unlikely_{name}"]) == pytest.approx(expected, rel=1e-4, abs=0)


def test_values_are_means_of_prompts_about_the_mean_state(monkeypatch):
    monkeypatch.setattr("strata.lens.repurposing.PIECE_VALUES", 100 * DEPTHS * CHANNELS)
    resid, decoder, embedding, logits = make()
    found = analyse(resid.transpose("token", ...), Alone(), decoder, embedding, **SETTINGS, tile=37)
    states = resid.values.astype(float)
    for state, shown in (("whole", states), ("centred", states - states.mean(1, keepdims=True))):
        each = [oracle.along(shown[1, t], embedding[lowest(logits)[t]]) for t in range(TOKENS)]
        for name, values in zip(("energy", "cosine"), zip(*each, strict=True), strict=True):
            expected = oracle.mean_over_prompts(values, resid["prompt"].values)
            part = found.sel(token_set="unlikely", state=state, depth=1)
            assert float(part[name]) == pytest.approx(expected, abs=1e-6)
            assert part[f"{name}_low"] < part[name] < part[f"{name}_high"]


def test_a_vector_in_all_states_is_seen_whole_and_not_centred():
    resid, decoder, embedding, _ = make()
    moved = resid.copy()
    moved[1] += 30 * embedding.mean(0)
    before, after = (analyse(r, Alone(), decoder, embedding, **SETTINGS)["energy"] for r in (resid, moved))
    centred = {"state": "centred"}
    np.testing.assert_allclose(after.sel(centred), before.sel(centred), atol=1e-4)
    moves = abs(after - before).sel(state="whole", token_set="random")
    assert float(moves.sel(depth=1)) > 0.02 and float(moves.drop_sel(depth=1).max()) == 0


def test_the_last_depth_points_away_from_what_it_makes_unlikely():
    resid, decoder, _, _ = make()
    tied = decoder.unembedding.numpy()
    cosine = analyse(resid, Alone(), decoder, tied, **SETTINGS)["cosine"].sel(state="whole", depth=DEPTHS - 1)
    unlikely, likely, random = (float(cosine.sel(token_set=name)) for name in SETS)
    assert unlikely < -0.2 and likely > 0.2 and abs(random) < 0.02


def test_intervals_come_from_prompts():
    resid, decoder, embedding, _ = make()
    alone = analyse(
        resid.assign_coords(prompt=("token", ["p"] * TOKENS)), Alone(), decoder, embedding, **SETTINGS
    )
    assert alone["energy_low"].isnull().all() and alone["energy"].notnull().all()

    def copies(n):
        """As many prompts that are the same."""
        same = xr.concat([resid.isel(token=slice(30))] * n, dim="token", join="exact")
        same = same.assign_coords(prompt=("token", np.repeat(np.arange(n), 30).astype(str)))
        return analyse(same, Alone(), decoder, embedding, **SETTINGS).sel(token_set="unlikely")

    same, few = copies(LEAST_UNITS), copies(LEAST_UNITS - 1)
    for end in ("low", "high"):
        np.testing.assert_allclose(same[f"energy_{end}"], same["energy"], atol=1e-6)
    assert same["energy"].notnull().all() and int(same["n_prompts"]) == LEAST_UNITS
    assert few["energy_low"].isnull().all() and int(few["n_prompts"]) == LEAST_UNITS - 1


def test_prompts_of_one_fact_are_drawn_together():
    """Of two halves of a prompt that ask one fact the interval is that of whole prompts; apart it is not."""
    resid, decoder, embedding, _ = make()
    halves = resid.assign_coords(
        prompt=("token", np.char.add(resid["prompt"].values, np.where(np.arange(TOKENS) % 2, "x", "y")))
    )
    # Tokens of a prompt are alike, so that halves of it are.
    halves[1] += 3 * embedding[:20][np.unique(resid["prompt"], return_inverse=True)[1]]
    facts = {name: name[:-1] for name in halves["prompt"].values}
    apart, together = (
        analyse(halves, kin, decoder, embedding, **SETTINGS).sel(state="whole", token_set="random", depth=1)
        for kin in (Alone(), facts)
    )
    assert apart["cosine"] == together["cosine"] and apart["n_prompts"] == together["n_prompts"] == 40
    widths = [float(found["cosine_high"] - found["cosine_low"]) for found in (apart, together)]
    assert widths[0] < 0.85 * widths[1]
    few = {name: str(int(fact) % (LEAST_UNITS - 1)) for name, fact in facts.items()}
    assert analyse(halves, few, decoder, embedding, **SETTINGS)["cosine_low"].isnull().all()


def test_tokens_are_sampled_and_the_result_can_be_written(tmp_path):
    resid, decoder, embedding, _ = make()
    settings = SETTINGS | {"max_tokens": 90, "m": None}
    few, again, other = (
        analyse(resid, Alone(), decoder, embedding, **settings | {"seed": s}) for s in (1, 1, 2)
    )
    assert int(few["n_tokens"]) == 90 and int(few["m"]) == CHANNELS // 8
    assert int(few["n_prompts"]) > 15  # from all of the tokens
    xr.testing.assert_identical(few, again)
    assert not few["energy"].equals(other["energy"])
    io.write_dataset(few, tmp_path / "repurposing.nc")
    with io.open_dataset(tmp_path / "repurposing.nc") as read:
        xr.testing.assert_equal(read.load(), few)


@pytest.mark.parametrize(
    "changed,told",
    [
        ({"m": 32}, "m is in 1..31, not 32"),
        ({"max_tokens": 0}, "max_tokens=0"),
        ({"interval": 0}, "interval=0"),
    ],
)
def test_impossible_arguments_are_refused(changed, told):
    resid, decoder, embedding, _ = make()
    with pytest.raises(ValueError, match=told):
        analyse(resid, Alone(), decoder, embedding, **SETTINGS | changed)
