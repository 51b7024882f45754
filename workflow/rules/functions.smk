# wildcards of a job, config.yaml -> what rules take as inputs and parameters, stage by stage


def of_model(**files):
    """Files under the results of the job's model, by the names that a rule gives them."""
    return {name: f"results/{{model}}/{file}" for name, file in files.items()}


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


def page_in_report(name, section, shows, of="{model}"):
    """A page of the job's model, or of all models together, for the report."""
    how = {"category": section, "subcategory": of, "labels": {"figure": shows, "prompt": ""}}
    return report(f"results/{of}/{name}.html", caption=f"../report/{name}.rst", **how)
