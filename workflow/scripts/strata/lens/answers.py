"""The headline numbers of the questions put to the lens (`strata.lens.questions`), as a table."""

import pandas as pd
import xarray as xr

from strata.lens.names import DECODER, DEMAND, PLACE, REPEAT
from strata.names import CATEGORY, DEPTH, LAYER

_CHANGE = "log10(rank of the input + 1)"
_OVERALL = ", mean over depths 1 to L"
_RHO = f"Spearman correlation of a token type's count with {_CHANGE}"
_COMMAS = f"{_CHANGE}, third comma minus first"
_DEMANDED = "of the demanded last word, less the pair's"
_COPIED = f"{_CHANGE}, word to be copied minus others as frequent"

HEADLINES = (
    ("first_block", "kl_final_share", "share of the fall in KL(final ‖ depth) that is block 0's", "share"),
    ("first_block", "kl_input_share", "share of KL(input ‖ depth L) that is there after block 0", "share"),
    ("input_kept", "frequency_rho_overall", _RHO + _OVERALL, "correlation"),
    ("input_kept", "frequency_rho", _RHO, "correlation"),
    ("commas", "comma_change_overall", _COMMAS + _OVERALL, "decades"),
    ("commas", "comma_change", _COMMAS, "decades"),
    ("first_instance", "copied_words", "copied words that can be compared with others as frequent", "words"),
    ("first_instance", "copied_change_overall", _COPIED + _OVERALL, "decades"),
    ("first_instance", "copied_change", _COPIED, "decades"),
    ("target_depth", "target_depth", "depth from which on the target is in the top 10", "blocks"),
    ("target_depth", "target_first_depth", "first depth at which the target is in the top 10", "blocks"),
    ("target_depth", "target_undefined", "prompts whose target is not in the top 10 at depth L", "prompts"),
    ("target_depth", "target_depth_change", "depth of the target minus that of copied targets", "blocks"),
    ("repetition", "repeat_depth", "depth from which on the next token is in the top 10", "blocks"),
    ("repetition", "repeat_share", "share of tokens whose next token is in the top 10 at depth L", "share"),
    (
        "repetition",
        "repeat_change",
        "depth of the next token, a prompt's last repeat minus its first",
        "blocks",
    ),
    ("prediction_depth", "prediction_depth", "depth from which on the top guess is the final one", "blocks"),
    ("prediction_depth", "prediction_depth_last", "the same at last tokens alone", "blocks"),
    ("endings", "ending_logprob_change", f"log-probability {_DEMANDED}", "nat"),
    ("endings", "ending_log_rank_change", f"log10(rank + 1) {_DEMANDED}", "decades"),
)
"""Question (a function's name), variable, statistic and unit of the rows of `answers`."""


def answers(questions: xr.Dataset) -> pd.DataFrame:
    """The headline numbers of what `strata.lens.questions.ask` returns; what has no units is left out.

    Returns
    -------
    DataFrame
        ``question``, ``decoder``, ``group`` (a category, "repeat 3", or "one word named, way"; blank where
        there is none), ``depth`` (NA where there is none), ``statistic``, ``value``, ``low``, ``high`` (NaN
        where there is no interval), ``n`` (units; of two samples compared the smaller one's), ``unit`` (of
        the value).
    """
    tables = [_rows(questions, *headline) for headline in HEADLINES if headline[1] in questions]
    return pd.concat(tables, ignore_index=True).query("n > 0").reset_index(drop=True)


def _rows(questions: xr.Dataset, question: str, name: str, statistic: str, unit: str) -> pd.DataFrame:
    columns = {"value": name, "low": f"{name}_low", "high": f"{name}_high", "n": f"{name}_n"}
    found = xr.Dataset({column: questions[of] for column, of in columns.items() if of in questions})
    if LAYER in found.dims:
        found = found.sel({LAYER: 0}, drop=True)
    table = found.reset_coords(drop=True).to_dataframe().reset_index()
    group = "repeat " + table[REPEAT].astype(str) if REPEAT in table else table.get(CATEGORY, "")
    if DEMAND in table:
        group = table[DEMAND] + ", " + table[PLACE]
    depth = table.get(DEPTH, pd.NA)
    table = table.assign(question=question, group=group, depth=depth, statistic=statistic, unit=unit)
    order = ["question", DECODER, "group", DEPTH, "statistic", "value", "low", "high", "n", "unit"]
    types = {DEPTH: "Int64", "value": float, "low": float, "high": float}
    return table.reindex(columns=order).astype(types)
