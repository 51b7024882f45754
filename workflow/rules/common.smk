# config.yaml, data/prompts -> what all rules use: the checked configuration, the prompts, the library's modules
import os
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "workflow" / "scripts"))

from strata import validation
from strata.modules import modules_behind

WORLD = sorted(str(path) for path in Path("data/organism").rglob("*.*"))

# Threads that wait must not spin: jobs share the cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

SCHEMAS = Path(workflow.basedir) / "workflow" / "schemas"
LIBRARY = Path(workflow.basedir) / "workflow" / "scripts"

# A file that is not YAML is refused here, with its line; Snakemake would name neither.
try:
    validation.read_yaml("config.yaml")
except validation.BadInput as error:
    sys.exit(str(error))


configfile: "config.yaml"


try:
    validation.check_config(config, validation.read_yaml(SCHEMAS / "config.schema.yaml"))
    PROMPTS = validation.read_prompt_files(
        Path("data/prompts"), validation.read_yaml(SCHEMAS / "prompts.schema.yaml")
    )
    validation.check_figures(config, PROMPTS)
    if config["syntax"]["source"] != "organism":
        from strata.tagged import check_conllu  # brings in xarray

        check_conllu(config["syntax"]["source"])
except validation.BadInput as error:
    sys.exit(str(error))


wildcard_constraints:
    model="|".join(map(re.escape, config["models"])),
    decoder="logit|extended|tuned|jacobian",
    prompt="[a-z0-9-]+",


# Lens grids and single traces are drawn for prompts named in the config.
LENS, AVERAGE, EMBEDDING = config["lens"], config["average"], config["embedding"]
GRID = LENS["grid"]
LENSES = {decoder: f"results/{{model}}/lens/{decoder}.nc" for decoder in LENS["decoders"]}
PARTS = ["mlp", "attn", "state_severed_mlp", "state_severed_attn"]
STATISTICS = {key: AVERAGE[key] for key in ("resamples", "interval", "seed")}
AVERAGING = {
    "min_gap": AVERAGE["min_gap"],
    "n_resamples": AVERAGE["resamples"],
    "interval": AVERAGE["interval"],
    "seed": AVERAGE["seed"],
}
LENS_GRIDS = expand(
    "lens_grid_{prompt}_{decoder}_{colouring}",
    prompt=GRID["prompts"],
    decoder=GRID["decoders"],
    colouring=GRID["colourings"],
)
LENS_UPDATES = expand("lens_updates_{prompt}_{decoder}", prompt=GRID["prompts"], decoder=GRID["decoders"])
PAGES = (
    [prompt["id"] for content in PROMPTS.values() for prompt in content["prompts"]]
    if LENS["pages"] == "all"
    else LENS["pages"]
)
TRACES = expand("trace{kind}_{prompt}", kind=["", "_windows"], prompt=AVERAGE["figures"])
RESTORATION_FIGURES = ["heatmap", "lines", "windows", "measures", "severed", "subject_tokens"]
ORDER_FIGURES = ["transitions", "regression", "curves"]
ATTENTION_FIGURES = ["final", "heads", "sink", "subject"]
MOTION_FIGURES = ["motion", "motion_cropped", "aligned"]
SYNTAX_FIGURES = ["accuracy", "centres", "keys"]
TEXT_ATTENTION_FIGURES = ["position", "position_heads", "variability", "outsized"]
LENS_QUESTIONS = ["first_block", "input_kept", "commas", "target_depth", "repetition"]
SVD_FIGURES = ["singular_values", "token_components", "mean_direction", "position_components"]
CHANNEL_FIGURES = ["matrix", "histograms", "moments", "rivalry", "pairs"]
POSITION_FIGURES = ["positions", "position_channels", "lissajous", "sinusoids"]
EXPERIMENT_FIGURES = ["smoothing", "silencing"]
FREQUENCY_FIGURES = [f"frequency_{name}" for name in ["scatter", "correlations", "partial"]]
COMPONENT_FIGURES = [f"components_{name}" for name in ["properties", "peaks", "separation", "orthogonality"]]
ZERO_LAYER_FIGURES = [
    *[f"zero_layer_{name}" for name in ["diagonal", "exceptions", "attractors", "neighbours"]],
    "clump",
]
GAIN_FIGURES = ["gains_norm1", "gains_norm2", "gains_summary"]
EMBEDDING_FIGURES = [
    *SVD_FIGURES,
    *CHANNEL_FIGURES,
    *POSITION_FIGURES,
    *EXPERIMENT_FIGURES,
    *GAIN_FIGURES,
    *FREQUENCY_FIGURES,
    *COMPONENT_FIGURES,
    *ZERO_LAYER_FIGURES,
]
FIGURES = [
    *LENS_GRIDS,
    *LENS_UPDATES,
    *[f"lens_divergence_{decoder}" for decoder in LENS["decoders"]],
    "lens_decoders",
    *[f"lens_{question}" for question in LENS_QUESTIONS],
    "lens_probes_accuracy",
    "lens_probes_embedding",
    "lens_repurposing",
    *TRACES,
    *[f"restoration_{name}" for name in RESTORATION_FIGURES],
    *[f"order_{name}" for name in ORDER_FIGURES],
    *[f"attention_{name}" for name in [*ATTENTION_FIGURES, *TEXT_ATTENTION_FIGURES]],
    *[f"hidden_{name}" for name in MOTION_FIGURES],
    *[f"syntax_{name}" for name in SYNTAX_FIGURES],
    *[f"embedding_{name}" for name in EMBEDDING_FIGURES],
]


