"""What traces cost, at once or in shards, entered by their rules.

No array library is imported here: the rules ask for this at every start of the pipeline.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

from pipeline.models import busy_processors
from pipeline.work import MODEL, TRACE, Work, rule
from strata.costs import running
from strata.costs.cost import Cost
from strata.costs.running import forward
from strata.share import GROUP, Share


def _levels(noise: Mapping) -> int:
    return len(noise["absolute"]) + len(noise["relative"])


def _tracing(work: Work, cost: Cost, n_kinds: int, versions: int, n: int) -> Cost:
    shape, rows = work.shape, work.config["trace"]["max_rows"]
    swept = busy_processors(work.section)  # each by a thread
    held = 4 * rows * shape.channels * shape.layers * (3 + n_kinds + swept) + 3 * 4 * running.READ_TILE
    longest = max((prompt.length for prompt in work.traced), default=0)
    site = versions * shape.layers * longest * n_kinds * 5 * 4
    memory = held + 2 * min(n, GROUP) * site + 3 * 4 * 64 * shape.vocab + OF_PROMPT * len(work.traced)
    return cost + Cost(memory=memory, disk=n * site / 8)


OF_PROMPT, READ_PROMPT = 5e3, 2e-4
"""Bytes held of each prompt, also of those that another shard traces, and seconds for its tokens."""


def _states(work: Work) -> Cost:
    made, shape = work.config["trace"], work.shape
    whole = made["samples"] * _levels(made["everywhere"])
    versions = made["samples"] * _levels(made["noise"]) + made["replacements"]
    kinds, rows = [running.of_states(shape.layers)], made["max_rows"]
    between = Counter(work.traced_in(None, made["everywhere"]["prompts"]))
    others = [*(Counter(work.traced) - between).elements()]
    traced = running.trace(shape, [*between.elements()], kinds, versions - whole, whole, rows)
    traced += running.trace(shape, others, kinds, versions, 0, rows)
    followed = running.follow(shape, work.traced, kinds, versions, rows)
    return _tracing(work, traced + followed, 1, versions, len(work.traced))


def _parts(work: Work) -> Cost:
    made, shape = work.config["trace"], work.shape
    versions, rows = made["samples"] * _levels(made["parts"]["noise"]), made["max_rows"]
    severed, windows = running.of_states(shape.layers, severed=True), _windows(work)
    categories = made["parts"]["categories"]
    traced = work.traced_in(categories)
    done = running.trace(shape, traced, [severed, severed, windows, windows], versions, max_rows=rows)
    pieces = {"heads": shape.heads, "neurons": made["parts"]["neuron_groups"] + 1}
    for what, n in pieces.items():
        some = work.traced_in(categories, made["parts"][what])
        done += running.trace(shape, some, [running.of_pieces(shape.layers, n)], versions, max_rows=rows)
    attributed = forward(shape, [prompt.length for prompt in traced])
    return _tracing(work, done + attributed, 4, versions, len(traced))


def _windows(work: Work) -> running.Sites:
    made = work.config["trace"]
    return running.of_windows(work.shape.layers, made["window"], made["convention"])


@rule(MODEL)
def trace_approximate(work: Work) -> Cost:
    made, shape = work.config["trace"], work.shape
    versions = made["samples"] * _levels(made["noise"]) + made["replacements"]
    return _tracing(work, running.first_order(shape, work.traced, versions), 1, versions, len(work.traced))


def _control(work: Work) -> Cost:
    made, shape = work.config["trace"], work.shape
    control = made["control"]
    before = len(control["prefix"]) // 4
    prompts = [
        replace(prompt, length=prompt.length + before, first=prompt.first + before, last=prompt.last + before)
        for prompt in work.traced_in(control["categories"])
    ]
    versions = made["samples"] * _levels(control["noise"])
    kinds = [running.of_states(shape.layers)]
    done = running.trace(shape, prompts, kinds, versions, max_rows=made["max_rows"])
    return _tracing(work, done, 1, versions, len(prompts))


CUT = {"trace_prompts": _states, "trace_parts": _parts, "trace_control": _control}
"""Rules of traces that are cut into shards, and what all their prompts cost."""


def whole_traces(work: Work) -> list[Cost]:
    """What traces that are cut into shards cost, each at once."""
    return [whole(work) for whole in CUT.values()]


def _at_once(whole: Callable[[Work], Cost]) -> Callable[[Work], list[Cost]]:
    """One job, where there are no shards."""
    return lambda work: [] if work.cut else [whole(work)]


def _in_shards(whole: Callable[[Work], Cost]) -> Callable[[Work], list[Cost]]:
    """A job for each shard: its part of what all prompts cost."""

    def jobs(work: Work) -> list[Cost]:
        if not work.cut:
            return []
        n, cost, of = len(work.traced), whole(work), work.shards[TRACE]
        parts = Counter(len(Share(number, of).rows(n, GROUP)) for number in range(of))
        costs = {part: cost.times(part / max(1, n)) + Cost(seconds=READ_PROMPT * n) for part in parts}
        return [costs[part] for part, times in sorted(parts.items()) for _ in range(times)]

    return jobs


for _name, _whole in CUT.items():
    rule(MODEL, _name)(_at_once(_whole))
    rule(MODEL, f"{_name}_shard")(_in_shards(_whole))


@rule(MODEL)
def trace_shown(work: Work) -> Cost:
    made, shape = work.config["trace"], work.shape
    versions = made["samples"] * _levels(made["noise"]) + made["replacements"]
    kinds = [running.of_states(shape.layers), _windows(work), _windows(work)]
    done = running.trace(shape, work.counts.shown, kinds, 0, versions, made["max_rows"])
    return _tracing(work, done, 3, versions, len(work.counts.shown))
