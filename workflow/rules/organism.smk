# data/organism/ -> results/training/{tokens.npz, tokenizer/} -> results/training/model, loss.tsv   (target: organism)
# data/models/organism, data/organism/ -> results/organism/evaluation.{tsv,html}
WORLD = sorted(str(path) for path in Path("data/organism").rglob("*.*"))


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
    params:
        corpus=config["organism"]["corpus"],
        recipe={k: config["organism"]["recipe"][k] for k in ("vocab_size", "row_length", "rows_per_step", "steps")},
    threads: 2
    script:
        "../scripts/write_corpus.py"


rule train_organism:
    input:
        tokens="results/training/tokens.npz",
        tokenizer="results/training/tokenizer",
        library=library("organism.training", "io"),
    output:
        model=directory("results/training/model"),
        loss="results/training/loss.tsv",
    log:
        "logs/training/train_organism.log",
    params:
        recipe=config["organism"]["recipe"],
    threads: 2
    resources:
        gpu=1,
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
    script:
        "../scripts/plot_training.py"


rule evaluate_organism:
    input:
        model=[p for p in sorted(map(str, Path("data/models/organism").glob("*.*"))) if not p.endswith("README.md")],
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
    params:
        corpus=config["organism"]["corpus"],
        seed=config["organism"]["evaluation"]["seed"],
    threads: 2
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
