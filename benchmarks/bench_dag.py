"""How long Snakemake takes to plan many shards, and in how much memory: `make scale`.

100,000 synthetic prompts of GPT-2 XL, of which its configuration alone is there, in 1,000 shards: a dry run,
and what `estimate` says.
"""

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
SIZES = {
    "architectures": ["GPT2LMHeadModel"],
    "model_type": "gpt2",
    "n_layer": 48,
    "n_head": 25,
    "n_embd": 1600,
    "n_positions": 1024,
    "n_ctx": 1024,
    "vocab_size": 50257,
}
"""GPT-2 XL's configuration."""

CATEGORIES = ("facts", "phrases")


def write_project(folder: Path, n_prompts: int, per_shard: int | str) -> None:
    """A copy of the pipeline that is to trace so many prompts in a model of which there is no weight."""
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(ROOT / name, folder / name)
    for name in ("workflow", "envs", "profiles", "data/organism"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    write_model(folder / "data/models/xl")
    (folder / "data/text.txt").write_text("One two.\n\nThree four.\n\nFive six.\n")
    (folder / "data/prompts").mkdir()
    for place, category in enumerate(CATEGORIES):
        numbers = range(place, n_prompts, len(CATEGORIES))
        lines = (json.dumps(prompt(number)) + "\n" for number in numbers)
        (folder / f"data/prompts/{category}.jsonl").write_text("".join(lines))
    config = yaml.safe_load((folder / "config.yaml").read_text())
    source = {"source": "data/models/xl", "text": "data/text.txt", "tagged_text": None, "device": "auto"}
    config["models"] = {"xl": config["models"]["organism"] | source}
    config |= {"run": ["xl"]}
    config["trace"] |= {"prompts_per_shard": per_shard, "shown": ["p0"]}
    config["lens"]["explorer"] = ["p0"]
    config["lens"]["grid"]["prompts"] = ["p0"]
    for section in (config["trace"]["parts"], config["trace"]["control"]):
        section["categories"] = None
    config["average"]["order"] = list(CATEGORIES)
    config["attention"]["contrast"] = {"facts": ["facts"], "rote": ["phrases"]}
    config["hidden"]["pooled"] = {}
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


def write_model(folder: Path) -> None:
    """A model's configuration, and a file of weights of its sizes that takes no room on the disk."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(SIZES))
    channels, vocab = SIZES["n_embd"], SIZES["vocab_size"]
    end = 4 * vocab * channels
    tensors = {"wte": {"dtype": "F32", "shape": [vocab, channels], "data_offsets": [0, end]}}
    for layer in range(SIZES["n_layer"]):
        tensors[f"h.{layer}"] = {"dtype": "F32", "shape": [0], "data_offsets": [end, end]}
    header = json.dumps(tensors).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + end)


def prompt(number: int) -> dict[str, str]:
    """A prompt that differs from all others, of 8 to 16 words."""
    subject = f"Town{number}"
    return {
        "id": f"p{number}",
        "text": f"The old road {'very ' * (number % 9)}far from {subject} leads to the city of",
        "subject": subject,
        "target": f" City{number % 977}",
    }


def measured(folder: Path, *arguments: str) -> tuple[str, float, float]:
    """What snakemake says, seconds, and the most memory that it or a process of its own held, GB."""
    began = time.monotonic()
    command = [sys.executable, "-m", "snakemake", "--cores", "1", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout[-3000:] + done.stderr[-3000:])
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    return done.stdout + done.stderr, time.monotonic() - began, most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="to be made, for the project")
    parser.add_argument("--prompts", type=int, default=100_000)
    parser.add_argument("--shards", type=int, default=1000)
    parser.add_argument("--estimate", action="store_true", help="print what `snakemake estimate` says, too")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True)
    write_project(asked.folder, asked.prompts, -(-asked.prompts // asked.shards))
    os.environ["HF_HUB_OFFLINE"] = "1"
    for _ in range(2):  # the first reads files for their digests, too
        said, seconds, memory = measured(asked.folder, "-n")
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", said, re.M))
    for rule in (*(rule for rule in jobs if "shard" in rule), "total"):
        print(f"{rule:20} {jobs.get(rule, 0):>6} jobs")
    print(f"planned in {seconds:.0f} s and {memory:.2f} GB")
    if asked.estimate:
        print(measured(asked.folder, "estimate")[0])


if __name__ == "__main__":
    main()
