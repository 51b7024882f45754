"""Into how many shards the work on many prompts is cut, each a job of its own, and their files."""

import re
from collections.abc import Mapping
from functools import cache

from pipeline.estimate import Estimates
from pipeline.work import STAGES
from strata.inputs import BadInput
from strata.model.source import ModelUnavailable
from strata.share import name_of

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

    def _number(self, model: str, stage: str) -> int:
        """How many a model's traces, or its lenses, are cut into; 1: they are made at once.

        Raises
        ------
        BadInput
            If that depends on the sizes of a model that is not here.
        """
        try:
            return self._estimates.shards(model, stage)
        except ModelUnavailable as error:
            raise BadInput(
                f"config.yaml: {stage}.prompts_per_shard: auto needs the sizes of {model}: {error} "
                "(expected: the model brought here first, or a number of prompts)"
            ) from error

    def models(self) -> str:
        """A pattern of the names of models of which anything is cut.

        Raises
        ------
        BadInput
            As `number`.
        """
        cut = [model for model in self._run if max(self.number(model, stage) for stage in STAGES) > 1]
        return "|".join(map(re.escape, cut)) or ALONE

    def files(self, wildcards) -> list[str]:
        """What a file of a model's traces or lenses is gathered from."""
        n = self.number(wildcards.model, wildcards.stage)
        folder = f"results/{wildcards.model}/{wildcards.stage}/shards"
        return [f"{folder}/{name_of(number, n)}/{wildcards.gathered}.nc" for number in range(n)]
