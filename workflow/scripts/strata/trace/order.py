"""Is rote completion picked up earlier than fact? Tests on the transition depths of prompts.

The post that asked (2023, after ROME) saw the final token take over from the subject earlier for
rote completions, non-English ones first, than for facts. Here that order is tested, with the
confounders its author names: distance, clean probability, frequency, subjects of several tokens,
subjects near the first position.

A prompt is the unit: its transition depth is a number, estimated from all its noise samples, and
intervals come from drawing prompts anew. A prompt without a transition has no number: it is counted
by the reason why, and takes no part. Noise levels are tested one by one. All p values are for one
test, not corrected for the number of tests.

Results are tidy tables of `COLUMNS`: ``test``, ``noise``, ``group``, ``statistic``, ``value`` with its
interval ``low``, ``high``, ``p``, ``n`` (what was counted: prompts or pairs), ``unit``.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.outliers_influence import variance_inflation_factor

from strata.names import CATEGORY, NOISE, PROMPT, SITE
from strata.stats.seeding import generator
from strata.trace.restoration import depth_or_layer

COLUMNS = ["test", "noise", "group", "statistic", "value", "low", "high", "p", "n", "unit"]
ORDER = ("non_english", "plain_english", "semantic")
"""From the earliest transition to the latest, as the post has it."""
TRANSITION = "transition_depth"
# Tokens from subject to final token; logit of the clean probability; log10 of 1 + occurrences; log2
# of 1 + position, since it is nearness to the first position that matters.
CONTINUOUS = ("distance", "logit_clean", "log_target_count", "log_subject_count", "log_position")
INDICATORS = ("several_tokens",)
SURE = 1e-6  # clean probabilities are clipped to [SURE, 1 - SURE]: beyond, float32 decides their logit
ROUNDING = 1e-12  # of sums of restorations
BATCH = 500  # resamples or permutations at once


@dataclass(frozen=True)
class Resampling:
    """How often prompts are drawn anew and labels permuted, the intervals' coverage, and the seed.

    Every test draws from its own stream, which hangs on the seed and the test's name: a test more, or
    a noise level more, changes no other.
    """

    n_resamples: int
    n_permutations: int
    interval: float
    seed: int

    def generator(self, *names: str) -> np.random.Generator:
        """Random numbers of one test."""
        return generator(self.seed, "\0".join(map(str, names)))


def transitions(averages: xr.Dataset, prompts: pd.DataFrame, counts: pd.DataFrame) -> pd.DataFrame:
    """One row for each prompt and noise level: its transition depth, and what may confound it.

    Parameters
    ----------
    averages : Dataset
        Of `strata.trace.restoration.average_by_category` on a trace of states.
    prompts : DataFrame
        ``prompts.tsv``.
    counts : DataFrame
        ``token_id`` and ``count``: how often each token occurs in text like the model's.

    Returns
    -------
    DataFrame
        ``prompt``, ``category``, ``noise``, ``transition_depth`` (NaN where undefined),
        ``transition_reason``, and `CONTINUOUS` and `INDICATORS`. A subject of several tokens counts
        as often as its last; its position is that of its first.

    Raises
    ------
    ValueError
        If a traced prompt has no row in ``prompts``.
    """
    table = averages[[TRANSITION, "transition_reason"]].to_dataframe().reset_index()
    table = table.rename(columns={"prompt_category": CATEGORY})
    missing = set(table[PROMPT]) - set(prompts["id"])
    if missing:
        raise ValueError(f"traced, but not among the prompts: {', '.join(sorted(missing))}")
    rows = prompts.set_index("id").loc[table[PROMPT]].reset_index()
    count = counts.set_index("token_id")["count"]
    sure = rows["p_target"].clip(SURE, 1 - SURE)
    confounders = {
        "distance": rows["n_tokens"] - 1 - rows["subject_position"],
        "logit_clean": np.log(sure / (1 - sure)),
        "log_target_count": np.log10(1 + count.reindex(rows["target_id"]).to_numpy()),
        "log_subject_count": np.log10(1 + count.reindex(rows["subject_id"]).to_numpy()),
        "log_position": np.log2(1 + rows["subject_start"]),
        "several_tokens": rows["subject_n_tokens"] > 1,
    }
    columns = [PROMPT, CATEGORY, NOISE, TRANSITION, "transition_reason"]
    return table[columns].assign(**{name: np.asarray(v, float) for name, v in confounders.items()})


# By category --------------------------------------------------------------------------------


def category_means(averages: xr.Dataset) -> pd.DataFrame:
    """Mean transition depth of every category and noise level, and prompts without one, by reason.

    ``averages`` is of `strata.trace.restoration.average_by_category`, whose intervals these are.
    """
    rows = []
    for level, category in product(averages[NOISE].values, averages[CATEGORY].values):
        at = averages.sel({NOISE: level, CATEGORY: category})
        ends = {end: float(at[f"transition_{end}"]) for end in ("low", "high")}
        mean, n = float(at["transition_mean"]), int(at["n_transition"])
        rows.append(_row("category", level, category, "mean", mean, n=n, unit="depth", **ends))
        reasons = averages["transition_reason"].sel({NOISE: level})
        of_category = reasons.values[averages["prompt_category"].values == category]
        for reason, left_out in pd.Series(of_category[of_category != ""]).value_counts().items():
            n = len(of_category)
            rows.append(_row("category", level, category, reason, left_out, n=n, unit="prompts"))
    return _table(rows)


def effect_sizes(table: pd.DataFrame, how: Resampling, order: Sequence[str] = ORDER) -> pd.DataFrame:
    """How far apart every two categories are: difference of means, Hedges' g, Cliff's delta.

    A group ``a to b`` is positive where the transitions of ``b`` are later. p values are of Welch's
    test (difference) and of Mann and Whitney's (delta), two-sided.

    Parameters
    ----------
    table : DataFrame
        Of `transitions`.
    how : Resampling
    order : sequence of str
        Categories that come first, in this order; others follow as they appear.
    """
    present = list(dict.fromkeys(table[CATEGORY]))
    categories = [c for c in order if c in present] + [c for c in present if c not in order]
    rows = []
    for level, part in _levels(table):
        groups = {c: g.to_numpy() for c, g in part.groupby(CATEGORY)[TRANSITION]}
        for first, second in combinations(categories, 2):
            pair = groups.get(first, np.empty(0)), groups.get(second, np.empty(0))
            rows += _pair_rows(level, f"{first} to {second}", pair, how)
    return _table(rows)


def _pair_rows(level: str, group: str, pair: tuple[np.ndarray, np.ndarray], how: Resampling) -> list[dict]:
    measured = {
        "difference of means": (mean_difference, "depth"),
        "Hedges' g": (hedges_g, "standard deviations"),
        "Cliff's delta": (cliffs_delta, "difference of probabilities"),
    }
    n = sum(map(len, pair))
    enough = min(map(len, pair)) >= 2
    p = {}
    if enough:
        p["Cliff's delta"] = stats.mannwhitneyu(*pair).pvalue
        if max(map(np.ptp, pair)) > 0:
            p["difference of means"] = stats.ttest_ind(*pair, equal_var=False).pvalue
    rows = []
    for name, (statistic, unit) in measured.items():
        value = statistic(*pair) if enough else np.nan
        low, high = _interval(pair, statistic, how, "pair", level, group, name)
        row = _row("pair", level, group, name, value, low, high, p.get(name, np.nan), n, unit)
        rows.append(row)
    return rows


def mean_difference(first: np.ndarray, second: np.ndarray, axis: int = -1) -> np.ndarray:
    """Mean of ``second`` less mean of ``first``."""
    return second.mean(axis) - first.mean(axis)


def hedges_g(first: np.ndarray, second: np.ndarray, axis: int = -1) -> np.ndarray:
    """Difference of means in pooled standard deviations, corrected for small samples.

    Hedges 1981, with his approximation 1 - 3 / (4 df - 1). NaN where nothing varies.
    """
    n, m = first.shape[axis], second.shape[axis]
    df = n + m - 2
    pooled = np.sqrt(((n - 1) * first.var(axis, ddof=1) + (m - 1) * second.var(axis, ddof=1)) / df)
    spread = np.where(pooled > 0, pooled, np.nan)
    return mean_difference(first, second, axis) / spread * (1 - 3 / (4 * df - 1))


def cliffs_delta(first: np.ndarray, second: np.ndarray, axis: int = -1) -> np.ndarray:
    """P(second > first) - P(second < first), over all pairs of prompts (Cliff 1993)."""
    return 2 * concordance(first, second, axis=axis) - 1


def concordance(*groups: np.ndarray, axis: int = -1) -> np.ndarray:
    """Share of the pairs from different groups in which the later group's value is larger.

    Ties count half: 1/2 is no order at all, 1 the order without exception. It is Jonckheere's and
    Terpstra's statistic, divided by the number of pairs.
    """
    ordered, pairs = 0, 0
    for first, second in combinations(groups, 2):
        n, m = first.shape[axis], second.shape[axis]
        ranks = stats.rankdata(np.concatenate([first, second], axis), axis=axis)
        of_second = np.take(ranks, range(n, n + m), axis).sum(axis)
        ordered, pairs = ordered + of_second - m * (m + 1) / 2, pairs + n * m
    return ordered / pairs


# The order ----------------------------------------------------------------------------------


def trend(
    table: pd.DataFrame, how: Resampling, order: Sequence[str] = ORDER, test: str = "order"
) -> pd.DataFrame:
    """Permutation test of an order of categories, from the earliest transition to the latest.

    The statistic is the `concordance` of Jonckheere and Terpstra; p is the share of permutations of
    the category labels with one as large. Both directions are rows: the stated order and its reverse.

    Parameters
    ----------
    table : DataFrame
        Of `transitions`.
    how : Resampling
    order : sequence of str
        Those with fewer than two prompts that have a transition are left out, as ``group`` shows.
    test : str
        What the rows are called, to tell runs apart.
    """
    told = {"unit": "share of pairs (0.5: no order)"}
    rows = []
    for level, part in _levels(table):
        values = {c: part.loc[part[CATEGORY] == c, TRANSITION].to_numpy() for c in order}
        kept = [c for c in order if len(values[c]) >= 2]
        if len(kept) < 2:
            rows.append(_row(test, level, "too few prompts", "concordance", np.nan, **told))
            continue
        groups = tuple(values[c] for c in kept)
        found = concordance(*groups)
        by_chance = _permuted_concordance(groups, how.n_permutations, how.generator(test, level))
        for names, as_large in ((kept, by_chance >= found), (kept[::-1], by_chance <= found)):
            groups, group = tuple(values[c] for c in names), " ≤ ".join(names)
            low, high = _interval(groups, concordance, how, test, level, group)
            p = (1 + as_large.sum()) / (1 + how.n_permutations)
            value, n = concordance(*groups), sum(map(len, groups))
            rows.append(_row(test, level, group, "concordance", value, low, high, p, n, **told))
    return _table(rows)


def _permuted_concordance(
    groups: tuple[np.ndarray, ...], n_permutations: int, rng: np.random.Generator
) -> np.ndarray:
    """`concordance` with the values dealt out anew, [permutation]."""
    values = np.concatenate(groups)
    later = (values > values[:, None]) + 0.5 * (values == values[:, None])
    own = np.repeat(np.arange(len(groups)), [len(g) for g in groups])
    n_pairs = (own < own[:, None]).sum()
    ordered = []
    for start in range(0, n_permutations, BATCH):
        size = min(BATCH, n_permutations - start)
        labels = rng.permuted(np.broadcast_to(own, (size, len(own))), axis=1)
        of_pairs = [((labels < k) @ later * (labels == k)).sum(1) for k in range(1, len(groups))]
        ordered.append(sum(of_pairs))
    return np.concatenate(ordered) / n_pairs


# Pairs of prompts, pairs of runs --------------------------------------------------------------


def pair_prompts(prompts: pd.DataFrame) -> pd.DataFrame:
    """Pairs of prompts that differ only in the filler between subject and final token.

    Two prompts are a pair where they have the same ``pair_id``, if the table has that column, or are
    called ``x`` and ``x-far``.

    Returns
    -------
    DataFrame
        ``near`` and ``far``, ids, by the number of tokens from subject to final token.

    Raises
    ------
    ValueError
        If a pair is not two prompts of the same category with the same subject and target, and
        different distances.
    """
    rows = prompts.set_index("id")
    if "pair_id" in rows:
        named = rows["pair_id"].dropna().astype(str)
        pairs = [list(ids) for name, ids in named.groupby(named, sort=False).groups.items() if name]
    else:
        pairs = [[name.removesuffix("-far"), name] for name in rows.index if name.endswith("-far")]
        pairs = [pair for pair in pairs if pair[0] in rows.index]
    found = []
    for pair in pairs:
        both = rows.loc[pair]
        distance = both["n_tokens"] - 1 - both["subject_position"]
        alike = [c for c in (CATEGORY, "subject", "target") if both[c].nunique() > 1]
        if len(pair) != 2 or alike or distance.nunique() != 2:
            wrong = f"{', '.join(alike)} differ" if alike else "not two prompts at different distances"
            raise ValueError(f"prompts {', '.join(pair)} are no pair: {wrong}")
        found.append({"near": distance.idxmin(), "far": distance.idxmax()})
    return pd.DataFrame(found, columns=["near", "far"])


def matched_pairs(table: pd.DataFrame, pairs: pd.DataFrame, how: Resampling) -> pd.DataFrame:
    """Paired difference of transition depth, far less near, of the pairs of `pair_prompts`.

    p is of a sign-flip permutation test, two-sided. Pairs of which a prompt was not traced or has no
    transition are counted.
    """
    category = table.drop_duplicates(PROMPT).set_index(PROMPT)[CATEGORY]
    rows = []
    for level, part in _levels(table):
        depth = part.set_index(PROMPT)[TRANSITION]
        near, far = (depth.reindex(pairs[side]).to_numpy() for side in ("near", "far"))
        of = category.reindex(pairs["near"]).to_numpy()
        rows += _paired_rows("distance", level, "far less near", near, far, of, how)
    return _table(rows)


def control_run(table: pd.DataFrame, control: pd.DataFrame, name: str, how: Resampling) -> pd.DataFrame:
    """Paired difference of transition depth between a control run and the plain one, by prompt.

    With something before every prompt, so that no subject stands near the first position, noise
    cannot disturb the attention sink there. p and counts are those of `matched_pairs`.

    Parameters
    ----------
    table, control : DataFrame
        Of `transitions`, on the plain trace and on the control's.
    name : str
        Of the control, e.g. "neutral prefix".
    how : Resampling
    """
    rows = []
    for level, part in table.groupby(NOISE, sort=False):
        after = control[control[NOISE] == level].set_index(PROMPT)[TRANSITION]
        after = after.reindex(part[PROMPT]).to_numpy()
        before, of = part[TRANSITION].to_numpy(), part[CATEGORY].to_numpy()
        rows += _paired_rows("control", level, f"{name} less plain", before, after, of, how)
    return _table(rows)


def _paired_rows(
    test: str,
    level: str,
    told: str,
    before: np.ndarray,
    after: np.ndarray,
    categories: np.ndarray,
    how: Resampling,
) -> list[dict]:
    """Differences ``after - before`` [pair], of all pairs and of each category's."""
    rows = []
    # A pair of which no prompt was traced has no category.
    for category in ["all", *dict.fromkeys(c for c in categories if isinstance(c, str))]:
        chosen = np.full(len(before), True) if category == "all" else categories == category
        difference = (after - before)[chosen]
        defined = difference[~np.isnan(difference)]
        group, p = f"{told}, {category}", np.nan
        if len(defined) >= 2:
            p = stats.permutation_test(
                (defined,),
                np.mean,
                permutation_type="samples",
                vectorized=True,
                n_resamples=how.n_permutations,
                batch=BATCH,
                rng=how.generator(test, level, group, "signs"),
            ).pvalue
        low, high = _interval((defined,), np.mean, how, test, level, group)
        mean = defined.mean() if len(defined) else np.nan
        n_lost, n = len(difference) - len(defined), len(difference)
        rows.append(_row(test, level, group, "mean difference", mean, low, high, p, len(defined), "depth"))
        rows.append(_row(test, level, group, "without a transition", n_lost, n=n, unit="pairs"))
    return rows


