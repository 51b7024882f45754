# data/organism/ -> results/training/{tokens.npz, tokenizer/} -> results/training/{model}/model, loss.tsv   (target: organism)
# a variant of the organism, data/organism/ -> results/{model}/evaluation.{tsv,html}
ORGANISM, VARIANTS = config["organism"], config["organism"]["variants"]


rule organism:
    input:
        expand("results/training/{model}/loss.{kind}", model=VARIANTS, kind=["png", FORM["format"]]),
        expand("results/training/{model}/evaluation.tsv", model=VARIANTS),


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
        model=directory("results/training/{model}/model"),
        loss="results/training/{model}/loss.tsv",
    params:
        recipe=lambda wildcards: ORGANISM["recipe"] | ORGANISM["variants"][wildcards.model],
    script:
        "../scripts/organism/train_organism.py"


rule evaluate_organism:
    input:
        model=MODELS.files,
        world=WORLD,
    output:
        table="results/{model}/evaluation.tsv",
        page=page_in_report("evaluation", "0 The organism", "what it knows"),
    params:
        seed=ORGANISM["evaluation"]["seed"],
        contents=MODELS.contents,
        folder=lambda wildcards, input: os.path.commonpath(input.model),
    script:
        "../scripts/organism/evaluate_organism.py"


use rule evaluate_organism as evaluate_retrained with:
    input:
        model=["results/training/{model}/model"],
        world=WORLD,
    output:
        table="results/training/{model}/evaluation.tsv",
        page="results/training/{model}/evaluation.html",
    params:
        seed=ORGANISM["evaluation"]["seed"],
        folder=lambda wildcards, input: os.path.commonpath(input.model),
