"""Sample text whose words are tagged, and put the tags on tokens.

Input: the model's tokenizer; data/organism/ or a CoNLL-U file. Output: syntax/text.nc.
"""

from pipeline.job import job
from strata import io
from strata.inputs import read_lines
from strata.organism.corpus import corpus_of
from strata.organism.tagging import corpus_documents
from strata.text.conllu import read_conllu
from strata.text.tagged import sample
from strata.text.tokenizer import load_tokenizer

with job(snakemake) as progress:
    made, model = snakemake.params.text, snakemake.params.model
    tokenizer = load_tokenizer(model["source"], model["revision"], model["beginning_token"])
    if made["source"] == "organism":
        corpus = corpus_of(made["corpus"])
        # Neither the documents of training nor those of the text that decoders are fitted on.
        seed = made["corpus"]["seed"] + 3
        documents = corpus_documents(corpus, 2 * made["documents"], made["filler"], seed)
    else:
        documents = read_conllu(read_lines(made["source"]), made["source"])

    def encode(texts: list[str]) -> tuple[list[list[int]], list[list[tuple[int, int]]]]:
        return tuple(zip(*map(tokenizer.encode_with_offsets, texts), strict=True))

    documents = progress(documents, "documents")
    n_beginning = len(tokenizer.beginning)
    text = sample(
        documents, encode, made["documents"], made["max_tokens"], made["seed"], n_beginning, made["source"]
    )
    io.write_dataset(text, snakemake.output[0], model=model, config=made)