def model_files(wildcards):
    """What is loaded of a model that is a folder; of one on the hub, nothing here to depend on."""
    source = config["models"][wildcards.model]["source"]
    if not validation.is_folder_source(source):
        return []
    folder = Path(source).expanduser()
    kinds = ("*.json", "*.safetensors", "*.txt", "*.model")  # weights, configuration, tokenizer
    return sorted(str(path) for kind in kinds for path in folder.glob(kind))


def model_settings(wildcards, keys=("source", "revision", "dtype", "device")):
    """The section of the job's model, its name included."""
    section = config["models"][wildcards.model]
    chosen = {key: section[key] for key in keys}
    return {"name": wildcards.model, **chosen, "source": os.path.expanduser(section["source"])}


def gpus(wildcards):
    """GPUs that a job which runs the model takes: none on the processor, where such jobs run side by side."""
    return int(config["models"][wildcards.model]["device"] != "cpu")


def weights_settings(wildcards):
    """The same without the device: weights are read, nothing is computed."""
    return model_settings(wildcards, ("source", "revision", "dtype"))


def tokenizer_settings(wildcards):
    """The same where only the tokenizer is loaded."""
    return model_settings(wildcards, ("source", "revision"))


def library(*modules):
    """Files of the named modules of strata and of all that they import: a rule stands on them."""
    return modules_behind(LIBRARY, [f"strata.{module}" for module in modules])


TEXT_SOURCE = os.path.expanduser(config["text"]["source"])
TEXT_IS_CORPUS = config["text"]["source"] == "organism"
TAGGED_SOURCE = os.path.expanduser(config["syntax"]["source"])
TAGS_ARE_KNOWN = config["syntax"]["source"] == "organism"


def corpus_made():
    """How the organism's corpus is written."""
    return {k: v for k, v in config["organism"]["corpus"].items() if k != "tokenizer_documents"}


def text_made(wildcards):
    """How the text is drawn; if it is the corpus, how that is written."""
    keys = ("source", "documents", "max_tokens", "seed")
    made = {key: config["text"][key] for key in keys} | {"source": TEXT_SOURCE}
    return made | ({"corpus": corpus_made()} if TEXT_IS_CORPUS else {})


def tagged_text_made():
    """The same of the text whose words are tagged."""
    section = config["syntax"]
    made = {key: section[key] for key in ("documents", "max_tokens")}
    made |= {"source": TAGGED_SOURCE, "seed": section["statistics"]["seed"]}
    return made | ({"corpus": corpus_made(), "filler": section["filler"]} if TAGS_ARE_KNOWN else {})


def exact_token_counts(wildcards):
    """The counts of its training that a model's folder brings, if it does."""
    source = config["models"][wildcards.model]["source"]
    exact = Path(source).expanduser() / "token_counts.tsv"
    return str(exact) if validation.is_folder_source(source) and exact.is_file() else []


def token_counts(wildcards):
    """How often each token occurs: in training, where a model's folder says so, or in the text."""
    exact = exact_token_counts(wildcards) if TEXT_IS_CORPUS else []
    return exact or f"results/{wildcards.model}/text/token_counts.tsv"


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


def lens_page(prompt):
    """The path of a prompt's page; those with a grid figure are in the report too."""
    path = f"results/{{model}}/lens/pages/{prompt}.html"
    if prompt not in LENS["grid"]["prompts"]:
        return path
    return report(
        path,
        category="1 Lens",
        subcategory="{model}",
        labels={"figure": "interactive page", "decoder": "all", "prompt": prompt},
        caption="../report/lens_page.rst",
    )


def corruption(**changes):
    """How subjects are corrupted, all but what is named as the section says."""
    keys = ("noise", "samples", "replacements", "shared", "seed")
    return {key: config["trace"][key] for key in keys} | changes


def drawn_level():
    """The noise level of figures that show one: the last absolute one of the parts', or the first relative."""
    noise = config["trace"]["parts"]["noise"]
    return f"{noise['absolute'][-1]:g}" if noise["absolute"] else f"{noise['relative'][0]:g}x"


def attention_report(name, what):
    """The PNG of a figure of this stage, for the report."""
    return report(
        f"results/{{model}}/figures/{name}.png",
        category="3 Attention and hidden states",
        subcategory="{model}",
        labels={"figure": what, "prompt": "all"},
        caption=f"../report/{name.removesuffix('_cropped')}.rst",
    )


def embedding_report(name):
    """The same of the embedding stage."""
    return report(
        f"results/{{model}}/figures/embedding_{name}.png",
        category="4 Embeddings",
        subcategory="{model}",
        labels={"figure": name.replace("_", " "), "prompt": ""},
        caption=f"../report/embedding_{name}.rst",
    )
