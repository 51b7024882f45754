"""Run every accepted prompt and every passage, and keep all activations.

Input: prompts.tsv, the model. Output: activations.h5.
"""

from itertools import accumulate

from pipeline.job import job
from pipeline.open_model import open_model
from strata import io
from strata.model.architecture import find_parts
from strata.model.capture import LAYOUT, capture_documents, sizes
from strata.text.prompts import accepted

with job(snakemake) as progress:
    settings = snakemake.params.model
    model, tokenizer = open_model(settings)
    parts = find_parts(model)
    table = accepted(io.read_prompts(snakemake.input.prompts))
    ids = [tokenizer.encode(text) for text in table["text"]]
    flat = [token for prompt in ids for token in prompt]

    shape, dtype = sizes(parts, len(flat)), snakemake.params.dtype
    made_by = {"model": settings, "config": {"dtype": dtype}}
    starts = list(accumulate(map(len, ids), initial=0))
    names = [f"prompt {name!r}" for name in table["id"]]
    with io.ActivationFile(snakemake.output[0], shape, LAYOUT, dtype, **made_by) as file:
        captured = capture_documents(parts, ids, LAYOUT, file.form, progress=progress, names=names)
        for prompt, taken in captured:
            file.write(starts[prompt], taken)
        file.label(
            {
                "prompt": [name for name, prompt in zip(table["id"], ids, strict=True) for _ in prompt],
                "position": [t for prompt in ids for t in range(len(prompt))],
                "beginning": [t < len(tokenizer.beginning) for prompt in ids for t in range(len(prompt))],
                "token_id": flat,
                "token_str": tokenizer.strings(flat),
            }
        )
