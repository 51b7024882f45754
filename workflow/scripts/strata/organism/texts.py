"""The documents of a model's text, whether they are generated or a user's."""

from collections.abc import Iterator, Mapping
from itertools import islice

from strata.organism.corpus import corpus_of
from strata.text.plain import read_documents


def open_texts(made: Mapping) -> Iterator[str]:
    """Documents one at a time, in their order.

    Parameters
    ----------
    made : ``source``, a file; where it is the organism's corpus, ``corpus`` and ``documents``: there are
        twice as many
    """
    if "corpus" not in made:
        return read_documents(made["source"])
    # Not the documents that the organism was trained on, but others of the same kind.
    documents = corpus_of(made["corpus"]).documents(made["corpus"]["seed"] + 2, ramped=True)
    return (document.text for document in islice(documents, 2 * made["documents"]))
