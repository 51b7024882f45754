import numpy as np
import pytest
import torch
import xarray as xr
from sklearn.covariance import oas
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from oracles import intervals
from oracles import probes as oracle
from strata import io
from strata.probes.bases import alignment, weight_shares
from strata.probes.linear import BATCH, STEP, Moments, Probe, fit, fit_better, oas_shrinkage, refine
from strata.probes.task import accuracy, unseen_contexts
from strata.probes.tokens import analyse
from strata.stats.nmf import factorise
from strata.stats.thresholds import LEAST_UNITS
from strata.text.documents import as_dataset, documents_of, next_in_document

SETTINGS = {"nmf_components": 3, "nmf_tokens": 30, "draws": 4, "elsewhere": 99}
SETTINGS |= {"resamples": 200, "interval": 0.9, "seed": 3}


def test_unseen_contexts_are_those_of_no_training_document():
    rng = np.random.default_rng(0)
    train, test = ([rng.integers(3, size=rng.integers(1, 7)).tolist() for _ in range(40)] for _ in range(2))
    expected = oracle.unseen_contexts(train, test)
    assert 20 < sum(expected) < len(expected) - 20
    assert unseen_contexts(train, test).tolist() == expected
    # The middle of a training document is no beginning of one.
    assert unseen_contexts([[1, 2, 3]], [[1, 2], [2, 3], [1, 3, 3]]).tolist() == [0, 0, 1, 1, 0, 1, 1]


