"""What must not change a number, for every metric there is and every interval."""

import functools

import numpy as np
import pandas as pd
import pytest

from mtlbench.analysis import METRICS, Findings, compare, find_metric
from mtlbench.analysis.align import align
from mtlbench.analysis.intervals import METHODS
from mtlbench.analysis.resample import patient_counts

BY_RANK = [metric for metric in METRICS if metric in ("auc", "ap") or "spec" in metric]
"""Metrics of the order of scores alone."""
RESAMPLES = 100


def findings_of(frame: pd.DataFrame, seed: int) -> Findings:
    """A lesion in each image that has one in the truth, found or missed, and false positives."""
    rng = np.random.default_rng(seed)
    ill = frame.loc[frame["true_0"] < 400, "image_id"]
    lesions = pd.DataFrame({"image_id": ill, "lesion": 1, "hit": rng.random(len(ill)) < 0.7})
    lesions["hit"] = lesions["hit"].astype(int)
    lesions["score"] = np.where(lesions["hit"] == 1, rng.random(len(ill)), np.nan)
    wrong = pd.DataFrame({"image_id": frame["image_id"], "score": rng.random(len(frame)), "hit": 0})
    right = lesions.loc[lesions["hit"] == 1, ["image_id", "score", "hit"]]
    return Findings(lesions, pd.concat([right, wrong[::2]], ignore_index=True))


@pytest.fixture(scope="module")
def arms(make):
    frames = {name: make(90, images_per_patient=3, seed=k) for k, name in enumerate("ab")}
    return frames, {name: findings_of(frame, k) for k, (name, frame) in enumerate(frames.items())}


@pytest.fixture(scope="module")
def expected(arms):
    """Metric and method -> the tables as they are."""
    return functools.cache(functools.partial(tables, arms))


@pytest.fixture(scope="module")
def with_more(arms):
    """Method -> all metrics with another arm."""
    frames = {"c": arms[0]["b"], **arms[0]}
    options = {"resamples": RESAMPLES, "findings": {"c": arms[1]["b"], **arms[1]}}
    return functools.cache(
        lambda method: compare(
            frames, baseline="a", metrics=METRICS[::-1], method=method, **options
        )
    )


def tables(arms, metric, method=None, baseline="a", **options):
    frames, findings = arms
    options = {"resamples": RESAMPLES, "metrics": [metric], "method": method, **options}
    result = compare(frames, baseline=baseline, findings=findings, **options)
    return result.estimates, result.comparisons


def each(arms, change):
    """Change every table of every arm."""
    frames, findings = arms
    return (
        {name: change(frame) for name, frame in frames.items()},
        {name: Findings(change(f.lesions), change(f.candidates)) for name, f in findings.items()},
    )


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=True)


everything = pytest.mark.parametrize(
    ("metric", "method"), [(metric, method) for metric in METRICS for method in METHODS]
)


@everything
def test_the_order_of_rows(arms, expected, metric, method):
    shuffled = each(arms, lambda table: table.sample(frac=1, random_state=1))
    assert_same(tables(shuffled, metric, method), expected(metric, method))


@everything
def test_the_names_of_images_and_patients_but_for_their_order(arms, expected, metric, method):
    def rename(table):
        names = {name: "x" + table[name] for name in ("image_id", "patient_id") if name in table}
        return table.assign(**names)

    assert_same(tables(each(arms, rename), metric, method), expected(metric, method))


@everything
def test_other_metrics_and_arms(expected, with_more, metric, method):
    """All but p_adjusted, which is about all arms together."""
    found = with_more(method)
    for table, alone in zip(
        (found.estimates, found.comparisons), expected(metric, method), strict=True
    ):
        rows = table[(table["metric"] == metric) & (table["arm"] != "c")].reset_index(drop=True)
        one, other = (
            t.drop(columns="p_adjusted", errors="ignore").convert_dtypes() for t in (rows, alone)
        )
        pd.testing.assert_frame_equal(one, other, check_exact=True)


@everything
def test_swapping_arms_flips_the_sign_only(arms, expected, metric, method):
    one, two = expected(metric, method)[1].iloc[0], tables(arms, metric, method, "b")[1].iloc[0]
    assert one["difference"] == -two["difference"]
    ends = [-two["high"], -two["low"], two["p"]]
    assert [one["low"], one["high"], one["p"]] == pytest.approx(ends, rel=1e-9, abs=1e-12)


@everything
def test_p_is_small_just_where_the_interval_excludes_0(arms, metric, method):
    for level in (0.5, 0.7, 0.9):
        row = tables(arms, metric, method, level=level)[1].iloc[0]
        assert (row["p"] < 1 - level) == (row["low"] > 0 or row["high"] < 0)


@everything
def test_an_arm_against_itself(arms, metric, method):
    frames, findings = arms
    twins = dict.fromkeys("ab", frames["a"]), dict.fromkeys("ab", findings["a"])
    row = tables(twins, metric, method)[1].iloc[0]
    assert (row["difference"], row["p"], row["p_adjusted"]) == (0, 1, 1)
    assert np.isnan([row["low"], row["high"]]).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("metric", BY_RANK)
def test_a_monotone_transform_of_scores(arms, expected, metric, method):
    def bend(table):
        return table.assign(score=np.exp(3 * table["score"] - 3))

    assert_same(tables(each(arms, bend), metric, method), expected(metric, method))


@pytest.mark.parametrize("metric", METRICS)
def test_cases_repeated_three_times(arms, metric):
    """The same patients know no more: value and standard error stay.

    But the standard error of the height of a curve takes its slope over a window that narrows with
    the cases.
    """

    def thrice(table):
        copies = [table.assign(image_id=table["image_id"] + f"/{k}") for k in range(3)]
        return pd.concat(copies, ignore_index=True)

    once, repeated = (tables(one, metric)[0] for one in (arms, each(arms, thrice)))
    np.testing.assert_allclose(repeated["value"], once["value"], rtol=1e-12)
    if metric not in ("sens_at_spec90", "spec_at_sens90", "froc"):
        np.testing.assert_allclose(repeated["closed_se"], once["closed_se"], rtol=1e-9)


@pytest.mark.parametrize("metric", METRICS)
def test_a_value_alone_is_the_value_with_influences_to_the_bit(arms, metric):
    """BCa counts resamples that equal the test set's value: rounding must not part them."""
    frames, findings = arms
    cases, aligned = align(frames, findings=findings)
    statistic = find_metric(metric).build(cases, aligned)
    draw = statistic.rows.draw(next(patient_counts(30, 32, 0)))
    for kernels in statistic.kernels.values():
        np.testing.assert_array_equal(kernels[0](draw)[0], kernels[0].value(draw))


@pytest.mark.parametrize("metric", METRICS)
def test_influences_sum_to_nothing(arms, metric):
    """A metric is a mean or a ratio: drawing every patient twice leaves it as it is."""
    frames, findings = arms
    cases, aligned = align(frames, findings=findings)
    statistic = find_metric(metric).build(cases, aligned)
    draw = statistic.rows.draw(next(patient_counts(30, 32, 0)))
    value_B, influence_RB = statistic.kernels["a"][0](draw)
    total_B = (draw.count_RB * influence_RB).sum(axis=0)
    np.testing.assert_allclose(total_B[np.isfinite(value_B)], 0, atol=1e-12)
