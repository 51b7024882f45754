"""Strata compared with other packages: same model, prompts, noise and outputs; time, memory, agreement.

Every package runs in a process of its own, in the environment that it needs; they are asked in turns, so that
what else the machine does hits all alike. Prints the table of docs/benchmarks.md.
"""

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from shipped import shipped

from strata.notebook.load import unpacked

HERE = Path(__file__).parent
ENVIRONMENTS = {
    "transformer_lens": "new",
    "nnterp": "new",
    "causal_tracer": "old",
    "pyvene": "old",
    "tuned_lens": "old",
    "transformer_utils": "old",
}
LONGEST = 16
"""Tokens of a prompt, at most: some packages run a forward pass for each site."""

TASKS = {
    "residual": "residual stream, every depth",
    "lens": "logit lens: top 5, ranks, KL",
    "trace": "trace of states",
    "tuned_step": "tuned lens, a step of 64 tokens",
}
MODELS = {
    "organism": Path("data/models/organism"),
    "smollm2": Path("data/models/SmolLM2-135M-Instruct.Q4_1.gguf"),
}


def prompts_for(folder: Path, of_each: int, noise_sd: float, samples: int) -> dict:
    """Prompts whose subjects are whole tokens, so many of each category, those of middle length."""
    by_category = defaultdict(list)
    for prompt in shipped(folder):
        # Where the subject is there twice, packages differ in which one is meant.
        if len(prompt.ids) <= LONGEST and prompt.text.count(prompt.words) == 1:
            by_category[prompt.category].append(prompt)
    chosen = []
    for own in by_category.values():
        first = max(0, (len(own) - of_each) // 2)
        chosen += sorted(own, key=lambda prompt: len(prompt.ids))[first : first + of_each]
    fields = ("text", "words", "ids", "subject", "target")
    found = {name: [getattr(prompt, name) for prompt in chosen] for name in fields}
    return found | {"noise_sd": noise_sd, "samples": samples}


class Worker:
    """A package in a process of its own."""

    def __init__(self, package: str, folder: Path, inputs: Path, outputs: Path, environments: Path):
        environment = ENVIRONMENTS.get(package)
        python = (
            sys.executable if environment is None else str(environments / f"peers-{environment}/bin/python")
        )
        outputs.mkdir(parents=True, exist_ok=True)
        self.outputs = outputs
        with open(outputs / "log", "w") as log:
            command = [python, str(HERE / "worker.py"), package, str(folder), str(inputs), str(outputs)]
            quiet = os.environ | {"HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled", "TQDM_DISABLE": "1"}
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=log, text=True, env=quiet
            )
        told = self._answer()
        self.tasks, self.error = told.get("tasks", []), told.get("error")

    def run(self, task: str) -> dict:
        if self._process.poll() is None:
            print(task, file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict:
        line = self._process.stdout.readline()
        return json.loads(line) if line else {"error": f"it ended; {self.outputs}/log says why"}

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


def agreement(task: str, ours: Path, theirs: Path) -> str:
    """How far two packages' numbers are apart."""
    own, other = np.load(ours), np.load(theirs)
    if task == "lens":
        if own["kl"].shape != other["kl"].shape:
            return f"shapes differ: {other['kl'].shape}, not {own['kl'].shape}"
        top = (own["top"] == other["top"]).mean()
        rank = (own["rank"] == other["rank"]).mean()
        kl = np.abs(own["kl"] - other["kl"]).max()
        told = f"{100 * top:.1f} % of top 5, {100 * rank:.1f} % of ranks alike"
        return f"{told}; KL within {kl:.1e} (of up to {own['kl'].max():.2g})"
    [name] = own.files
    if own[name].shape != other[name].shape:
        return f"shapes differ: {other[name].shape}, not {own[name].shape}"
    both = np.isfinite(own[name]) & np.isfinite(other[name])
    apart = np.abs(own[name] - other[name])[both].max()
    return f"within {apart:.1e} (of up to {np.abs(own[name][both]).max():.2g})"


def compare(name: str, packages: list[str], environments: Path, rounds: int, given: dict) -> None:
    folder = MODELS[name] if MODELS[name].is_dir() else unpacked(MODELS[name], environments / "peers-models")
    scratch = environments / "peers" / name
    scratch.mkdir(parents=True, exist_ok=True)
    for old in scratch.glob("*/*.npz"):
        old.unlink()
    inputs = scratch / "inputs.json"
    prompts = prompts_for(folder, **given)
    inputs.write_text(json.dumps(prompts))
    workers = {p: Worker(p, folder, inputs, scratch / p, environments) for p in ["strata", *packages]}
    n = [*map(len, prompts["ids"])]
    print(f"\n{name}: {len(n)} prompts of {min(n)} to {max(n)} tokens, {given['samples']} samples of noise\n")
    print("| task | package | seconds | times Strata's | MB beyond the model | its numbers and Strata's |")
    print("| --- | --- | ---: | ---: | ---: | --- |")
    for package, worker in workers.items():
        if worker.error:
            print(f"| all | {package} | | | | does not run: {worker.error} |")
    for task, told in TASKS.items():
        able = {package: worker for package, worker in workers.items() if task in worker.tasks}
        runs = {package: [] for package in able}
        for _ in range(rounds + 1):
            for package, worker in able.items():
                runs[package].append(worker.run(task))
        ours = runs["strata"]
        for package, every in runs.items():
            if errors := [run["error"] for run in every if "error" in run]:
                print(f"| {told} | {package} | | | | {errors[0]} |")
                continue
            seconds = [run["seconds"] for run in every[1:]]  # the first warms up
            times = [run["seconds"] / own["seconds"] for run, own in zip(every[1:], ours[1:], strict=True)]
            peak = max(run["megabytes"] for run in every)
            files = (workers[p].outputs / f"{task}.npz" for p in ("strata", package))
            alike = "" if package == "strata" else agreement(task, *files)
            median, ratio = statistics.median(seconds), statistics.median(times)
            print(f"| {told} | {package} | {median:.3f} | {ratio:.1f} | {peak:.0f} | {alike} |", flush=True)
    for worker in workers.values():
        worker.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--environments", type=Path, default=Path("build"), help="has peers-new and peers-old"
    )
    parser.add_argument("--models", nargs="+", default=[m for m, path in MODELS.items() if path.exists()])
    parser.add_argument("--packages", nargs="+", choices=ENVIRONMENTS, default=[*ENVIRONMENTS])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prompts", type=int, default=1, help="of each category")
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--noise", type=float, default=0.1, help="its standard deviation")
    options = parser.parse_args()
    print(f"{datetime.date.today():%d %B %Y}, {os.cpu_count()} cores")
    given = {"of_each": options.prompts, "noise_sd": options.noise, "samples": options.samples}
    for name in options.models:
        compare(name, options.packages, options.environments, options.rounds, given)


if __name__ == "__main__":
    main()
