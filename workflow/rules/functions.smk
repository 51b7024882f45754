# wildcards of a job, config.yaml -> what rules take as inputs and parameters, stage by stage


def model_files(wildcards):
    """What is loaded of the job's model, where that is files here; of what was not made here, times tell nothing."""
    section = config["models"][wildcards.model]
    given, files = sources_of(section), files_of(wildcards.model, section)
    return [ancient(path) if path in given else path for path in files]


def model_contents(wildcards):
    """A digest of the files that the job's model came as."""
    return digest_of(sources_of(config["models"][wildcards.model]))


def model_settings(wildcards, keys=LOADED_BY):
    """The section of the job's model, its name and its files' digest included, or what of it a job loads."""
    settings = settings_of(wildcards.model, config["models"][wildcards.model], keys)
    return settings | {"contents": model_contents(wildcards)}


def device(wildcards):
    """Where the job's model runs, and what is fitted to its states."""
    return config["models"][wildcards.model]["device"]


def source_files(wildcards, kind="text"):
    """The files that a model's text is made from, or its long or its tagged text."""
    source = origin(config, wildcards.model, kind)["source"]
    return WORLD if source == CORPUS else source


def token_counts(wildcards):
    """How often each token occurs: in training, where that is known, or in the text."""
    known = known_counts(config["models"][wildcards.model])
    return known or f"results/{wildcards.model}/text/token_counts.tsv"


def published_lens(wildcards, decoder=None):
    """Where the user keeps a lens that others have published for this model, if at all."""
    lens = config["models"][wildcards.model].get("lenses", {}).get(decoder or wildcards.decoder)
    return lens and os.path.expanduser(lens)


def depth_maps(wildcards, decoder=None):
    """The maps that a decoder carries states by: none, those published, or those fitted here."""
    decoder = decoder or wildcards.decoder
    made = "published" if published_lens(wildcards, decoder) else "fitted"
    return [] if decoder in ("logit", "extended") else [f"results/{wildcards.model}/lens/{decoder}_{made}.nc"]


def tracing(window=(1, "code"), everywhere=None, prefix="", only=None, whole=False, pieces=None, **changes):
    """How prompts are traced: corrupted as the section says in all but what is named."""
    keys = ("noise", "samples", "replacements", "shared", "seed")
    return {
        "corruption": {key: TRACE[key] for key in keys} | changes,
        "window": list(window),
        "everywhere": everywhere,
        "prefix": prefix,
        "only": only,
        "whole": whole,
        "pieces": pieces,
        "model": model_settings,
        "max_rows": TRACE["max_rows"],
    }
