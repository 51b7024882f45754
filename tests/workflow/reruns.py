"""What each key of config.yaml, and some modules, are expected to run again."""

READ = ["read_lens", "read_extended_lens"]
GRIDS, UPDATES = ["draw_lens_grids"], ["draw_lens_updates"]
COMPARED = ["compare_lenses", "draw_lens"]
PROBES = ["fit_probes", "draw_lens", "draw_models"]
REPURPOSING = ["measure_repurposing", "draw_lens"]
CONTEXTLESS = ["measure_contextless", "draw_lens"]
MIXING = ["measure_mixing", "draw_lens"]
EVERY_DECODER = ["write_explorer", *COMPARED]
LENS = [*READ, *GRIDS, *UPDATES, "draw_models", *EVERY_DECODER]
FITS = ["fit_tuned", "fit_jacobian"]
TUNED = ["fit_tuned", "read_lens", *CONTEXTLESS, *EVERY_DECODER]
JACOBIAN = ["fit_jacobian", "read_lens", *CONTEXTLESS, *EVERY_DECODER]
OVER_TEXT = ["attend_over_text", "draw_attention", "draw_models"]
ORDER = ["compare_order", "draw_restoration"]
FINAL = ["read_attention", "draw_attention", "draw_models"]
MOTION = ["measure_motion", "draw_attention"]
STATES = [*FINAL, *MOTION]
BY_STATE = ["average_traces", "draw_models", *ORDER, *STATES]
SHOWN = ["trace_shown", "draw_single_traces"]
APPROXIMATION = ["compare_approximation", "draw_approximation"]
FIRST_ORDER = ["average_approximate", "draw_first_order"]
APPROXIMATE = ["trace_approximate", *FIRST_ORDER, *APPROXIMATION]
EXACT = ["trace_prompts", *APPROXIMATION, "average_parts", "write_explorer", *BY_STATE]
STATE = [*EXACT, *APPROXIMATE[:3], *SHOWN]
PARTS = ["trace_parts", "average_parts", "draw_restoration"]
CONTROL = ["trace_control", *ORDER]
TRACE = sorted({*STATE, *PARTS, *CONTROL})
AVERAGE = sorted({"average_parts", *FIRST_ORDER, *APPROXIMATION, *BY_STATE})
SYNTAX = ["tag_text", "extract_tagged_text", "probe_syntax", "trigger_keys", "draw_syntax"]
EXPERIMENTS = ["disturb_positions", "draw_positions", "draw_token_features"]
FREQUENCY = ["correlate_frequency", "draw_token_features", *EXPERIMENTS]
COMPONENTS = ["describe_components", "draw_token_features"]
SVD = ["decompose_embeddings", "draw_embedding", "draw_positions", *FREQUENCY, *COMPONENTS]
POSITIONS = ["describe_gains", "draw_embedding", "draw_positions", "draw_models"]
GAINS = ["describe_gains", "draw_embedding", "draw_positions", "draw_models"]
CHANNELS = ["describe_channels", *POSITIONS, *GAINS, *EXPERIMENTS]
ZERO_LAYER = ["apply_zero_layer", "draw_token_features"]
CLUMP = ["find_clumps", "draw_token_features"]
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
        *CONTEXTLESS,
        *MIXING,
        *PROBES,
        *EMBEDDING,
        *OVER_TEXT,
        *SYNTAX,
    }
)
DRAWN = [
    *(
        *GRIDS,
        *UPDATES,
        "draw_lens",
        "draw_single_traces",
        "draw_restoration",
        "draw_approximation",
        "draw_first_order",
        "draw_attention",
        "draw_syntax",
    ),
    *(
        "draw_embedding",
        "draw_positions",
        "draw_token_features",
        "draw_models",
        "draw_training",
        "draw_leads",
    ),
]
TRAINING = ["train_organism", "draw_training", "evaluate_retrained"]
CORPUS = ["write_corpus", *TRAINING]

