# model, prompts.tsv -> results/{model}/trace/{what}.nc -> averages by category, tests of order -> figures


rule trace_prompts:
    input:
        prompts="results/{model}/prompts.tsv",
        model=model_files,
        library=library("models", "architecture", "trace.corruption", "trace.dataset", "trace.sweep", "io"),
    output:
        "results/{model}/trace/state.nc",
    log:
        "logs/{model}/trace_prompts.log",
    conda:
        "../../envs/strata.yaml"
    # Small products gain nothing from a second thread; the three traces run side by side instead.
    threads: 1
    resources:
        gpu=gpus,
    params:
        model=model_settings,
        corruption=corruption(),
        window=[1, "code"],
        prefix="",
        max_rows=config["trace"]["max_rows"],
    script:
        "../scripts/trace_prompts.py"


use rule trace_prompts as trace_parts with:
    output:
        [f"results/{{model}}/trace/{what}.nc" for what in PARTS],
    log:
        "logs/{model}/trace_parts.log",
    params:
        model=model_settings,
        corruption=corruption(noise=config["trace"]["parts"]["noise"], replacements=0),
        window=[config["trace"]["window"], config["trace"]["convention"]],
        prefix="",
        max_rows=config["trace"]["max_rows"],


# The same after a neutral prefix: no subject stands near the first position.
use rule trace_prompts as trace_control with:
    output:
        "results/{model}/trace/control/state.nc",
    log:
        "logs/{model}/trace_control.log",
    params:
        model=model_settings,
        corruption=corruption(noise=config["trace"]["control"]["noise"], replacements=0),
        window=[1, "code"],
        prefix=config["trace"]["control"]["prefix"],
        max_rows=config["trace"]["max_rows"],


rule average_traces:
    input:
        trace="results/{model}/trace/state.nc",
        library=library("restoration", "io"),
    output:
        averages=[
            "results/{model}/trace/by_category.nc",
            "results/{model}/trace/by_category_logit_difference.nc",
            "results/{model}/trace/by_category_kl_clean.nc",
            "results/{model}/trace/by_category_p_set.nc",
        ],
        by_gap="results/{model}/trace/by_gap.nc",
        tokens="results/{model}/trace/subject_tokens.nc",
        left_out="results/{model}/trace/left_out.tsv",
    log:
        "logs/{model}/average_traces.log",
    conda:
        "../../envs/strata.yaml"
    params:
        averaging=AVERAGING,
        other_gaps=AVERAGE["other_gaps"],
    script:
        "../scripts/average_traces.py"


rule average_windows:
    input:
        trace="results/{model}/trace/{part}.nc",
        library=library("restoration", "io"),
    output:
        "results/{model}/trace/by_category_{part}.nc",
    log:
        "logs/{model}/average_windows_{part}.log",
    wildcard_constraints:
        part="mlp|attn",
    conda:
        "../../envs/strata.yaml"
    params:
        averaging=AVERAGING,
    script:
        "../scripts/average_windows.py"


use rule average_windows as average_control with:
    input:
        trace="results/{model}/trace/control/state.nc",
        library=library("restoration", "io"),
    output:
        "results/{model}/trace/control/by_category.nc",
    log:
        "logs/{model}/average_control.log",


rule share_severed:
    input:
        state="results/{model}/trace/state.nc",
        severed="results/{model}/trace/state_severed_{part}.nc",
        library=library("restoration", "io"),
    output:
        "results/{model}/trace/severed_{part}.nc",
    log:
        "logs/{model}/share_severed_{part}.log",
    wildcard_constraints:
        part="mlp|attn",
    conda:
        "../../envs/strata.yaml"
    params:
        averaging=AVERAGING,
    script:
        "../scripts/share_severed.py"


rule compare_order:
    input:
        averages="results/{model}/trace/by_category.nc",
        control="results/{model}/trace/control/by_category.nc",
        prompts="results/{model}/prompts.tsv",
        counts=token_counts,
        library=library("order", "io"),
    output:
        order="results/{model}/trace/order.tsv",
        regression="results/{model}/trace/regression.tsv",
        curves="results/{model}/trace/curves.tsv",
    log:
        "logs/{model}/compare_order.log",
    conda:
        "../../envs/strata.yaml"
    params:
        resamples=AVERAGE["resamples"],
        permutations=AVERAGE["permutations"],
        interval=AVERAGE["interval"],
        seed=AVERAGE["seed"],
    script:
        "../scripts/compare_order.py"


rule plot_trace:
    input:
        traces=[f"results/{{model}}/trace/{what}.nc" for what in ("state", "mlp", "attn")],
        library=library("figures.trace", "io"),
    output:
        png=report(
            "results/{model}/figures/trace_{prompt}.png",
            category="2 Causal traces",
            subcategory="{model}",
            labels={"figure": "one prompt", "prompt": "{prompt}"},
            caption="../report/trace.rst",
        ),
        svg="results/{model}/figures/trace_{prompt}.svg",
        windows=report(
            "results/{model}/figures/trace_windows_{prompt}.png",
            category="2 Causal traces",
            subcategory="{model}",
            labels={"figure": "one prompt, windows", "prompt": "{prompt}"},
            caption="../report/trace.rst",
        ),
        windows_svg="results/{model}/figures/trace_windows_{prompt}.svg",
    log:
        "logs/{model}/plot_trace_{prompt}.log",
    conda:
        "../../envs/strata.yaml"
    params:
        noise=drawn_level(),
    script:
        "../scripts/plot_trace.py"


rule plot_restoration:
    input:
        averages=[
            "results/{model}/trace/by_category.nc",
            "results/{model}/trace/by_category_mlp.nc",
            "results/{model}/trace/by_category_attn.nc",
            "results/{model}/trace/by_category_logit_difference.nc",
            "results/{model}/trace/by_category_kl_clean.nc",
            "results/{model}/trace/by_category_p_set.nc",
        ],
        gaps="results/{model}/trace/by_gap.nc",
        severed=["results/{model}/trace/severed_mlp.nc", "results/{model}/trace/severed_attn.nc"],
        tokens="results/{model}/trace/subject_tokens.nc",
        library=library("figures.trace", "io"),
    output:
        png=[
            report(
                f"results/{{model}}/figures/restoration_{name}.png",
                category="2 Causal traces",
                subcategory="{model}",
                labels={"figure": f"by category, {name.replace('_', ' ')}", "prompt": "all"},
                caption=f"../report/restoration_{name}.rst",
            )
            for name in RESTORATION_FIGURES
        ],
        svg=[f"results/{{model}}/figures/restoration_{name}.svg" for name in RESTORATION_FIGURES],
    log:
        "logs/{model}/plot_restoration.log",
    conda:
        "../../envs/strata.yaml"
    params:
        noise=drawn_level(),
        figures=RESTORATION_FIGURES,
    script:
        "../scripts/plot_restoration.py"


rule plot_order:
    input:
        averages="results/{model}/trace/by_category.nc",
        regression="results/{model}/trace/regression.tsv",
        curves="results/{model}/trace/curves.tsv",
        library=library("figures.trace", "io"),
    output:
        png=[
            report(
                f"results/{{model}}/figures/order_{name}.png",
                category="2 Causal traces",
                subcategory="{model}",
                labels={"figure": f"order, {name}", "prompt": "all"},
                caption=f"../report/order_{name}.rst",
            )
            for name in ORDER_FIGURES
        ],
        svg=[f"results/{{model}}/figures/order_{name}.svg" for name in ORDER_FIGURES],
    log:
        "logs/{model}/plot_order.log",
    conda:
        "../../envs/strata.yaml"
    script:
        "../scripts/plot_order.py"
