"""Against numbers that other software printed: pROC, MRMCaov, and scipy on the same resamples.

scikit-learn's metrics are in test_compare.py.
"""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from mtlbench.analysis import compare, find_metric
from mtlbench.analysis.align import align
from mtlbench.analysis.bootstrap import bootstrap
from mtlbench.analysis.intervals import IDENTITY, Estimate
from mtlbench.analysis.resample import patient_counts
from mtlbench.analysis.seeds import orh_variance, seeds_by_cases


def digits(text):
    return np.array([int(digit) for digit in text])


LABEL = digits("000110100011100000001101100000011101110110000010")
RATING = {
    "cls_0": digits("527524548368543532456428343522439355761775444564"),
    "cls_1": digits("325945734377522622476425434553346737652755556472"),
    "cls_2": digits("546755737288675304258207334533238545541646573574"),
    "joint_0": digits("238754942354563315458548425562367856770766345584"),
    "joint_1": digits("626575855478564422668427534552359549653646745282"),
    "joint_2": digits("355974865369852324359538446651447757462796425374"),
}
"""48 cases, 19 of them positive, six ratings of 0 to 9 with many ties."""

# R 4.2, pROC 1.18.0: roc(LABEL, rating, direction = "<"), then auc(), var() and cov() of each.
AUC = {
    "cls_0": 0.749546279491833, "cls_1": 0.848457350272232, "cls_2": 0.743194192377495,
    "joint_0": 0.868421052631579, "joint_1": 0.815789473684211, "joint_2": 0.896551724137931,
}  # fmt: skip
COVARIANCE = np.array(
    [
        [0.00597209798595828, 0.00204167366598485, 0.00336879275498549,
         0.00124991092370976, 0.00166384119026732, 0.00145967153630995],
        [0.00204167366598485, 0.00278926424056052, 0.00216350493544080,
         0.00096303364017403, 0.00152616179140301, 0.00106149790480540],
        [0.00336879275498549, 0.00216350493544080, 0.00539787287648790,
         0.00110058886812751, 0.00282463661186887, 0.00206133841707341],
        [0.00124991092370976, 0.00096303364017403, 0.00110058886812751,
         0.00250262549587980, 0.00075468138711507, 0.00076360535441698],
        [0.00166384119026732, 0.00152616179140301, 0.00282463661186887,
         0.00075468138711507, 0.00352424493237600, 0.00096941863911505],
        [0.00145967153630995, 0.00106149790480540, 0.00206133841707341,
         0.00076360535441698, 0.00096941863911505, 0.00234194833726785],
    ]
)  # fmt: skip
DF = 18
"""Of the closed form: patients of the scarcer class - 1."""


def table(label, rating):
    cases = np.arange(len(label))
    return pd.DataFrame(
        {"image_id": cases, "patient_id": cases, "label": label, "score": rating / 9}
    )


def from_counts(negative, positive):
    """Cases with the ratings 1, 2, .. from how many have each."""
    label = np.repeat([0, 1], [sum(negative), sum(positive)])
    rating = np.concatenate([np.repeat(np.arange(1, len(n) + 1), n) for n in (negative, positive)])
    return table(label, rating)


@pytest.fixture(scope="module")
def frames():
    return {name: table(LABEL, rating) for name, rating in RATING.items()}


def closed_form(frames, base):
    """Value and patient-level variance of each arm, and of its difference from `base`."""
    cases, arms = align(frames)
    statistic = find_metric("auc").build(cases, arms)
    found = bootstrap([statistic], {"auc": base}, arms, len(cases.patients), 1, 0)
    return {(arm, other): (one.value, one.variance) for (_, arm, other), one in found.items()}


@pytest.mark.parametrize("base", RATING)
def test_aucs_variances_and_covariances_are_procs(frames, base):
    found = closed_form(frames, base)
    j = list(RATING).index(base)
    for i, arm in enumerate(RATING):
        value, variance = found[arm, None]
        assert value == pytest.approx(AUC[arm], abs=1e-14)
        assert variance == pytest.approx(COVARIANCE[i, i], abs=1e-16)
        if arm != base:
            of_difference = COVARIANCE[i, i] + COVARIANCE[j, j] - 2 * COVARIANCE[i, j]
            assert found[arm, base][1] == pytest.approx(of_difference, abs=1e-16)


