"""How often intervals cover the truth, and tests of order are wrong, on data of known truth.

Prints a table in Markdown, that of docs/statistics.md, and the size of the test of order with the facts of
data/prompts.
"""

import argparse
from pathlib import Path

import numpy as np

from oracles.coverage import INTERVALS, LEAST, coverage, size_of_order_test
from oracles.transitions import ORDER
from strata.stats.thresholds import LEAST_UNITS
from strata.text.prompt_formats import read_prompt_file

UNITS = (LEAST_UNITS, 20, 30, 50, 100, 200)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--only", default="", help="kinds of interval whose name has this")
    options = parser.parse_args()
    error = 100 * np.sqrt(0.95 * 0.05 / options.trials)
    print(
        f"Coverage in per cent of 95 % intervals; {options.trials} trials each, standard error {error:.1f}\n"
    )
    print("| interval | " + " | ".join(f"{n} units" for n in UNITS) + " |")
    print("| --- |" + " ---: |" * len(UNITS))
    for name in filter(lambda name: options.only in name, INTERVALS):
        covers = INTERVALS[name]
        found = [
            f"{100 * coverage(covers, n, options.trials):.1f}" if n >= LEAST[name] else "none" for n in UNITS
        ]
        print(f"| {name} | " + " | ".join(found) + " |", flush=True)
    facts = {}
    for category in ORDER:
        prompts = read_prompt_file(Path("data/prompts") / f"{category}.yaml").content["prompts"]
        facts[category] = np.array([prompt.get("fact", prompt["id"]) for prompt in prompts])
    found = size_of_order_test(facts, options.trials)
    print(f"\nTest of order at 5 % with the facts of data/prompts, no order: {100 * found:.1f} % below")


if __name__ == "__main__":
    main()
