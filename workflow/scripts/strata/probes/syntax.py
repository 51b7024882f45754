"""Syntax by depth: where a linear probe reads the labels of words (`strata.text.words`).

Probes are those of `strata.probes.linear`: fitted by depth for the labels of the current word and of the
next, and for the two tokens themselves. Power's remark on the logit lens, that early depths hold the
current token and late ones the next, and that later is more semantic, so gets numbers: the accuracy by
depth, over what the token alone would tell and over a control task (Hewitt & Liang 2019), and the depth at
which it is gained (Tenney et al. 2019).
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
import xarray as xr
from torch import Tensor

from strata.names import DEPTH, LABEL, SAMPLE, TARGET, TOKEN_ID
from strata.probes.linear import Moments, fit_better, outer_products
from strata.probes.task import (
    INPUT,
    NEXT,
    TARGETS,
    TEST,
    TRAIN,
    VALIDATION,
    Task,
    in_unseen_context,
    on_the_same_tokens,
)
from strata.progress import Progress, silent
from strata.stats.bootstrap import widened
from strata.stats.draws import DrawnGroups, interval_of_totals
from strata.stats.seeding import generator
from strata.text.documents import next_in_document
from strata.text.words import LABELS

IDENTITY = "token"
"""Beside the labels: which token it is."""

ACCURACY, CONTROL, SELECTIVITY = MEANS = "accuracy", "control_accuracy", "selectivity"
GAIN, CONTEXT, LOSS = CENTRES = "gain_centre", "context_centre", "loss_centre"
SUGGESTED = (
    (GAIN, INPUT, "tag"),
    (GAIN, INPUT, "relation"),
    (GAIN, NEXT, "tag"),
    (GAIN, NEXT, IDENTITY),
    (LOSS, INPUT, IDENTITY),
)
"""In the order in which "later is more semantic" would have them: measure, target, label."""

LEAST = 0.02
"""Accuracy that must have been gained, or lost, for the depth of it to be stated."""


def analyse(
    load: Callable[[float], Tensor],
    depths: Sequence[float],
    text: xr.Dataset,
    *,
    epochs: int,
    resamples: int,
    interval: float,
    seed: int,
    progress: Progress = silent,
) -> xr.Dataset:
    """Probes by depth for the labels of the current word and of the next, and for the two tokens.

    They are fitted on the split ``train`` and scored on the tokens of ``test`` that stand in unseen
    contexts: those for labels where words have them, those for tokens everywhere.

    The control task of a label (Hewitt & Liang 2019) asks for a random one in its place, drawn as often as
    labels occur, the same for every occurrence of a token: of the current one, or of the next one where
    the next word's label is asked for. What a probe gets right there it has by heart from which token it
    is; ``selectivity`` is the accuracy above that.

    Parameters
    ----------
    load : depth to states (token, channel), float32, normalised as the model's parts read them
    depths : ascending
    text : as `strata.text.tagged.sample` returns it
    epochs : passes of `strata.probes.linear.refine`; 0 leaves the closed form
    resamples, interval : of the bootstrap over documents; ``interval`` is a coverage, e.g. 0.95
    seed : of all that is drawn

    Returns
    -------
    Dataset
        By (target, label, depth), target ``input`` (the current word) or ``next``, label ``tag``,
        ``relation``, ``role`` or ``token``: ``accuracy``, ``control_accuracy``, ``selectivity`` (NaN for
        tokens, which are their own control), each with ``_low`` and ``_high``.
        By (target, label): the depths ``gain_centre``, ``context_centre``, ``loss_centre`` (see
        `centres`) with ``_low``, ``_high`` and ``_resampled`` (sample, ...), which are drawn together;
        ``most_frequent``, the accuracy of always saying the most frequent label; ``given_token``, that
        of the label most frequent with the current token in training, which is what a model without
        context could say; ``chance``, ``unknown_share``, ``n_scored``, ``n_trained``, ``n_classes``,
        ``n_documents`` as in `strata.probes.tokens.analyse`.

    Raises
    ------
    ValueError
        If a split has no token to use, no label has two samples, or an argument is impossible.
    """
    if resamples < 1 or epochs < 0 or not 0 < interval < 1:
        raise ValueError(f"impossible: {resamples=}, {epochs=}, {interval=}")
    unseen = in_unseen_context(text)
    rng = generator(seed)
    tasks: dict[tuple[str, str, str], Task] = {}
    for target in TARGETS:
        codes = _codes(text, target)
        for label in codes:
            tasks[ACCURACY, target, label] = task = Task.of(codes[label], text, unseen)
            if label != IDENTITY:
                by_heart = _control(task, np.where(codes[label] >= 0, codes[IDENTITY], -1), rng)
                tasks[CONTROL, target, label] = Task.of(by_heart, text, unseen)

    together = on_the_same_tokens(tasks)
    right: dict[tuple[str, str, str], list[np.ndarray]] = defaultdict(list)
    for depth in progress(depths, "probes for syntax"):
        states = load(depth)
        for group in together:
            used = next(iter(group.values())).used(states)
            product = outer_products(used[TRAIN])
            for key, task in group.items():
                train, validation = (
                    (used[split], task.labels(split).to(states.device)) for split in (TRAIN, VALIDATION)
                )
                moments = Moments.of(*train, len(task.classes), product)
                probe, _ = fit_better(moments, task.classes, train, validation, epochs, seed)
                right[key].append(task.right_about(probe, used[TEST]))

    baselines = _baselines(tasks, text)
    documents = DrawnGroups.of([task.documents for task in tasks.values()], resamples, generator(seed))
    found = _measured({key: np.mean(rows, 1) for key, rows in right.items()}, depths, baselines, LEAST)
    drawn = {key: documents.shares(np.stack(rows), tasks[key].documents) for key, rows in right.items()}
    resampled = _measured(drawn, depths, baselines, 0).where(found.notnull())
    result = found.merge(baselines, join="exact")
    totals = {key: documents.totals(np.stack(rows), tasks[key].documents) for key, rows in right.items()}
    ends = _ends_of_means(totals, resamples, interval, seed)
    for which, end in enumerate(("low", "high")):
        means = _labelled({key: both[which] for key, both in ends.items()}, MEANS, depths, baselines)
        others = resampled.drop_vars(MEANS).map(_end, args=(which, len(documents.names), interval))
        bounds = means.merge(others, join="exact")
        result = result.merge(bounds.rename({name: f"{name}_{end}" for name in found}), join="exact")
    together = resampled[list(CENTRES)].rename({name: f"{name}_resampled" for name in CENTRES})
    return result.merge(together, join="exact").assign_attrs(epochs=epochs, interval=interval)


def centres(accuracy: xr.DataArray, most_frequent: xr.DataArray, least: float = LEAST) -> xr.Dataset:
    """The depths at which accuracy is gained and lost, on average.

    Tenney et al. (2019) weigh each depth by the accuracy gained since the one before, and call the mean
    the expected layer, the centre of gravity of a task. Their probes read all depths up to one, and lose
    nothing by going deeper; here the best accuracy so far stands for that. What is lost is counted the
    same way from the other end, by the best accuracy still to come.

    Parameters
    ----------
    accuracy : (depth, ...)
    most_frequent : (...), accuracy without any state
    least : what must have been gained, or lost, in all

    Returns
    -------
    Dataset (...)
        ``gain_centre`` of all that is gained over ``most_frequent``, what is there at the first depth
        counted at that depth; ``context_centre`` of what is gained after the first depth, as Tenney et
        al. have it; ``loss_centre``; NaN where there is less than ``least`` of it. ``gained``,
        ``gained_in_context``, ``lost``: how much there is, in accuracy.
    """
    so_far = _running_maximum(accuracy)
    to_come = _running_maximum(accuracy.isel({DEPTH: slice(None, None, -1)})).sel({DEPTH: accuracy[DEPTH]})
    at_once = (so_far.isel({DEPTH: [0]}) - most_frequent).clip(min=0)
    in_context = so_far.diff(DEPTH)
    changes = {
        (GAIN, "gained"): xr.concat([at_once, in_context], DEPTH, join="exact"),
        (CONTEXT, "gained_in_context"): in_context,
        (LOSS, "lost"): -to_come.diff(DEPTH),
    }
    found = {}
    for (centre, total), change in changes.items():
        found[total] = change.sum(DEPTH, skipna=False)
        enough = found[total].where(found[total] >= least)
        found[centre] = (change * change[DEPTH]).sum(DEPTH, skipna=False) / enough
    return xr.Dataset(found)


def tables(result: xr.Dataset) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What `analyse` returns as tables: a row each (target, label, depth), and each (target, label)."""
    result = result.drop_dims(SAMPLE)
    by_depth = [name for name, values in result.data_vars.items() if DEPTH in values.dims]
    every = result[by_depth].to_dataframe(dim_order=[TARGET, LABEL, DEPTH])
    return every.reset_index(), result.drop_vars([*by_depth, DEPTH]).to_dataframe().reset_index()


