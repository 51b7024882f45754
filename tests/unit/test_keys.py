from itertools import permutations

import numpy as np
import pytest
import torch
import xarray as xr

from oracles import keys as oracle
from oracles import planted, tiny_models
from strata import io
from strata.keys.agreement import describe
from strata.keys.tables import key_table, trigger_table
from strata.keys.triggers import find_triggers, first_contexts, random_keys
from strata.model.architecture import find_parts
from strata.text.documents import as_dataset, documents_of


def random_documents(n, vocab, seed, longest=9):
    rng = np.random.default_rng(seed)
    return [rng.integers(vocab, size=rng.integers(1, longest)).tolist() for _ in range(n)]


def labelled(text, **columns):
    return text.assign_coords({name: ("token", np.array(v, object)) for name, v in columns.items()})


def test_first_contexts_are_those_that_began_no_document_before():
    documents = random_documents(60, 3, seed=0)
    begun, expected = set(), []
    for document in documents:
        for end in range(1, len(document) + 1):
            expected.append(tuple(document[:end]) not in begun)
            begun.add(tuple(document[:end]))
    assert 20 < sum(expected) < len(expected) - 20
    assert first_contexts(documents).tolist() == expected


@pytest.mark.parametrize("family", oracle.HIDDEN)
def test_triggers_are_those_of_the_obvious_loop(family):
    model = tiny_models.build(family)
    # Many begin alike, and no token follows itself, which would leave a rotary state as it is.
    documents = [list(d) for n in (1, 2, 3) for d in permutations(range(3), n)]
    documents += random_documents(12, tiny_models.VOCAB, seed=2)
    text = as_dataset(documents)
    found = find_triggers(find_parts(model), text, n_keys=5, k=4, seed=3, max_tokens=30)
    assert found["eligible"].values.sum() < text.sizes["token"]
    for layer in range(tiny_models.LAYERS):
        channels = found["channel"].values[layer]
        assert len(set(channels.tolist())) == 5 and (np.diff(channels) > 0).all()
        for key, channel in enumerate(channels):
            part = found.sel(layer=layer, key=key)
            # Equal activations, as of one token in the first layer without positions, come in any order.
            by_document = oracle.strongest(model, family, documents, layer, channel)
            expected = sorted((most for most, _ in by_document if most > 0), reverse=True)[:4]
            n = len(expected)
            np.testing.assert_allclose(part["activation"][:n], expected, rtol=1e-4, atol=1e-5)
            assert (part["activation"][n:] == 0).all() and (part["trigger"][n:] == -1).all()
            for activation, trigger in zip(expected, part["trigger"].values[:n], strict=True):
                (most,) = (most for most, tokens in by_document if trigger in tokens)
                assert most == pytest.approx(activation, rel=1e-4, abs=1e-5)
            assert len(set(text["document"].values[part["trigger"][:n]].tolist())) == n
    assert (found["trigger"] >= 0).any()


@pytest.mark.parametrize("family", tiny_models.NAMES)
def test_keys_answer_where_the_last_map_of_the_mlp_listens(family):
    parts = find_parts(tiny_models.build(family))
    four = {"gpt2", "gpt-neo", "gpt-j", "bloom", "falcon", "falcon-new", "falcon-alibi"}
    hidden = torch.randn(3, (4 if family in four else 2) * tiny_models.WIDTH)
    with torch.no_grad():
        assert all(module(hidden).shape == (3, tiny_models.WIDTH) for module in parts.mlp_values)
    widest = random_keys(parts, hidden.shape[1], seed=0)
    assert all(drawn.tolist() == list(range(hidden.shape[1])) for drawn in widest)
    with pytest.raises(ValueError, match=rf"{hidden.shape[1] + 1} keys of layer 0, which has"):
        random_keys(parts, hidden.shape[1] + 1, seed=0)


