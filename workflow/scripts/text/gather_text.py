"""Sample the text that decoders and probes are fitted and tested on, and count its tokens.

Input: the model's tokenizer; data/organism/ or a text file. Output: text.nc, token_counts.tsv.
"""

from itertools import islice

from pipeline.job import job
from strata import io
from strata.organism.corpus import corpus_of
from strata.text import documents as text
from strata.text.plain import read_documents
from strata.text.tokenizer import load_tokenizer

with job(snakemake) as progress:
    made, model = snakemake.params.text, snakemake.params.model
    tokenizer = load_tokenizer(model["source"], model["revision"], model["beginning_token"])
    if made["source"] == "organism":
        corpus = corpus_of(made["corpus"])
        # Not the documents that the organism was trained on, but others of the same kind.
        drawn = islice(corpus.documents(made["corpus"]["seed"] + 2, ramped=True), 2 * made["documents"])
        texts = (document.text for document in drawn)
    else:
        texts = read_documents(made["source"])
    documents, counts = text.sample(
        progress(texts, "documents"),
        tokenizer.encode_alone,
        made["documents"],
        made["max_tokens"],
        len(tokenizer),
        made["seed"],
        made["source"],
        tokenizer.beginning,
    )
    dataset = text.as_dataset(documents, len(tokenizer.beginning))
    io.write_dataset(dataset, snakemake.output.text, model=model, config=made)
    strings = tokenizer.strings(range(len(counts)))
    io.write_table(text.counts_table(counts, strings), snakemake.output.counts)
