"""Transition depth by category and confounders together."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.outliers_influence import variance_inflation_factor

from strata.names import CATEGORY, FACT, NOISE
from strata.trace.confounders import CONTINUOUS, INDICATORS, PLACE, TRANSITION
from strata.trace.testing import present, row, table_of


def regression(table: pd.DataFrame, interval: float, order: Sequence[str]) -> pd.DataFrame:
    """Transition depth by category and confounders together, at every noise level.

    Least squares with errors of the jackknife over facts, which hold where the prompts of a fact vary
    together and spreads differ (CV3: MacKinnon, Nielsen and Webb 2023), and Student's t of as many
    degrees of freedom as there are facts, less one. Continuous regressors are standardised: a coefficient
    is depths for one standard deviation.
    Three fits: ``regression``; ``regression, category alone``, to see what confounders change; and
    ``regression of ranks``, whose outcome is the rank of the transition depth as a share of prompts,
    so that no extreme prompt decides; prompts whose final token never overtakes, or is ahead from the
    start, have their ranks there.

    A regressor that does not vary, or an indicator that a single prompt decides, is left out and has
    a row without a value. So has every one, if there are too few prompts for an estimate.

    Parameters
    ----------
    table : DataFrame
        Of `strata.trace.confounders.transitions`.
    interval : float
        Coverage of the intervals, e.g. 0.95.
    order : sequence of str
        Categories whose prompts are used; the last that is in ``table`` is the reference, which the
        others are compared with. No rows if fewer than two of them are there.

    Returns
    -------
    DataFrame
        Rows ``coefficient`` and ``VIF`` (variance inflation factor) for each regressor, and for
        ``all prompts`` together ``condition number``, ``R²`` and how many were left out, by reason. A row
        ``reference`` names the reference category, 0 by definition.
    """
    categories = present(order, table[CATEGORY])
    if len(categories) < 2:
        return table_of([])
    *others, reference = categories
    rows = []
    for level, part in table[table[CATEGORY].isin(categories)].groupby(NOISE, sort=False):
        known = part[part[[*CONTINUOUS, *INDICATORS]].notna().all(axis="columns")]
        used, ranked = known[known[TRANSITION].notna()], known[known[PLACE].notna()]
        ranks = ranked[PLACE].rank(pct=True)
        full, of_ranked = (
            pd.DataFrame({c: (of[CATEGORY] == c).astype(float) for c in others}, of.index).join(
                of[[*CONTINUOUS, *INDICATORS]]
            )
            for of in (used, ranked)
        )
        depth, facts, unit = used[TRANSITION], used[FACT], "depth"
        n = (used[CATEGORY] == reference).sum()
        rows.append(row("regression", level, reference, "reference", 0, n=n, unit=unit))
        rows += _fit_rows("regression", level, depth, full, facts, interval, unit)
        rows += _fit_rows("regression, category alone", level, depth, full[others], facts, interval, unit)
        rows += _fit_rows(
            "regression of ranks", level, ranks, of_ranked, ranked[FACT], interval, "share of prompts"
        )
        reasons = part["transition_reason"].where(part[TRANSITION].isna(), "a confounder is unknown")
        for reason, n in reasons[~part.index.isin(used.index)].value_counts().items():
            why = f"left out: {reason}"
            rows.append(row("regression", level, "all prompts", why, n, n=len(part), unit="prompts"))
    return table_of(rows)


def _fit_rows(
    test: str,
    level: str,
    outcome: pd.Series,
    regressors: pd.DataFrame,
    facts: pd.Series,
    interval: float,
    unit: str,
) -> list[dict]:
    """Coefficients of one fit, with how well it was determined."""
    n = len(outcome)
    units = {name: f"{unit} / sd" if name in CONTINUOUS else unit for name in regressors}
    design = _design(regressors)
    n_columns = design.shape[1]  # the constant's among them: alone it says nothing
    determined = facts.nunique() > n_columns > 1 and np.linalg.matrix_rank(design) == n_columns
    if not determined:
        return [row(test, level, name, "coefficient", np.nan, n=n, unit=units[name]) for name in regressors]
    fit = OLS(outcome, design).fit()
    errors = pd.Series(_jackknife_errors(outcome.to_numpy(), design.to_numpy(), facts), design.columns)
    t = stats.t(facts.nunique() - 1)
    inflation = {
        name: variance_inflation_factor(design.to_numpy(), i) for i, name in enumerate(design.columns)
    }
    rows = []
    for name in regressors:
        if name not in design:
            rows.append(row(test, level, name, "coefficient", np.nan, n=n, unit=units[name]))
            continue
        value, error = fit.params[name], errors[name]
        low, high = value + error * t.ppf([(1 - interval) / 2, (1 + interval) / 2])
        p = 2 * t.sf(abs(value) / error)
        rows.append(row(test, level, name, "coefficient", value, low, high, p, n, units[name]))
        rows.append(row(test, level, name, "VIF", inflation[name], n=n, unit=""))
    for name, value in (("condition number", np.linalg.cond(design)), ("R²", fit.rsquared)):
        rows.append(row(test, level, "all prompts", name, value, n=n, unit=""))
    return rows


def _jackknife_errors(outcome: np.ndarray, design: np.ndarray, facts: pd.Series) -> np.ndarray:
    """Standard error of each coefficient, from fits without each of the facts."""
    products, sums = design.T @ design, design.T @ outcome
    found = np.linalg.solve(products, sums)
    without = []
    for rows in facts.reset_index(drop=True).groupby(facts.to_numpy()).indices.values():
        own = design[rows]
        # A pseudo-inverse: without a fact, a regressor may not vary.
        without.append(np.linalg.pinv(products - own.T @ own) @ (sums - own.T @ outcome[rows]))
    n = len(without)
    return np.sqrt((n - 1) / n * ((np.array(without) - found) ** 2).sum(0))


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