def compare(result: xr.Dataset, order: Sequence[tuple[str, str, str]] = SUGGESTED) -> pd.DataFrame:
    """Whether one task's centre lies before the next one's, in a given order of tasks.

    Parameters
    ----------
    result : as `analyse` returns it
    order : of tasks, each a measure (``gain_centre``, ...), a target and a label

    Returns
    -------
    Table, a row for each pair of neighbours: ``earlier`` and ``later`` (measure, target and label in
    words), ``difference`` of their centres in depths, ``low`` and ``high`` (of the bootstrap over documents),
    ``in_order`` (share of resamples in which the earlier one is earlier); NaN where a centre is.
    """

    def of_task(task: tuple[str, str, str], suffix: str = "") -> xr.DataArray:
        measure, target, label = task
        return result[measure + suffix].sel({TARGET: target, LABEL: label}, drop=True)

    rows = []
    for earlier, later in pairwise(order):
        apart = (of_task(later, "_resampled") - of_task(earlier, "_resampled")).values
        n = min(int(result["n_documents"].sel({TARGET: t, LABEL: label})) for _, t, label in (earlier, later))
        low, high = widened(apart, n, result.attrs["interval"], lost=0)
        in_order = np.nan if np.isnan(low) else (apart > 0).mean()
        difference = float(of_task(later) - of_task(earlier))
        rows.append([" ".join(earlier), " ".join(later), difference, low, high, in_order])
    return pd.DataFrame(rows, columns=["earlier", "later", "difference", "low", "high", "in_order"])


