"""Is rote completion picked up earlier than fact? Tests of order, confounders, regression.

Input: trace/by_category.nc, the control run's trace/control/state.nc, prompts.tsv, token counts.
Output: trace/order.tsv, trace/regression.tsv, trace/curves.tsv, trace/control/by_category.nc.
"""

import pandas as pd

from pipeline.job import job
from strata import io
from strata.trace.averages import average_by_category
from strata.trace.confounders import transitions
from strata.trace.curves import curve_differences
from strata.trace.effects import category_means, effect_sizes
from strata.trace.order import exclusion, trend
from strata.trace.pairs import control_run, matched_pairs, pair_prompts
from strata.trace.regression import regression
from strata.trace.restoration import still_guessed
from strata.trace.testing import Resampling, corrected

with job(snakemake):
    averages = io.open_dataset(snakemake.input.averages).load()
    again = still_guessed(io.open_dataset(snakemake.input.control))
    prompts = io.read_prompts(snakemake.input.prompts)
    counts = io.read_table(snakemake.input.counts)
    params, averaging = snakemake.params, snakemake.params.averaging
    control = average_by_category(again, **averaging)
    control = control.assign_coords(still_guessed=again["still_guessed"].reset_coords(drop=True))
    made_by = {"model": io.made_by(again)["model"], "config": averaging}
    io.write_dataset(control, snakemake.output.control, **made_by)
    interval = averaging["interval"]
    how = Resampling(averaging["n_resamples"], params.permutations, interval, averaging["seed"])
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
    fits = regression(table, interval, params.order)
    io.write_table(corrected(fits), snakemake.output.regression)
    io.write_table(curve_differences(averages, params.order, how), snakemake.output.curves)