# Whole curves -------------------------------------------------------------------------------


def curve_difference(averages: xr.Dataset, first: str, second: str, how: Resampling) -> pd.DataFrame:
    """Where the restoration curves of two categories differ: mean of ``first`` less mean of ``second``.

    Category labels are permuted. Every depth's difference is divided by its standard deviation over
    the permutations; the largest over all depths and both sites is compared with the largest of each
    permutation. So the band (``low`` to ``high``) holds for all depths together, and p is corrected
    for their number (the single-step procedure of Westfall and Young 1993).

    Parameters
    ----------
    averages : Dataset
        Of `strata.trace.restoration.average_by_category`.
    first, second : str
        Categories.
    how : Resampling

    Returns
    -------
    DataFrame
        `COLUMNS`, and ``site`` and ``depth`` (or ``layer``). ``value`` has no unit: it is restoration.
    """
    axis = depth_or_layer(averages, "restoration_prompt")
    category, group = averages["prompt_category"].values, f"{first} less {second}"
    tables = []
    for level in averages[NOISE].values:
        curves = averages["restoration_prompt"].sel({NOISE: level}).transpose(PROMPT, SITE, axis)
        used = averages["included"].sel({NOISE: level}).values & np.isin(category, [first, second])
        values, of_first = curves.values[used], category[used] == first
        difference, half, p = _max_band(values, of_first, how, group, level)
        table = curves.isel({PROMPT: 0}, drop=True).copy(data=difference).to_dataframe("value").reset_index()
        told = {"test": "curves", "noise": level, "group": group, "statistic": "difference of means"}
        table = table.assign(**told, p=p.ravel(), n=len(values), unit="restoration")
        table["low"], table["high"] = (difference - half).ravel(), (difference + half).ravel()
        tables.append(table[[*COLUMNS[:4], SITE, axis, *COLUMNS[4:]]])
    return pd.concat(tables, ignore_index=True)


