"""The tokens that a model has rows for, and the rows that belong to none."""

from transformers import PreTrainedModel


def cut_vocabulary(model: PreTrainedModel, n_tokens: int) -> PreTrainedModel:
    """The same model without rows of its embedding and unembedding beyond its tokenizer's ``n_tokens``.

    Embeddings are padded to round numbers (Pythia's by 27 rows and more). Probabilities are then those among
    tokens. A model that has no more rows is left as it is.
    """
    if n_tokens < model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(n_tokens, mean_resizing=False)
        model.requires_grad_(False)
    return model
