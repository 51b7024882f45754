"""Transition depth by category and confounders together."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.outliers_influence import variance_inflation_factor

from strata.names import CATEGORY, NOISE
from strata.trace.confounders import CONTINUOUS, INDICATORS, TRANSITION
from strata.trace.testing import present, row, table_of


def regression(table: pd.DataFrame, interval: float, order: Sequence[str]) -> pd.DataFrame:
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
        known = part[[*CONTINUOUS, *INDICATORS]].notna().all(axis="columns")
        used = part[part[TRANSITION].notna() & known]
        dummies = {c: (used[CATEGORY] == c).astype(float) for c in others}
        full = pd.DataFrame(dummies | {c: used[c] for c in (*CONTINUOUS, *INDICATORS)}, index=used.index)
        depth = used[TRANSITION]
        ranks = pd.Series(stats.rankdata(depth) / max(len(depth), 1), depth.index)
        unit, of_ranks = "depth", "share of prompts"
        n = (used[CATEGORY] == reference).sum()
        rows.append(row("regression", level, reference, "reference", 0, n=n, unit=unit))
        rows += _fit_rows("regression", level, depth, full, interval, unit)
        rows += _fit_rows("regression, category alone", level, depth, full[others], interval, unit)
        rows += _fit_rows("regression of ranks", level, ranks, full, interval, of_ranks)
        reasons = part["transition_reason"].where(part[TRANSITION].isna(), "a confounder is unknown")
        for reason, n in reasons[~part.index.isin(used.index)].value_counts().items():
            why = f"left out: {reason}"
            rows.append(row("regression", level, "all prompts", why, n, n=len(part), unit="prompts"))
    return table_of(rows)


def _fit_rows(
    test: str, level: str, outcome: pd.Series, regressors: pd.DataFrame, interval: float, unit: str
) -> list[dict]:
    """Coefficients of one fit, with how well it was determined."""
    n = len(outcome)
    units = {name: f"{unit} / sd" if name in CONTINUOUS else unit for name in regressors}
    design = _design(regressors)
    determined = n > design.shape[1] and np.linalg.matrix_rank(design) == design.shape[1]
    if not determined:
        return [row(test, level, name, "coefficient", np.nan, n=n, unit=units[name]) for name in regressors]
    fit = OLS(outcome, design).fit(cov_type="HC3", use_t=True)
    ends = fit.conf_int(1 - interval)
    inflation = {
        name: variance_inflation_factor(design.to_numpy(), i) for i, name in enumerate(design.columns)
    }
    rows = []
    for name in regressors:
        if name not in design:
            rows.append(row(test, level, name, "coefficient", np.nan, n=n, unit=units[name]))
            continue
        value, (low, high), p = fit.params[name], ends.loc[name], fit.pvalues[name]
        rows.append(row(test, level, name, "coefficient", value, low, high, p, n, units[name]))
        rows.append(row(test, level, name, "VIF", inflation[name], n=n, unit=""))
    for name, value in (("condition number", np.linalg.cond(design)), ("R²", fit.rsquared)):
        rows.append(row(test, level, "all prompts", name, value, n=n, unit=""))
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
