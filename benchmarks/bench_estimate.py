"""What `snakemake estimate` says against what runs took: every rule of a model, one job after the other.

The organism runs as it is configured; SmolLM2 (`make smollm2`) and a random model of GPT-2-medium's shape run on
a share of prompts and text, which is what is estimated for them. `--folder` keeps what was run, and compares
it again.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
import torch
import yaml
from small_project import ROOT, Project, copy_pipeline
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

from pipeline.counting import counted
from pipeline.estimate import Estimates
from pipeline.profile import costs
from strata.costs.machine import Machine, measure
from strata.text.tokenizer import load_tokenizer

MEDIUM = {"n_layer": 24, "n_embd": 1024, "n_head": 16, "vocab_size": 50257, "n_positions": 1024}
SHOWN = {"chained-facts", "rare-word", "capital-japan", "import-pandas-as", "once-upon-a"}
LONGEST = ("apply_zero_layer", "describe_components", "find_clumps", "correlate_frequency")
"""Rules whose time is that of the vocabulary's size, which no configuration makes less: measured once."""


def prompts_of(n: int) -> dict[str, list[dict]]:
    """The first ``n`` prompts of each category, and those that the configuration names."""
    found = {}
    for path in sorted((ROOT / "data/prompts").glob("*.yaml")):
        every = yaml.safe_load(path.read_text())["prompts"]
        kept = [p for i, p in enumerate(every) if (i < n or p["id"] in SHOWN) and "pair" not in p]
        found[path.stem] = [{key: p[key] for key in p if key != "completions"} for p in kept]
    return {category: own for category, own in found.items() if own}


def make_organism(folder: Path) -> Project:
    project = copy_pipeline(folder, {})
    shutil.copytree(ROOT / "data/prompts", folder / "data/prompts", dirs_exist_ok=True)
    (folder / "data/models").mkdir(parents=True)
    for name in ("organism", "organism-every-depth"):
        (folder / "data/models" / name).symlink_to(ROOT / "data/models" / name)
    return project


def make_smaller(folder: Path, name: str, n_prompts: int) -> Project:
    """A project whose text and prompts are a share of those shipped."""
    project = copy_pipeline(folder, prompts_of(n_prompts))
    config = project.read("config.yaml")
    config["run"] = [name]
    config["text"] |= {"documents": 90, "max_tokens": 32}
    config["lens"]["tuned"] |= {"steps": 10}
    config["lens"]["jacobian"] |= {"documents": 1}
    config["lens"]["mixing"] |= {"positions": 1, "depths": 3}
    config["trace"]["parts"] |= {"heads": 2, "neurons": 3}
    config["trace"]["noise"] = {"absolute": [], "relative": [3]}
    config["attention"]["long"] |= {"tokens": 300, "samples": 5}
    (folder / "data/texts").mkdir(parents=True)
    (folder / "data/texts/news.txt").symlink_to(ROOT / "data/texts/news.txt")
    project.write("config.yaml", config)
    return project


def make_smollm2(folder: Path) -> Project:
    project = make_smaller(folder, "smollm2", 9)
    file = project.read("config.yaml")["models"]["smollm2"]["source"]
    (folder / file).parent.mkdir(parents=True)
    (folder / file).symlink_to(ROOT / file)
    return project