def test_keys_hang_on_the_seed_and_the_layer():
    parts = find_parts(tiny_models.build("gpt2"))
    once, again, other = (random_keys(parts, 6, seed=s) for s in (0, 0, 1))
    assert all((a == b).all() for a, b in zip(once, again, strict=True))
    assert not all((a == b).all() for a, b in zip(once, other, strict=True))
    assert not (once[0] == once[1]).all()


def one_token_key(token, layer, channel):
    """Blocks that add nothing; one key answers to one token alone, and one to nothing at all."""
    model = planted.idle_blocks()
    model.transformer.wpe.weight.zero_()
    embedding = model.transformer.wte.weight
    seen = torch.nn.functional.layer_norm(embedding, embedding.shape[1:])
    entrance = model.transformer.h[layer].mlp.c_fc
    entrance.weight[:, channel] = seen[token] / planted.WIDTH
    entrance.bias.fill_(-20.0)
    entrance.bias[channel] = -0.9  # a token's product with itself is 1, with others it is less
    assert ((seen @ seen[token] / planted.WIDTH) > 0.9).sum() == 1
    return model


def test_a_planted_key_answers_to_its_token_only():
    token, layer, channel = 7, 4, 30
    model = one_token_key(token, layer, channel)
    documents = random_documents(40, planted.VOCAB, seed=4, longest=planted.POSITIONS + 1)
    text = as_dataset(documents)
    n_keys = 4 * planted.WIDTH
    found = find_triggers(find_parts(model), text, n_keys=n_keys, k=5, seed=0)
    chosen = found.sel(layer=layer, key=int(np.flatnonzero(found["channel"][layer] == channel)[0]))
    assert (text["token_id"].values[chosen["trigger"]] == token).all() and (chosen["trigger"] >= 0).all()
    assert len(set(text["document"].values[chosen["trigger"]].tolist())) == 5
    silent = found["trigger"].sel(layer=layer).drop_sel(key=int(chosen["key"]))
    assert (silent == -1).all()

    described = describe(found, text, resamples=20, interval=0.9, seed=0)
    assert float(described["agreement"].sel(label="token", layer=layer, key=chosen["key"])) == 1
    assert float(described["silent"].sel(layer=layer)) == pytest.approx(1 - 1 / n_keys)
    assert int(described["agreement_n"].sel(label="token", layer=layer)) == 1
    assert np.isnan(described["agreement_mean_low"].sel(label="token", layer=layer))
    table = trigger_table(found.sel(layer=[layer]), text, lambda ids: " ".join(map(str, ids)))
    assert table["token"].tolist() == ["7"] * 5 and set(table["channel"]) == {channel}


def test_too_few_documents_are_refused():
    text = as_dataset(random_documents(6, 9, seed=0))
    with pytest.raises(ValueError, match="7 triggers, from a text of 6 documents"):
        find_triggers(find_parts(tiny_models.build("gpt2")), text, n_keys=1, k=7, seed=0)


def made_up(n_layers=6, n_keys=30, k=6, seed=5):
    """Triggers of random tokens but for planted agreement: tokens below, kinds above."""
    rng = np.random.default_rng(seed)
    documents = [rng.integers(12, size=8).tolist() for _ in range(60)]
    text = as_dataset(documents)
    n = text.sizes["token"]
    kinds = np.repeat(rng.choice(["facts", "rote", "filler"], size=60), 8)
    tags = np.where(kinds == "filler", rng.choice(["NOUN", "VERB"], size=n), "")
    text = labelled(text, kind=kinds, tag=tags)
    trigger = rng.integers(n, size=(n_layers, n_keys, k))
    for layer, key in np.ndindex(n_layers, n_keys):
        wanted = text["token_id"].values == key % 12 if layer < 3 else kinds == ["facts", "rote"][key % 2]
        trigger[layer, key] = rng.choice(np.flatnonzero(wanted), k)
    trigger[5, 0, 3:] = -1
    trigger[5, 1] = -1
    eligible = rng.random(n) < 0.8
    dims = ("layer", "key", "k")
    fields = {"trigger": (dims, trigger), "activation": (dims, np.sort(rng.random(trigger.shape))[..., ::-1])}
    fields |= {
        "channel": (dims[:2], np.tile(np.arange(n_keys), (n_layers, 1))),
        "eligible": ("token", eligible),
    }
    coords = {name: np.arange(size) for name, size in zip(dims, trigger.shape, strict=True)}
    return xr.Dataset(fields, coords), text


