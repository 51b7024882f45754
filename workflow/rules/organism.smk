# data/organism/ -> results/training/{tokens.npz, tokenizer/} -> results/training/model, loss.tsv   (target: organism)
# data/models/organism, data/organism/ -> results/organism/evaluation.{tsv,html}
MODEL_FILES = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]


rule organism:
    input:
        "results/training/loss.png",
        "results/training/evaluation.tsv",


rule write_corpus:
    input:
        world=WORLD,
        library=library("organism.corpus", "organism.tokenizer", "io"),
    output:
        tokens="results/training/tokens.npz",
        counts="results/training/token_counts.tsv",
        tokenizer=directory("results/training/tokenizer"),
    log:
        "logs/training/write_corpus.log",
    conda:
        "../../envs/strata.yaml"
    threads: 2
    params:
        corpus=config["organism"]["corpus"],
        recipe={
            k: config["organism"]["recipe"][k]
            for k in ("vocab_size", "row_length", "rows_per_step", "steps")
        },
    script:
        "../scripts/write_corpus.py"


rule train_organism:
    input:
        tokens="results/training/tokens.npz",
        tokenizer="results/training/tokenizer",
        library=library("organism.training", "models", "io"),
    output:
        model=directory("results/training/model"),
        loss="results/training/loss.tsv",
    log:
        "logs/training/train_organism.log",
    conda:
        "../../envs/strata.yaml"
    threads: 2
    resources:
        gpu=1,
    params:
        recipe=config["organism"]["recipe"],
    script:
        "../scripts/train_organism.py"


rule plot_training:
    input:
        retrained="results/training/loss.tsv",
        shipped="data/models/organism/loss.tsv",
        library=library("figures.training", "io"),
    output:
        png="results/training/loss.png",
        svg="results/training/loss.svg",
    log:
        "logs/training/plot_training.log",
    conda:
        "../../envs/strata.yaml"
    script:
        "../scripts/plot_training.py"


rule evaluate_organism:
    input:
        model=expand("data/models/organism/{file}", file=MODEL_FILES),
        world=WORLD,
        library=library("organism.evaluation", "models", "io"),
    output:
        table="results/organism/evaluation.tsv",
        page=report(
            "results/organism/evaluation.html",
            category="0 The organism",
            labels={"figure": "what it knows", "prompt": ""},
            caption="../report/evaluation.rst",
        ),
    log:
        "logs/organism/evaluate_organism.log",
    conda:
        "../../envs/strata.yaml"
    threads: 2
    params:
        seed=config["organism"]["evaluation"]["seed"],
        folder=lambda wildcards, input: str(Path(input.model[0]).parent),
    script:
        "../scripts/evaluate_organism.py"


use rule evaluate_organism as evaluate_retrained with:
    input:
        model="results/training/model",
        world=WORLD,
        library=library("organism.evaluation", "models", "io"),
    output:
        table="results/training/evaluation.tsv",
        page="results/training/evaluation.html",
    log:
        "logs/training/evaluate_retrained.log",
    conda:
        "../../envs/strata.yaml"
    params:
        seed=config["organism"]["evaluation"]["seed"],
        folder=lambda wildcards, input: str(input.model),
