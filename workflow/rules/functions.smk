# wildcards of a job, config.yaml -> what rules take as inputs and parameters, stage by stage


MODELS = OfModels(config["models"])


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
        **dict(everywhere=everywhere, prefix=prefix, only=only, whole=whole, pieces=pieces),
        "model": MODELS.settings,
        "max_rows": TRACE["max_rows"],
    }
