"""Change one thing: exactly what it touches is made anew."""

import os
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import pytest

READ = ["read_lens", "read_extended_lens"]
GRIDS = ["plot_lens_grid", "plot_lens_updates"]
COMPARISON = ["compare_decoders", "plot_lens_decoders"]
QUESTIONS = ["ask_lens", "plot_lens_questions"]
PROBES = ["fit_probes", "plot_probes"]
REPURPOSING = ["measure_repurposing", "plot_repurposing"]
EVERY_DECODER = ["write_lens_pages", *COMPARISON, *QUESTIONS]
ONE_DECODER = ["plot_lens_divergence", *EVERY_DECODER]
LENS = [*READ, *GRIDS, "plot_lens_models", *ONE_DECODER]
FITS = ["fit_tuned", "fit_jacobian"]
TUNED = ["fit_tuned", "read_lens", *ONE_DECODER]
JACOBIAN = ["fit_jacobian", "read_lens", *ONE_DECODER]
OVER_TEXT = ["attend_over_text", "plot_attention", "plot_attention_text"]
ORDER = ["compare_order", "plot_order"]
STATES = ["read_attention", "plot_attention", "measure_motion", "plot_hidden"]
BY_STATE = ["average_traces", "plot_restoration", *ORDER, *STATES]
STATE = ["trace_prompts", "share_severed", "plot_trace", *BY_STATE]
PARTS = ["trace_parts", "average_windows", "share_severed", "plot_trace", "plot_restoration"]
CONTROL = ["trace_control", "average_control", *ORDER]
TRACE = sorted({*STATE, *PARTS, *CONTROL})
AVERAGE = sorted({"average_windows", "average_control", "share_severed", *BY_STATE})
SYNTAX = ["tag_text", "extract_tagged_text", "probe_syntax", "trigger_keys", "plot_syntax"]
FREQUENCY = ["correlate_frequency", "plot_frequency"]
COMPONENTS = ["describe_components", "plot_components"]
SVD = ["decompose_embeddings", "plot_embedding", *FREQUENCY, *COMPONENTS]
POSITIONS = ["describe_positions", "plot_positions"]
GAINS = ["describe_gains", "plot_gains"]
EXPERIMENTS = ["disturb_positions", "plot_experiments"]
CHANNELS = ["describe_channels", "plot_channels", *POSITIONS, *GAINS, *EXPERIMENTS]
ZERO_LAYER = ["apply_zero_layer", "plot_zero_layer"]
CLUMP = ["find_clumps", "plot_zero_layer"]
EMBEDDING = [*SVD, *CHANNELS, *ZERO_LAYER, *CLUMP]
COMPUTED = [*SYNTAX, *EXPERIMENTS, *ZERO_LAYER]
PROMPTS = ["curate_prompts", "extract_activations", *LENS, *REPURPOSING, *TRACE]
ALL = sorted(
    {
        "extract_weights",
        *PROMPTS,
        "gather_text",
        "extract_text",
        *FITS,
        *PROBES,
        *EMBEDDING,
        *OVER_TEXT,
        *SYNTAX,
    }
)
TRAINING = ["train_organism", "plot_training", "evaluate_retrained"]
CORPUS = ["write_corpus", *TRAINING]

TEXT = [
    "gather_text",
    "extract_text",
    "fit_jacobian",
    *TUNED,
    *PROBES,
    *OVER_TEXT,
    *ORDER,
    *EXPERIMENTS,
    *FREQUENCY,
    *COMPONENTS,
    *ZERO_LAYER,
    *CLUMP,
]

