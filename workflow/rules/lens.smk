# text/activations.h5 or text/text.nc and the model, or what others published -> results/{model}/lens/{decoder}_*.nc: maps
# activations.h5, weights.h5, prompts.tsv, maps -> results/{model}/lens/{decoder}.nc, {decoder}_updates.nc -> figures
rule fit_tuned:
    input:
        activations="results/{model}/text/activations.h5",
        weights="results/{model}/weights.h5",
        library=library("lens.tuned", "lens.text_stream", "lens.decoders", "io"),
    output:
        maps="results/{model}/lens/tuned_fitted.nc",
        report="results/{model}/lens/tuned_fit.tsv",
    log:
        "logs/{model}/fit_tuned.log",
    conda:
        "../../envs/strata.yaml"
    threads: 2
    params:
        tuned=LENS["tuned"],
        norm=LENS["norm"],
    script:
        "../scripts/fit_tuned.py"


rule fit_jacobian:
    input:
        text="results/{model}/text/text.nc",
        model=model_files,
        library=library("lens.jacobian", "text", "models", "architecture", "io"),
    output:
        "results/{model}/lens/jacobian_fitted.nc",
    log:
        "logs/{model}/fit_jacobian.log",
    conda:
        "../../envs/strata.yaml"
    threads: 2
    resources:
        gpu=gpus,
    params:
        model=model_settings,
        jacobian=LENS["jacobian"],
    script:
        "../scripts/fit_jacobian.py"


rule load_lens:
    input:
        lens=published_lens,
        weights="results/{model}/weights.h5",
        library=library("lens.artifacts", "lens.decoders", "io"),
    output:
        "results/{model}/lens/{decoder}_published.nc",
    log:
        "logs/{model}/load_lens_{decoder}.log",
    conda:
        "../../envs/strata.yaml"
    params:
        source=published_lens,
    script:
        "../scripts/load_lens.py"


rule read_lens:
    input:
        activations="results/{model}/activations.h5",
        weights="results/{model}/weights.h5",
        prompts="results/{model}/prompts.tsv",
        maps=depth_maps,
        library=library("lens.readout", "lens.decoders", "io"),
    output:
        "results/{model}/lens/{decoder}.nc",
        "results/{model}/lens/{decoder}_updates.nc",
    log:
        "logs/{model}/read_lens_{decoder}.log",
    conda:
        "../../envs/strata.yaml"
    threads: 2
    params:
        top_k=LENS["top_k"],
        norm=LENS["norm"],
    script:
        "../scripts/read_lens.py"


rule read_extended_lens:
    input:
        activations="results/{model}/activations.h5",
        weights="results/{model}/weights.h5",
        prompts="results/{model}/prompts.tsv",
        model=model_files,
        library=library("lens.extended", "lens.readout", "lens.decoders", "models", "architecture", "io"),
    output:
        "results/{model}/lens/extended.nc",
        "results/{model}/lens/extended_updates.nc",
    log:
        "logs/{model}/read_lens_extended.log",
    conda:
        "../../envs/strata.yaml"
    threads: 2
    resources:
        gpu=gpus,
    params:
        model=model_settings,
        extended=LENS["extended"],
        top_k=LENS["top_k"],
        norm=LENS["norm"],
    script:
        "../scripts/read_extended_lens.py"


ruleorder: read_extended_lens > read_lens


rule plot_lens_grid:
    input:
        lens="results/{model}/lens/{decoder}.nc",
        library=library("figures.lens", "io"),
    output:
        png=[
            report(
                f"results/{{model}}/figures/lens_grid_{{prompt}}_{{decoder}}_{colouring}.png",
                category="1 Lens",
                subcategory="{model}",
                labels={"figure": f"grid, {colouring}", "decoder": "{decoder}", "prompt": "{prompt}"},
                caption="../report/lens_grid.rst",
            )
            for colouring in LENS["grid"]["colourings"]
        ],
        svg=[
            f"results/{{model}}/figures/lens_grid_{{prompt}}_{{decoder}}_{colouring}.svg"
            for colouring in LENS["grid"]["colourings"]
        ],
    log:
        "logs/{model}/plot_lens_grid_{prompt}_{decoder}.log",
    conda:
        "../../envs/strata.yaml"
    params:
        grid={key: LENS["grid"][key] for key in LENS["grid"] if key not in ("prompts", "decoders")},
    script:
        "../scripts/plot_lens_grid.py"


