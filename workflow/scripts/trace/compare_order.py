"""Is rote completion picked up earlier than fact? Tests of order, confounders, regression.

Input: trace/by_category.nc and the control run's, prompts.tsv, token counts.
Output: trace/order.tsv, trace/regression.tsv, trace/curves.tsv.
"""

import pandas as pd

from pipeline.job import job
from strata import io
from strata.trace import order

with job(snakemake):
    averages = io.open_dataset(snakemake.input.averages).load()
    control = io.open_dataset(snakemake.input.control).load()
    prompts = io.read_prompts(snakemake.input.prompts)
    counts = io.read_table(snakemake.input.counts)
    params = snakemake.params
    how = order.Resampling(params.resamples, params.permutations, params.interval, params.seed)
    table, beside = (order.transitions(run, prompts, counts) for run in (averages, control))
    tests = [
        order.category_means(averages),
        order.effect_sizes(table, how),
        order.trend(table, how),
        order.matched_pairs(table, order.pair_prompts(prompts), how),
        order.control_run(table, beside, "after a prefix", how),
        order.trend(beside, how, test="order, after a prefix"),
        order.effect_sizes(table, how, ("invented", "semantic")),
    ]
    io.write_table(pd.concat(tests, ignore_index=True), snakemake.output.order)
    io.write_table(order.regression(table, params.interval), snakemake.output.regression)
    curves = order.curve_difference(averages, "invented", "semantic", how)
    io.write_table(curves, snakemake.output.curves)
