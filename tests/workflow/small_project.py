"""A small copy of the project with two tiny models, for the tests of the workflow."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
import yaml
from dry_runs import DryRuns
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from strata.organism.corpus import corpus_of
from strata.organism.tokenizer import as_pretrained, train_tokenizer
from strata.organism.training import Recipe, build_model

ROOT = Path(__file__).parents[2]
MODEL, SECOND = "organism", "llama"
EVERY_DEPTH = "organism-every-depth"
TINY = {
    "seed": 0,
    "n_layers": 2,
    "n_channels": 16,
    "n_heads": 2,
    "vocab_size": 400,
    "row_length": 512,
    "rows_per_step": 2,
    "steps": 3,
    "learning_rate": 0.001,
    "warmup_steps": 1,
    "weight_decay": 0.1,
    "early_attention_dropout": 0.3,
    "early_attention_blocks": 1,
}
PROMPTS = {
    "plain_english": [
        {"id": "once", "text": "Once upon a", "subject": "upon", "target": " time"},
        {"id": "bird", "text": "The early bird catches the", "subject": "bird", "target": " worm"},
    ],
    "semantic": [
        {
            "id": "france",
            "text": "The capital of France is",
            "subject": "France",
            "target": " Paris",
            "completions": "capitals",
        }
    ],
    "passages": [
        {"id": "lines", "text": "one two\nthree $four$ one two"},
        {"id": "commas", "text": "one, two, three, four"},
    ],
    "endings": [
        {"id": "end-two", "text": "one two, three once upon a", "demands": " two", "pair": "end-three"},
        {"id": "end-three", "text": "one three, two once upon a", "demands": " three", "pair": "end-two"},
    ],
}

TEXTS = [prompt["text"] + prompt.get("target", "") for prompts in PROMPTS.values() for prompt in prompts]
"""Everything that the tiny models have to know."""


@dataclass
class Plan:
    """Rules that a dry run would run, each with the number of its jobs, and how many lines that takes."""

    jobs: dict[str, int]
    lines: int


@dataclass
class Project:
    """A folder with the pipeline in it."""

    folder: Path
    dry_runs: DryRuns

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
        environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )

    def dry_run(self, *arguments: str) -> subprocess.CompletedProcess:
        """A dry run; what it says is all in ``stdout``."""
        return self.dry_runs.run(self.folder, "-n", *arguments)

    def plan(self, *targets: str) -> "Plan":
        """What a dry run would run."""
        done = self.dry_run(*targets)
        assert done.returncode == 0, done.stdout
        lines = done.stdout.splitlines()
        if "Nothing to be done" in done.stdout:
            return Plan({}, len(lines))
        table = re.search(r"^job +count\n-[- ]+\n(.*?)^total", done.stdout, re.M | re.S)
        jobs = dict(line.split() for line in table.group(1).splitlines())
        return Plan({rule: int(n) for rule, n in jobs.items() if rule not in ("all", "organism")}, len(lines))

    def planned(self, *targets: str) -> list[str]:
        """Names of the rules that a dry run would run."""
        return sorted(self.plan(*targets).jobs)

    def copy(self, folder: Path) -> "Project":
        """The same elsewhere, its results as up to date as here, with a process of its own for dry runs."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Project(folder, DryRuns())

    def read(self, file: str):
        return yaml.safe_load((self.folder / file).read_text())

    def write(self, file: str, content) -> None:
        text = content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False)
        (self.folder / file).write_text(text)

    @contextmanager
    def changed(self, file: str, content) -> Iterator[None]:
        """While open, a file has another content; afterwards its own, and its own time."""
        path = self.folder / file
        before, stat = path.read_text(), path.stat()
        try:
            self.write(file, content)
            yield
        finally:
            path.write_text(before)
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    def config_with(self, key: str, value) -> dict:
        """The configuration with one key (``section.key``) of another value."""
        config = self.read("config.yaml")
        *path, last = key.split(".")
        section = config
        for part in path:
            section = section[part]
        section[last] = value
        return config


