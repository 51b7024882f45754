import numpy as np
import pytest
import torch
import xarray as xr

from oracles import contextless as oracle
from oracles import tiny_models
from oracles.tail import run_tail, stream_of
from strata.lens.contextless import REFERENCES, Bigrams, measure
from strata.lens.decoders import DepthMaps
from strata.lens.extended import carry_through
from strata.lens.readout import carry_by
from strata.model.architecture import find_parts
from strata.model.norms import Norm
from strata.model.readout import LogitDecoder, decoder_from
from strata.model.weights import weights
from strata.text.documents import next_in_document

VOCAB, CHANNELS, DEPTHS = 30, 8, 4
LOGIT = {"logit": carry_by(n_layers=DEPTHS - 1, depths=np.arange(DEPTHS))}
SETTINGS = {"tokens": 1000, "resamples": 200, "interval": 0.9, "seed": 0}


def make_text(seed=0, lengths=(40, 50, 30, 9, 20, 15), n_train=3, vocab=VOCAB):
    """Token ids of a few documents, the first ones to count, the next one unused, the rest to read."""
    rng = np.random.default_rng(seed)
    document = np.repeat(np.arange(len(lengths)), lengths)
    split = np.where(document < n_train, "train", np.where(document == n_train, "validation", "test"))
    ids = (rng.integers(vocab, size=len(document)) * rng.random(len(document))).astype(np.int64)
    return {name: ("token", v) for name, v in {"token_id": ids, "document": document, "split": split}.items()}


def make_states(text, seed=1):
    rng = np.random.default_rng(seed)
    states = rng.normal(size=(DEPTHS, len(text["token_id"][1]), CHANNELS)).astype(np.float32)
    return xr.DataArray(states, dims=("depth", "token", "channel"), coords={"depth": range(DEPTHS), **text})


def make_decoder(seed=2):
    generator = torch.Generator().manual_seed(seed)
    gain, unembedding = (
        torch.randn(CHANNELS, generator=generator),
        torch.randn(VOCAB, CHANNELS, generator=generator),
    )
    return LogitDecoder(Norm("layer", gain, None, 1e-5), unembedding)


def make_maps(seed=3):
    rng = torch.Generator().manual_seed(seed)
    weight = torch.randn(DEPTHS - 1, CHANNELS, CHANNELS, generator=rng)
    return DepthMaps(
        np.arange(DEPTHS - 1.0), weight, torch.randn(DEPTHS - 1, CHANNELS, generator=rng), DEPTHS - 1
    )


def test_bigrams_are_those_of_the_definition_and_sum_to_one():
    text = make_text()
    ids, document = text["token_id"][1], text["document"][1]
    pairs = [(before, after) for _, before, after in oracle.pairs_of(ids, document)]
    bigrams = Bigrams.of(*np.transpose(pairs), VOCAB)
    everything = np.arange(VOCAB)
    expected = [oracle.bigram(pairs, VOCAB, token) for token in everything]
    np.testing.assert_allclose(bigrams.after(everything), expected)
    np.testing.assert_allclose(bigrams.unigram, oracle.unigram(pairs, VOCAB))
    np.testing.assert_allclose(bigrams.after(everything).sum(1), 1)
    assert set(np.flatnonzero(bigrams.known(everything))) == {before for before, _ in pairs}
    assert not bigrams.known(everything).all()  # the unigram stands in for some


@pytest.mark.parametrize("tile", [1, 7, 10**6])
def test_measures_against_definitions(tile, monkeypatch):
    monkeypatch.setattr("strata.lens.contextless.TILE_VALUES", tile * VOCAB)
    monkeypatch.setattr("strata.lens.contextless.STATES_BYTES", tile * 4 * DEPTHS * CHANNELS)
    text, decoder, maps = make_text(lengths=(40, 50, 30, 9) + 16 * (6,)), make_decoder(), make_maps()
    mapped = carry_by(maps, n_layers=DEPTHS - 1, depths=np.arange(DEPTHS))
    resid = make_states(text)
    result = measure(resid, LOGIT | {"mapped": mapped}, decoder, **SETTINGS)

    ids, document, split = (text[name][1] for name in ("token_id", "document", "split"))
    pairs = oracle.pairs_of(ids, document)
    counted = [(before, after) for i, before, after in pairs if split[i] == "train"]
    met = {before for before, _ in counted}
    held_out = [pair for pair in pairs if split[pair[0]] == "test"]
    read = [pair for pair in held_out if pair[1] in met]
    assert 0 < len(read) < len(held_out)  # some tokens were never followed by anything
    assert result["known_share"] == pytest.approx(len(read) / len(held_out))
    assert (int(result["n_counted"]), int(result["n_read"])) == (len(counted), len(read))

    def over_documents(value):
        documents = {document[i] for i, _, _ in read}
        return np.mean([np.mean([value(*p) for p in read if document[p[0]] == d]) for d in documents])

    for reference in REFERENCES:
        for name in ("logit", "mapped"):
            for depth in range(DEPTHS):
                states = torch.from_numpy(resid.values[depth])
                if name == "mapped" and depth < DEPTHS - 1:
                    states = states @ maps.weight[depth].T + maps.bias[depth]
                logits = decoder.logits(states).double().numpy()

                def p(token, reference=reference):
                    given = oracle.bigram(counted, VOCAB, token)
                    return given if reference == "bigram" else oracle.unigram(counted, VOCAB)

                at = result.sel(reference=reference, decoder=name, depth=depth)
                kl = over_documents(lambda i, token, _, z=logits, p=p: oracle.kl(p(token), z[i]))
                same = over_documents(lambda i, token, _, z=logits, p=p: p(token).argmax() == z[i].argmax())
                bits = over_documents(lambda _i, token, after, p=p: -np.log2(p(token)[after]))
                assert float(at["kl"]) == pytest.approx(kl, rel=1e-5)
                assert float(at["top_shared"]) == pytest.approx(same)
                assert float(at["bits"]) == pytest.approx(bits)
    assert int(result["kl_n"]) == 16 and (result["kl_low"] < result["kl_high"]).all()


