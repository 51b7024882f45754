"""The table that ``snakemake estimate`` prints."""

from collections.abc import Sequence

from pipeline.estimate import Estimates
from pipeline.light_costs import LIGHT
from pipeline.profile import aligned
from pipeline.rule_costs import RULES
from strata.costs.cost import Cost
from strata.costs.machine import CARDS, EFFICIENCY, Machine

COLUMNS = (
    "rule",
    "jobs",
    "tokens",
    "passes",
    "10¹² operations",
    "memory MB",
    "disk MB",
    "minutes here",
    *CARDS,
)

REST = "statistics, tables, figures"


def about(machine: Machine) -> str:
    """What was measured, and what was not."""
    return (
        f"This machine, measured now, with whatever else it is running: {machine.cores} cores, in a second "
        f"{machine.products / 1e9:.0f} × 10⁹ operations\nof products, {machine.values / 1e9:.1f} × 10⁹ "
        f"exponentials, {machine.disk / 1e6:.0f} MB written to the disk. Minutes are those of one job after "
        "the other, here and\nwith a graphics card, on which a model's jobs have "
        f"{EFFICIENCY:.0%} of its published rate (an assumption), and none where\nits memory is too small."
    )


def table(estimates: Estimates, model: str, machine: Machine) -> str:
    """Every rule of a model that needs it, the others together, and all, as aligned text."""
    work = estimates.work(model)
    dtype, of_rules, rows = work.section["dtype"], [], []

    def row(name: str, jobs: Sequence[Cost], *seconds: float | None) -> tuple[str, ...]:
        whole = sum(jobs, Cost())
        sizes = (whole.memory / 2**20, whole.disk / 2**20)
        numbers = (whole.tokens, whole.passes, whole.operations / 1e12, *sizes)
        minutes = (None if each is None else each / 60 for each in seconds)
        return (name, str(len(jobs)), *map(_told, [*numbers, *minutes]))

    for rule in RULES:
        if jobs := estimates.jobs(rule, model):
            here = sum(machine.seconds(job, estimates.processors(rule, model)) for job in jobs)
            needed = max(job.memory for job in jobs)
            on_cards = [
                sum(card.seconds(job, dtype, machine.pace) for job in jobs) if needed < card.memory else None
                for card in CARDS.values()
            ]
            rows.append(row(rule, jobs, here, *on_cards))
            of_rules.append((jobs, [here, *on_cards]))
    light = [job for rule in LIGHT for job in estimates.jobs(rule, model)]
    seconds = sum(map(machine.seconds, light))
    rows.append(row(REST, light, *[seconds] * (1 + len(CARDS))))
    every = [job for jobs, _ in of_rules for job in jobs] + light
    totals = [
        None if None in column else sum(column) + seconds
        for column in zip(*(times for _, times in of_rules), strict=True)
    ]
    rows.append(row("all", every, *totals))
    heading = f"{model}: {work.shape.parameters / 1e6:.0f} million parameters; {work.counts.told}"
    return "\n".join([heading, aligned([COLUMNS, *rows])])


def _told(number: float | None) -> str:
    """With two significant digits, or whole."""
    if number is None:
        return "–"
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"
