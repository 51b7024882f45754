"""What a finding asks of a model, and whether it can be asked."""

from collections.abc import Mapping


def data_of(finding: Mapping, model: str, models: Mapping[str, Mapping]) -> dict[str, str]:
    """The files that a finding asks of a model, and of its twin, by the statistic's arguments."""
    names = {"model": model, "twin": models[model].get("twin")}
    return {argument: path.format(**names) for argument, path in finding["data"].items()}


def lacks(finding: Mapping, model: str, models: Mapping[str, Mapping]) -> str:
    """What a finding needs that a model, or the run, has not; empty if it has all."""
    if "lacking" in finding:
        return finding["lacking"]
    if "only" in finding and models[model].get("source") not in finding["only"]:
        return f"said of {' and '.join(finding['only'])} only"
    needs = finding.get("needs")
    if not needs or models[model].get(needs) and (needs != "twin" or models[model]["twin"] in models):
        return ""
    return f"no {needs.replace('_', ' ')}{' that is run' if models[model].get(needs) else ''}"
