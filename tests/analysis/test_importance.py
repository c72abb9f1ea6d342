"""Against published analyses, scipy, closed forms and a regression in another coding."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import f as f_distribution
from scipy.stats import f_oneway

from mtlbench.analysis.importance import factorial_anova

TOOTH_GROWTH = {
    ("VC", 0.5): [4.2, 11.5, 7.3, 5.8, 6.4, 10, 11.2, 11.2, 5.2, 7],
    ("VC", 1.0): [16.5, 16.5, 15.2, 17.3, 22.5, 17.3, 13.6, 14.5, 18.8, 15.5],
    ("VC", 2.0): [23.6, 18.5, 33.9, 25.5, 26.4, 32.5, 26.7, 21.5, 23.3, 29.5],
    ("OJ", 0.5): [15.2, 21.5, 17.6, 9.7, 14.5, 10, 8.2, 9.4, 16.5, 9.7],
    ("OJ", 1.0): [19.7, 23.3, 23.6, 26.4, 20, 25.2, 25.8, 21.2, 14.5, 27.3],
    ("OJ", 2.0): [25.5, 26.4, 22.4, 24.5, 24.8, 30.9, 26.4, 27.3, 29.4, 23],
}
"""Crampton 1947, as in R's `ToothGrowth`: `aov(len ~ supp * dose)`, dose as a factor."""

PEAS = {
    "N": [int(c) for c in "010111000110110010101100"],
    "P": [int(c) for c in "110001011100010110010110"],
    "K": [int(c) for c in "100101100101011000111010"],
    "y": [
        *(49.5, 62.8, 46.8, 57.0, 59.8, 58.5, 55.5, 56.0, 62.8, 55.8, 69.5, 55.0),
        *(62.0, 48.8, 45.5, 44.2, 52.0, 51.5, 49.8, 48.8, 57.2, 59.0, 53.2, 56.0),
    ],
    "block": np.repeat(range(6), 4),
}
"""Yates' peas, R's `npk`: `aov(yield ~ block + N*P*K)`; NPK is confounded with the blocks."""


def table_of(values, names):
    rows = [(*levels, value) for levels, several in values.items() for value in several]
    return pd.DataFrame(rows, columns=[*names, "y"])


def by_factor(*args):
    return factorial_anova(*args).set_index("factor")


def test_two_way_balanced_is_the_published_one():
    rows = by_factor(table_of(TOOTH_GROWTH, ["supp", "dose"]), "y", ["supp", "dose"])
    sums = {"supp": (205.35, 1), "dose": (2426.43, 2), "supp × dose": (108.32, 2)}
    error = 712.11 / 54
    total = 712.11 + sum(s for s, _ in sums.values())
    assert list(rows.index) == list(sums)
    for name, (squares, df) in sums.items():
        row = rows.loc[name]
        expected = (squares - df * error) / (total + error)
        assert row["importance"] == pytest.approx(expected, abs=1e-5)
        assert (row["df"], row["df_error"], row["n"]) == (df, 54, 60)
    assert rows.loc["supp", "p"] == pytest.approx(0.000231, abs=5e-7)
    assert rows.loc["dose", "p"] < 2e-16
    assert rows.loc["supp × dose", "p"] == pytest.approx(0.021860, abs=5e-7)
    assert rows["method"].unique() == ["ω², two-way ANOVA, type II"]


def test_blocks_and_interactions_are_the_published_ones():
    rows = by_factor(pd.DataFrame(PEAS), "y", ["N", "P", "K"], "block")
    published = {
        "N": 0.00437, "P": 0.47490, "K": 0.02880, "N × P": 0.26317, "N × K": 0.16865,
        "P × K": 0.86275, "block": 0.01594,
    }  # fmt: skip
    assert rows["p"].to_dict() == pytest.approx(published, abs=5e-6)
    assert set(rows["df_error"]) == {12}
    assert rows.loc["P", "importance"] == 0  # F below 1
    assert rows.loc["N", "importance"] == pytest.approx(
        (189.28 - 185.29 / 12) / (876.365 + 185.29 / 12), abs=1e-4
    )


def test_one_way_is_scipys():
    rng = np.random.default_rng(0)
    values = {("a",): rng.normal(0, 1, 3), ("b",): rng.normal(1, 1, 7), ("c",): rng.normal(2, 1, 4)}
    rows = by_factor(table_of(values, ["x"]), "y", ["x"])
    f, p = f_oneway(*values.values())
    assert rows.loc["x", "p"] == pytest.approx(p, rel=1e-9)
    # ω² of F, Hays' other form
    assert rows.loc["x", "importance"] == pytest.approx(2 * (f - 1) / (2 * (f - 1) + 14))


def effect_coded(values):
    """Columns that sum to zero: the last level is minus the others."""
    names = sorted(set(values))
    eye = np.vstack([np.eye(len(names) - 1), -np.ones(len(names) - 1)])
    return eye[[names.index(value) for value in values]]


def type_two(table, term, factors, block):
    """Squares by Wald's quadratic form of the coefficients, not by differences of fits."""
    coded = {(name,): effect_coded(table[name]) for name in [*factors, block]}
    for a, b in itertools.combinations(factors, 2):
        products = [x * y for x in coded[a,].T for y in coded[b,].T]
        coded[a, b] = np.array(products).T
    y = table["y"].to_numpy()

    def regress(terms):
        design = np.hstack([np.ones((len(y), 1)), *(coded[t] for t in terms)])
        inverse = np.linalg.inv(design.T @ design)
        return design, inverse, inverse @ design.T @ y

    kept = [t for t in coded if t == term or not set(term) < set(t)]
    kept = [*(t for t in kept if t != term), term]
    _, inverse, beta = regress(kept)
    df = coded[term].shape[1]
    squares = beta[-df:] @ np.linalg.solve(inverse[-df:, -df:], beta[-df:])
    design, _, beta = regress(list(coded))
    df_error = len(y) - design.shape[1]
    error = ((y - design @ beta) ** 2).sum() / df_error
    total = ((y - y.mean()) ** 2).sum()
    share = max((squares - df * error) / (total + error), 0)
    return share, f_distribution.sf(squares / df / error, df, df_error), df, df_error