def test_paired_and_unpaired_tests_are_procs(frames):
    """roc.test(joint_0, cls_0): DeLong's Z, p and interval; with paired = FALSE its D."""
    found = closed_form(frames, "cls_0")
    difference, variance = found["joint_0", "cls_0"]
    z = difference / np.sqrt(variance)
    ends = difference + np.array([-1, 1]) * stats.norm.ppf(0.975) * np.sqrt(variance)
    assert z == pytest.approx(1.53788662971546, abs=1e-13)
    assert 2 * stats.norm.sf(z) == pytest.approx(0.124076336972132, abs=1e-13)
    assert ends == pytest.approx([-0.0326255192240543, 0.2703750655035461], abs=1e-14)
    unpaired = difference / np.sqrt(found["joint_0", None][1] + found["cls_0", None][1])
    assert unpaired == pytest.approx(1.29129935111887, abs=1e-13)


def test_the_bootstrap_is_procs_within_monte_carlo_error(frames):
    """var() and ci.auc(), method = "bootstrap", boot.n = 20000, boot.stratified = FALSE.

    The standard error of an SD from 20,000 resamples is 0.5 %, that of these limits .001 and .002.
    """
    pair = {"cls_0": frames["cls_0"]}
    found = compare(pair, method="percentile", resamples=20_000).estimates.iloc[0]
    assert found["se"] == pytest.approx(0.0765047700826823, rel=0.025)
    assert found["low"] == pytest.approx(0.589836114472, abs=0.008)
    assert found["high"] == pytest.approx(0.890205515663, abs=0.006)


@pytest.mark.parametrize(
    ("negative", "positive", "auc", "variance", "low", "high"),
    [
        pytest.param(
            (33, 6, 6, 11, 2), (3, 2, 2, 11, 33),
            0.893171061528, 0.000943989270262985, 0.832952327658, 0.953389795398,
            id="Hanley and McNeil 1982, table I",
        ),
        pytest.param(
            (37, 20, 3, 8, 4), (2, 12, 1, 8, 18),
            0.823678861789, 0.00146991470882363, 0.748534887819, 0.898822835758,
            id="pROC's aSAH: WFNS grade against outcome",
        ),
    ],
)  # fmt: skip
def test_published_ratings(negative, positive, auc, variance, low, high):
    """AUC, var() and ci.auc() of pROC from counts of cases by rating, many ties."""
    frame = from_counts(negative, positive)
    found = compare({"a": frame}, resamples=100).estimates.iloc[0]
    ends = found["value"] + np.array([-1, 1]) * stats.norm.ppf(0.975) * found["closed_se"]
    assert found["value"] == pytest.approx(auc, abs=1e-12)
    assert found["closed_se"] ** 2 == pytest.approx(variance, abs=1e-16)
    assert ends == pytest.approx([low, high], abs=1e-12)


# MRMCaov 0.1.5, summary(mrmc(empirical_auc(truth, rating), .., VanDyke, cov = DeLong)): 2 tests,
# 5 readers, 69 + 45 cases. The readers' AUCs are multiples of 1 / (2 * 69 * 45).
READERS = np.array([[5711, 5333, 5613, 6043, 5153], [5886, 5622, 5724, 6206, 5775]]) / 6210
TESTS = [  # estimate, Cov2, StdErr, df, CI
    (0.8970370, 0.0004775239, 0.03307642, 12.59597, 0.8253461, 0.9687280),
    (0.9408374, 0.0002015292, 0.02150464, 12.56530, 0.8942155, 0.9874592),
]
DIFFERENCE = (-0.04380032, 0.0003395265 - 0.0002358497, 0.0206825, 15.06611, -0.0878671960,
              0.0002665519)  # fmt: skip
"""Of a difference Cov2 - Cov3, which is half of what two differences share."""
P_VALUE = 0.05123303


def estimate(value_S, shared, df=44):
    """What seeds_by_cases looks at: the values and, off the diagonal, what they share.

    Resamples that reach no further than Student's t stretch nothing.
    """
    covariance_SS = np.full((value_S.size, value_S.size), shared)
    np.fill_diagonal(covariance_SS, 1.0)
    value_B, variance_B = np.zeros(99_999), np.ones(99_999)
    return Estimate(value_S.mean(), 1.0, value_S, covariance_SS, value_B, variance_B, df)