rule plot_lens_updates:
    input:
        updates="results/{model}/lens/{decoder}_updates.nc",
        library=library("figures.lens", "io"),
    output:
        png=report(
            "results/{model}/figures/lens_updates_{prompt}_{decoder}.png",
            category="1 Lens",
            subcategory="{model}",
            labels={"figure": "what sub-blocks add", "decoder": "{decoder}", "prompt": "{prompt}"},
            caption="../report/lens_updates.rst",
        ),
        svg="results/{model}/figures/lens_updates_{prompt}_{decoder}.svg",
    log:
        "logs/{model}/plot_lens_updates_{prompt}_{decoder}.log",
    conda:
        "../../envs/strata.yaml"
    params:
        window=LENS["grid"]["window"],
    script:
        "../scripts/plot_lens_updates.py"


rule plot_lens_divergence:
    input:
        lens="results/{model}/lens/{decoder}.nc",
        library=library("figures.lens", "io"),
    output:
        png=report(
            "results/{model}/figures/lens_divergence_{decoder}.png",
            category="1 Lens",
            subcategory="{model}",
            labels={"figure": "divergence by depth", "decoder": "{decoder}", "prompt": "all"},
            caption="../report/lens_divergence.rst",
        ),
        svg="results/{model}/figures/lens_divergence_{decoder}.svg",
    log:
        "logs/{model}/plot_lens_divergence_{decoder}.log",
    conda:
        "../../envs/strata.yaml"
    script:
        "../scripts/plot_lens_divergence.py"


rule compare_decoders:
    input:
        **LENSES,
        library=library("lens.comparison", "io"),
    output:
        "results/{model}/lens/comparison.tsv",
    log:
        "logs/{model}/compare_decoders.log",
    conda:
        "../../envs/strata.yaml"
    params:
        decoders=LENS["decoders"],
        statistics=LENS["statistics"],
    script:
        "../scripts/compare_decoders.py"


rule plot_lens_decoders:
    input:
        table="results/{model}/lens/comparison.tsv",
        library=library("figures.lens_decoders", "io"),
    output:
        png=report(
            "results/{model}/figures/lens_decoders.png",
            category="1 Lens",
            subcategory="{model}",
            labels={"figure": "decoders compared", "decoder": "all", "prompt": "all"},
            caption="../report/lens_decoders.rst",
        ),
        svg="results/{model}/figures/lens_decoders.svg",
    log:
        "logs/{model}/plot_lens_decoders.log",
    conda:
        "../../envs/strata.yaml"
    script:
        "../scripts/plot_lens_decoders.py"


rule write_lens_pages:
    input:
        **LENSES,
        library=library("figures.lens_page", "io"),
        template=sorted(map(str, Path("workflow/scripts/strata/figures").glob("lens_page.*[!y]"))),
    output:
        [lens_page(prompt) for prompt in PAGES],
    log:
        "logs/{model}/write_lens_pages.log",
    conda:
        "../../envs/strata.yaml"
    params:
        decoders=LENS["decoders"],
    script:
        "../scripts/write_lens_pages.py"


rule plot_lens_models:
    input:
        lenses=expand("results/{model}/lens/logit.nc", model=config["run"]),
        library=library("figures.lens_decoders", "io"),
    output:
        png=report(
            "results/models/lens_models.png",
            category="1 Lens",
            labels={"figure": "models compared", "decoder": "logit", "prompt": "all"},
            caption="../report/lens_models.rst",
        ),
        svg="results/models/lens_models.svg",
    log:
        "logs/models/plot_lens_models.log",
    conda:
        "../../envs/strata.yaml"
    params:
        models=config["run"],
    script:
        "../scripts/plot_lens_models.py"


