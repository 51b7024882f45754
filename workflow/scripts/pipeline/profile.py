"""Where the time of the last run went, by rule, from the logs of its jobs: `make profile`."""

import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from pipeline.job import COST

COLUMNS = ("rule", "jobs", "CPU s", "imports s", "share %", "memory MB")


def costs(logs: Path) -> list[dict]:
    """What every job said that it cost, in its log's last lines."""
    found = []
    for log in sorted(logs.rglob("*.log")):
        lines = [line for line in log.read_text(encoding="utf-8").splitlines() if COST + "{" in line]
        found += [json.loads(line.partition(COST)[2]) for line in lines[-1:]]
    return found


def by_rule(jobs: list[dict]) -> list[tuple]:
    """Rows of the table, the dearest rule first, all together last."""
    rules = defaultdict(list)
    for job in jobs:
        rules[job["rule"]].append(job)
    whole = sum(job["cpu_s"] for job in jobs)

    def row(name: str, of: list[dict]) -> tuple:
        cpu, imports = (sum(job[key] for job in of) for key in ("cpu_s", "imports_s"))
        memory = max(job["memory_mb"] for job in of)
        return name, len(of), round(cpu, 1), round(imports, 1), round(100 * cpu / whole, 1), memory

    rows = sorted((row(name, of) for name, of in rules.items()), key=lambda r: -r[2])
    return [*rows, row("all", jobs)] if jobs else []


def as_text(rows: list[tuple]) -> str:
    """The rows as aligned text."""
    return aligned([COLUMNS, *(tuple(map(str, row)) for row in rows)])


def aligned(cells: Sequence[Sequence[str]]) -> str:
    """Cells (row, column) as text: the first column to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if n == 0 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    )


if __name__ == "__main__":
    rows = by_rule(costs(Path(sys.argv[1] if len(sys.argv) > 1 else "logs")))
    print(as_text(rows) if rows else "no job has left its cost in logs/ yet: run the pipeline first")