SETTINGS = {"resamples": 300, "interval": 0.9, "seed": 0}


def numbers(text, label):
    if label == "next token":
        documents = documents_of(text)
        return [t for document in documents for t in [*document[1:], -1]]
    values = text[{"token": "token_id"}.get(label, label)].values
    return [-1 if v == "" else sorted(set(values.tolist())).index(v) for v in values.tolist()]


@pytest.mark.parametrize("known", [0.0, 0.5])
def test_agreement_is_counted_pair_by_pair(known):
    triggers, text = made_up()
    found = describe(triggers, text, known=known, **SETTINGS)
    assert found["label"].values.tolist() == ["token", "next token", "tag", "kind"]
    ids = text["token_id"].values.tolist()
    n_missing = 0
    for label in found["label"].values:
        values = numbers(text, label)
        for layer, key in np.ndindex(triggers["channel"].shape):
            chosen = triggers["trigger"].values[layer, key]
            labels = [values[t] if t >= 0 else -1 for t in chosen]
            enough = sum(value >= 0 for value in labels) >= known * len(labels)
            for name, tokens in (("agreement", None), ("beyond_token", [ids[t] for t in chosen])):
                expected = oracle.agreement(labels, tokens) if enough else np.nan
                result = float(found[name].sel(label=label)[layer, key])
                assert result == pytest.approx(expected, nan_ok=True), (label, name, layer, key)
                n_missing += np.isnan(expected)
        eligible = np.flatnonzero(triggers["eligible"].values)
        some = [values[t] for t in eligible], [ids[t] for t in eligible]
        assert float(found["agreement_chance"].sel(label=label)) == pytest.approx(oracle.agreement(some[0]))
        chance = float(found["beyond_token_chance"].sel(label=label))
        assert chance == pytest.approx(oracle.agreement(*some))
    assert n_missing > 100  # tags are known of filler only
    assert found["silent"].values.tolist() == [0, 0, 0, 0, 0, 1 / 30]


def test_means_and_rises_are_of_keys():
    triggers, text = made_up()
    found = describe(triggers, text, **SETTINGS)
    values = found["agreement"]
    np.testing.assert_allclose(found["agreement_mean"], values.mean("key"))
    np.testing.assert_array_equal(found["agreement_n"], values.notnull().sum("key"))
    upper, lower = (
        values.isel(layer=s).stack(every=["layer", "key"]).mean("every") for s in (slice(3, 6), slice(3))
    )
    np.testing.assert_allclose(found["agreement_rise"], upper - lower)
    for name in ("agreement_mean", "beyond_token_mean", "agreement_rise"):
        bounds = found[f"{name}_low"], found[f"{name}_high"]
        inside = (bounds[0] <= found[name]) & (found[name] <= bounds[1])
        assert inside.where(found[name].notnull() & bounds[0].notnull(), True).all()
    # What was planted: tokens below, kinds above, whatever the token.
    rise = {
        label: [float(found[f"agreement_rise{e}"].sel(label=label)) for e in ("_low", "_high")]
        for label in ("token", "next token", "kind")
    }
    assert rise["token"][1] < -0.8 and rise["kind"][0] > 0.5
    assert rise["next token"][0] < 0 < rise["next token"][1]
    assert float(found["beyond_token_mean"].sel(label="kind", layer=4)) == 1
    again = describe(triggers, text, **SETTINGS | {"seed": 1})
    xr.testing.assert_equal(found["agreement_mean"], again["agreement_mean"])
    assert not found["agreement_rise_low"].equals(again["agreement_rise_low"])