# Every key of config.yaml: another value, and the rules that then run again.
TABLE = {
    "run": (["organism", "gpt2"], ALL),
    "models.organism.source": ("data/models/copy", ALL),
    "models.organism.revision": ("v2", ALL),
    "models.organism.dtype": ("bfloat16", [rule for rule in ALL if rule not in ("gather_text", "tag_text")]),
    "models.organism.device": (
        "auto",
        sorted({*PROMPTS, "extract_text", *FITS, *PROBES, *OVER_TEXT, *COMPUTED} - {"tag_text"}),
    ),
    "extract.dtype": ("float16", ["extract_activations", *LENS, *REPURPOSING, *STATES]),
    "text.source": ("data/text.txt", TEXT),
    "text.documents": (41, TEXT),
    "text.max_tokens": (50, TEXT),
    "text.seed": (1, TEXT),
    "text.dtype": ("float32", ["extract_text", *TUNED, *PROBES]),
    "lens.decoders": (["logit"], EVERY_DECODER),
    "lens.top_k": (3, LENS),
    "lens.norm": ("plain", ["fit_tuned", *LENS]),
    "lens.extended.last": (0, ["read_extended_lens", *ONE_DECODER]),
    "lens.tuned.steps": (3, TUNED),
    "lens.tuned.tokens_per_step": (64, TUNED),
    "lens.tuned.learning_rate": (0.1, TUNED),
    "lens.jacobian.documents": (3, JACOBIAN),
    "lens.jacobian.skip": (2, JACOBIAN),
    "lens.jacobian.max_tokens": (64, JACOBIAN),
    "lens.grid.prompts": (["lines", "once"], GRIDS),
    "lens.grid.decoders": (["tuned"], GRIDS),
    "lens.grid.colourings": (["logit"], ["plot_lens_grid"]),
    "lens.grid.window": ([1, 5], GRIDS),
    "lens.grid.stride": (2, ["plot_lens_grid"]),
    "lens.grid.half_depths": (False, ["plot_lens_grid"]),
    "lens.grid.input_row": (False, ["plot_lens_grid"]),
    "lens.pages": (["once", "lines", "france"], ["write_lens_pages"]),
    "lens.probes.epochs": (0, PROBES),
    "lens.probes.nmf_components": (3, PROBES),
    "lens.probes.nmf_tokens": (100, PROBES),
    "lens.probes.draws": (2, PROBES),
    "lens.repurposing.max_tokens": (10, REPURPOSING),
    "lens.statistics.resamples": (21, [*COMPARISON, *QUESTIONS, *PROBES, *REPURPOSING]),
    "lens.statistics.interval": (0.9, [*COMPARISON, *QUESTIONS, *PROBES, *REPURPOSING]),
    "lens.statistics.seed": (1, [*COMPARISON, *QUESTIONS, *PROBES, *REPURPOSING]),
    "trace.noise.absolute": ([0.5], STATE),
    "trace.noise.relative": ([], STATE),
    "trace.samples": (3, TRACE),
    "trace.replacements": (1, STATE),
    "trace.shared": (True, TRACE),
    "trace.seed": (1, TRACE),
    "trace.max_rows": (64, TRACE),
    "trace.parts.noise.absolute": ([0.1], [*PARTS, "plot_attention", "plot_hidden"]),
    "trace.parts.noise.relative": ([3], PARTS),
    "trace.window": (2, PARTS),
    "trace.convention": ("paper", PARTS),
    "trace.control.prefix": ("Yes.\n", CONTROL),
    "trace.control.noise.absolute": ([0.1], CONTROL),
    "trace.control.noise.relative": ([3], CONTROL),
    "average.min_gap": (0.1, AVERAGE),
    "average.other_gaps": ([0.2], BY_STATE),
    "average.resamples": (21, AVERAGE),
    "average.permutations": (21, ORDER),
    "average.interval": (0.9, AVERAGE),
    "average.seed": (1, AVERAGE),
    "average.figures": (["once", "france"], ["plot_trace"]),
    "attention.documents": (20, OVER_TEXT),
    "attention.skip": (3, OVER_TEXT),
    "attention.first": (3, OVER_TEXT),
    "attention.outsized.among_channels": (3, OVER_TEXT),
    "attention.outsized.among_positions": (3, OVER_TEXT),
    "attention.outsized.share": (0.2, OVER_TEXT),
    "hidden.cropped": (1, ["measure_motion", "plot_hidden"]),
    "hidden.n_offsets": (2, ["measure_motion", "plot_hidden"]),
    "hidden.shuffles": (21, ["measure_motion", "plot_hidden"]),
    "syntax.source": ("data/sentences.conllu", SYNTAX),
    "syntax.documents": (61, SYNTAX),
    "syntax.max_tokens": (50, SYNTAX),
    "syntax.filler": (0.6, SYNTAX),
    "syntax.dtype": ("float32", ["extract_tagged_text", "probe_syntax", "plot_syntax"]),
    "syntax.epochs": (0, ["probe_syntax", "plot_syntax"]),
    "syntax.keys.per_layer": (5, ["trigger_keys", "plot_syntax"]),
    "syntax.keys.triggers": (2, ["trigger_keys", "plot_syntax"]),
    "syntax.statistics.resamples": (21, ["probe_syntax", "trigger_keys", "plot_syntax"]),
    "syntax.statistics.interval": (0.9, ["probe_syntax", "trigger_keys", "plot_syntax"]),
    "syntax.statistics.seed": (1, SYNTAX),
    "embedding.components": (4, SVD),
    "embedding.properties.nmf_tokens": (100, COMPONENTS),
    "embedding.properties.peaks": (3, COMPONENTS),
    "embedding.properties.least": (3, COMPONENTS),
    "embedding.properties.sample": (50, COMPONENTS),
    "embedding.properties.draws": (5, COMPONENTS),
    "embedding.outlier_channels": (2, FREQUENCY),
    "embedding.zero_layer.neighbours": (2, ZERO_LAYER),
    "embedding.zero_layer.shuffles": (5, ZERO_LAYER),
    "embedding.zero_layer.rows": (100, ZERO_LAYER),
    "embedding.zero_layer.columns": (100, ZERO_LAYER),
    "embedding.clump.crowd": (5, CLUMP),
    "embedding.clump.contrast": (2, CLUMP),
    "embedding.clump.draws": (5, CLUMP),
    "embedding.sinusoids.components": (2, POSITIONS),
    "embedding.sinusoids.draws": (5, POSITIONS),
    "embedding.shuffles": (5, GAINS),
    "embedding.experiments.documents": (2, EXPERIMENTS),
    "embedding.experiments.widths": ([3], EXPERIMENTS),
    "embedding.experiments.draws": (3, EXPERIMENTS),
    "embedding.experiments.min_documents": (1, EXPERIMENTS),
    "embedding.statistics.resamples": (21, [*CHANNELS, *FREQUENCY, *ZERO_LAYER, *CLUMP]),
    "embedding.statistics.interval": (0.9, [*CHANNELS, *FREQUENCY, *COMPONENTS, *ZERO_LAYER, *CLUMP]),
    "embedding.statistics.seed": (1, [*CHANNELS, *FREQUENCY, *COMPONENTS, *ZERO_LAYER, *CLUMP]),
    "organism.corpus.seed": (5, [*CORPUS, *TEXT, *SYNTAX]),
    "organism.corpus.mixture.facts": (5.0, [*CORPUS, *TEXT, *SYNTAX]),
    "organism.corpus.mixture.rote": (5.0, [*CORPUS, *TEXT, *SYNTAX]),
    "organism.corpus.mixture.copying": (5.0, [*CORPUS, *TEXT, *SYNTAX]),
    "organism.corpus.mixture.repetition": (5.0, [*CORPUS, *TEXT, *SYNTAX]),
    "organism.corpus.mixture.filler": (5.0, [*CORPUS, *TEXT, *SYNTAX]),
    "organism.corpus.mixture.medley": (5.0, [*CORPUS, *TEXT, *SYNTAX]),
    "organism.corpus.lookalikes": (0.5, [*CORPUS, *TEXT, *SYNTAX]),
    "organism.corpus.clutter": (0.5, [*CORPUS, *TEXT, *SYNTAX]),
    "organism.corpus.ramp": (50, [*CORPUS, *TEXT, *SYNTAX]),
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


def plan_with_key(project, key: str) -> dict[str, int]:
    value, _ = TABLE[key]
    config = project.read("config.yaml")
    changed = project.read("config.yaml")
    *path, last = key.split(".")
    section = changed
    for part in path:
        section = section[part]
    assert section[last] != value
    section[last] = value
    try:
        project.write("config.yaml", changed)
        return project.planned(*TARGETS)
    finally:
        project.write("config.yaml", config)


def plan_with_module(project, module: str) -> dict[str, int]:
    path = project.folder / f"workflow/scripts/strata/{module}.py"
    text, stat = path.read_text(), path.stat()
    try:
        path.write_text(text + "\n# edited\n")
        return project.planned(*TARGETS)
    finally:
        path.write_text(text)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.fixture(scope="module")
def plans(project, tmp_path_factory):
    """What every change would rerun, to be had with ``result()``: dry runs, at once in a copy a core."""
    copies = SimpleQueue()
    n_copies = os.cpu_count()
    for n in range(n_copies):
        copy = project.copy(tmp_path_factory.mktemp("copies") / str(n))
        (copy.folder / "data/models/copy").symlink_to("organism")
        copy.write("data/sentences.conllu", "1\tGo\tgo\tVERB\t_\t_\t0\troot\t_\t_\n\n")
        copy.write("data/text.txt", "one two three\n\nfour five\n\nsix seven\n")
        copies.put(copy)

    def plan(plan_with, change: str) -> dict[str, int]:
        copy = copies.get()
        try:
            return plan_with(copy, change)
        finally:
            copies.put(copy)

    with ThreadPoolExecutor(n_copies) as pool:
        keys = {key: pool.submit(plan, plan_with_key, key) for key in TABLE}
        modules = {module: pool.submit(plan, plan_with_module, module) for module in MODULES}
    return keys | modules


@pytest.mark.parametrize("key", TABLE)
def test_a_changed_key_reruns_exactly_its_rules(plans, key):
    _, rules = TABLE[key]
    assert sorted(plans[key].result()) == sorted(set(rules))


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
    "hidden": ["measure_motion", "plot_hidden"],
    "order": ORDER,
    "lens/questions": QUESTIONS,
    "embedding/svd": [*SVD, *PROBES, *POSITIONS, "probe_syntax", "plot_syntax"],
    "embedding/experiments": EXPERIMENTS,
    "embedding/frequency": [*FREQUENCY, *COMPONENTS, *CLUMP],
    "figures/lens_page": ["write_lens_pages"],
    "figures/lens_questions": ["plot_lens_questions"],
    "figures/trace": ["plot_trace", "plot_restoration", "plot_order"],
    "lens/tuned": TUNED,
    "lens/jacobian": JACOBIAN,
    "lens/extended": ["read_extended_lens", *ONE_DECODER],
    "lens/readout": LENS,
    "lens/comparison": [
        "plot_lens_models",
        *GRIDS,
        *ONE_DECODER,
    ],
    "trace/sweep": TRACE,
    "lens/decoders": ALL,
    "organism/training": TRAINING,
    "organism/evaluation": ["evaluate_organism", "evaluate_retrained"],
}


@pytest.mark.parametrize("module", MODULES)
def test_an_edited_module_reruns_the_rules_that_stand_on_it(plans, module):
    planned = plans[module].result()
    if module == "lens/decoders":
        # The architecture module builds norms, so whatever loads a model stands on it.
        assert {"read_lens", "extract_weights", "trace_prompts"} <= set(planned)
    else:
        assert sorted(planned) == sorted(set(MODULES[module]))
