"""Where models of a run come from: what rules depend on, and what is said of those that are not there."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch.backends import mkldnn

from oracles import tiny_gguf, tiny_models
from pipeline.fetch import PUBLISHED
from pipeline.models import UNPACKED, check_sources, files_of, settings_of
from strata.inputs import BadInput
from strata.model.loading import load_model
from strata.model.source import ModelUnavailable, hub_answers, is_cached, load

NOWHERE = "http://127.0.0.1:9"
"""A port that nobody answers on."""


def section(source, **changes) -> dict:
    return {"source": str(source), "revision": None, "dtype": "float32", "device": "cpu"} | changes


def refused(source) -> str:
    with pytest.raises(BadInput) as error:
        check_sources({"run": ["x"], "models": {"x": section(source)}})
    said = str(error.value)
    assert said.startswith("config.yaml: models.x.source: ") and "\n" not in said
    return said


@pytest.fixture
def sharded(tmp_path):
    """A folder with a checkpoint in several files, and the model."""
    model = tiny_models.build("llama")
    model.save_pretrained(tmp_path / "sharded", max_shard_size="20KB")
    (tmp_path / "sharded/notes.md").touch()
    return tmp_path / "sharded", model


# Files that rules depend on -----------------------------------------------------------------


def test_all_files_of_a_sharded_checkpoint_are_inputs_and_are_loaded(sharded):
    folder, model = sharded
    names = {Path(path).name for path in files_of("x", section(folder))}
    shards = {path.name for path in folder.glob("model-0*-of-0*.safetensors")}
    assert len(shards) > 1 and names == {*shards, "model.safetensors.index.json", *settings_files(folder)}
    check_sources({"run": ["x"], "models": {"x": section(folder)}})
    ids = torch.tensor([[5, 17, 3]])
    with mkldnn.flags(enabled=False):  # products are torch's own, so that they are the same
        assert torch.equal(load_model(str(folder))(ids).logits, model(ids).logits)


def settings_files(folder):
    return {path.name for path in folder.glob("*config.json")}


def test_a_gguf_file_is_read_as_the_folder_it_is_unpacked_into():
    model = section("~/a.GGUF")
    assert files_of("x", model) == [f"results/x/model/{name}" for name in UNPACKED]
    assert settings_of("x", model) == {
        "name": "x",
        "source": "results/x/model",
        "file": os.path.expanduser("~/a.GGUF"),
        "revision": None,
        "dtype": "float32",
        "device": "cpu",
        "beginning_token": True,
    }
    keys = {"name", "source", "file", "beginning_token"}
    assert settings_of("x", model, ("source",)).keys() == keys


def test_of_the_hub_there_is_nothing_to_depend_on():
    model = section("owner/name", revision="abc")
    assert files_of("x", model) == []
    assert settings_of("x", model) == {"name": "x", "beginning_token": True, **model}
    assert not settings_of("x", model | {"beginning_token": False})["beginning_token"]


# What is not there --------------------------------------------------------------------------


def test_models_that_are_not_run_are_not_checked():
    check_sources({"run": [], "models": {"x": section("./nowhere")}})


MODELS = [published for published in PUBLISHED if published.file.endswith(".gguf")]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_a_missing_or_broken_file_that_make_brings_is_said_with_the_command(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert f"no file '{model.file}' (`make {model.name}` brings it)" in refused(model.file)
    Path(model.file).parent.mkdir(parents=True)
    Path(model.file).write_text("<html>")
    said = refused(model.file)
    assert "not a GGUF file" in said and said.endswith(f"(`make {model.name}` brings it)")


def test_another_missing_file():
    assert "no file 'nowhere/a.gguf' (expected: a whole GGUF file, a folder or a hub id)" in refused(
        "nowhere/a.gguf"
    )


def test_a_broken_download_is_said_before_any_job(tmp_path):
    vocabulary = tiny_gguf.byte_level()
    path = tiny_gguf.write(tmp_path / "a.gguf", tiny_gguf.llama(len(vocabulary["tokens"])), vocabulary)
    check_sources({"run": ["x"], "models": {"x": section(path)}})
    path.write_bytes(path.read_bytes()[:-1])
    assert "cut short" in refused(path)


def test_a_shard_that_is_missing_is_named(sharded):
    folder, _ = sharded
    shard = sorted(folder.glob("model-0*"))[1]
    shard.unlink()
    assert f"lacks {shard.name}, which its index names" in refused(folder)


@pytest.mark.parametrize("text", ["{", "[]", '{"weight_map": 3}', "{}"])
def test_an_index_that_is_none(sharded, text):
    folder, _ = sharded
    (folder / "model.safetensors.index.json").write_text(text)
    assert "does not say which file has which weights" in refused(folder)


def test_pickled_weights_are_none(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").touch()
    assert "no weights in folder" in refused(tmp_path) and "*.safetensors" in refused(tmp_path)


def test_a_gguf_file_is_not_loaded_as_it_is():
    with pytest.raises(ModelUnavailable, match="unpacked first"):
        load(None, "data/a.gguf", None)


# The hub ------------------------------------------------------------------------------------


@pytest.fixture
def no_network(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", NOWHERE)


def test_no_network_is_said_at_once(no_network):
    start = time.monotonic()
    said = refused("owner/name")
    assert "`hf download owner/name --local-dir FOLDER`" in said
    with pytest.raises(ModelUnavailable, match="hf download owner/name"):
        load_model("owner/name")
    assert time.monotonic() - start < 10


def test_offline_nothing_is_asked(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("strata.model.source.urlopen", None)
    assert not hub_answers()
    assert "hf download owner/name" in refused("owner/name")


def test_any_answer_is_one(monkeypatch):
    """A page that is not there, or a certificate that is not known here: the hub is."""
    import ssl
    from urllib.error import HTTPError, URLError

    def answer(error):
        def raising(*_, **__):
            raise error

        monkeypatch.setattr("strata.model.source.urlopen", raising)
        return hub_answers()

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    assert answer(HTTPError("", 404, "", {}, None)) and answer(URLError(ssl.SSLError("certificate")))
    assert not answer(URLError(OSError("no route"))) and not answer(TimeoutError())


def brought(home: Path, commit: str = "0" * 40) -> Path:
    """A cache of the hub in which a model was brought."""
    repo = home / "hub/models--owner--tiny"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs/main").write_text(commit)
    snapshot = repo / "snapshots" / commit
    tiny_models.build("llama").save_pretrained(snapshot)
    return snapshot


def test_what_was_brought_before_is_known(tmp_path, monkeypatch, no_network):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    assert not is_cached("owner/tiny") and not is_cached("no name at all")
    snapshot = brought(tmp_path)
    assert is_cached("owner/tiny") and is_cached("owner/tiny", "0" * 40)
    assert not is_cached("owner/tiny", "another")
    check_sources({"run": ["x"], "models": {"x": section("owner/tiny")}})
    (snapshot / "model.safetensors").unlink()
    assert not is_cached("owner/tiny")


@pytest.mark.long
def test_what_was_brought_before_is_loaded_without_a_network(tmp_path):
    snapshot = brought(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(f"data/models/organism/{name}", snapshot)
    code = (
        "import time; from strata.model.loading import load_model; start = time.monotonic();"
        "from strata.text.tokenizer import load_tokenizer; load_tokenizer('owner/tiny');"
        "print(load_model('owner/tiny').config.model_type, time.monotonic() - start)"
    )
    environment = os.environ | {"HF_HOME": str(tmp_path), "HF_ENDPOINT": NOWHERE}
    environment.pop("HF_HUB_OFFLINE", None)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd="workflow/scripts",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    name, seconds = done.stdout.split()
    assert name == "llama" and float(seconds) < 60
