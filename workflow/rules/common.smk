# What all files here use, the checked configuration, the prompts' files, the library's modules.
import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "workflow" / "scripts"))

from snakemake.exceptions import WorkflowError

from strata import validation
from strata.modules import modules_behind

SCHEMAS = Path(workflow.basedir) / "workflow" / "schemas"
LIBRARY = Path(workflow.basedir) / "workflow" / "scripts"

try:
    validation.check_config(config, validation.read_yaml(SCHEMAS / "config.schema.yaml"))
    PROMPTS = validation.read_prompt_files(
        Path("data/prompts"), validation.read_yaml(SCHEMAS / "prompts.schema.yaml")
    )
    validation.check_figures(config, PROMPTS)
except validation.BadInput as error:
    raise WorkflowError(str(error)) from None


wildcard_constraints:
    model="|".join(config["models"]),


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
    """The files of a model that is a folder; of one on the hub, nothing here to depend on."""
    source = config["models"][wildcards.model]["source"]
    return sorted(str(p) for p in Path(source).glob("*.*")) if validation.is_folder_source(source) else []


def model_settings(wildcards):
    """The section of one model, its name included."""
    return {"name": wildcards.model, **config["models"][wildcards.model]}


def library(*modules):
    """Files of the named modules of strata and of all that they import: a rule stands on them."""
    return modules_behind(LIBRARY, [f"strata.{module}" for module in modules])


def figure_files(name):
    """The PNG, for the report, and the SVG of a figure."""
    stem = f"results/{{model}}/figures/{name}"
    return f"{stem}.png", f"{stem}.svg"