def copy_pipeline(folder: Path, prompts: dict[str, list[dict]]) -> Project:
    """A copy of the pipeline with prompts by category, and no model."""
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(ROOT / name, folder / name)
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("workflow", "envs", "profiles", "data/organism"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    project = Project(folder, DryRuns())
    (folder / "data/prompts").mkdir()
    for category, own in prompts.items():
        content = {"category": category, "description": "For tests.", "prompts": own}
        if category == "semantic":
            content["completion_sets"] = {"capitals": [" Paris", " time"]}
        project.write(f"data/prompts/{category}.yaml", content)
    return project


def make_project(folder: Path) -> Project:
    """A copy of the pipeline with two tiny models: one as the organism is, and a Llama."""
    project = copy_pipeline(folder, PROMPTS)
    tokenizer = train_tokenizer(TEXTS * 5, TINY["vocab_size"])
    model_folder = folder / "data/models/organism"
    as_pretrained(tokenizer, TINY["row_length"]).save_pretrained(model_folder)
    model = build_model(Recipe(**TINY | {"vocab_size": tokenizer.get_vocab_size(), "every_depth": 0}))
    teach(model, [tokenizer.encode(text).ids for text in TEXTS])
    model.save_pretrained(model_folder)
    for variant in (MODEL, EVERY_DEPTH):
        (folder / "data/models" / variant).mkdir(exist_ok=True)
        shutil.copy(ROOT / "data/models" / variant / "loss.tsv", folder / "data/models" / variant)

    counts = Counter(id for text in TEXTS for id in tokenizer.encode(text).ids)
    rows = [f"{id}\t{counts[id]}" for id in range(tokenizer.get_vocab_size())]
    (model_folder / "token_counts.tsv").write_text("\n".join(["token_id\tcount", *rows]) + "\n")

    _make_llama(folder / "data/models" / SECOND, model_folder)
    config = project.read("config.yaml")
    documents = corpus_of(config["organism"]["corpus"], folder / "data/organism").documents(0, ramped=True)
    (folder / "data/text.txt").write_text("\n\n".join(document.text for document in islice(documents, 50)))
    own = {"source": f"data/models/{SECOND}", "text": "data/text.txt", "tagged_text": None, "twin": MODEL}
    config["models"][SECOND] = config["models"][MODEL] | own
    config["models"]["other"] = config["models"][MODEL]  # declared, not run
    config["run"] = [MODEL, SECOND]
    config["text"] |= {"documents": 40}
    config["lens"] |= {"extended": {"last": 1}, "explorer": ["once", "lines"]}
    config["lens"]["tuned"] |= {"steps": 2}
    config["lens"]["jacobian"] |= {"documents": 2}
    config["lens"]["grid"] |= {
        "prompts": ["lines"],
        "colourings": ["logit", "kl_final"],
        "window": [0, 8],
        "half_depths": True,
    }
    config["lens"]["statistics"] |= {"resamples": 20}
    config["lens"]["probes"] |= {"nmf_components": 4, "nmf_tokens": 200, "draws": 3}
    config["average"] |= {"resamples": 20}
    config["trace"] |= {
        "samples": 2,
        "noise": {"absolute": [0.1, 0.5], "relative": [3]},
        "everywhere": {"absolute": [0.5], "relative": [], "prompts": None},
        "parts": {
            "noise": {"absolute": [0.1, 0.5], "relative": []},
            "categories": None,
            "heads": 9,
            "neurons": 9,
            "neuron_groups": 2,
        },
        "window": 1,
        "approximate": True,
        "shown": ["once"],
    }
    config["trace"]["control"] |= {"noise": {"absolute": [0.5], "relative": []}, "categories": None}
    config["figures"]["noise"] = "0.5"
    config["average"] |= {"permutations": 20}
    config["hidden"] |= {"cropped": 0, "n_offsets": 1, "shuffles": 20}
    config["attention"] |= {"first": 4, "skip": 2, "long": {"tokens": 60, "samples": 4}}
    for section in ("attention", "hidden"):
        config[section]["statistics"] |= {"resamples": 20}
    config["syntax"] |= {"documents": 60, "keys": {"per_layer": 8, "triggers": 3}}
    config["syntax"]["statistics"] |= {"resamples": 20}
    config["embedding"] |= {"shuffles": 20, "outlier_channels": 3}
    config["embedding"]["statistics"] |= {"resamples": 20}
    config["embedding"]["properties"] |= {"nmf_tokens": 200, "peaks": 5, "sample": 100, "draws": 4}
    config["embedding"]["sinusoids"] |= {"draws": 20}
    config["embedding"]["zero_layer"] |= {"shuffles": 9}
    config["embedding"]["clump"] |= {"tokens": 10, "draws": 9}
    config["embedding"]["experiments"] |= {"widths": [0, 2], "draws": 2, "min_documents": 2}
    config["organism"]["recipe"] = TINY
    config["organism"]["corpus"] |= {"tokenizer_documents": 300, "ramp": 100}
    project.write("config.yaml", config)
    return project


def teach(model, sequences: list[list[int]], rate: float = 0.02, rounds: int = 60) -> None:
    """Let a model learn some texts, so that curation has something to accept."""
    model.eval()  # without dropout
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    for _ in range(rounds):
        for ids in sequences:
            batch = torch.tensor([ids])
            model(input_ids=batch, labels=batch).loss.backward()
            optimiser.step()
            optimiser.zero_grad()


def _make_llama(folder: Path, organism: Path) -> None:
    """A tiny model of another family, with the same tokenizer, that knows the prompts too.

    Rotary positions, root-mean-square norms, an unembedding of its own, a gated MLP.
    """
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(organism / name, folder / name)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=TINY["row_length"],
            tie_word_embeddings=False,
        )
    )
    teach(model, [tokenizer.encode(text) for text in TEXTS])
    model.save_pretrained(folder)
