# data/organism/ -> results/training/{tokens.npz, tokenizer/} -> results/training/model, loss.tsv   (target: organism)
# data/models/organism, data/organism/ -> results/organism/evaluation.{tsv,html}
ORGANISM = config["organism"]


rule organism:
    input:
        "results/training/loss.png",
        "results/training/evaluation.tsv",


rule write_corpus:
    input:
        world=WORLD,
    output:
        tokens="results/training/tokens.npz",
        counts="results/training/token_counts.tsv",
        tokenizer=directory("results/training/tokenizer"),
    threads: 2
    params:
        corpus=ORGANISM["corpus"],
        recipe={k: ORGANISM["recipe"][k] for k in ("vocab_size", "row_length", "rows_per_step", "steps")},
    script:
        "../scripts/organism/write_corpus.py"


rule train_organism:
    input:
        tokens="results/training/tokens.npz",
        tokenizer="results/training/tokenizer",
    output:
        model=directory("results/training/model"),
        loss="results/training/loss.tsv",
    threads: 2
    resources:
        gpu=1,
    params:
        recipe=ORGANISM["recipe"],
    script:
        "../scripts/organism/train_organism.py"


rule evaluate_organism:
    input:
        model=expand("data/models/organism/{file}", file=UNPACKED),
        world=WORLD,
    output:
        table="results/organism/evaluation.tsv",
        page=report(
            "results/organism/evaluation.html",
            category="0 The organism",
            labels={"figure": "what it knows", "prompt": ""},
            caption="../report/evaluation.rst",
        ),
    params:
        seed=ORGANISM["evaluation"]["seed"],
        folder=lambda wildcards, input: os.path.commonpath(input.model),
    script:
        "../scripts/organism/evaluate_organism.py"


use rule evaluate_organism as evaluate_retrained with:
    input:
        model=["results/training/model"],
        world=WORLD,
    output:
        table="results/training/evaluation.tsv",
        page="results/training/evaluation.html",
