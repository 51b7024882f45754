"""Average the traces of states by category, by every measure and with the rule of exclusion moved.

Input: trace/state.nc.
Output: trace/by_category.nc, by_category_{measure}.nc, by_gap.nc, subject_tokens.nc, left_out.tsv.
"""

from pipeline.job import job
from strata import io
from strata.trace.averages import average_by_category, average_by_gap, left_out
from strata.trace.subject_tokens import average_subject_tokens

with job(snakemake):
    trace = io.open_dataset(snakemake.input.trace)
    model, params, out = io.made_by(trace)["model"], snakemake.params, snakemake.output
    averages = [
        average_by_category(trace, measure=measure, **params.averaging)
        for measure in ("p_target", "logit_difference", "kl_clean", "p_set", "p_whole")
    ]
    but_the_gap = {key: value for key, value in params.averaging.items() if key != "min_gap"}
    by_gap = average_by_gap(trace, params.other_gaps, **but_the_gap)
    tokens = average_subject_tokens(trace, **params.averaging)
    config = {**params.averaging, "other_gaps": params.other_gaps}
    written = [*zip(averages, out.averages, strict=True), (by_gap, out.by_gap), (tokens, out.tokens)]
    for dataset, path in written:
        io.write_dataset(dataset, path, model=model, config=config)
    io.write_table(left_out(by_gap), out.left_out)
