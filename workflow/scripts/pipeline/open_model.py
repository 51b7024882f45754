"""A model as its section of config.yaml declares it, ready for a script."""

from collections.abc import Mapping

from transformers import PreTrainedModel

from strata.model.loading import load_model
from strata.model.vocabulary import cut_vocabulary
from strata.text.tokenizer import Tokenizer, load_tokenizer


def open_model(settings: Mapping) -> tuple[PreTrainedModel, Tokenizer]:
    """The model and its tokenizer; its embedding has a row for each token, and no others.

    Parameters
    ----------
    settings : ``source``, ``revision``, ``dtype``, ``beginning_token``; ``device``, cpu if not given
    """
    source, revision = settings["source"], settings["revision"]
    tokenizer = load_tokenizer(source, revision, settings["beginning_token"])
    model = load_model(source, revision, settings["dtype"], settings.get("device", "cpu"))
    return cut_vocabulary(model, len(tokenizer)), tokenizer