TEXT = ["gather_text", "extract_text", "fit_jacobian", *TUNED, *MIXING, *PROBES, *OVER_TEXT, *EXPERIMENTS]
# Where nothing is known of a model's training, its tokens are counted in the text.
COUNTED_TEXT = [*TEXT, *ORDER, *FREQUENCY, *COMPONENTS, *ZERO_LAYER, *CLUMP]

OTHER_STATISTICS = {"resamples": 21, "interval": 0.9, "seed": 1}

# What is judged is what these leave.
JUDGED = {
    *("average_parts", "average_traces", "compare_order", "read_attention", "attend_over_text"),
    *("read_lens", "read_extended_lens", "compare_lenses", "measure_contextless", "probe_syntax"),
    "fit_probes",
    *("decompose_embeddings", "describe_components", "correlate_frequency", "apply_zero_layer"),
    *("find_clumps", "describe_channels", "describe_gains"),
}

# What the figures of findings show besides.
SHOWN_IN_FINDINGS = {"curate_prompts", "gather_text"}

# Every key of config.yaml: another value, and the rules that then run again.
TABLE = {
    "run": (["organism", "llama", "other"], ALL),
    "models.organism.source": ("data/models/copy", [*ALL, "evaluate_organism"]),
    "models.organism.revision": ("v2", ALL),
    "models.organism.dtype": ("bfloat16", [rule for rule in ALL if rule not in ("gather_text", "tag_text")]),
    "models.organism.device": (
        "auto",
        sorted(
            {*PROMPTS, "extract_text", *FITS, *CONTEXTLESS, *MIXING, *PROBES, *OVER_TEXT, *COMPUTED}
            - {"tag_text"}
        ),
    ),
    "models.organism.text": ("data/other.txt", sorted({*TEXT, *COMPONENTS})),
    "models.organism.tagged_text": ("data/sentences.conllu", SYNTAX),
    "prompts.prefix_first": ("Yes. ", PROMPTS),
    "prompts.whole_target": (False, PROMPTS),
    "extract.dtype": ("float16", ["extract_activations", *LENS, *REPURPOSING, *STATES]),
    "text.documents": (41, COUNTED_TEXT),
    "text.max_tokens": (50, COUNTED_TEXT),
    "text.seed": (1, COUNTED_TEXT),
    "text.dtype": ("float32", ["extract_text", *TUNED, *PROBES, *EXPERIMENTS]),
    "lens.decoders": (["logit"], [*CONTEXTLESS, *EVERY_DECODER]),
    "lens.top_k": (3, LENS),
    "lens.norm": ("plain", ["fit_tuned", *CONTEXTLESS, *LENS]),
    "lens.prompts_per_shard": (2, []),  # as under trace
    "lens.extended.last": (0, ["read_extended_lens", *CONTEXTLESS, *EVERY_DECODER]),
    "lens.tuned.steps": (3, TUNED),
    "lens.tuned.tokens_per_step": (32, TUNED),
    "lens.tuned.held_out": (100, TUNED),
    "lens.tuned.learning_rate": (0.1, TUNED),
    "lens.jacobian.documents": (3, JACOBIAN),
    "lens.jacobian.skip": (2, JACOBIAN),
    "lens.jacobian.max_tokens": (64, JACOBIAN),
    "lens.grid.prompts": (["lines", "once"], ["read_lens", *GRIDS, *UPDATES]),
    "lens.grid.decoders": (["tuned"], ["read_lens", *GRIDS, *UPDATES]),
    "lens.grid.colourings": (["logit"], GRIDS),
    "lens.grid.window": ([1, 5], [*GRIDS, *UPDATES]),
    "lens.grid.stride": (2, GRIDS),
    "lens.grid.half_depths": (False, GRIDS),
    "lens.grid.input_row": (False, GRIDS),
    "lens.explorer": (["once", "lines", "france"], ["write_explorer"]),
    "lens.probes.epochs": (0, PROBES),
    "lens.probes.nmf_components": (3, PROBES),
    "lens.probes.nmf_tokens": (100, PROBES),
    "lens.probes.draws": (2, PROBES),
    "lens.probes.elsewhere": (20, PROBES),
    "lens.contextless.tokens": (10, CONTEXTLESS),
    "lens.repurposing.max_tokens": (10, REPURPOSING),
    "lens.mixing.shares": ([0.5], MIXING),
    "lens.mixing.depths": (1, MIXING),
    "lens.mixing.positions": (1, MIXING),
    "lens.mixing.horizon": (2, MIXING),
    "lens.statistics.resamples": (21, [*COMPARED, *PROBES, *CONTEXTLESS, *MIXING, *REPURPOSING]),
    "lens.statistics.interval": (0.9, [*COMPARED, *PROBES, *CONTEXTLESS, *MIXING, *REPURPOSING]),
    "lens.statistics.seed": (1, [*COMPARED, *PROBES, *CONTEXTLESS, *MIXING, *REPURPOSING]),
    "trace.noise.absolute": ([0.1, 0.5, 1.0], STATE),
    "trace.noise.relative": ([], STATE),
    "trace.everywhere.absolute": ([0.1], EXACT),
    "trace.everywhere.relative": ([3], EXACT),
    "trace.everywhere.prompts": (1, EXACT),
    "trace.samples": (3, TRACE),
    "trace.replacements": (1, STATE),
    "trace.shared": (True, TRACE),
    "trace.seed": (1, TRACE),
    "trace.max_rows": (64, TRACE),
    "trace.prompts_per_shard": (2, []),  # a shard is a group of prompts at least, and here is one
    "trace.parts.noise.absolute": ([0.5], PARTS),
    "trace.parts.noise.relative": ([3], PARTS),
    "trace.parts.categories": (["semantic", "plain_english", "non_english"], PARTS),
    "trace.parts.heads": (2, PARTS),
    "trace.parts.neurons": (2, PARTS),
    "trace.parts.neuron_groups": (3, PARTS),
    "trace.window": (2, [*PARTS, *SHOWN]),
    "trace.convention": ("paper", [*PARTS, *SHOWN]),
    "trace.approximate": (False, []),
    "trace.shown": (["once", "france"], SHOWN),
    "trace.control.prefix": ("Yes.\n", CONTROL),
    "trace.control.categories": (["semantic", "plain_english", "non_english"], CONTROL),
    "trace.control.noise.absolute": ([0.1], CONTROL),
    "trace.control.noise.relative": ([3], CONTROL),
    "average.order": (["semantic", "plain_english"], sorted({*ORDER, *DRAWN})),
    "average.min_gap": (0.1, AVERAGE),
    "average.other_gaps": ([0.2], BY_STATE),
    "average.resamples": (21, AVERAGE),
    "average.permutations": (21, ORDER),
    "average.interval": (0.9, AVERAGE),
    "average.seed": (1, AVERAGE),
    "attention.documents": (20, OVER_TEXT),
    "attention.skip": (3, OVER_TEXT),
    "attention.first": (3, OVER_TEXT),
    "attention.long.tokens": (50, OVER_TEXT),
    "attention.long.samples": (3, OVER_TEXT),
    "attention.outsized.among_channels": (3, OVER_TEXT),
    "attention.outsized.among_positions": (3, OVER_TEXT),
    "attention.outsized.share": (0.2, OVER_TEXT),
    "attention.contrast.facts": (["semantic", "copying"], FINAL),
    "attention.contrast.rote": (["plain_english"], FINAL),
    "hidden.cropped": (1, MOTION),
    "hidden.n_offsets": (2, MOTION),
    "hidden.shuffles": (21, MOTION),
    "hidden.pooled.rote": (["plain_english", "copying"], MOTION),
    **{
        f"attention.statistics.{key}": (value, [*FINAL, *OVER_TEXT])
        for key, value in OTHER_STATISTICS.items()
    },
    **{f"hidden.statistics.{key}": (value, MOTION) for key, value in OTHER_STATISTICS.items()},
    "syntax.documents": (61, SYNTAX),
    "syntax.max_tokens": (50, SYNTAX),
    "syntax.filler": (0.6, SYNTAX),
    "syntax.dtype": ("float32", ["extract_tagged_text", "probe_syntax", "draw_syntax"]),
    "syntax.epochs": (0, ["probe_syntax", "draw_syntax"]),
    "syntax.keys.per_layer": (5, ["trigger_keys", "draw_syntax"]),
    "syntax.keys.triggers": (2, ["trigger_keys", "draw_syntax"]),
    "syntax.statistics.resamples": (21, ["probe_syntax", "trigger_keys", "draw_syntax"]),
    "syntax.statistics.interval": (0.9, ["probe_syntax", "trigger_keys", "draw_syntax"]),
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
    "embedding.clump.tokens": (5, CLUMP),
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
    "figures.noise": (
        "0.1",
        [
            "draw_single_traces",
            "draw_restoration",
            "draw_approximation",
            "draw_first_order",
            "draw_attention",
            "draw_models",
            "draw_leads",
            "judge_claims",
        ],
    ),
    "figures.format": ("pdf", DRAWN),
    "figures.dpi": (60, DRAWN),
    "figures.width": (8, DRAWN),
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
    "organism.variants.organism.every_depth": (1, TRAINING),
    "organism.variants.organism-every-depth.every_depth": (1, TRAINING),
    "organism.evaluation.seed": (9, ["evaluate_organism", "evaluate_retrained"]),
}

