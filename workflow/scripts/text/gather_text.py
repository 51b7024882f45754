"""Sample the text that decoders and probes are fitted and tested on, and count its tokens.

Input: the model's tokenizer; data/organism/ or a text file. Output: text.nc, token_counts.tsv.
"""

from pipeline.job import job
from strata import io
from strata.organism.texts import open_texts
from strata.text import documents as text
from strata.text.tokenizer import load_tokenizer

with job(snakemake) as progress:
    made, model = snakemake.params.text, snakemake.params.model
    tokenizer = load_tokenizer(model["source"], model["revision"], model["beginning_token"])
    documents, counts = text.sample(
        progress(open_texts(made), "documents"),
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