def _max_band(
    values: np.ndarray, of_first: np.ndarray, how: Resampling, group: str, level: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Difference of means, half width of its band and p [...], of ``values`` [prompt, ...]."""
    shape = values.shape[1:]
    n, n_first = len(of_first), int(of_first.sum())
    if min(n_first, n - n_first) < 2:
        return (np.full(shape, np.nan),) * 3
    flat = values.reshape(n, -1)
    rng = how.generator("curves", level, group)
    labels = rng.permuted(np.broadcast_to(of_first, (how.n_permutations, n)), axis=1)
    labels = np.concatenate([of_first[None], labels])
    differences = np.where(labels, 1 / n_first, -1 / (n - n_first)) @ flat
    spread = differences.std(0)
    # Rounding is no spread: a depth at which all prompts are restored alike decides nothing.
    varies = spread > ROUNDING
    differences = np.where(varies, differences, 0)
    spread = np.where(varies, spread, 1)
    standardised = np.abs(differences / spread)
    largest = standardised.max(1)
    # The labels as they are stand among the permuted ones; ROUNDING: sums in another order.
    p = (largest[:, None] >= standardised[0] * (1 - ROUNDING)).mean(0)
    half = np.quantile(largest, how.interval) * spread * varies
    return differences[0].reshape(shape), half.reshape(shape), p.reshape(shape)


# Regression ---------------------------------------------------------------------------------


def regression(
    table: pd.DataFrame,
    interval: float,
    categories: Sequence[str] = ORDER,
    reference: str = ORDER[-1],
) -> pd.DataFrame:
    """Transition depth by category and confounders together, at every noise level.

    Least squares with heteroscedasticity-consistent errors (HC3: MacKinnon and White 1985).
    Continuous regressors are standardised: a coefficient is depths for one standard deviation.
    Three fits: ``regression``; ``regression, category alone``, to see what confounders change; and
    ``regression of ranks``, whose outcome is the rank of the transition depth as a share of prompts,
    so that no extreme prompt decides.

    A regressor that does not vary, or an indicator that a single prompt decides, is left out and has
    a row without a value. So has every one, if there are too few prompts for an estimate.

    Parameters
    ----------
    table : DataFrame
        Of `transitions`.
    interval : float
        Coverage of the intervals, e.g. 0.95.
    categories : sequence of str
        Whose prompts are used.
    reference : str
        The category that the others are compared with.

    Returns
    -------
    DataFrame
        Rows ``coefficient`` and ``VIF`` (variance inflation factor) for each regressor, and for
        ``all prompts`` together ``condition number``, ``R²`` and how many were left out, by reason.

    Raises
    ------
    ValueError
        If ``reference`` is not among ``categories``.
    """
    if reference not in categories:
        raise ValueError(f"the reference category {reference!r} is not among {', '.join(categories)}")
    others = [c for c in categories if c != reference]
    rows = []
    for level, part in table[table[CATEGORY].isin(categories)].groupby(NOISE, sort=False):
        known = part[[*CONTINUOUS, *INDICATORS]].notna().all(axis="columns")
        used = part[part[TRANSITION].notna() & known]
        dummies = {c: (used[CATEGORY] == c).astype(float) for c in others}
        full = pd.DataFrame(dummies | {c: used[c] for c in (*CONTINUOUS, *INDICATORS)}, index=used.index)
        depth = used[TRANSITION]
        ranks = pd.Series(stats.rankdata(depth) / max(len(depth), 1), depth.index)
        unit, of_ranks = "depth", "share of prompts"
        rows += _fit_rows("regression", level, depth, full, interval, unit)
        rows += _fit_rows("regression, category alone", level, depth, full[others], interval, unit)
        rows += _fit_rows("regression of ranks", level, ranks, full, interval, of_ranks)
        reasons = part["transition_reason"].where(part[TRANSITION].isna(), "a confounder is unknown")
        for reason, n in reasons[~part.index.isin(used.index)].value_counts().items():
            told = {"n": len(part), "unit": "prompts"}
            rows.append(_row("regression", level, "all prompts", f"left out: {reason}", n, **told))
    return _table(rows)


def _fit_rows(
    test: str, level: str, outcome: pd.Series, regressors: pd.DataFrame, interval: float, unit: str
) -> list[dict]:
    """Coefficients of one fit, with how well it was determined."""
    n = len(outcome)
    units = {name: f"{unit} / sd" if name in CONTINUOUS else unit for name in regressors}
    design = _design(regressors)
    determined = n > design.shape[1] and np.linalg.matrix_rank(design) == design.shape[1]
    if not determined:
        return [_row(test, level, name, "coefficient", np.nan, n=n, unit=units[name]) for name in regressors]
    fit = OLS(outcome, design).fit(cov_type="HC3", use_t=True)
    ends = fit.conf_int(1 - interval)
    inflation = {
        name: variance_inflation_factor(design.to_numpy(), i) for i, name in enumerate(design.columns)
    }
    rows = []
    for name in regressors:
        if name not in design:
            rows.append(_row(test, level, name, "coefficient", np.nan, n=n, unit=units[name]))
            continue
        value, (low, high), p = fit.params[name], ends.loc[name], fit.pvalues[name]
        rows.append(_row(test, level, name, "coefficient", value, low, high, p, n, units[name]))
        rows.append(_row(test, level, name, "VIF", inflation[name], n=n, unit=""))
    for name, value in (("condition number", np.linalg.cond(design)), ("R²", fit.rsquared)):
        rows.append(_row(test, level, "all prompts", name, value, n=n, unit=""))
    return rows


def _design(regressors: pd.DataFrame) -> pd.DataFrame:
    """Regressors that can be estimated, continuous ones standardised, with a constant."""
    columns = {"constant": np.ones(len(regressors))}
    for name, values in regressors.items():
        if name in CONTINUOUS:
            if values.std() > 0:
                columns[name] = (values - values.mean()) / values.std()
        elif min(values.sum(), (1 - values).sum()) >= 2:
            columns[name] = values
    return pd.DataFrame(columns, index=regressors.index)


# Rows ---------------------------------------------------------------------------------------


def _levels(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Every noise level with the rows that have a transition."""
    for level, part in table.groupby(NOISE, sort=False):
        yield level, part[part[TRANSITION].notna()]


def _interval(
    groups: tuple[np.ndarray, ...], statistic: Callable, how: Resampling, *names: str
) -> tuple[float, float]:
    """Percentile bootstrap interval; none (NaN) where a group has fewer than two."""
    if min(map(len, groups)) < 2:
        return np.nan, np.nan
    with warnings.catch_warnings():
        # A resample in which nothing varies has no g, and then g no interval.
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        found = stats.bootstrap(
            groups,
            statistic,
            n_resamples=how.n_resamples,
            batch=BATCH,
            vectorized=True,
            confidence_level=how.interval,
            method="percentile",
            rng=how.generator(*names, "interval"),
        )
    return found.confidence_interval


def _row(
    test: str,
    noise: str,
    group: str,
    statistic: str,
    value: float,
    low: float = np.nan,
    high: float = np.nan,
    p: float = np.nan,
    n: int = 0,
    unit: str = "",
) -> dict[str, object]:
    values = (test, noise, group, statistic, float(value), float(low), float(high), float(p), n, unit)
    return dict(zip(COLUMNS, values, strict=True))


def _table(rows: Sequence[Mapping]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=COLUMNS)