@pytest.mark.parametrize(
    ("value_S", "printed"),
    [
        (READERS[0], TESTS[0]),
        (READERS[1], TESTS[1]),
        (READERS[0] - READERS[1], (DIFFERENCE[0], 2 * DIFFERENCE[1], *DIFFERENCE[2:])),
    ],
)
def test_readers_by_cases_are_mrmcaovs(value_S, printed):
    value, shared, error, df, low, high = printed
    one = estimate(value_S, shared)
    assert one.value == pytest.approx(value, abs=1e-7)
    variance, found_df = orh_variance(one.value_S, one.covariance_SS)
    assert np.sqrt(variance) == pytest.approx(error, rel=1e-5)
    assert found_df == pytest.approx(df, rel=1e-5)
    interval = seeds_by_cases(one, IDENTITY, 0.95)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=2e-7)


def test_the_p_value_of_readers_by_cases_is_mrmcaovs():
    one = estimate(READERS[0] - READERS[1], 2 * DIFFERENCE[1])
    assert seeds_by_cases(one, IDENTITY, 0.95).p == pytest.approx(P_VALUE, rel=1e-5)


def test_seeds_by_cases_from_procs_covariances(frames):
    """`compare` of three seeds is MRMCaov's global test with pROC's covariances put in.

    F's denominator is MS(T:R) + r (Cov2 - Cov3), its df that squared / (MS(T:R)^2 / (r - 1)), and
    the error of a difference of two tests sqrt(2 / r * denominator).
    """
    tables = {
        arm: pd.concat([frames[f"{arm}_{seed}"].assign(seed=seed) for seed in range(3)])
        for arm in ("cls", "joint")
    }
    row = compare(tables, baseline="cls", resamples=100).comparisons.iloc[0]
    auc = np.array(list(AUC.values())).reshape(2, 3)
    residual = auc - auc.mean(0) - auc.mean(1, keepdims=True) + auc.mean()
    ms = (residual**2).sum() / 2
    blocks = COVARIANCE.reshape(2, 3, 2, 3)
    other = ~np.eye(3, dtype=bool)
    cov2 = np.mean([blocks[test, :, test][other].mean() for test in (0, 1)])
    cov3 = blocks[0, :, 1][other].mean()
    denominator = ms + 3 * (cov2 - cov3)
    df = min(denominator**2 / (ms**2 / 2), DF)
    half = stats.t.ppf(0.975, df) * np.sqrt(2 / 3 * denominator)
    difference = auc[1].mean() - auc[0].mean()
    assert (row["low"], row["high"]) == pytest.approx((difference - half, difference + half))
    t = difference / np.sqrt(2 / 3 * denominator)
    assert row["p"] == pytest.approx(2 * stats.t.sf(abs(t), df))


def weighted_auc(label, score):
    return lambda count: roc_auc_score(label, score, sample_weight=count)


def weighted_mean(value):
    return lambda count: np.average(value, weights=count)


@pytest.mark.parametrize("metric", ["auc", "brier"])
@pytest.mark.parametrize("method", ["bca", "percentile"])
@pytest.mark.parametrize("level", [0.95, 0.8])
def test_bca_and_percentile_limits_are_scipys(metric, method, level):
    """On the same resamples, with the metric from scikit-learn and numpy. No score is tied."""
    rng = np.random.default_rng(8)
    label = rng.integers(0, 2, 61)
    score = 1 / (1 + np.exp(-rng.normal(label)))
    ids = [f"{k:02d}" for k in range(61)]
    frame = pd.DataFrame({"image_id": ids, "patient_id": ids, "label": label, "score": score})
    options = {"metrics": [metric], "method": method, "level": level, "resamples": 500}
    found = compare({"a": frame}, **options).estimates.iloc[0]

    value = {"auc": weighted_auc(label, score), "brier": weighted_mean((score - label) ** 2)}
    statistic = value[metric]
    counts = np.concatenate(list(patient_counts(61, 500, 0)), axis=1)
    resampled = np.round([statistic(count) for count in counts.T], 13)

    def of_sample(index):
        return np.round(statistic(np.bincount(index, minlength=61)), 13)

    scipys = stats.bootstrap(
        (np.arange(61),), of_sample, vectorized=False, n_resamples=0, method=method,
        confidence_level=level,
        bootstrap_result=SimpleNamespace(bootstrap_distribution=resampled),
    )  # fmt: skip
    limits = scipys.confidence_interval
    assert (found["low"], found["high"]) == pytest.approx((limits.low, limits.high), abs=1e-12)
