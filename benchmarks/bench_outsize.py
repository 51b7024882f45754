"""Peak memory and time of the stages on models of large shapes, random weights, a process for each stage.

Where only time depends on how much there is to do, there is little on processors: a few steps of the tuned
lens, two depths of probes; a GPU does all of it. Memory is bounded by what goes through at once, which is as
in the pipeline.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
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
from strata.model.architecture import Parts, find_parts
from strata.model.capture import LAYOUT, capture_documents, sizes
from strata.model.readout import decoder_from
from strata.model.weights import weights
from strata.probes import tokens as probes
from strata.probes.task import normalised
from strata.text.documents import as_dataset
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
TEXT, OF_DOCUMENT = 20_000, 250  # tokens of the text that is fitted to, and of each document
STEPS = {"cpu": 2, "cuda": 200}  # of the tuned lens, of 64 tokens
DEPTHS = {"cpu": 2, "cuda": None}  # of probes, from the first; None: all
SAMPLES = 10  # of the traced prompt's noise


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


def keep(path: Path, parts: Parts, documents: list[list[int]], layout: Mapping, dtype: str) -> None:
    """Write activations of documents of one length, labelled as a text's are."""
    labels = as_dataset(documents)
    with io.ActivationFile(path, sizes(parts, labels.sizes["token"]), layout, dtype) as file:
        for index, taken in capture_documents(parts, documents, layout, file.form):
            file.write(len(documents[0]) * index, taken)
        prompts = {"prompt": [f"p{document}" for document in labels["document"].values]}
        file.label({name: values.values for name, values in labels.variables.items()} | prompts)


def extract(shape: str, folder: Path, device: str) -> None:
    """The weights that later stages read, and everything of as many tokens as go through at once."""
    parts = parts_of(shape, device)
    io.write_dataset(weights(parts.model, lambda ids: [f"t{i}" for i in ids]), str(folder / "weights.h5"))
    documents = documents_of(parts.token_embedding.num_embeddings, 4, 256)
    keep(folder / "activations.h5", parts, documents, LAYOUT, "float32")


def extract_text(shape: str, folder: Path, device: str) -> None:
    """States of the text, of tokens that come again often enough to be learnt."""
    documents = documents_of(4_000, TEXT // OF_DOCUMENT, OF_DOCUMENT)
    keep(folder / "text.h5", parts_of(shape, device), documents, {"resid": LAYOUT["resid"]}, "float16")


def read(folder: Path, device: str, carry: readout.Carry, logit: bool) -> None:
    """The first tokens through a decoder and into a file."""
    activations = io.open_dataset(str(folder / "activations.h5")).isel(token=slice(READ))
    weights_ = io.open_dataset(str(folder / "weights.h5"))
    targets = np.append(activations["token_id"].values[1:], -1)
    how = {"rank_guesses": logit, "half_depths": logit}
    decoder = decoder_from(weights_).to(device)
    for _ in readout.read_pieces(activations, decoder, carry, targets, 10, **how):
        pass


def logit(shape: str, folder: Path, device: str) -> None:
    n_layers = io.open_dataset(str(folder / "activations.h5")).sizes["layer"]
    read(folder, device, readout.carry_by(n_layers=n_layers), logit=True)


def mapped(shape: str, folder: Path, device: str) -> None:
    """The tuned and the Jacobian lens: an affine map of each depth."""
    sizes_ = io.open_dataset(str(folder / "activations.h5")).sizes
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
    shape_of_noise = (SAMPLES, 1, parts.token_embedding.embedding_dim)
    noise = np.random.default_rng(1).standard_normal(shape_of_noise, np.float32)
    labels = [("1", sample) for sample in range(SAMPLES)]
    prompt = Prompt(ids, (1,), labels, np.array([[ids[1]]] * SAMPLES), noise, target_id=5)
    trace_prompts(parts, [prompt], {"state": restoration("state", parts.n_layers, 1)})


def fit_jacobian(shape: str, folder: Path, device: str) -> None:
    parts = parts_of(shape, device)
    [document] = documents_of(parts.token_embedding.num_embeddings, 1, 12)
    jacobian.fit(parts, [document], 4, 1024)


def fit_tuned(shape: str, folder: Path, device: str) -> None:
    text = TextStream(io.open_dataset(str(folder / "text.h5")), 64, device)
    decoder = decoder_from(io.open_dataset(str(folder / "weights.h5"))).to(device)
    tuned.fit(
        lambda: text.batches("train"),
        lambda: text.batches("validation", READ),
        decoder,
        text.depths,
        STEPS[device],
        0.01,
    )


def fit_probes(shape: str, folder: Path, device: str) -> None:
    text = io.open_dataset(str(folder / "text.h5")).isel(depth=slice(DEPTHS[device]))
    weights_ = io.open_dataset(str(folder / "weights.h5"))
    probes.analyse(
        normalised(text["resid"], decoder_from(weights_, "plain").to(device)),
        text["depth"].values,
        text,
        {"input": weights_["token_embedding"].values, "next": weights_["unembedding"].values},
        **{"epochs": 1, "nmf_components": 16, "nmf_tokens": 2000, "draws": 2, "elsewhere": 300},
        **{"resamples": 100, "interval": 0.95, "seed": 0},
    )


STAGES = {
    stage.__name__: stage
    for stage in (
        *(extract, logit, mapped, extended, trace, fit_jacobian),
        *(extract_text, fit_tuned, fit_probes),
    )
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--folder", type=Path, help="with what earlier stages left, and for what these leave")
    parser.add_argument("--device", choices=STEPS, default="cpu")
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
