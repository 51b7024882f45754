# wildcards of a job, config.yaml -> what rules take as inputs and parameters, stage by stage


# the model
def model_files(wildcards):
    """What is loaded of the job's model, where that is files here."""
    return files_of(wildcards.model, config["models"][wildcards.model])


def model_settings(wildcards, keys=LOADED_BY):
    """The section of the job's model, its name included."""
    return settings_of(wildcards.model, config["models"][wildcards.model], keys)


def weights_settings(wildcards):
    """The same without the device: weights are read, nothing is computed."""
    return model_settings(wildcards, keys=("source", "revision", "dtype"))


def tokenizer_settings(wildcards):
    """The same where only the tokenizer is loaded."""
    return model_settings(wildcards, keys=("source", "revision"))


def gpus(wildcards):
    """GPUs that a job which runs the model takes: none on the processor, where such jobs run side by side."""
    return int(config["models"][wildcards.model]["device"] != "cpu")


# text
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


# lens
def published_lens(wildcards):
    """Where the user keeps a lens that others have published for this model, if at all."""
    lens = config["models"][wildcards.model].get("lenses", {}).get(wildcards.decoder)
    return lens and os.path.expanduser(lens)


def depth_maps(wildcards):
    """The maps that a decoder carries states by: none, those published, or those fitted here."""
    if wildcards.decoder == "logit":
        return []
    origin = "published" if published_lens(wildcards) else "fitted"
    return [f"results/{wildcards.model}/lens/{wildcards.decoder}_{origin}.nc"]


# traces
def tracing(window=(1, "code"), everywhere=None, prefix="", only=None, **changes):
    """How prompts are traced: corrupted as the section says in all but what is named."""
    keys = ("noise", "samples", "replacements", "shared", "seed")
    return {
        "corruption": {key: TRACE[key] for key in keys} | changes,
        "window": list(window),
        "everywhere": everywhere,
        "prefix": prefix,
        "only": only,
        "max_rows": TRACE["max_rows"],
    }


# syntax
def tagged_text_made():
    """How the tagged text is drawn; if it is the corpus, how that is written."""
    made = {key: SYNTAX[key] for key in ("documents", "max_tokens")}
    made |= {"source": os.path.expanduser(SYNTAX["source"]), "seed": SYNTAX["statistics"]["seed"]}
    return made | ({"corpus": corpus_made(), "filler": SYNTAX["filler"]} if TAGS_ARE_KNOWN else {})


# figures
def data_of(figure):
    """The files that a figure is drawn from; those of every model that is run, where it shows them together."""
    return expand(figure.data.values(), model=config["run"]) if figure.across else figure.data.values()


def in_report(figure):
    """The PNG of a figure, for the report."""
    return report(
        figure.png,
        category=figure.section,
        subcategory="{model}" if "{model}" in figure.folder else None,
        labels=dict(figure.labels),
        caption=f"../report/{figure.caption}.rst",
    )
