# model, prompts.tsv -> results/{model}/trace/{what}.nc; trace/shown/ has the prompts whose own trace is drawn, sooner; target approximate: to first order
# trace/{what}.nc -> averages by category, shares of severed runs, tests of order
TRACE, AVERAGE = config["trace"], config["average"]
CONTROL, WINDOW = TRACE["control"], (TRACE["window"], TRACE["convention"])
AVERAGED = ["mlp", "attn", "heads", "neurons", "attribution"]
PARTS = ["state_severed_mlp", "state_severed_attn", *AVERAGED]
MEASURES = ["", "_logit_difference", "_kl_clean", "_p_set", "_p_whole"]
NOWHERE = {"absolute": [], "relative": [], "prompts": None}
AVERAGING = {"n_resamples": AVERAGE["resamples"], **{k: AVERAGE[k] for k in ("min_gap", "interval", "seed")}}


rule trace_prompts:
    input:
        prompts="results/{model}/prompts.tsv",
        model=MODELS.files,
    output:
        "results/{model}/trace/state.nc",
    priority: 50
    params:
        **tracing(everywhere=TRACE["everywhere"], whole=True),
    script:
        "../scripts/trace/trace_prompts.py"


use rule trace_prompts as trace_parts with:
    output:
        [f"results/{{model}}/trace/{what}.nc" for what in PARTS],
    params:
        **tracing(WINDOW, everywhere=NOWHERE, replacements=0, pieces=TRACE["parts"], **TRACE["parts"]),


# The same after a neutral prefix: no subject is near the first position.
use rule trace_prompts as trace_control with:
    output:
        "results/{model}/trace/control/state.nc",
    params:
        **tracing(everywhere=NOWHERE, replacements=0, **CONTROL),


use rule trace_prompts as trace_shown with:
    output:
        [f"results/{{model}}/trace/shown/{what}.nc" for what in ("state", "mlp", "attn")],
    priority: 100
    params:
        **tracing(WINDOW, only=TRACE["shown"]),


rule trace_approximate:
    input:
        prompts="results/{model}/prompts.tsv",
        model=MODELS.files,
    output:
        "results/{model}/trace/approximate.nc",
    params:
        **tracing(),
    script:
        "../scripts/trace/trace_approximate.py"


rule approximate:
    input:
        expand("results/{model}/figures/trace_first_order.png", model=RUN),


rule average_approximate:
    input:
        trace="results/{model}/trace/approximate.nc",
    output:
        "results/{model}/trace/approximate_by_category.nc",
    params:
        averaging=AVERAGING,
    script:
        "../scripts/trace/average_approximate.py"


rule compare_approximation:
    input:
        **of_model(exact="trace/state.nc", approximate="trace/approximate.nc"),
    output:
        "results/{model}/trace/approximation.nc",
    params:
        averaging=AVERAGING,
    script:
        "../scripts/trace/compare_approximation.py"


rule average_traces:
    input:
        trace="results/{model}/trace/state.nc",
    output:
        **of_model(by_gap="trace/by_gap.nc", tokens="trace/subject_tokens.nc", left_out="trace/left_out.tsv"),
        averages=[f"results/{{model}}/trace/by_category{measure}.nc" for measure in MEASURES],
    priority: 70
    params:
        averaging=AVERAGING,
        other_gaps=AVERAGE["other_gaps"],
    script:
        "../scripts/trace/average_traces.py"


rule average_parts:
    input:
        state="results/{model}/trace/state.nc",
        parts=[f"results/{{model}}/trace/{part}.nc" for part in AVERAGED],
        severed=[f"results/{{model}}/trace/state_severed_{part}.nc" for part in ("mlp", "attn")],
    output:
        averages=[f"results/{{model}}/trace/by_category_{part}.nc" for part in AVERAGED],
        shares=[f"results/{{model}}/trace/severed_{part}.nc" for part in ("mlp", "attn")],
    priority: 70
    params:
        averaging=AVERAGING,
    script:
        "../scripts/trace/average_parts.py"


rule compare_order:
    input:
        **of_model(averages="trace/by_category.nc", control="trace/control/state.nc", prompts="prompts.tsv"),
        counts=MODELS.counts,
    output:
        **of_model(order="trace/order.tsv", regression="trace/regression.tsv", curves="trace/curves.tsv"),
        control="results/{model}/trace/control/by_category.nc",
    params:
        **{key: AVERAGE[key] for key in ("permutations", "order")} | {"averaging": AVERAGING},
    script:
        "../scripts/trace/compare_order.py"
