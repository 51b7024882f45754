"""Change one thing: exactly what it touches is made anew."""

import os

import pytest

ALL = [
    "curate_prompts",
    "extract_weights",
    "extract_activations",
    "read_lens",
    "plot_lens_grid",
    "plot_lens_divergence",
    "trace_states",
    "average_traces",
    "plot_trace",
    "plot_restoration",
    "decompose_embeddings",
    "plot_embedding",
]
LENS = ["read_lens", "plot_lens_grid", "plot_lens_divergence"]
TRACE = ["trace_states", "average_traces", "plot_trace", "plot_restoration"]
AVERAGE = ["average_traces", "plot_restoration"]
EMBEDDING = ["decompose_embeddings", "plot_embedding"]
PROMPTS = [rule for rule in ALL if rule not in ("extract_weights", *EMBEDDING)]
TRAINING = ["train_organism", "plot_training", "evaluate_retrained"]
CORPUS = ["write_corpus", *TRAINING]

# Every key of config.yaml: another value, and the rules that then run again.
TABLE = {
    "run": (["organism", "gpt2"], ALL),
    "models.organism.source": ("data/models/copy", ALL),
    "models.organism.revision": ("v2", ALL),
    "models.organism.dtype": ("bfloat16", ALL),
    "models.organism.device": ("auto", PROMPTS),
    "extract.dtype": ("float16", ["extract_activations", *LENS]),
    "lens.top_k": (3, LENS),
    "lens.figures": (["lines", "once"], ["plot_lens_grid"]),
    "lens.window": ([1, 5], ["plot_lens_grid"]),
    "trace.noise.absolute": ([0.1, 0.5], TRACE),
    "trace.noise.relative": ([], TRACE),
    "trace.samples": (3, TRACE),
    "trace.seed": (1, TRACE),
    "trace.max_rows": (64, TRACE),
    "average.min_gap": (0.1, AVERAGE),
    "average.resamples": (21, AVERAGE),
    "average.interval": (0.9, AVERAGE),
    "average.seed": (1, AVERAGE),
    "average.figures": (["once", "france"], ["plot_trace"]),
    "embedding.components": (4, EMBEDDING),
    "organism.corpus.seed": (5, CORPUS),
    "organism.corpus.mixture.facts": (5.0, CORPUS),
    "organism.corpus.mixture.rote": (5.0, CORPUS),
    "organism.corpus.mixture.copying": (5.0, CORPUS),
    "organism.corpus.mixture.repetition": (5.0, CORPUS),
    "organism.corpus.mixture.filler": (5.0, CORPUS),
    "organism.corpus.mixture.medley": (5.0, CORPUS),
    "organism.corpus.lookalikes": (0.5, CORPUS),
    "organism.corpus.clutter": (0.5, CORPUS),
    "organism.corpus.ramp": (50, CORPUS),
    "organism.corpus.tokenizer_documents": (200, CORPUS),
    "organism.recipe.seed": (1, TRAINING),
    "organism.recipe.n_layers": (3, TRAINING),
    "organism.recipe.n_channels": (32, TRAINING),
    "organism.recipe.n_heads": (4, TRAINING),
    "organism.recipe.vocab_size": (500, CORPUS),
    "organism.recipe.row_length": (256, CORPUS),
    "organism.recipe.rows_per_step": (3, CORPUS),
    "organism.recipe.steps": (4, CORPUS),
    "organism.recipe.learning_rate": (0.1, TRAINING),
    "organism.recipe.warmup_steps": (2, TRAINING),
    "organism.recipe.weight_decay": (0.0, TRAINING),
    "organism.recipe.early_attention_dropout": (0.1, TRAINING),
    "organism.recipe.early_attention_blocks": (2, TRAINING),
    "organism.evaluation.seed": (9, ["evaluate_organism", "evaluate_retrained"]),
}
TARGETS = ("all", "organism")


def leaves(section: dict, prefix: str = "") -> list[str]:
    found = []
    for key, value in section.items():
        found += leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else [prefix + key]
    return found


def test_nothing_to_do_after_a_run(project):
    assert project.planned(*TARGETS) == {}


def test_every_key_of_the_config_is_in_the_table(project):
    # Models that are declared but not run are like the one that is, and touch nothing.
    keys = {
        k for k in leaves(project.read("config.yaml")) if not k.startswith("models.") or ".organism." in k
    }
    assert keys == set(TABLE)


@pytest.mark.parametrize("key", TABLE)
def test_a_changed_key_reruns_exactly_its_rules(project, key):
    value, rules = TABLE[key]
    config = project.read("config.yaml")
    changed = project.read("config.yaml")
    *path, last = key.split(".")
    section = changed
    for part in path:
        section = section[part]
    assert section[last] != value
    section[last] = value
    copy = project.folder / "data/models/copy"
    copy.exists() or copy.symlink_to("organism")
    try:
        project.write("config.yaml", changed)
        assert sorted(project.planned(*TARGETS)) == sorted(rules)
    finally:
        project.write("config.yaml", config)


def test_a_declared_model_that_is_not_run_touches_nothing(project):
    config = project.read("config.yaml")
    changed = project.read("config.yaml")
    changed["models"]["gpt2"]["dtype"] = "float16"
    try:
        project.write("config.yaml", changed)
        assert project.planned(*TARGETS) == {}
    finally:
        project.write("config.yaml", config)


def test_a_new_prompt_reruns_what_depends_on_prompts_and_nothing_of_the_embeddings(project):
    file = "data/prompts/semantic.yaml"
    before, stat = project.read(file), (project.folder / file).stat()
    spain = {"id": "spain", "text": "The capital of Spain is", "subject": "Spain", "target": " Madrid"}
    try:
        project.write(file, before | {"prompts": [*before["prompts"], spain]})
        assert sorted(project.planned(*TARGETS)) == sorted(PROMPTS)
    finally:
        project.write(file, before)
        os.utime(project.folder / file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


MODULES = {
    "restoration": AVERAGE,
    "embedding": EMBEDDING,
    "figures/lens": ["plot_lens_grid", "plot_lens_divergence"],
    "figures/trace": ["plot_trace", "plot_restoration"],
    "lens": LENS,
    "trace": TRACE,
    "decoders": ALL,
    "organism/training": TRAINING,
    "organism/evaluation": ["evaluate_organism", "evaluate_retrained"],
}


@pytest.mark.parametrize("module", MODULES)
def test_an_edited_module_reruns_the_rules_that_stand_on_it(project, module):
    path = project.folder / f"workflow/scripts/strata/{module}.py"
    text, stat = path.read_text(), path.stat()
    try:
        path.write_text(text + "\n# edited\n")
        planned = project.planned(*TARGETS)
    finally:
        path.write_text(text)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    if module == "decoders":  # the architecture module builds norms, so whatever loads a model stands on it
        assert {"read_lens", "extract_weights", "trace_states"} <= set(planned)
    else:
        assert sorted(planned) == sorted(MODULES[module])
