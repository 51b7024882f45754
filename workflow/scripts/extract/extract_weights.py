"""Keep what later stages read from the weights alone: embeddings, unembedding, norms, vocabulary.

Input: the model. Output: weights.h5.
"""

from pipeline.job import job
from strata import io
from strata.model.loading import load_model
from strata.model.weights import weights
from strata.text.tokenizer import load_tokenizer, token_strings

with job(snakemake):
    settings = snakemake.params.model
    model = load_model(settings["source"], settings["revision"], settings["dtype"])
    tokenizer = load_tokenizer(settings["source"], settings["revision"])
    dataset = weights(model, lambda ids: token_strings(tokenizer, ids))
    io.write_dataset(dataset, snakemake.output[0], model=settings)
