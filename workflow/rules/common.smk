# config.yaml, data/prompts -> what all rules use: the checked configuration, the prompts, the library's modules
import os
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "workflow" / "scripts"))

from strata import validation
from strata.modules import modules_behind

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
except validation.BadInput as error:
    sys.exit(str(error))


wildcard_constraints:
    model="|".join(map(re.escape, config["models"])),


# Lens grids and single traces are drawn for prompts named in the config.
LENS_GRIDS = [f"lens_grid_{prompt}" for prompt in config["lens"]["figures"]]
TRACES = [f"trace_{prompt}" for prompt in config["average"]["figures"]]
FIGURES = [
    *LENS_GRIDS,
    "lens_divergence",
    *TRACES,
    "restoration_heatmap",
    "restoration_lines",
    "embedding_singular_values",
    "embedding_token_components",
    "embedding_mean_direction",
    "embedding_position_components",
]


def model_files(wildcards):
    """What is loaded of a model that is a folder; of one on the hub, nothing here to depend on."""
    source = config["models"][wildcards.model]["source"]
    if not validation.is_folder_source(source):
        return []
    folder = Path(source).expanduser()
    kinds = ("*.json", "*.safetensors", "*.txt", "*.model")
    return sorted(str(path) for kind in kinds for path in folder.glob(kind))


def model_settings(wildcards):
    """The section of the job's model, its name included."""
    section = config["models"][wildcards.model]
    return {"name": wildcards.model, **section, "source": os.path.expanduser(section["source"])}


def weights_settings(wildcards):
    """The same without the device: weights are read, nothing is computed."""
    return {key: value for key, value in model_settings(wildcards).items() if key != "device"}


def library(*modules):
    """Files of the named modules of strata and of all that they import: a rule stands on them."""
    return modules_behind(LIBRARY, [f"strata.{module}" for module in modules])


def figure_files(name):
    """The PNG, for the report, and the SVG of a figure."""
    stem = f"results/{{model}}/figures/{name}"
    return f"{stem}.png", f"{stem}.svg"
