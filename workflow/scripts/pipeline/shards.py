"""Into how many shards the traces of many prompts are cut, each a job of its own, and their files."""

import re
from collections.abc import Mapping
from functools import cache

from pipeline.estimate import Estimates
from strata.inputs import BadInput
from strata.model.source import ModelUnavailable
from strata.trace.share import name_of

ALONE = "(?!)"
"""A pattern that no model's name has."""


class Shards:
    """Shards of the models of a run.

    Parameters
    ----------
    config : as it was checked
    estimates : of what jobs cost
    """

    def __init__(self, config: Mapping, estimates: Estimates):
        self._run, self._estimates = config["run"], estimates
        self.number = cache(self._number)

    def _number(self, model: str) -> int:
        """How many a model's traces are cut into; 1: they are made at once.

        Raises
        ------
        BadInput
            If that depends on the sizes of a model that is not here.
        """
        try:
            return self._estimates.shards(model)
        except ModelUnavailable as error:
            raise BadInput(
                f"config.yaml: trace.prompts_per_shard: auto needs the sizes of {model}: {error} "
                "(expected: the model brought here first, or a number of prompts)"
            ) from error

    def models(self) -> str:
        """A pattern of the names of models that have shards.

        Raises
        ------
        BadInput
            As `number`.
        """
        return "|".join(re.escape(model) for model in self._run if self.number(model) > 1) or ALONE

    def files(self, wildcards) -> list[str]:
        """What a file of a model's traces is gathered from."""
        folder, n = f"results/{wildcards.model}/trace/shards", self.number(wildcards.model)
        return [f"{folder}/{name_of(number, n)}/{wildcards.trace}.nc" for number in range(n)]
