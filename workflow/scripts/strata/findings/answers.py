"""Findings asked of models: every statistic of the table, with its verdict."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from types import MappingProxyType
from typing import Any

from strata.findings import embedding, lens, published, traces, twins
from strata.findings.asking import data_of, lacks
from strata.findings.estimates import CHANCE, Estimate, verdict

PACKAGES = MappingProxyType(
    {"traces": traces, "lens": lens, "embedding": embedding, "twins": twins, "published": published}
)
RELATIONS = {"above": "above", "below": "below", "apart_from": "apart from", "between": "between"}


@dataclass(frozen=True)
class Answer:
    """What one finding's statistic is for each model, and the verdicts; texts are as in the table.

    ``rule`` says when it holds, in words; ``source`` is empty where it is the section's. ``evidence``: of
    each model that can be asked, its figure and then the files that the statistic is of.
    """

    name: str
    short: str
    says: str
    source: str
    measure: str
    rule: str
    holds: Mapping[str, float | str]
    drawn: bool
    estimates: Mapping[str, Estimate]
    verdicts: Mapping[str, str]
    evidence: Mapping[str, Sequence[str]]

    @property
    def tested(self) -> bool:
        """Whether there is a p value."""
        return any(not isnan(estimate.p) for estimate in self.estimates.values())


def answer(
    name: str,
    finding: Mapping[str, Any],
    models: Mapping[str, Mapping],
    opened: Callable[[str], Any],
    asked: Iterable[str] | None = None,
) -> Answer:
    """Ask one finding of the models that are run, or of those ``asked`` among them.

    Parameters
    ----------
    finding : its row of the table
    models : their sections of the configuration
    opened : the data of a file, by its path
    """
    package, _, function = finding["statistic"].partition(".")
    statistic = getattr(PACKAGES[package], function)

    def ask(model: str) -> Estimate:
        if lacking := lacks(finding, model, models):
            return Estimate(missing=lacking)
        data = {argument: opened(path) for argument, path in data_of(finding, model, models).items()}
        return statistic(**data, **finding["options"])

    estimates = {model: ask(model) for model in (models if asked is None else asked)}
    return Answer(
        name,
        finding["short"],
        finding["says"],
        finding.get("source", ""),
        finding["measure"],
        f"{told(finding['holds'])}: {finding['why']}",
        finding["holds"],
        finding.get("drawn", True),
        estimates,
        {model: verdict(estimate, finding["holds"]) for model, estimate in estimates.items()},
        {
            model: [finding["figure"].format(model=model), *data_of(finding, model, models).values()]
            for model in estimates
            if not lacks(finding, model, models)
        },
    )


def answers_of(
    table: Mapping[str, Mapping],
    models: Mapping[str, Mapping],
    opened: Callable[[str], Any],
    asked: Sequence[str] | None = None,
) -> dict[str, list[Answer]]:
    """Every finding of the table, as `answer` asks it, by section."""
    return {
        key: [answer(name, finding, models, opened, asked) for name, finding in section["findings"].items()]
        for key, section in table.items()
    }


def told(holds: Mapping[str, float | str]) -> str:
    """When a statement holds, in words."""
    ((relation, threshold),) = holds.items()
    if threshold == CHANCE:
        return f"{RELATIONS[relation]} {CHANCE}"
    ends = threshold if relation == "between" else [threshold]
    return f"{RELATIONS[relation]} {' and '.join(f'{end:.3g}' for end in ends)}"
