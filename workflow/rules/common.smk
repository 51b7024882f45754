# config.yaml, data/prompts, workflow/{figures,findings}.yaml -> what all rules use: all checked, figures expanded
import os
import re
import sys
from pathlib import Path

WORKFLOW = Path(workflow.basedir) / "workflow"
sys.path.insert(0, str(WORKFLOW / "scripts"))

from pipeline.config import check_project, checked, read_config
from pipeline.estimate import Estimates
from pipeline.figure_table import asked_for, jobs
from pipeline.models import UNPACKED, features_of, sources_of
from pipeline.modules import code_of, digest, modules_behind
from pipeline.of_models import OfModels
from pipeline.requests import Requests
from pipeline.results import drawn_from, in_report, of_model, page_in_report
from pipeline.session import container, prepare
from pipeline.shards import Shards
from pipeline.texts import CORPUS, drawn, origin
from strata.findings.table import files_asked, files_behind

prepare(WORKFLOW / "scripts", workflow)


# A file that is not YAML is refused here, with its line; Snakemake would name neither.
WRITTEN = checked(read_config, workflow.basedir)


configfile: "config.yaml"


PROJECT = checked(check_project, config, WORKFLOW, WRITTEN)
RUN = {model: config["models"][model] for model in config["run"]}
ESTIMATES = Estimates(config, PROJECT.prompts)
SHARDS = Shards(config, ESTIMATES)
FORM = {k: config["figures"][k] for k in ("format", "width", "dpi")} | {"order": config["average"]["order"]}


# The profile's limit is that of one machine: a cluster's jobs each have their own.
resource_scopes:
    gpu="local",


wildcard_constraints:
    model="|".join(map(re.escape, config["models"] | config["organism"]["variants"])),
    decoder="|".join(sorted({"logit", *config["lens"]["decoders"]})),
    part="|_updates",
    shard=r"\d+-of-\d+",
