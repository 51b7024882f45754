# of many prompts, what jobs make of some each, in trace/shards and lens/shards -> trace/{what}.nc, lens/{decoder}.nc


use rule trace_prompts as trace_prompts_shard with:
    output:
        temp("results/{model}/trace/shards/{shard}/state.nc"),


use rule trace_parts as trace_parts_shard with:
    output:
        [temp(f"results/{{model}}/trace/shards/{{shard}}/{what}.nc") for what in PARTS],


use rule trace_control as trace_control_shard with:
    output:
        temp("results/{model}/trace/shards/{shard}/control/state.nc"),


use rule read_lens as read_lens_shard with:
    output:
        temp("results/{model}/lens/shards/{shard}/{decoder}.nc"),


use rule read_extended_lens as read_extended_lens_shard with:
    output:
        temp("results/{model}/lens/shards/{shard}/extended.nc"),


rule gather_shards:
    input:
        SHARDS.files,
    output:
        "results/{model}/{stage,trace|lens}/{gathered}.nc",
    wildcard_constraints:
        model=checked(SHARDS.models),
        gathered="|".join(["state", "control/state", *PARTS, *LENS["decoders"]]),
    priority: 50
    script:
        "../scripts/shards/gather_shards.py"


ruleorder: read_extended_lens_shard > read_lens_shard
ruleorder: gather_shards > read_extended_lens > read_lens > trace_prompts > trace_parts > trace_control
