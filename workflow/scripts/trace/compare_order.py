"""Is rote completion picked up earlier than fact? Tests of order, confounders, regression.

Input: trace/by_category.nc and the control run's, prompts.tsv, token counts.
Output: trace/order.tsv, trace/regression.tsv, trace/curves.tsv.
"""

import pandas as pd

from pipeline.job import job
from strata import io
from strata.trace.confounders import transitions
from strata.trace.curves import curve_differences
from strata.trace.effects import category_means, effect_sizes
from strata.trace.order import exclusion, trend
from strata.trace.pairs import control_run, matched_pairs, pair_prompts
from strata.trace.regression import regression
from strata.trace.testing import Resampling, corrected

with job(snakemake):
    averages = io.open_dataset(snakemake.input.averages).load()
    control = io.open_dataset(snakemake.input.control).load()
    prompts = io.read_prompts(snakemake.input.prompts)
    counts = io.read_table(snakemake.input.counts)
    params = snakemake.params
    how = Resampling(params.resamples, params.permutations, params.interval, params.seed)
    table, prefixed = (transitions(run, prompts, counts) for run in (averages, control))
    tests = [
        category_means(averages),
        effect_sizes(table, how, params.order),
        trend(table, how, params.order),
        exclusion(table, how, params.order),
        matched_pairs(table, pair_prompts(prompts), how),
        control_run(table, prefixed, "after a prefix", how),
        trend(prefixed, how, params.order, "order, after a prefix"),
    ]
    # Tests that have nothing to compare have no rows.
    tests = pd.concat([test for test in tests if len(test)], ignore_index=True)
    io.write_table(corrected(tests), snakemake.output.order)
    fits = regression(table, params.interval, params.order)
    io.write_table(corrected(fits), snakemake.output.regression)
    io.write_table(curve_differences(averages, params.order, how), snakemake.output.curves)
