"""Find the contexts that random MLP keys answer to most, and what these have in common.

Input: syntax/text.nc, the model. Output: syntax/keys.nc, triggers.tsv, keys.tsv.
"""

from pipeline.job import job
from pipeline.open_model import open_model
from strata import io
from strata.keys.agreement import describe
from strata.keys.tables import key_table, trigger_table
from strata.keys.triggers import find_triggers
from strata.model.architecture import find_parts

with job(snakemake) as progress:
    settings, statistics = snakemake.params.model, snakemake.params.statistics
    n_keys, k = snakemake.params.chosen["per_layer"], snakemake.params.chosen["triggers"]
    model, tokenizer = open_model(settings)
    text = io.open_dataset(snakemake.input.text).load()
    triggers = find_triggers(
        find_parts(model), text, n_keys=n_keys, k=k, seed=statistics["seed"], progress=progress
    )
    described = describe(triggers, text, **statistics)
    described = described.merge(triggers.drop_vars("eligible"), join="exact")
    io.write_dataset(described, snakemake.output.described, model=settings, config=snakemake.params.chosen)
    table = trigger_table(triggers, text, tokenizer.base.decode)
    io.write_table(table, snakemake.output.triggers)
    io.write_table(key_table(table), snakemake.output.shared)
