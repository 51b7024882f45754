# wildcards of a job, config.yaml -> what rules take as inputs and parameters, stage by stage


MODELS = OfModels(config["models"])


def source_files(wildcards, kind="text"):
    """The files that a model's text is made from, or its long or its tagged text."""
    source = origin(config, wildcards.model, kind)["source"]
    return WORLD if source == CORPUS else source


def tracing(window=(1, "code"), **given):
    """How prompts are traced: as the section says in all but what is given."""
    others = ("everywhere", "prefix", "only", "categories", "whole", "pieces")
    made = TRACE | dict.fromkeys(others) | {"prefix": ""} | given
    return {
        "corruption": {key: made[key] for key in ("noise", "samples", "replacements", "shared", "seed")},
        "window": list(window),
        **{key: made[key] for key in (*others, "max_rows")},
        "model": MODELS.settings,
    }