def _codes(text: xr.Dataset, target: str) -> dict[str, np.ndarray]:
    """Labels as numbers (token), -1 for none, and with them the tokens of the words so labelled."""
    prefix = "" if target == INPUT else f"{NEXT}_"
    codes = {}
    for label in LABELS:
        values = text[prefix + label].values.astype(str)
        codes[label] = np.where(values == "", -1, np.unique(values, return_inverse=True)[1])
    tokens = text[TOKEN_ID].values if target == INPUT else next_in_document(text)
    return codes | {IDENTITY: tokens}


def _control(task: Task, tokens: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random label for each token, drawn as often as labels are; -1 where there is no token."""
    types, index = np.unique(tokens, return_inverse=True)
    drawn = rng.choice(task.classes, len(types), p=task.counts / task.counts.sum())
    return np.where(tokens >= 0, drawn[index], -1)


def _baselines(tasks: Mapping[tuple[str, str, str], Task], text: xr.Dataset) -> xr.Dataset:
    """What could be said without states, by (target, label)."""

    def of_task(target: str, label: str) -> xr.Dataset:
        task = tasks[ACCURACY, target, label]
        return task.baselines().assign(given_token=_given_token(task, text[TOKEN_ID].values))

    labels = (*LABELS, IDENTITY)
    by_target = [
        xr.concat([of_task(target, label) for label in labels], LABEL, join="exact") for target in TARGETS
    ]
    return xr.concat(by_target, TARGET, join="exact").assign_coords(
        {TARGET: list(TARGETS), LABEL: list(labels)}
    )


def _given_token(task: Task, tokens: np.ndarray) -> float:
    """Accuracy of the label that each token has most often in training, or of the most frequent one."""
    train, test = (task.rows[split].numpy() for split in (TRAIN, TEST))
    index = task.index.numpy()
    seen: dict[int, Counter] = defaultdict(Counter)
    for token, label in zip(tokens[train].tolist(), index[train].tolist(), strict=True):
        seen[token][label] += 1
    most_frequent = task.counts.argmax()
    usual = {token: labels.most_common(1)[0][0] for token, labels in seen.items()}
    said = [usual.get(token, most_frequent) for token in tokens[test].tolist()]
    return float(np.mean(said == index[test]))


def _measured(
    rates: Mapping[tuple[str, str, str], np.ndarray],
    depths: Sequence[float],
    baselines: xr.Dataset,
    least: float,
) -> xr.Dataset:
    """Accuracies (..., depth) by (target, label), labelled, with what is calculated from them."""
    found = _labelled(rates, (ACCURACY, CONTROL), depths, baselines)
    found = found.assign({SELECTIVITY: found[ACCURACY] - found[CONTROL]})
    return found.merge(centres(found[ACCURACY], baselines["most_frequent"], least), join="exact")


def _labelled(
    values: Mapping[tuple[str, str, str], np.ndarray],
    names: Sequence[str],
    depths: Sequence[float],
    baselines: xr.Dataset,
) -> xr.Dataset:
    """Values (..., depth) by name, target and label as variables ``names``; NaN where there are none."""
    coords = {TARGET: baselines[TARGET].values, LABEL: baselines[LABEL].values}
    missing = np.full_like(next(iter(values.values())), np.nan)
    dims = (TARGET, LABEL, *(SAMPLE, DEPTH)[-missing.ndim :])
    fields = {
        name: (
            dims,
            [
                [values.get((name, target, label), missing) for label in coords[LABEL]]
                for target in coords[TARGET]
            ],
        )
        for name in names
    }
    return xr.Dataset(fields, coords | {DEPTH: np.asarray(depths, float)})


def _ends_of_means(
    totals: Mapping[tuple[str, str, str], tuple[np.ndarray, np.ndarray]],
    resamples: int,
    interval: float,
    seed: int,
) -> dict[tuple[str, str, str], np.ndarray]:
    """Ends (low and high, depth) of accuracies, and of how far each is above that of its control task.

    ``totals``: right answers (depth, document), and tokens (document), which a task and its control share.
    """
    above = {
        (SELECTIVITY, *task): (totals[ACCURACY, *task][0] - by_heart, tokens)
        for (name, *task), (by_heart, tokens) in totals.items()
        if name == CONTROL
    }
    return {
        key: interval_of_totals(*both, resamples, interval, generator(seed))
        for key, both in (totals | above).items()
    }


def _end(resampled: xr.DataArray, which: int, n: int, interval: float) -> xr.DataArray:
    """The low or the high end of a statistic of n documents, from its values along ``sample``."""
    axis = resampled.get_axis_num(SAMPLE)
    ends = widened(resampled.values, n, interval, axis, lost=0)
    return resampled.isel({SAMPLE: 0}, drop=True).copy(data=ends[which])


def _running_maximum(values: xr.DataArray) -> xr.DataArray:
    """The greatest value so far along depth."""
    axis = values.get_axis_num(DEPTH)
    return values.copy(data=np.maximum.accumulate(values.values, axis))
