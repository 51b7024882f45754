"""Write the organism's corpus: its tokenizer, its packed rows, and how often each token occurs.

Input: data/organism/. Output: tokens.npz, token_counts.tsv, tokenizer/.
"""

from itertools import islice

from pipeline.job import job
from strata import io
from strata.organism.corpus import corpus_of, pack
from strata.organism.tokenizer import as_pretrained, count_tokens, train_tokenizer

with job(snakemake) as progress:
    made, recipe = snakemake.params.corpus, snakemake.params.recipe
    corpus = corpus_of(made)
    sample = islice(corpus.documents(made["seed"] + 1, ramped=True), made["tokenizer_documents"])
    tokenizer = train_tokenizer((document.text for document in progress(sample, "BPE")), recipe["vocab_size"])
    tokens, kinds, names = pack(
        corpus.documents(made["seed"]),
        lambda texts: [encoding.ids for encoding in tokenizer.encode_batch(texts)],
        recipe["steps"] * recipe["rows_per_step"],
        recipe["row_length"],
        recipe["vocab_size"] - 1,
    )
    as_pretrained(tokenizer, recipe["row_length"]).save_pretrained(snakemake.output.tokenizer)
    io.write_corpus(snakemake.output.tokens, tokens, kinds, names)
    io.write_table(count_tokens(tokens, tokenizer), snakemake.output.counts)
