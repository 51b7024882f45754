"""What rules take of a job's model as inputs and parameters; looked up once, however many jobs ask."""

import os
from collections.abc import Iterable, Mapping
from functools import cache

from snakemake.io import ancient

from pipeline.contents import digest_of
from pipeline.models import LOADED_BY, files_of, settings_of, sources_of
from pipeline.texts import known_counts


class OfModels:
    """Functions of a job's wildcards, as Snakemake calls them for each job; ``models``: of config.yaml."""

    def __init__(self, models: Mapping[str, Mapping]):
        self._models = models
        self._given = cache(lambda model: frozenset(sources_of(models[model])))
        self._needed = cache(lambda model: files_of(model, models[model]))
        self._contents = cache(lambda model: digest_of(self._given(model)))

    def files(self, wildcards) -> list:
        """What is loaded of it, where that is files here; of what was not made here, times tell nothing."""
        given = self._given(wildcards.model)
        return [ancient(path) if path in given else path for path in self._needed(wildcards.model)]

    def contents(self, wildcards) -> str:
        """A digest of the files that it came as."""
        return self._contents(wildcards.model)

    def settings(self, wildcards, keys: Iterable[str] = LOADED_BY) -> dict:
        """Its section, its name and its files' digest included, or what of it a job loads."""
        settings = settings_of(wildcards.model, self._models[wildcards.model], keys)
        return settings | {"contents": self.contents(wildcards)}

    def device(self, wildcards) -> str:
        """Where it runs, and what is fitted to its states."""
        return self._models[wildcards.model]["device"]

    def lens(self, wildcards, decoder: str | None = None) -> str | None:
        """Where the user keeps a lens that others have published for it, if at all."""
        lens = self._models[wildcards.model].get("lenses", {}).get(decoder or wildcards.decoder)
        return lens and os.path.expanduser(lens)

    def maps(self, wildcards, decoder: str | None = None) -> list[str]:
        """The maps that a decoder carries states by: none, those published, or those fitted here."""
        decoder = decoder or wildcards.decoder
        made = "published" if self.lens(wildcards, decoder) else "fitted"
        none = decoder in ("logit", "extended")
        return [] if none else [f"results/{wildcards.model}/lens/{decoder}_{made}.nc"]

    def known_counts(self, wildcards) -> str | list:
        """How often each token occurs in its training, where that is known."""
        return known_counts(self._models[wildcards.model]) or []

    def counts(self, wildcards) -> str:
        """How often each token occurs: in training, where that is known, or in the text."""
        return self.known_counts(wildcards) or f"results/{wildcards.model}/text/token_counts.tsv"
