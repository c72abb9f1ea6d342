"""Which factor of a design mattered: a factorial analysis of variance of one value per run.

Sums of squares are of type II (Langsrud 2003, Stat. Comput. 13:163): a term is measured beyond all
terms that do not contain it, so that unequal numbers of runs, as in a half-done study, need no
weights, and a balanced design gives the textbook's. Factors are taken as names, also numbers.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import f as f_distribution

COLUMNS = ("factor", "importance", "p", "df", "df_error", "method", "n", "reason")
EXACT = 1e-12
"""Share of the total sum of squares below which a rest is rounding, not error."""

Term = tuple[str, ...]


def factorial_anova(
    table: pd.DataFrame, response: str, factors: Sequence[str], block: str | None = None
) -> pd.DataFrame:
    """Measure main effects, two-way interactions and the block.

    Interactions enter where they leave degrees of freedom for the error; without (a grid of one
    run a cell), they are the error. Those of three factors and more always are, and those with
    the block.

    Args:
        table: a row per run.
        response: column of its value; rows where it is missing are left out.
        factors: columns of its conditions; one with a single value is left out.
        block: column of what runs of different conditions share (the seed); additive.

    Returns:
        A row per term with the columns of COLUMNS: `importance` is ω², the term's share of the
        variance, in [0, 1] (Hays 1963; 0 where the estimate is below it), `p` that of the F test,
        `n` the runs used. Where a term cannot be measured, both are missing and `reason` says why.
    """
    used = table.dropna(subset=[response])
    names = [name for name in factors if used[name].nunique() > 1]
    blocks: list[Term] = [(block,)] if block is not None and used[block].nunique() > 1 else []
    mains: list[Term] = [(name,) for name in names]
    pairs: list[Term] = list(combinations(names, 2))
    anova = _Anova(used, response, [*mains, *pairs, *blocks])
    method = _method(len(names), blocks)
    if pairs and anova.df_error < 1:
        anova = _Anova(used, response, [*mains, *blocks])
        method += ", interactions as error"
    rows = [anova.row(term) | {"method": method, "n": len(used)} for term in anova.terms if names]
    return pd.DataFrame(rows, columns=list(COLUMNS))


class _Anova:
    """Least squares of a response on terms, each a set of indicator columns."""

    def __init__(self, table: pd.DataFrame, response: str, terms: list[Term]) -> None:
        values = table[response].to_numpy(dtype=float)
        self.terms = terms
        self._y = values - values.mean() if len(values) else values
        self._columns = {term: _indicators(table, term) for term in terms}
        self._total = float(self._y @ self._y)
        rest, rank = self._fit(terms)
        self.df_error = len(values) - rank
        self._mean_error = rest / self.df_error if self.df_error > 0 else float("nan")

    def row(self, term: Term) -> dict[str, object]:
        """Its name, share, test, and why there is none."""
        others = [t for t in self.terms if not set(term) <= set(t)]
        (before, smaller), (after, larger) = self._fit(others), self._fit([*others, term])
        df, gain = larger - smaller, before - after
        row: dict[str, object] = {"factor": " × ".join(term), "df": df, "df_error": self.df_error}
        if reason := self._why_not(df):
            return row | {"importance": None, "p": None, "reason": reason}
        share = (gain - df * self._mean_error) / (self._total + self._mean_error)
        exact = float("inf") if gain > 0 else 0.0
        ratio = gain / df / self._mean_error if self._mean_error else exact
        p = float(f_distribution.sf(ratio, df, self.df_error))
        return row | {"importance": min(max(share, 0.0), 1.0), "p": p, "reason": ""}

    def _why_not(self, df: int) -> str:
        if self.df_error < 1:
            return f"too few degrees of freedom: {len(self._y)} runs leave none for the error"
        if self._total == 0:
            return "all runs have the same value"
        return "" if df else "not to be told apart from the other factors in these runs"

    def _fit(self, terms: list[Term]) -> tuple[float, int]:
        """Sum of squares that the terms leave, and their rank with the mean's."""
        ones = np.ones((len(self._y), 1))
        design = np.hstack([ones, *(self._columns[term] for term in terms)])
        solution, _, rank, _ = np.linalg.lstsq(design, self._y, rcond=None)
        rest = self._y - design @ solution
        left = float(rest @ rest)
        return (left if left > EXACT * self._total else 0.0), int(rank)


def _indicators(table: pd.DataFrame, term: Term) -> NDArray[np.float64]:
    """A column per combination of the term's values that occurs."""
    codes = table.groupby(list(term), sort=False).ngroup().to_numpy()
    return np.eye(codes.max(initial=-1) + 1)[codes]


def _method(factors: int, blocks: list[Term]) -> str:
    ways = {1: "one-way", 2: "two-way"}.get(factors, f"{factors}-way")
    return f"ω², {ways} ANOVA, type II" + "".join(f", {block[0]} as block" for block in blocks)