def test_unbalanced_is_type_two_in_another_coding():
    rng = np.random.default_rng(3)
    grid = pd.DataFrame(
        list(itertools.product("abc", "xy", "123", range(3))), columns=["p", "q", "r", "seed"]
    )
    effect = grid["p"].map({"a": 0, "b": 1, "c": 2}) + 2 * ((grid["p"] == "c") & (grid["q"] == "x"))
    grid["y"] = effect + 0.5 * grid["seed"] + rng.normal(0, 1, len(grid))
    table = grid.drop(rng.choice(len(grid), 14, replace=False))
    rows = by_factor(table, "y", ["p", "q", "r"], "seed")
    assert len(rows) == 7
    for name, row in rows.iterrows():
        expected = type_two(table, tuple(name.split(" × ")), ["p", "q", "r"], "seed")
        got = (row["importance"], row["p"], row["df"], row["df_error"])
        assert got == pytest.approx(expected, rel=1e-8, abs=1e-12)


def test_a_grid_of_one_run_a_cell_has_its_interaction_as_error():
    rng = np.random.default_rng(1)
    y = np.add.outer([0, 1, 3], [0, 0.5, 1, 1.5]) + rng.normal(0, 0.3, (3, 4))
    table = pd.DataFrame(
        [(i, j, 0, y[i, j]) for i in range(3) for j in range(4)], columns=["a", "b", "seed", "y"]
    )
    rows = by_factor(table, "y", ["a", "b"], "seed")
    ss_a = 4 * ((y.mean(axis=1) - y.mean()) ** 2).sum()
    rest = y - y.mean(axis=1, keepdims=True) - y.mean(axis=0) + y.mean()
    expected = f_distribution.sf((ss_a / 2) / ((rest**2).sum() / 6), 2, 6)
    assert list(rows.index) == ["a", "b"]
    assert rows.loc["a", "p"] == pytest.approx(expected, rel=1e-9)
    assert rows["method"].iloc[0].endswith("interactions as error")


def test_under_no_effect_p_is_uniform():
    """Half-done designs of noise: 5 % of the tests are below 0.05, within three standard errors."""
    rng = np.random.default_rng(0)
    grid = pd.DataFrame(list(itertools.product("abc", "xy", range(3))), columns=["a", "b", "seed"])
    below = []
    for _ in range(300):
        table = grid.assign(y=rng.normal(size=len(grid)) + grid["seed"])
        table = table.drop(rng.choice(len(grid), 3, replace=False))
        below += list(by_factor(table, "y", ["a", "b"], "seed").loc[["a", "b"], "p"] < 0.05)
    assert np.mean(below) == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 600))


def test_what_cannot_be_measured_says_why():
    few = pd.DataFrame({"a": [0, 1, 2], "seed": [0, 0, 0], "y": [0.1, 0.2, 0.3]})
    (row,) = factorial_anova(few, "y", ["a"], "seed").to_dict("records")
    assert pd.isna(row["importance"])
    assert pd.isna(row["p"])
    assert row["reason"] == "too few degrees of freedom: 3 runs leave none for the error"
    twins = pd.DataFrame({"a": [0, 0, 1, 1], "b": [0, 0, 1, 1], "y": [1.0, 2.0, 5.0, 6.0]})
    rows = by_factor(twins, "y", ["a", "b"])
    assert rows["importance"].isna().all()
    assert rows["reason"].str.startswith("not to be told apart").all()
    same = pd.DataFrame({"a": [0, 0, 1, 1], "y": [1.0] * 4})
    assert by_factor(same, "y", ["a"])["reason"].tolist() == ["all runs have the same value"]


def test_one_level_and_missing_values_are_left_out():
    table = table_of(TOOTH_GROWTH, ["supp", "dose"]).assign(fixed="x", seed=0)
    expected = by_factor(table, "y", ["supp", "dose"])
    more = pd.concat([table, table.head(5).assign(y=None, fixed="z")])
    got = by_factor(more, "y", ["supp", "fixed", "dose"], "seed")
    pd.testing.assert_frame_equal(got, expected)
    assert factorial_anova(table, "y", ["fixed"], "seed").empty
    assert factorial_anova(table.assign(y=float("nan")), "y", ["supp"], "seed").empty


def test_no_error_at_all_is_the_whole_share():
    table = pd.DataFrame({"a": [0, 0, 1, 1], "y": [0.1, 0.1, 0.7, 0.7]})
    (row,) = factorial_anova(table, "y", ["a"]).to_dict("records")
    assert (row["importance"], row["p"]) == (1, 0)


def test_cells_that_share_their_runs_do_not_differ():
    """A key that the strategy does not use: the same values under each of its names."""
    table = pd.DataFrame({"a": [0, 0, 1, 1], "seed": [0, 1, 0, 1], "y": [0.1, 0.7, 0.1, 0.7]})
    rows = by_factor(table, "y", ["a"], "seed")
    assert rows["importance"].tolist() == [0, 1]
    assert rows["p"].tolist() == [1, 0]
