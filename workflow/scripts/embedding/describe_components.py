"""What the leading components of the token embedding tell of a token, and which tokens are at their ends.

Input: weights.h5, embedding.nc, a table of token counts; for the organism its grammar, for parts of speech.
Output: embedding/components.nc, components.tsv, peaks.tsv.
"""

from pipeline.job import job
from strata import io
from strata.embedding import components
from strata.embedding.token_properties import describe_tokens, parts_of_speech
from strata.organism.grammar import read_grammar
from strata.text.documents import count_by_row
from strata.text.tokens import ordinary

with job(snakemake):
    settings = snakemake.params.components
    weights = ordinary(io.open_dataset(snakemake.input.weights))
    strings = weights["token_str"]
    counts = count_by_row(weights["token_id"], io.read_table(snakemake.input.counts))
    tags = None
    if snakemake.input.get("grammar"):
        tags = parts_of_speech(strings, read_grammar("data/organism").words())
    result = components.analyse(
        weights["token_embedding"],
        io.open_dataset(snakemake.input.embedding),
        describe_tokens(strings, counts, tags),
        counts,
        weights.get("position_embedding"),
        **settings,
    )
    model = io.made_by(weights)["model"]
    io.write_dataset(result, snakemake.output.components, model=model, config=settings)
    io.write_table(components.table(result), snakemake.output.table)
    io.write_table(components.peaks_table(result), snakemake.output.peaks)
