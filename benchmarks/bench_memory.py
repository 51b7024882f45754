"""Peak memory of the stages' jobs as prompts, documents or noise samples grow: flat, it is to be.

The pipeline runs in a folder of its own, on the organism, once for each number of what grows; every job says
in its log how much memory it held at most. Prompts are the shipped ones again and again, after other words.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice, product
from pathlib import Path

import yaml

from pipeline.profile import costs

ROOT = Path(__file__).parents[1]
MODEL = "results/organism"
TRACED = ("plain_english", "non_english", "semantic")
"""Categories whose prompts grow in number; those of the others are there once."""

WORDS = ("Now", "Then", "Well", "So", "And", "But", "Here", "There")
"""What stands before prompts that are there again."""

FLAT = 1.1
"""Most that memory may grow from the last number but one to the last, as a factor."""

ONE_LEVEL, NO_NOISE = {"relative": [3], "absolute": []}, {"relative": [], "absolute": []}
"""Of noise: rows of a trace cost time, and memory takes as many at once as it may in any case."""

TARGETS = {
    "prompts": [
        "lens/logit.nc",
        "lens/comparison.tsv",
        "lens/repurposing.nc",
        "trace/by_category.nc",
        "trace/order.tsv",
        "attention.nc",
        "hidden.nc",
    ],
    "documents": [
        "lens/tuned_fitted.nc",
        "lens/probes.nc",
        "lens/contextless.nc",
        "syntax/accuracy.tsv",
        "attention_text.nc",
    ],
    "samples": ["trace/by_category.nc", "trace/by_category_mlp.nc"],
}


def project(folder: Path, grows: str, number: int) -> None:
    """A copy of the pipeline, in which there is so much of what grows."""
    for name in ("Snakefile", "workflow", "envs", "profiles", "data/organism", "data/models/organism"):
        copy = shutil.copy if (ROOT / name).is_file() else shutil.copytree
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, folder / name)
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["lens"]["decoders"] = ["logit"]
    everywhere = NO_NOISE | {"prompts": None}
    trace = config["trace"] | {"everywhere": everywhere, "samples": 1, "replacements": 0, "noise": ONE_LEVEL}
    trace["parts"] |= {"noise": ONE_LEVEL, "heads": 0, "neurons": 0}
    config["trace"] = trace
    if grows == "documents":
        for section in ("text", "attention", "syntax"):
            config[section]["documents"] = number
    if grows == "samples":
        trace["samples"] = number
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    (folder / "data/prompts").mkdir()
    for path in (ROOT / "data/prompts").glob("*.yaml"):
        content = yaml.safe_load(path.read_text())
        if path.stem in TRACED:
            own = content["prompts"]
            n = -(-number // len(TRACED)) if grows == "prompts" else 20
            content["prompts"] = [*own[:n], *islice(again(own), n - len(own[:n]))]
        (folder / "data/prompts" / path.name).write_text(yaml.safe_dump(content, sort_keys=False))


def again(prompts: list[dict]) -> Iterator[dict]:
    """The same prompts over and over, after other words, as other facts, and in no pairs."""
    for turn, words in enumerate(product(WORDS, repeat=2)):
        before = " ".join(words) + "\n"
        for prompt in prompts:
            if prompt["subject"] in before:
                continue
            own = {key: value for key, value in prompt.items() if key != "pair"}
            kept = {key: f"{own[key]}-again-{turn}" for key in ("id", "fact") if key in own}
            yield own | kept | {"text": before + own["text"]}


def memory(folder: Path, grows: str, cores: int) -> dict[str, int]:
    """Peak memory of every rule's jobs, MB."""
    targets = [f"{MODEL}/{target}" for target in TARGETS[grows]]
    command = [sys.executable, "-m", "snakemake", "--cores", str(cores), "--quiet", "all", "--", *targets]
    subprocess.run(command, cwd=folder, check=True)
    peaks: dict[str, int] = {}
    for job in costs(folder / "logs"):
        peaks[job["rule"]] = max(peaks.get(job["rule"], 0), job["memory_mb"])
    return peaks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("grows", choices=TARGETS)
    parser.add_argument("numbers", type=int, nargs="+", help="e.g. 100 1000 10000")
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args()
    found = []
    for number in options.numbers:
        with tempfile.TemporaryDirectory() as folder:
            project(Path(folder), options.grows, number)
            found.append(memory(Path(folder), options.grows, options.cores))
        print(f"{number:,} {options.grows}: {found[-1]}", flush=True)
    heads = [f"{number:,}" for number in options.numbers]
    print(f"peak memory in MB by number of {options.grows}")
    print(f"{'rule':28}" + "".join(f"{head:>10}" for head in heads) + f"{'last / before':>16}")
    for rule in found[-1]:
        peaks = [peaks.get(rule, 0) for peaks in found]
        growth = peaks[-1] / peaks[-2] if len(peaks) > 1 else 1.0
        said = "" if growth <= FLAT else "  not flat"
        print(f"{rule:28}" + "".join(f"{peak:>10,}" for peak in peaks) + f"{growth:16.2f}{said}")


if __name__ == "__main__":
    main()
