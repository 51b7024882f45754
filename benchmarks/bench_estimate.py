"""What `snakemake estimate` says against what runs took, rule by rule: one job after the other.

The organism runs as it is configured, SmolLM2 (`make smollm2`) and a random model of GPT-2-medium's shape on
a share of prompts and text, which is what is estimated then. `--folder` keeps a run, or takes it up.
"""

import argparse
import json
import os
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
"""Rules whose time grows with the vocabulary, whatever is configured: left out where that is large."""


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
    """By rule: estimated and measured seconds, of which on processors, and memory (MB), with ratios."""
    os.chdir(folder)
    config = yaml.safe_load(Path("config.yaml").read_text())
    files = sorted(Path("data/prompts").glob("*.yaml"))
    prompts = {str(path): yaml.safe_load(path.read_text()) for path in files}
    vocab = Estimates(config, prompts).work(model).shape.vocab
    estimates = Estimates(config, prompts, {model: counted(config, model, prompts, vocab)})
    measured = pd.DataFrame(costs(Path("logs", model))).groupby("rule")
    seconds = dict.fromkeys(measured.groups, 0.0)
    for file in Path("logs", model).glob("*.benchmark.tsv"):
        rule = max((rule for rule in seconds if file.name.startswith(rule)), key=len, default=None)
        if rule:  # a job that was broken off has no cost
            seconds[rule] += pd.read_csv(file, sep="\t")["s"].item()
    rows = []
    for rule, own in measured:
        jobs, n = estimates.jobs(rule, model)[: len(own)], estimates.processors(rule, model)
        estimated = sum(machine.seconds(job, n) for job in jobs)
        memory = max(job.memory for job in jobs) / 2**20
        rows.append(
            {
                "rule": rule,
                "estimated s": estimated,
                "measured s": seconds[rule],
                "ratio": estimated / seconds[rule],
                "of processors s": own["cpu_s"].sum(),
                "ratio of these": sum(map(machine.seconds, jobs)) / own["cpu_s"].sum(),
                "estimated MB": memory,
                "measured MB": own["memory_mb"].max(),
                "ratio of MB": memory / own["memory_mb"].max(),
            }
        )
    return pd.DataFrame(rows).set_index("rule")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=PROJECTS, default="organism")
    parser.add_argument("--folder", type=Path, help="of an earlier run, or to be filled")
    parser.add_argument("--cores", type=int, default=1, help="1: one job at a time")
    parser.add_argument("--targets", nargs="*", default=[], help="files to make; all")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        if not (folder / "Snakefile").exists():
            PROJECTS[options.model](folder)
        omitted = ["--omit-from", *LONGEST] if options.model != "organism" and not options.targets else []
        command = [sys.executable, "-m", "snakemake", "--cores", str(options.cores)]
        machine = measure(folder)
        subprocess.run([*command, *options.targets, *omitted], cwd=folder, check=True)
        print(machine)
        print(compared(folder, options.model, machine).to_string(float_format="%.2f"))


if __name__ == "__main__":
    main()