def labelled(sizes, n_channels=6, spread=1.0, seed=0):
    """Classes of the given sizes around random means in a stretched and turned space."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    stretch = np.eye(n_channels) + 0.3 * rng.normal(size=(n_channels, n_channels))
    noise = rng.normal(size=(len(labels), n_channels)) @ stretch
    states = 5 + 2 * rng.normal(size=(len(sizes), n_channels))[labels] + spread * noise
    return torch.from_numpy(states).float(), torch.from_numpy(labels)


def moments(states, labels):
    return Moments.of(states, labels, int(labels.max()) + 1)


@pytest.mark.parametrize("shrinkage", [0.0, 0.1, 0.7])
def test_closed_form_is_scikit_learns(shrinkage):
    states, labels = labelled([40, 25, 9, 2, 60, 5])
    ours = fit(moments(states, labels), np.arange(6), shrinkage)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage)
    theirs.fit(states.double().numpy(), labels.numpy())
    # They divide by the number of states, we by the degrees of freedom within classes.
    scale = len(states) / (len(states) - 6)
    log_prior = np.log(np.bincount(labels) / len(labels))

    def scores(weight, bias):
        likelihood = states.numpy() @ weight.T + bias - log_prior
        return likelihood - likelihood.mean(1, keepdims=True)  # what classes share decides nothing

    mine = scores(ours.weight.numpy(), ours.bias.numpy())
    np.testing.assert_allclose(scale * mine, scores(theirs.coef_, theirs.intercept_), atol=2e-3)


def test_closed_form_says_what_scikit_learns_says():
    states, labels = labelled([30] * 8, spread=2)
    ours = fit(moments(states, labels), np.arange(8), 0.2)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.2).fit(states.numpy(), labels.numpy())
    said = theirs.predict(states.numpy())
    assert 0.3 < (said == labels.numpy()).mean() < 0.95
    assert (ours(states).numpy() == said).all()


def test_shrinkage_is_scikit_learns():
    generator = torch.Generator().manual_seed(0)
    for n, stretch in ((30, [1, 1, 1, 1, 1]), (400, [1, 2, 3, 4, 9])):
        sample = torch.randn(n, 5, generator=generator) * torch.tensor(stretch)
        covariance, expected = oas(sample.numpy(), assume_centered=True)
        found = oas_shrinkage((sample.T @ sample / n).double(), n)
        assert found == pytest.approx(expected, rel=1e-4)
        states, labels = labelled([50, 70])
        freedom = len(states) - 2
        within = torch.cat([states[labels == c] - states[labels == c].mean(0) for c in (0, 1)]).double()
        given = oas_shrinkage(within.T @ within / freedom, freedom)
        chosen, fixed = (fit(moments(states, labels), np.arange(2), s) for s in (None, given))
        torch.testing.assert_close(chosen.weight, fixed.weight, rtol=1e-4, atol=1e-5)


def test_moments_are_sums_and_add_up():
    states, labels = labelled([7, 3, 5])
    whole = Moments.of(states, labels, 3, tile=4)
    rows = states.double().numpy()
    np.testing.assert_allclose(whole.product, sum(np.outer(r, r) for r in rows))
    np.testing.assert_allclose(whole.total[1], rows[labels == 1].sum(0))
    assert whole.count.tolist() == [7, 3, 5] and whole.n == 15
    np.testing.assert_allclose(whole.centre, rows.mean(0))
    np.testing.assert_allclose(whole.covariance, np.cov(rows.T, bias=True), atol=1e-12)
    parts = Moments.of(states[:4], labels[:4], 3) + Moments.of(states[4:], labels[4:], 3)
    for name in ("count", "total", "product"):
        torch.testing.assert_close(getattr(parts, name), getattr(whole, name))
    others = labels.flip(0)
    known = Moments.of(states, others, 3, whole.product)
    for name in ("count", "total", "product"):
        assert torch.equal(getattr(known, name), getattr(Moments.of(states, others, 3, tile=4), name)), name


def test_a_probe_says_the_same_in_any_tiles():
    generator = torch.Generator().manual_seed(1)
    weight, bias, states = (torch.randn(*s, generator=generator) for s in ((9, 4), (9,), (23, 4)))
    said = Probe(np.arange(9), weight, bias)(states, tile=5)
    expected = [max(range(9), key=lambda c: float(weight[c] @ state + bias[c])) for state in states]
    assert said.tolist() == expected and len(set(expected)) > 3


def test_tokens_that_have_but_one_state_are_told_apart():
    # Depth 0 of a model without position embeddings: no spread within classes at all.
    embedding = torch.randn(50, 8, generator=torch.Generator().manual_seed(2))
    labels = torch.arange(50).repeat(3)
    probe = fit(moments(embedding[labels], labels), np.arange(50))
    assert probe(embedding).tolist() == list(range(50))


def test_no_spread_within_classes_is_refused():
    with pytest.raises(ValueError, match="no class has two samples"):
        fit(moments(*labelled([1, 1, 1])), np.arange(3))


def two_clouds(n=4096):
    """Class 0 lies about -20 and 0, class 1 about 2: between their means, 0 is on the wrong side.

    What the first and the third channel sum to never varies, but for rounding.
    """
    generator = torch.Generator().manual_seed(4)
    labels = torch.arange(n) % 4 // 3  # three of four are of class 0
    place = torch.tensor([-20.0, 0.0, 0.0, 2.0])[torch.arange(n) % 4]
    first = place + 0.2 * torch.randn(n, generator=generator)
    return torch.stack([first, torch.randn(n, generator=generator), 0.7 - first], 1), labels


def test_refining_finds_what_one_gaussian_a_class_cannot():
    states, labels = two_clouds()
    sums = moments(states, labels)
    closed = fit(sums, np.arange(2))
    refined = refine(closed, sums, states, labels, epochs=8, seed=0)
    assert (closed(states) == labels).float().mean() < 0.8
    assert (refined(states) == labels).float().mean() > 0.99
    nothing = refined.weight[:, [0, 2]].sum(1).abs().max()
    assert nothing < 0.01 * refined.weight.abs().max()
    again = refine(closed, sums, states, labels, epochs=8, seed=0)
    assert torch.equal(again.weight, refined.weight)


def test_a_pass_of_refining_is_adam_on_the_cross_entropy():
    generator = torch.Generator().manual_seed(7)
    labels = torch.arange(700) % 5
    states = torch.randn(700, 4, generator=generator) + torch.randn(5, 4, generator=generator)[labels]
    sums = moments(states, labels)
    closed = fit(sums, np.arange(5))
    refined = refine(closed, sums, states, labels, epochs=2, seed=3)

    values, vectors = torch.linalg.eigh(sums.covariance)
    to_white, centre = vectors / values.sqrt(), sums.centre
    layer = torch.nn.Linear(4, 5, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(closed.weight.double() @ (vectors * values.sqrt()))
        layer.bias.copy_(closed.bias.double() + closed.weight.double() @ centre)
    order = torch.Generator().manual_seed(3)
    batches = torch.cat([torch.randperm(700, generator=order) for _ in range(2)]).split(BATCH)
    optimizer = torch.optim.Adam(layer.parameters())
    for step, batch in enumerate(batches):
        optimizer.param_groups[0]["lr"] = STEP / 2 * (1 - step / len(batches))
        optimizer.zero_grad()
        said = layer((states[batch].double() - centre) @ to_white)
        torch.nn.functional.cross_entropy(said, labels[batch]).backward()
        optimizer.step()
    logits = layer((states.double() - centre) @ to_white).float()
    assert (refined.weight - closed.weight).abs().max() > 0.1  # it has moved
    torch.testing.assert_close(states @ refined.weight.T + refined.bias, logits, rtol=1e-3, atol=1e-3)


def test_the_better_on_validation_is_kept():
    states, labels = two_clouds()
    sums, classes = moments(states, labels), np.arange(2)
    train = (states, labels)
    probe, refined = fit_better(sums, classes, train, train, epochs=8, seed=0)
    assert refined and (probe(states) == labels).float().mean() > 0.99
    # Tokens on which the closed form is right and its refinement wrong, and one of a class never trained.
    wrong = (torch.tensor([[0.0, 0.0, 0.7]] * 4), torch.tensor([1, 1, 1, -1]))
    assert fit_better(sums, classes, train, wrong, epochs=8, seed=0)[1] is False
    assert fit_better(sums, classes, train, train, epochs=0, seed=0)[1] is False


def test_accuracy_counts_tokens_and_draws_documents():
    rng = np.random.default_rng(5)
    documents = np.repeat(np.arange(20), rng.integers(1, 30, size=20))
    right = rng.random((2, len(documents))) < np.array([[0.3], [0.8]])
    found = accuracy(right, documents, resamples=300, interval=0.8, seed=6)
    for row in range(2):
        whole = [right[row, documents == name].astype(float).tolist() for name in range(20)]
        times = np.random.default_rng(6).multinomial(20, [1 / 20] * 20, size=300)
        draws = [[whole[i] for i in np.repeat(range(20), each)] for each in times]
        low, high = intervals.studentised(whole, draws, 0.8)
        values = [float(found[f"accuracy{end}"][row]) for end in ("", "_low", "_high")]
        assert values == pytest.approx([right[row].mean(), low, high])
        assert low < values[0] < high
    for few in (0 * documents, documents % (LEAST_UNITS - 1)):
        without = accuracy(right, few, resamples=10, interval=0.8, seed=6)
        assert without["accuracy_low"].isnull().all() and without["accuracy"].notnull().all()


def random_matrix(n, n_channels, seed):
    return torch.randn(n, n_channels, generator=torch.Generator().manual_seed(seed))


def test_alignment_is_whole_with_itself_and_random_with_chance():
    rows, other = random_matrix(200, 16, 0), random_matrix(200, 16, 1)
    shifted = 3 * rows + random_matrix(1, 16, 2)  # a vector added to all rows changes no decision
    same = alignment(shifted, rows, draws=6, seed=0)
    assert float(same["cosine"]) == pytest.approx(1) and float(same["match"]) == 1
    assert float(alignment(-rows, rows, draws=1, seed=0)["cosine"]) == pytest.approx(-1)
    turned = alignment(rows.roll(1, 0), rows, draws=6, seed=0)
    assert float(turned["match"]) == 0
    chance = alignment(other, rows, draws=20, seed=0)
    error = 1 / np.sqrt(16 * 200)
    assert abs(float(chance["cosine"])) < 4 * error and float(chance["match"]) < 0.03
    assert abs(float(chance["random_cosine"])) < 4 * error / np.sqrt(20)
    assert float(chance["random_match"]) == pytest.approx(1 / 200, abs=0.004)
    assert chance["random_cosine_low"] < chance["random_cosine"] < chance["random_cosine_high"]
    assert float(chance["random_cosine_high"] - chance["random_cosine_low"]) == pytest.approx(
        4 * error, rel=0.6
    )


@pytest.mark.parametrize("noise", [0.5, 4, 20, 1e6])
def test_a_row_matches_if_its_own_embedding_is_the_nearest_of_all(noise):
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn(300, 12, generator=generator)  # in several tiles
    weight = rows + noise * torch.randn(300, 12, generator=generator)
    one, other = (m - m.mean(0) for m in (weight.double(), rows.double()))
    cosines = torch.nn.functional.normalize(one) @ torch.nn.functional.normalize(other).T
    expected = (cosines.argmax(1) == torch.arange(300)).double().mean()
    assert float(alignment(weight, rows, draws=1, seed=0)["match"]) == pytest.approx(float(expected))


def test_alignment_by_hand():
    # About their means the rows are ±(1, 0) and ±(0, 1); the first pair is exchanged in the probe.
    rows = torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    found = alignment(rows[[1, 0, 2, 3]], rows, draws=1, seed=0)
    assert float(found["match"]) == 0.5 and float(found["cosine"]) == pytest.approx(0)


def test_nmf_finds_parts_of_both_signs():
    rng = np.random.default_rng(7)
    parts = np.zeros((3, 9))
    for i, part in enumerate(parts):
        part[3 * i : 3 * i + 3] = [2, -1, 0.5]
    amounts = rng.random((300, 3)) * (rng.random((300, 3)) < 0.5) * [1, 5, 2]
    found = factorise(amounts @ parts, 3, seed=0, iterations=200).directions
    expected = parts[[1, 2, 0]] / np.linalg.norm(parts, axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=0.02)
    for n_components in (0, 9):
        with pytest.raises(ValueError, match=f"{n_components} components of 300 embeddings of 9 channels"):
            factorise(amounts @ parts, n_components, seed=0)


def test_weight_shares_by_hand():
    right = np.eye(4)[[2, 0, 1, 3]]
    directions = np.array([[1, 0, 0, 0], [np.sqrt(0.5), np.sqrt(0.5), 0, 0]])
    # About the mean row (0, 0, 5, 0): ±1 along channel 0, ±2 along channel 3.
    weight = torch.tensor([[1.0, 0, 5, 2], [-1, 0, 5, -2]])
    found = weight_shares(weight, right, directions)
    np.testing.assert_allclose(found["svd_share"], [0, 0.2, 0, 0.8], atol=1e-7)
    np.testing.assert_allclose(found["nmf_share"], [0.2, 0.1], atol=1e-7)
    assert float(found["nmf_span"]) == pytest.approx(0.2)


VOCAB, CHANNELS, NOISE = 40, 16, 0.02


def planted():
    """Documents of random tokens, with states that hold the input, the next token, -input, nothing.

    The last document ends with a token that no other holds.
    """
    rng = np.random.default_rng(8)
    documents = rng.integers(VOCAB - 1, size=(160, 20)).tolist()
    documents[-1][-1] = VOCAB - 1
    text = as_dataset(documents)
    embedding, unembedding = rng.normal(size=(2, VOCAB, CHANNELS)).astype(np.float32)
    ids, following = text["token_id"].values, next_in_document(text)
    states = [embedding[ids], unembedding[following], -embedding[ids], np.zeros((len(ids), CHANNELS))]
    states = [torch.from_numpy(s + NOISE * rng.normal(size=s.shape)).float() for s in states]
    return text, states, {"input": embedding, "next": unembedding}


@pytest.fixture(scope="module", params=[0, 1], ids=["closed", "refined"])
def found(request):
    text, states, matrices = planted()
    return analyse(lambda d: states[int(d)], range(4), text, matrices, epochs=request.param, **SETTINGS)


def scored():
    """Documents trained on, and (document, position) of the tokens to be scored."""
    text = planted()[0]
    train, test = (documents_of(text, split) for split in ("train", "test"))
    unseen = iter(oracle.unseen_contexts(train, test))
    return train, test, [(d, p) for d in range(len(test)) for p in range(len(test[d])) if next(unseen)]


def test_probes_find_what_was_planted_and_nothing_else(found):
    own = found["accuracy"]
    known = 1 - found["unknown_share"]
    expected = {"input": [1, 0, 1, 0], "next": [0, 1, 0, 0]}
    for target, holds in expected.items():
        for depth, there in enumerate(holds):
            value = float(own.sel(target=target, depth=depth))
            if there:
                assert value == pytest.approx(float(known.sel(target=target)))
            else:
                assert value < 0.1  # of 40 tokens
    bounds = found[["accuracy_low", "accuracy_high"]]
    assert (bounds["accuracy_low"] <= own).all() and (own <= bounds["accuracy_high"]).all()


def test_a_shared_probe_cannot_follow_a_turn(found):
    shared = found["shared_accuracy"]
    # The input is there at depths 0 and 2, once turned about: one matrix can serve one of them at best.
    at_input = shared.sel(target="input", depth=[0, 2])
    assert float(at_input.sum()) < 1.1
    assert float(shared.sel(target="next", depth=1)) > 0.99


def test_alignment_of_planted_probes(found):
    cosine, match = found["cosine"], found["match"]
    np.testing.assert_allclose(cosine.sel(target="input"), [1, 0, -1, 0], atol=0.1)
    np.testing.assert_allclose(cosine.sel(target="next"), [0, 1, 0, 0], atol=0.1)
    assert float(match.sel(target="input", depth=0)) == float(match.sel(target="next", depth=1)) == 1
    nothing = match.sel(target="input", depth=[1, 2, 3])
    assert float(nothing.max()) < 0.2
    assert float(abs(found["random_cosine"]).max()) < 0.1 and float(found["random_match"].max()) < 0.1


def test_weight_shares_of_planted_probes(found):
    np.testing.assert_allclose(found["svd_share"].sum("component"), 1, rtol=1e-5)
    np.testing.assert_allclose(found["shared_svd_share"].sum("component"), 1, rtol=1e-5)
    # A probe along the embeddings has the weight that their singular values say, about the mean row.
    embedding = planted()[2]["input"][: VOCAB - 1].astype(float)
    right = np.linalg.svd(planted()[2]["input"].astype(float), full_matrices=False)[2]
    energy = (((embedding - embedding.mean(0)) @ right.T) ** 2).sum(0)
    share = found["svd_share"].sel(target="input", depth=0)
    np.testing.assert_allclose(share, energy / energy.sum(), atol=0.02)
    assert ((found["nmf_span"] > 0) & (found["nmf_span"] < 1)).all()
    assert (found["nmf_share"] <= found["nmf_span"] + 1e-9).all()


def test_what_is_scored_and_the_baselines(found):
    train, test, rows = scored()
    cases = {
        "input": ([t for d in train for t in d], [test[d][p] for d, p in rows]),
        "next": ([t for d in train for t in d[1:]], [test[d][p + 1] for d, p in rows if p < 19]),
    }
    for target, (trained, held_out) in cases.items():
        part = found.sel(target=target)
        expected = oracle.baselines(trained, held_out)
        assert {name: float(part[name]) for name in expected} == pytest.approx(expected)
        assert expected["unknown_share"] == 1 / len(held_out)
        sizes = ("n_scored", "n_trained", "n_classes", "n_documents")
        assert [int(part[s]) for s in sizes] == [len(held_out), len(trained), VOCAB - 1, len(test)]


def test_refinement_is_told(found):
    if found.attrs["epochs"] == 0:
        assert not found["refined"].any() and not found["shared_refined"].any()
    # With nothing to gain the closed form stays.
    assert not found["refined"].sel(target="input", depth=[0, 2]).any()


def test_probes_can_be_written(found, tmp_path):
    io.write_dataset(found, tmp_path / "probes.nc")
    with io.open_dataset(tmp_path / "probes.nc") as read:
        xr.testing.assert_equal(read.load(), found)
    assert found["depth"].dtype == float and found["target"].values.tolist() == ["input", "next"]


def test_what_cannot_be_probed_is_refused():
    text, states, matrices = planted()

    def probing(text=text, **changed):
        settings = SETTINGS | {"epochs": 0} | changed
        return analyse(lambda d: states[d], range(4), text, matrices, **settings)

    with pytest.raises(ValueError, match="resamples=0"):
        probing(resamples=0)
    with pytest.raises(ValueError, match="interval=1"):
        probing(interval=1)
    with pytest.raises(ValueError, match="16 components"):
        probing(nmf_components=16)
    same = as_dataset([[1, 2, 3]] * 10)
    with pytest.raises(ValueError, match="no token of the split validation, test stands in an unseen"):
        probing(text=same)
