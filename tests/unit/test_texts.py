from pathlib import Path

import pytest

from pipeline.texts import origin
from strata.inputs import read_yaml
from strata.organism.texts import open_texts

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config():
    return read_yaml(ROOT / "config.yaml")


def test_a_file_is_read_document_by_document(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("one\ntwo\n\nthree\n\n\nfour\n")
    assert list(open_texts({"source": str(path)})) == ["one\ntwo", "three", "four"]


def test_the_corpus_is_read_as_far_as_it_is_needed(config):
    texts = list(open_texts(origin(config, "organism", "text") | {"documents": 3}))
    assert len(texts) == 6 and all(texts)


def test_long_samples_are_of_the_text_where_no_other_is_named(config):
    for model in ("organism", "gpt2"):
        assert origin(config, model, "long_text") == origin(config, model, "text")
    config["models"]["gpt2"]["long_text"] = "book.txt"
    assert origin(config, "gpt2", "long_text") == {"source": "book.txt"}
    assert origin(config, "gpt2", "text") == {"source": "data/texts/news.txt"}
