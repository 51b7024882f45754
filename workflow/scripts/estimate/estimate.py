"""Print what every rule will cost for each model that is run, without loading any.

Input: config.yaml, data/prompts; of each model its configuration and tokenizer, and prompts.tsv and text.nc,
where they are there already. Output: none but what is printed.
"""

from pipeline.counting import counted
from pipeline.estimate import Estimates
from pipeline.estimate_table import about, table
from pipeline.job import job
from strata.costs.machine import measure
from strata.model.source import ModelUnavailable

with job(snakemake) as progress:
    config, prompts = snakemake.params.config, snakemake.params.prompts
    machine, told = measure(), []
    bounds = Estimates(config, prompts)
    for model in progress(config["run"], "models"):
        try:
            counts = counted(config, model, prompts, bounds.work(model).shape.vocab)
            told.append(table(Estimates(config, prompts, {model: counts}), model, machine))
        except ModelUnavailable as error:
            told.append(f"{model}: {error}")
print("\n\n".join([about(machine), *told]))
