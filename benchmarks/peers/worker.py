"""One package with a model loaded: runs a task each time it is asked to on standard input.

    python worker.py PACKAGE MODEL INPUTS OUTPUTS

Answers are lines of JSON: what tasks there are, then of each run its seconds and the memory that it took
beyond the model's. What the first run of a task made is kept in OUTPUTS, an archive for each task.
"""

import json
import os
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

sys.path.insert(0, str(Path(__file__).parents[1]))
from frame import Peak  # noqa: E402


class Given:
    """A model, and what all packages are given: prompts with their tokens, noise, and tokens of a step."""

    def __init__(self, folder: str, inputs: str):
        self.folder = folder
        self.prompts = json.loads(Path(inputs).read_text())
        self.noise_sd, self.samples = self.prompts.pop("noise_sd"), self.prompts.pop("samples")
        self.ids = [torch.tensor([ids]) for ids in self.prompts["ids"]]

    def model(self, **options):
        config = AutoConfig.from_pretrained(self.folder)
        # transformers 4 does not know where 5 keeps the base of rotary angles, and takes another.
        for name, value in (getattr(config, "rope_parameters", None) or {}).items():
            setattr(config, name, value)
        options |= {"config": config, "torch_dtype": torch.float32}
        return AutoModelForCausalLM.from_pretrained(self.folder, **options).eval()

    def tokenizer(self):
        # As GPT-2's own: token types, were they given, would be added to the embeddings.
        names = ["input_ids", "attention_mask"]
        return PreTrainedTokenizerFast.from_pretrained(self.folder, model_input_names=names)

    def noise(self, prompt: int, channels: int) -> torch.Tensor:
        """The noise that causal-tracer draws, (sample, subject token, channel)."""
        first, last = self.prompts["subject"][prompt]
        drawn = np.random.RandomState(1).randn(self.samples, last + 1 - first, channels)
        return torch.from_numpy(self.noise_sd * drawn).float()


def readouts(logits: torch.Tensor) -> dict[str, torch.Tensor]:
    """What a user of a package that gives logits (depth, token, vocab) goes on with, in plain torch."""
    logp = logits.log_softmax(-1)
    own = logits.gather(-1, logits[-1].argmax(-1)[None, :, None].expand(len(logits), -1, 1))
    return {
        "top": logits.topk(5).indices,
        "rank": (logits > own).sum(-1),
        "kl": (logp[-1].exp() * (logp[-1] - logp)).sum(-1),
    }


def joined(found: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """The readouts of each prompt, one prompt's tokens after another's."""
    return {name: torch.cat([each[name] for each in found], 1) for name in found[0]}


def main() -> None:
    package, folder, inputs, outputs = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w", buffering=1)  # a line at a time
    os.dup2(2, 1)  # what packages print is not an answer
    try:
        tasks = import_module(f"with_{package}").tasks(Given(folder, inputs))
    except Exception as error:
        traceback.print_exc()
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=answers)
        return
    print(json.dumps({"tasks": list(tasks)}), file=answers)
    for line in sys.stdin:
        task, out = line.strip(), Path(outputs, f"{line.strip()}.npz")
        try:
            with Peak() as peak:
                began = time.perf_counter()
                found = tasks[task]()
                took = time.perf_counter() - began
        except Exception as error:
            traceback.print_exc()
            print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=answers)
            continue
        if not out.exists():
            np.savez(out, **{name: value.detach().numpy() for name, value in found.items()})
        print(json.dumps({"seconds": took, "megabytes": peak.bytes / 1e6}), file=answers)


if __name__ == "__main__":
    main()
