# wildcards of a job, config.yaml -> what rules take as inputs and parameters, stage by stage


OF_MODELS = OfModels(config["models"])
model_files, model_contents, model_settings = OF_MODELS.files, OF_MODELS.contents, OF_MODELS.settings
device, published_lens, depth_maps = OF_MODELS.device, OF_MODELS.lens, OF_MODELS.maps
exact_token_counts, token_counts = OF_MODELS.known_counts, OF_MODELS.counts


def source_files(wildcards, kind="text"):
    """The files that a model's text is made from, or its long or its tagged text."""
    source = origin(config, wildcards.model, kind)["source"]
    return WORLD if source == CORPUS else source


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
