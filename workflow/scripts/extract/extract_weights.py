"""Keep what later stages read from the weights alone: embeddings, unembedding, norms, vocabulary.

Input: the model. Output: weights.h5.
"""

from pipeline.job import job
from pipeline.open_model import open_model
from strata import io
from strata.model.weights import weights

with job(snakemake):
    settings = snakemake.params.model
    model, tokenizer = open_model(settings)
    dataset = weights(model, tokenizer.strings)
    special = [token in tokenizer.special for token in dataset["token_id"].values]
    dataset = dataset.assign(special=("vocab", special))
    io.write_dataset(dataset, snakemake.output[0], model=settings)