def test_no_interval_from_few_documents():
    result = measure(make_states(make_text()), LOGIT, make_decoder(), **SETTINGS)
    assert int(result["kl_n"]) == 2 and result["kl"].notnull().all() and result["kl_low"].isnull().all()


def test_a_model_without_layers_that_knows_its_bigrams_is_found_out():
    """States are the token itself, and logits a column of the table: at depth 1 that of the bigrams."""
    text = make_text(lengths=(300, 300, 300, 9, 60, 60))
    train = text["split"][1] == "train"
    ids, labelled = text["token_id"][1], xr.Dataset(coords=text)
    following = next_in_document(labelled)
    counted = train & (following >= 0)
    bigrams = Bigrams.of(ids[counted], following[counted], VOCAB)
    table = np.stack([np.tile(np.log(bigrams.unigram), (VOCAB, 1)), np.log(bigrams.after(np.arange(VOCAB)))])
    states = np.eye(2 * VOCAB, dtype=np.float32)[np.stack([ids, ids + VOCAB])]
    resid = xr.DataArray(states, dims=("depth", "token", "channel"), coords={"depth": [0, 1], **text})
    unembedding = torch.from_numpy(np.concatenate(table).T.astype(np.float32))
    decoder = LogitDecoder(Norm("none", torch.ones(2 * VOCAB), None, 0.0), unembedding)
    result = measure(resid, LOGIT, decoder, **SETTINGS).squeeze("decoder")
    for reference, depth in (("unigram", 0), ("bigram", 1)):
        own = result.sel(reference=reference, depth=depth)
        other = result.sel(reference=reference, depth=1 - depth)
        assert float(own["kl"]) == pytest.approx(0, abs=1e-5)
        assert float(own["top_shared"]) == pytest.approx(1)
        assert float(other["kl"]) > 0.05 and float(other["top_shared"]) < 1


def test_some_tokens_are_drawn_from_all_documents():
    resid = make_states(make_text(lengths=(40, 50, 30, 9, *[12] * 20)))
    whole, some = (measure(resid, LOGIT, make_decoder(), **SETTINGS | {"tokens": n}) for n in (999, 90))
    assert int(some["n_read"]) == 90 < int(whole["n_read"]) and int(some["kl_n"]) > 15
    difference = abs(some["kl"] - whole["kl"])
    assert difference.max() > 0 and (difference < whole["kl_high"] - whole["kl_low"]).all()
    one = measure(resid, LOGIT, make_decoder(), **SETTINGS | {"tokens": 1})
    assert int(one["kl_n"]) == 1 and one["kl_low"].isnull().all()


def test_text_without_pairs_is_refused():
    with pytest.raises(ValueError, match="no pair"):
        measure(make_states(make_text(n_train=0)), LOGIT, make_decoder(), **SETTINGS)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("last", [1, 2])
def test_blocks_run_over_whole_documents_with_what_stands_before_them(family, last, monkeypatch):
    """Each document begins with a token that is not its own: it is attended to, neither counted nor read."""
    model = tiny_models.build(family)
    parts = find_parts(model)
    monkeypatch.setattr("strata.lens.contextless.STATES_BYTES", 1)  # a document at a time
    text = make_text(lengths=(40, 30, 9, 9, 12, 7), vocab=20)
    document = text["document"][1]
    starts = np.flatnonzero(np.append(True, document[1:] != document[:-1]))
    begins = np.isin(np.arange(len(document)), starts)
    text["token_id"][1][begins] = 90  # a token that is met nowhere else
    ids = text["token_id"][1]
    runs = [stream_of(model, parts, own)[0][::2] for own in np.split(ids, starts[1:])]
    states = torch.cat(runs, 1).numpy()
    coords = {"depth": range(parts.n_layers + 1), **text, "beginning": ("token", begins)}
    resid = xr.DataArray(states, dims=("depth", "token", "channel"), coords=coords)
    decoder = decoder_from(weights(model, lambda ids: [str(id) for id in ids]))
    carry = carry_through(parts, last, depths=np.arange(parts.n_layers + 1))
    result = measure(resid, {"extended": carry}, decoder, **SETTINGS).squeeze("decoder")

    own = [pair for pair in oracle.pairs_of(ids, document) if not begins[pair[0]]]
    counted = [(before, after) for i, before, after in own if text["split"][1][i] == "train"]
    met = {before for before, _ in counted}
    read = [p for p in own if text["split"][1][p[0]] == "test" and p[1] in met]
    assert int(result["n_counted"]) == len(counted) and int(result["n_read"]) == len(read) > 10
    vocab = len(decoder.unembedding)
    for depth in range(parts.n_layers + 1):
        by_document = {}
        for i, token, _ in read:
            first = starts[document[i]]
            inside = slice(first, first + (document == document[i]).sum())
            begin = max(depth, parts.n_layers - last)
            state = torch.from_numpy(states[depth, inside])
            logits = run_tail(model, parts, begin, state, ids[inside])[i - first].detach().double().numpy()
            by_document.setdefault(document[i], []).append(
                oracle.kl(oracle.bigram(counted, vocab, token), logits)
            )
        expected = np.mean([np.mean(values) for values in by_document.values()])
        assert float(result["kl"].sel(reference="bigram", depth=depth)) == pytest.approx(expected, rel=1e-4)
