"""Peak memory and time of the stages on models of large shapes, random weights, a process for each stage.

Where only time depends on how much there is to do, there is little: two batches of text for moments and steps
of the tuned lens, two depths of probes, one corrupted version of the traced prompt. Memory is bounded by what
goes through at once, which is as in the pipeline.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    PreTrainedModel,
)

from strata import io
from strata.lens import jacobian, readout, tuned
from strata.lens.decoders import DepthMaps
from strata.lens.extended import carry_through
from strata.lens.stream import stream_depths
from strata.lens.text_stream import TextStream
from strata.model.architecture import find_parts
from strata.model.capture import LAYOUT, capture_documents, sizes
from strata.model.readout import decoder_from
from strata.model.weights import weights
from strata.probes import tokens as probes
from strata.probes.task import normalised
from strata.trace.corruption import Prompt
from strata.trace.sites import restoration
from strata.trace.sweep import trace_prompts

GEMMA = {"hidden_size": 640, "num_hidden_layers": 18, "num_attention_heads": 4, "num_key_value_heads": 1}
GEMMA |= {"head_dim": 256, "intermediate_size": 2048, "vocab_size": 262_144}
NEO = {"hidden_size": 2560, "num_layers": 32, "num_heads": 20, "attention_types": [[["global", "local"], 16]]}
SHAPES: dict[str, tuple[torch.dtype, Callable[[], PreTrainedModel]]] = {
    "gpt2-xl": (
        torch.float32,
        lambda: GPT2LMHeadModel(GPT2Config(n_embd=1600, n_layer=48, n_head=25, _attn_implementation="eager")),
    ),
    "gpt-neo-2.7b": (
        torch.bfloat16,
        lambda: GPTNeoForCausalLM(GPTNeoConfig(**NEO, _attn_implementation="eager")),
    ),
    "vocabulary": (
        torch.float32,
        lambda: Gemma3ForCausalLM(Gemma3TextConfig(**GEMMA, _attn_implementation="eager")),
    ),
}
LIMIT_GB = 24
READ = 64  # tokens that are read out


def parts_of(shape: str, device: str):
    dtype, build = SHAPES[shape]
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    with torch.device(device):
        model = build().eval().requires_grad_(False)
    torch.set_default_dtype(torch.float32)
    return find_parts(model)


def documents_of(vocab: int, number: int, length: int) -> list[list[int]]:
    return np.random.default_rng(0).integers(vocab, size=(number, length)).tolist()


def extract(shape: str, folder: Path, device: str) -> None:
    """The weights that later stages read, and everything of as many tokens as go through at once."""
    parts = parts_of(shape, device)
    io.write_dataset(weights(parts.model, lambda ids: [f"t{i}" for i in ids]), str(folder / "weights.h5"))
    documents = documents_of(parts.token_embedding.num_embeddings, 4, 256)
    length = len(documents) * 256
    with io.ActivationFile(folder / "activations.h5", sizes(parts, length), LAYOUT, "float32") as file:
        for index, taken in capture_documents(parts, documents, LAYOUT, file.form):
            file.write(256 * index, taken)
        file.label(
            {
                "prompt": np.repeat([f"p{i}" for i in range(4)], 256),
                "document": np.repeat(range(4), 256),
                "split": np.repeat(["train", "train", "validation", "test"], 256),
                "position": np.tile(range(256), 4),
                "token_id": np.ravel(documents),
            }
        )


def opened(folder: Path) -> tuple[xr.Dataset, xr.Dataset]:
    return io.open_dataset(str(folder / "activations.h5")), io.open_dataset(str(folder / "weights.h5"))


def read(folder: Path, device: str, carry: readout.Carry, logit: bool) -> None:
    """The first tokens through a decoder and into a file."""
    activations, weights_ = opened(folder)
    activations = activations.isel(token=slice(READ))
    targets = np.append(activations["token_id"].values[1:], -1)
    how = {"rank_guesses": logit, "half_depths": logit}
    decoder = decoder_from(weights_).to(device)
    for _ in readout.read_pieces(activations, decoder, carry, targets, 10, **how):
        pass


def logit(shape: str, folder: Path, device: str) -> None:
    n_layers = opened(folder)[0].sizes["layer"]
    read(folder, device, readout.carry_by(n_layers=n_layers), logit=True)


def mapped(shape: str, folder: Path, device: str) -> None:
    """The tuned and the Jacobian lens: an affine map of each depth."""
    sizes_ = opened(folder)[0].sizes
    n_layers, depths = sizes_["layer"], stream_depths(sizes_["layer"], half_depths=False)
    maps = DepthMaps.identity(depths[:-1], sizes_["channel"], n_layers)
    read(folder, device, readout.carry_by(maps, n_layers=n_layers, depths=depths), logit=False)


def extended(shape: str, folder: Path, device: str) -> None:
    parts = parts_of(shape, device)
    depths = stream_depths(parts.n_layers, half_depths=False)
    read(folder, device, carry_through(parts, 2, depths=depths), logit=False)


def trace(shape: str, folder: Path, device: str) -> None:
    """A prompt of 12 tokens, its subject at the second."""
    parts = parts_of(shape, device)
    [ids] = documents_of(parts.token_embedding.num_embeddings, 1, 12)
    noise = np.random.default_rng(1).standard_normal((1, 1, parts.token_embedding.embedding_dim), np.float32)
    prompt = Prompt(ids, (1,), [("1", 0)], np.array([[ids[1]]]), noise, target_id=5)
    trace_prompts(parts, [prompt], {"state": restoration("state", parts.n_layers, 1)})


def fit_jacobian(shape: str, folder: Path, device: str) -> None:
    parts = parts_of(shape, device)
    [document] = documents_of(parts.token_embedding.num_embeddings, 1, 12)
    jacobian.fit(parts, [document], 4, 1024)


def fit_tuned(shape: str, folder: Path, device: str) -> None:
    activations, weights_ = opened(folder)
    text = TextStream(activations, 64, device)
    batches = [text.batches(split, 64) for split in ("train", "validation")]
    train, validation = ([*split] for split in batches)
    decoder = decoder_from(weights_).to(device)
    maps = tuned.fit(lambda: iter(train), lambda: iter(validation), decoder, text.depths, 2, 0.01)
    io.write_dataset(maps.to_dataset(), str(folder / "tuned.nc"))


def fit_probes(shape: str, folder: Path, device: str) -> None:
    """Of two depths, on random states of 20,000 tokens."""
    weights_ = opened(folder)[1]
    vocab, channels = weights_["token_embedding"].shape
    rng, n = np.random.default_rng(0), 20_000
    documents = np.arange(n) // 80
    split = np.select([documents % 20 < 14, documents % 20 < 17], ["train", "validation"], "test")
    order = np.argsort(split, kind="stable")[::-1]
    text = {"document": documents[order], "split": split[order], "position": np.arange(n) % 80}
    text |= {"token_id": rng.integers(min(vocab, 4_000), size=n)}
    states = xr.DataArray(
        rng.standard_normal((2, n, channels), np.float32), {"depth": [0, 1]}, ("depth", "token", "channel")
    )
    probes.analyse(
        normalised(states, decoder_from(weights_, "plain").to(device)),
        [0, 1],
        xr.Dataset(coords={name: ("token", values) for name, values in text.items()}),
        {"input": weights_["token_embedding"].values, "next": weights_["unembedding"].values},
        **{"epochs": 1, "nmf_components": 16, "nmf_tokens": 2000, "draws": 2, "elsewhere": 300},
        **{"resamples": 100, "interval": 0.95, "seed": 0},
    )


STAGES = {
    stage.__name__: stage
    for stage in (extract, logit, mapped, extended, trace, fit_jacobian, fit_tuned, fit_probes)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--folder", type=Path, help="with what earlier stages left, and for what these leave")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--here", action="store_true", help="the one stage of one shape in this process")
    options = parser.parse_args()
    if options.here:
        began = time.perf_counter()
        STAGES[options.stages[0]](options.shapes[0], options.folder, options.device)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        of_gpu = torch.cuda.max_memory_allocated() if torch.cuda.is_initialized() else 0
        print(json.dumps([peak / 1e9, of_gpu / 1e9, time.perf_counter() - began]))
        return
    print(f"{'':29} peak memory (at most {LIMIT_GB} GB)   of a GPU     seconds", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        for shape in options.shapes:
            folder = (options.folder or Path(temporary)) / shape
            folder.mkdir(parents=True, exist_ok=True)
            for stage in options.stages:
                command = [sys.executable, __file__, "--here", "--device", options.device]
                command += ["--shapes", shape, "--stages", stage]
                done = subprocess.run(
                    [*command, "--folder", str(folder)], stdout=subprocess.PIPE, text=True, check=False
                )
                ran = done.returncode == 0
                said = "{:28.2f}{:11.2f}{:12.1f}".format(*json.loads(done.stdout)) if ran else "failed"
                print(f"{shape:14} {stage:14} {said}", flush=True)


if __name__ == "__main__":
    main()