# Modules of the library, and the rules that depend on each.
MODULES = {
    # What checks the configuration, or says what figures there are, computes nothing.
    "pipeline/config": [],
    "pipeline/figure_table": [],
    "pipeline/job": [],
    "strata/schemas": [],
    "strata/text/prompt_files": [],
    "strata/text/prompt_forms": PROMPTS,
    "strata/text/endings": PROMPTS,
    "strata/lens/questions_of_endings": COMPARED,
    "strata/figures/lens_endings": ["draw_lens"],
    "strata/attention/hidden": MOTION,
    "strata/lens/names": [*LENS, *CONTEXTLESS, *MIXING, "measure_repurposing"],
    "strata/embedding/names": sorted({*EMBEDDING, *OVER_TEXT} - {"decompose_embeddings"}),
    "strata/embedding/svd": SVD,
    "strata/embedding/experiments": EXPERIMENTS,
    "strata/embedding/frequency": [*FREQUENCY, *CLUMP],
    "strata/figures/lens_questions": ["draw_lens"],
    "strata/figures/trace": ["draw_single_traces"],
    "strata/figures/restoration": ["draw_restoration", "draw_approximation", "draw_first_order"],
    "strata/findings/twins": ["draw_models", "draw_leads", "judge_claims"],
    "strata/findings/front": ["write_front"],
    "strata/findings/run_page": ["write_front"],
    "strata/figures/models": ["draw_models"],
    "strata/figures/approximation": ["draw_approximation", "draw_first_order"],
    "strata/figures/categories": [rule for rule in DRAWN if rule != "draw_leads"],
    "strata/figures/findings": ["draw_leads"],
    "strata/figures/kept": ["draw_models", "draw_leads"],
    "strata/lens/mixing": MIXING,
    "strata/lens/tuned": TUNED,
    "strata/lens/jacobian": JACOBIAN,
    "strata/lens/extended": ["read_extended_lens", *CONTEXTLESS, *EVERY_DECODER],
    "strata/trace/sweep": TRACE,
    "strata/trace/approximate": APPROXIMATE,
    "strata/trace/approximation": APPROXIMATION,
    "strata/organism/training": TRAINING,
    "strata/organism/evaluation": ["evaluate_organism", "evaluate_retrained"],
}
