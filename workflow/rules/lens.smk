# text/activations.h5, or text/text.nc and the model, or what others published -> results/{model}/lens/{decoder}_*.nc: maps
# activations.h5, weights.h5, prompts.tsv, maps -> results/{model}/lens/{decoder}.nc; {decoder}_updates.nc, where a figure needs it
# these -> results/{model}/lens/comparison.tsv, answers.tsv, questions.nc, explorer.html; probes.nc, contextless.nc, repurposing.nc, mixing.nc
LENS = config["lens"]
LENSES = of_model(**{decoder: f"lens/{decoder}.nc" for decoder in LENS["decoders"]})
MAPS = {d: lambda wildcards, d=d: MODELS.maps(wildcards, d) for d in LENS["decoders"]}
SHOWN = {"shown": lambda wildcards: LENS["grid"]["prompts"] if wildcards.get("part") else []}
TEXT = of_model(activations="text/activations.h5", weights="weights.h5")


rule fit_tuned:
    input:
        **TEXT,
    output:
        **of_model(maps="lens/tuned_fitted.nc", report="lens/tuned_fit.tsv"),
    priority: 60
    params:
        device=MODELS.device,
        tuned={"norm": LENS["norm"], **LENS["tuned"]},
    script:
        "../scripts/lens/fit_tuned.py"


rule fit_jacobian:
    input:
        text="results/{model}/text/text.nc",
        model=MODELS.files,
    output:
        "results/{model}/lens/jacobian_fitted.nc",
    priority: 60
    params:
        model=MODELS.settings,
        jacobian=LENS["jacobian"],
    script:
        "../scripts/lens/fit_jacobian.py"


rule load_lens:
    input:
        lens=MODELS.lens,
        weights="results/{model}/weights.h5",
    output:
        "results/{model}/lens/{decoder}_published.nc",
    script:
        "../scripts/lens/load_lens.py"


rule read_lens:
    input:
        **of_model(activations="activations.h5", weights="weights.h5", prompts="prompts.tsv"),
        maps=MODELS.maps,
    output:
        "results/{model}/lens/{decoder}{part}.nc",
    priority: 90
    params:
        **{key: LENS[key] for key in ("top_k", "norm")} | SHOWN,
        device=MODELS.device,
    script:
        "../scripts/lens/read_lens.py"


rule read_extended_lens:
    input:
        **of_model(activations="activations.h5", weights="weights.h5", prompts="prompts.tsv"),
        model=MODELS.files,
    output:
        "results/{model}/lens/extended{part}.nc",
    params:
        **{key: LENS[key] for key in ("top_k", "norm")} | SHOWN,
        model=MODELS.settings,
        extended=LENS["extended"],
    script:
        "../scripts/lens/read_extended_lens.py"


rule compare_lenses:
    input:
        **LENSES,
        prompts="results/{model}/prompts.tsv",
        counts=MODELS.counts,
    output:
        **of_model(answers="lens/answers.tsv", questions="lens/questions.nc"),
        comparison="results/{model}/lens/comparison.tsv",
    params:
        **{key: LENS[key] for key in ("decoders", "statistics")},
    script:
        "../scripts/lens/compare_lenses.py"


rule write_explorer:
    input:
        **LENSES,
        trace="results/{model}/trace/state.nc",
        template=sorted(map(str, Path("workflow/scripts/strata/figures").glob("explorer*.[chj]*"))),
    output:
        # Not in the report, which it would double: it is a page of its own.
        "results/{model}/lens/explorer.html",
    params:
        decoders=LENS["decoders"],
        prompts=LENS["explorer"],
    script:
        "../scripts/lens/write_explorer.py"


rule fit_probes:
    input:
        **TEXT,
    output:
        "results/{model}/lens/probes.nc",
    params:
        device=MODELS.device,
        probes={**LENS["probes"], **LENS["statistics"]},
    script:
        "../scripts/lens/fit_probes.py"


rule measure_contextless:
    input:
        **MAPS,
        **TEXT,
        model=MODELS.files,
    output:
        "results/{model}/lens/contextless.nc",
    params:
        model=MODELS.settings,
        contextless={"norm": LENS["norm"], **LENS["extended"], **LENS["contextless"], **LENS["statistics"]},
    script:
        "../scripts/lens/measure_contextless.py"


rule measure_repurposing:
    input:
        **of_model(activations="activations.h5", weights="weights.h5", prompts="prompts.tsv"),
    output:
        "results/{model}/lens/repurposing.nc",
    params:
        device=MODELS.device,
        repurposing={**LENS["repurposing"], **LENS["statistics"]},
    script:
        "../scripts/lens/measure_repurposing.py"


rule measure_mixing:
    input:
        text="results/{model}/text/text.nc",
        model=MODELS.files,
    output:
        "results/{model}/lens/mixing.nc",
    params:
        model=MODELS.settings,
        mixing={**LENS["mixing"], **LENS["statistics"]},
    script:
        "../scripts/lens/measure_mixing.py"
