# data/organism/ or a text file, tokenizer -> results/{model}/text/text.nc, token_counts.tsv
# text.nc, model -> results/{model}/text/activations.h5
TEXT_IS_CORPUS = config["text"]["source"] == "organism"
WORLD = sorted(str(path) for path in Path("data/organism").rglob("*.*"))


def corpus_made():
    """How the organism's corpus is written."""
    return {k: v for k, v in config["organism"]["corpus"].items() if k != "tokenizer_documents"}


def text_made():
    """How the text is drawn; if it is the corpus, how that is written."""
    made = {key: config["text"][key] for key in ("documents", "max_tokens", "seed")}
    made |= {"source": os.path.expanduser(config["text"]["source"])}
    return made | ({"corpus": corpus_made()} if TEXT_IS_CORPUS else {})


def exact_token_counts(wildcards):
    """The counts of its training that a model's folder brings, if it does."""
    source = config["models"][wildcards.model]["source"]
    exact = Path(source).expanduser() / "token_counts.tsv"
    return str(exact) if is_folder_source(source) and exact.is_file() else []


def token_counts(wildcards):
    """How often each token occurs: in training, where a model's folder says so, or in the text."""
    exact = exact_token_counts(wildcards) if TEXT_IS_CORPUS else []
    return exact or f"results/{wildcards.model}/text/token_counts.tsv"


rule gather_text:
    input:
        source=WORLD if TEXT_IS_CORPUS else text_made()["source"],
        model=model_files,
    output:
        text="results/{model}/text/text.nc",
        counts="results/{model}/text/token_counts.tsv",
    params:
        model=tokenizer_settings,
        text=text_made(),
    script:
        "../scripts/text/gather_text.py"


rule extract_text:
    input:
        text="results/{model}/text/text.nc",
        model=model_files,
    output:
        "results/{model}/text/activations.h5",
    threads: 2
    resources:
        gpu=gpus,
    params:
        model=model_settings,
        dtype=config["text"]["dtype"],
        keep=["resid", "attn_out"],
    script:
        "../scripts/text/extract_text.py"