def make_gpt2_medium(folder: Path) -> Project:
    """A random model, its embeddings changed so that every prompt's answer is the likeliest token."""
    project = make_smaller(folder, "medium", 3)
    own = folder / "data/models/medium"
    own.mkdir(parents=True)
    words = json.loads((ROOT / "data/models/organism/tokenizer.json").read_text())
    vocabulary = words["model"]["vocab"]
    vocabulary |= {f"unused{n}": n for n in range(len(vocabulary), MEDIUM["vocab_size"])}
    (own / "tokenizer.json").write_text(json.dumps(words))
    shutil.copy(ROOT / "data/models/organism/tokenizer_config.json", own)
    tokenizer = AutoTokenizer.from_pretrained(own)
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(**MEDIUM, bos_token_id=4095, eos_token_id=4095)).eval()
    asked = [
        (tokenizer.encode(p["text"]), load_tokenizer(str(own)).following(p["text"], p["target"])[0])
        for path in sorted((folder / "data/prompts").glob("*.yaml"))
        for p in yaml.safe_load(path.read_text())["prompts"]
        if "target" in p
    ]
    with torch.no_grad():
        for _ in range(4):  # answers that are in other prompts change those
            states = torch.cat(
                [model.transformer(torch.tensor([ids])).last_hidden_state[:, -1] for ids, _ in asked]
            )
            targets = torch.tensor([target for _, target in asked])
            kinds, which = targets.unique(return_inverse=True)
            wanted = 12.0 * torch.nn.functional.one_hot(which, len(kinds)).float()
            have = states @ model.transformer.wte.weight[kinds].T
            model.transformer.wte.weight[kinds] += (torch.linalg.pinv(states) @ (wanted - have)).T
    model.save_pretrained(own)
    config = project.read("config.yaml")
    like = {"source": str(own.relative_to(folder)), "device": "cpu", "tagged_text": None, "twin": None}
    config["models"]["medium"] = {k: v for k, v in (config["models"]["gpt2-medium"] | like).items() if v}
    config["models"]["medium"] |= {"revision": None}
    config["prompts"] |= {"whole_target": False}
    project.write("config.yaml", config)
    return project


PROJECTS = {"organism": make_organism, "smollm2": make_smollm2, "medium": make_gpt2_medium}


def compared(folder: Path, model: str, machine: Machine) -> pd.DataFrame:
    """Estimated and measured seconds and memory (MB) by rule, and their ratios."""
    os.chdir(folder)
    config = yaml.safe_load(Path("config.yaml").read_text())
    prompts = {
        str(path): yaml.safe_load(path.read_text()) for path in sorted(Path("data/prompts").glob("*.yaml"))
    }
    vocab = Estimates(config, prompts).work(model).shape.vocab
    estimates = Estimates(config, prompts, {model: counted(config, model, prompts, vocab)})
    rows = {}
    for log in sorted(Path("logs", model).glob("*.log")):
        [job] = costs(log)
        wall = pd.read_csv(log.with_suffix(".benchmark.tsv"), sep="\t").iloc[0]
        row = rows.setdefault(job["rule"], {"seconds": 0.0, "cpu": 0.0, "mb": 0.0})
        row["seconds"] += wall["s"]
        row["cpu"] += job["cpu_s"]
        row["mb"] = max(row["mb"], job["memory_mb"])
    for rule, row in rows.items():
        jobs, n = estimates.jobs(rule, model), estimates.processors(rule, model)
        row["estimated"] = sum(machine.seconds(job, n) for job in jobs)
        row["estimated_mb"] = max(job.memory for job in jobs) / 2**20
        row["ratio"] = row["estimated"] / row["seconds"]
        row["ratio_mb"] = row["estimated_mb"] / row["mb"]
    return pd.DataFrame(rows).T


def jobs_of(project: Project, model: str) -> list[str]:
    """The rules that run for a model, but for those that only the vocabulary's size makes long."""
    done = project.dry_run("--quiet", "host")
    found = re.findall(r"^(\w+) +\d+$", done.stdout, re.M)
    return [
        rule
        for rule in found
        if rule not in LONGEST and not rule.startswith(("draw", "write", "judge", "all"))
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=PROJECTS, default="organism")
    parser.add_argument("--folder", type=Path, help="of an earlier run, or to be filled")
    parser.add_argument("--cores", type=int, default=1, help="1: one job at a time")
    parser.add_argument("--until", nargs="*", default=[], help="rules to run, and what they need; all")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        if not (folder / "Snakefile").exists():
            PROJECTS[options.model](folder)
        arguments = ["--until", *options.until] if options.until else []
        command = [sys.executable, "-m", "snakemake", "--cores", str(options.cores), *arguments]
        subprocess.run(command, cwd=folder, check=True)
        print(compared(folder, options.model, measure(folder)).to_string(float_format="%.2f"))


if __name__ == "__main__":
    main()