rule fit_probes:
    input:
        activations="results/{model}/text/activations.h5",
        weights="results/{model}/weights.h5",
        library=library("lens.probes", "lens.decoders", "io"),
    output:
        "results/{model}/lens/probes.nc",
    log:
        "logs/{model}/fit_probes.log",
    conda:
        "../../envs/strata.yaml"
    threads: 2
    params:
        probes=LENS["probes"],
        statistics=LENS["statistics"],
    script:
        "../scripts/fit_probes.py"


rule plot_probes:
    input:
        probes="results/{model}/lens/probes.nc",
        library=library("figures.probes", "io"),
    output:
        accuracy=report(
            "results/{model}/figures/lens_probes_accuracy.png",
            category="1 Lens",
            subcategory="{model}",
            labels={"figure": "linear probes, accuracy", "decoder": "", "prompt": "text"},
            caption="../report/lens_probes_accuracy.rst",
        ),
        accuracy_svg="results/{model}/figures/lens_probes_accuracy.svg",
        embedding=report(
            "results/{model}/figures/lens_probes_embedding.png",
            category="1 Lens",
            subcategory="{model}",
            labels={"figure": "linear probes and the embedding", "decoder": "", "prompt": "text"},
            caption="../report/lens_probes_embedding.rst",
        ),
        embedding_svg="results/{model}/figures/lens_probes_embedding.svg",
    log:
        "logs/{model}/plot_probes.log",
    conda:
        "../../envs/strata.yaml"
    script:
        "../scripts/plot_probes.py"


rule measure_repurposing:
    input:
        activations="results/{model}/activations.h5",
        weights="results/{model}/weights.h5",
        library=library("lens.repurposing", "lens.decoders", "io"),
    output:
        "results/{model}/lens/repurposing.nc",
    log:
        "logs/{model}/measure_repurposing.log",
    conda:
        "../../envs/strata.yaml"
    threads: 2
    params:
        repurposing=LENS["repurposing"],
        statistics=LENS["statistics"],
    script:
        "../scripts/measure_repurposing.py"


rule plot_repurposing:
    input:
        repurposing="results/{model}/lens/repurposing.nc",
        library=library("figures.probes", "io"),
    output:
        png=report(
            "results/{model}/figures/lens_repurposing.png",
            category="1 Lens",
            subcategory="{model}",
            labels={"figure": "embeddings of unlikely tokens", "decoder": "logit", "prompt": "all"},
            caption="../report/lens_repurposing.rst",
        ),
        svg="results/{model}/figures/lens_repurposing.svg",
    log:
        "logs/{model}/plot_repurposing.log",
    conda:
        "../../envs/strata.yaml"
    script:
        "../scripts/plot_repurposing.py"


rule ask_lens:
    input:
        **LENSES,
        prompts="results/{model}/prompts.tsv",
        counts=token_counts,
        library=library("lens.questions", "io"),
    output:
        answers="results/{model}/lens/answers.tsv",
        questions="results/{model}/lens/questions.nc",
    log:
        "logs/{model}/ask_lens.log",
    conda:
        "../../envs/strata.yaml"
    params:
        decoders=LENS["decoders"],
        statistics=LENS["statistics"],
    script:
        "../scripts/ask_lens.py"


rule plot_lens_questions:
    input:
        questions="results/{model}/lens/questions.nc",
        library=library("figures.lens_questions", "io"),
    output:
        png=[
            report(
                f"results/{{model}}/figures/lens_{question}.png",
                category="1 Lens",
                subcategory="{model}",
                labels={"figure": question.replace("_", " "), "decoder": "all", "prompt": "all"},
                caption=f"../report/lens_{question}.rst",
            )
            for question in LENS_QUESTIONS
        ],
        svg=[f"results/{{model}}/figures/lens_{question}.svg" for question in LENS_QUESTIONS],
    log:
        "logs/{model}/plot_lens_questions.log",
    conda:
        "../../envs/strata.yaml"
    params:
        questions=LENS_QUESTIONS,
    script:
        "../scripts/plot_lens_questions.py"
