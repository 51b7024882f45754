"""What models have that figures may need, told before anything is loaded, and which figures a run makes."""

import json

import gguf
import numpy as np
import pytest

from oracles import tiny_gguf, tiny_models
from pipeline.figure_table import asked_for, expand_figures
from pipeline.models import features_of
from strata.model.architecture import find_parts

POSITIONS = "position_embedding"


def features(source, **changes) -> set[str]:
    return features_of({"source": str(source), "revision": None} | changes)


@pytest.mark.parametrize("name", tiny_models.NAMES)
def test_the_configuration_of_a_folder_tells_what_its_model_is_found_to_have(name, tmp_path):
    model = tiny_models.build(name)
    model.save_pretrained(tmp_path)
    has_positions = find_parts(model).position_embedding is not None
    assert (POSITIONS in features(tmp_path)) == has_positions


@pytest.mark.parametrize(
    "config",
    [
        "{",
        "[]",
        "{}",
        '{"architectures": []}',
        '{"architectures": null}',
        '{"architectures": ["MineForCausalLM"]}',
    ],
)
def test_what_a_configuration_does_not_tell_is_taken_to_be_there(config, tmp_path):
    (tmp_path / "config.json").write_text(config)
    assert features(tmp_path) == {POSITIONS}


def test_a_gguf_file_tells_by_its_tensors(tmp_path):
    vocabulary = tiny_gguf.byte_level()
    rotary = tiny_gguf.write(tmp_path / "a.gguf", tiny_gguf.llama(len(vocabulary["tokens"])), vocabulary)
    assert features(rotary) == set()
    writer = gguf.GGUFWriter(tmp_path / "b.gguf", "gpt2")
    writer.add_tensor("position_embd.weight", np.zeros((4, 4), "float32"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert features(tmp_path / "b.gguf") == {POSITIONS}


def test_of_the_hub_the_cache_tells_where_it_can(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert features("owner/name") == {POSITIONS}
    snapshot = tmp_path / "models--owner--name/snapshots/abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"]}))
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs/main").write_text("abc")
    assert features("owner/name") == set()


def test_a_tagged_text_is_a_feature(tmp_path):
    (tmp_path / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    assert features(tmp_path, tagged_text={"source": "a.conllu"}) == {"tagged_text"}


def test_figures_of_what_a_model_lacks_are_not_asked_for():
    row = {"job": "j", "section": "s", "labels": {"figure": "f"}, "draw": "a.draw_b", "data": {"x": "y"}}
    table = {"all": row, "tagged": row | {"needs": "tagged_text"}, "positions": row | {"needs": POSITIONS}}
    figures = expand_figures(table, {"figures": {"format": "pdf"}})
    asked = asked_for(figures, {"a": {POSITIONS}, "b": {"tagged_text"}, "c": set()})
    made = {"a": ["all", "positions"], "b": ["all", "tagged"], "c": ["all"]}
    expected = [
        f"results/{model}/figures/{name}.{kind}"
        for model, names in made.items()
        for name in names
        for kind in ("png", "pdf")
    ]
    assert sorted(asked) == sorted(expected)


@pytest.mark.parametrize("wanted", [True, False])
def test_figures_that_a_key_turns_off_are_declared_all_the_same(wanted):
    """So that a person may name their files."""
    row = {"job": "j", "section": "s", "labels": {"figure": "f"}, "draw": "a.draw_b", "data": {"x": "y"}}
    config = {"figures": {"format": "pdf"}, "trace": {"approximate": wanted}}
    figures = expand_figures({"all": row, "some": row | {"asked": "trace.approximate"}}, config)
    assert [figure.name for figure in figures] == ["all", "some"]
    asked = {path.rpartition("/")[2] for path in asked_for(figures, {"a": set()})}
    assert asked == {"all.png", "all.pdf"} | ({"some.png", "some.pdf"} if wanted else set())