def test_intervals_are_those_of_keys_drawn_one_by_one():
    triggers, text = made_up(n_keys=20)
    found = describe(triggers, text, **SETTINGS)
    values = found["agreement"].sel(label="kind", layer=1).values
    rng = np.random.default_rng(9)
    drawn = rng.choice(values, (4000, len(values)))
    found_error = values.std(ddof=1) / np.sqrt(len(values))
    t = (drawn.mean(1) - values.mean()) / (drawn.std(1, ddof=1) / np.sqrt(len(values)))
    for end, share in (("low", 0.95), ("high", 0.05)):  # bootstrap-t: what lies above is taken away
        bound = float(found[f"agreement_mean_{end}"].sel(label="kind", layer=1))
        expected = values.mean() - np.quantile(t, share) * found_error
        assert bound == pytest.approx(expected, abs=0.25 * found_error)
    few = describe(*made_up(n_keys=14), **SETTINGS)
    assert few["agreement_mean_low"].isnull().all() and few["agreement_mean"].notnull().any()


def test_text_without_tags_has_tokens_only_and_no_label_is_no_label():
    triggers, text = made_up()
    plain = describe(triggers, text.drop_vars(["tag", "kind"]), **SETTINGS)
    assert plain["label"].values.tolist() == ["token", "next token"]
    empty = describe(triggers, labelled(text, kind=[""] * text.sizes["token"]), **SETTINGS)
    assert empty["label"].values.tolist() == ["token", "next token", "tag"]
    for change in ({"resamples": 0}, {"interval": 1.0}, {"known": 1.5}):
        with pytest.raises(ValueError, match=f"{next(iter(change))}="):
            describe(triggers, text, **SETTINGS | change)


def test_tables_are_to_be_read():
    text = labelled(
        as_dataset([[1, 2, 3, 2], [4, 5], [2, 6, 2, 0]]), tag=["A", "B", "A", "B", "", "", *"BABA"]
    )
    words = ["\n", "a", " b", " c\t", "d", "\x00", " f"]
    dims = ("layer", "key", "k")
    triggers = xr.Dataset(
        {
            "trigger": (dims, [[[3, 8, 5], [9, -1, -1]]]),
            "activation": (dims, [[[3.0, 2.0, 1.0], [0.5, 0.0, 0.0]]]),
            "channel": (dims[:2], [[11, 40]]),
        },
        {"layer": [2]},
    )
    table = trigger_table(triggers, text, lambda ids: "".join(words[i] for i in ids), window=3)
    assert list(table) == [
        "layer", "channel", "rank", "activation", "document", "position", "token", "next", "prefix", "tag"
    ]  # fmt: skip
    assert table.values.tolist() == [
        [2, 11, 1, 3.0, 0, 3, " b", "", "…  b c→ b", "B"],
        [2, 11, 2, 2.0, 2, 2, " b", "↵", " b f b", "B"],
        [2, 11, 3, 1.0, 1, 1, "\\x00", "", "d\\x00", ""],
        [2, 40, 1, 0.5, 2, 3, "↵", "", "…  f b↵", "A"],
    ]
    keys = key_table(table)
    assert keys.values.tolist() == [
        [2, 11, 3.0, " b (2 of 3)", "↵ (1 of 1)", "B (2 of 2)"],
        [2, 40, 0.5, "↵ (1 of 1)", "", "A (1 of 1)"],
    ]


def test_triggers_can_be_written_and_read(tmp_path):
    triggers, text = made_up()
    for name, dataset in (("triggers", triggers), ("described", describe(triggers, text, **SETTINGS))):
        io.write_dataset(dataset, tmp_path / f"{name}.nc")
        with io.open_dataset(tmp_path / f"{name}.nc") as read:
            xr.testing.assert_equal(read.load(), dataset)
