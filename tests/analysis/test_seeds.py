from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from mtlbench.analysis.intervals import IDENTITY, LOGIT, clustered_t, studentised
from mtlbench.analysis.seeds import orh_variance, seeds_by_cases, stretch


def test_seeds_alone_give_the_t_test_over_seeds(make_estimate):
    """Without covariance between seeds, Obuchowski-Rockette-Hillis is the t test of the seeds."""
    values = np.array([0.02, 0.05, 0.01, 0.04])
    found = seeds_by_cases(
        make_estimate(values.mean(), 1e-4, [1.0], values=values, covariance=np.eye(4) * 1e-4),
        IDENTITY,
        0.9,
    )
    test = stats.ttest_1samp(values, 0)
    limits = test.confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((limits.low, limits.high))


def test_cases_alone_give_the_patient_level_interval(make_estimate):
    """Seeds that agree leave the covariance that they share; df is that of the patients."""
    found = seeds_by_cases(
        make_estimate(0.8, 9e-4, [0.1], values=[0.8] * 3, covariance=np.full((3, 3), 9e-4), df=10),
        LOGIT,
        0.95,
    )
    closed = clustered_t(make_estimate(0.8, 9e-4, df=10), LOGIT, 0.95)
    assert (found.low, found.high) == pytest.approx((closed.low, closed.high))


def test_a_skewed_metric_stretches_the_seeds_interval(make_estimate):
    """Seeds that agree, |t*| = 0.1, 0.2 .. 9.9: the studentised interval at 95 %, 9.5 errors."""
    t_B = np.arange(1, 100) / 10
    one = make_estimate(0.19, 4e-4, t_B, values=[0.19] * 3, covariance=np.full((3, 3), 4e-4), df=10)
    assert stretch(one, IDENTITY) == pytest.approx(9.5 / stats.t.ppf(0.975, 10))
    found, alone = (each(one, IDENTITY, 0.95) for each in (seeds_by_cases, studentised))
    assert (found.low, found.high) == pytest.approx((alone.low, alone.high))
    assert found.p == pytest.approx(0.05)
    wider = seeds_by_cases(one, IDENTITY, 0.99)
    half = 9.5 * 0.02 * stats.t.ppf(0.995, 10) / stats.t.ppf(0.975, 10)
    assert (wider.low, wider.high) == pytest.approx((0.19 - half, 0.19 + half))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(-0.5, 0.5), min_size=3, max_size=6),
    st.floats(-1e-3, 1e-2),
    st.floats(0.5, 0.98),
    st.floats(1, 5),
)
def test_p_of_seeds_inverts_the_interval(make_estimate, values, shared, level, t):
    """The interval at level 1 - p touches 0, above the floor 1/(B+1)."""
    covariance = np.full((len(values), len(values)), shared) + np.eye(len(values)) * 1e-3
    t_B = np.full(999, t)
    one = make_estimate(np.mean(values), 1e-3, t_B, values=values, covariance=covariance, df=10)
    found = seeds_by_cases(one, IDENTITY, level)
    assume(found is not None and abs(found.p - (1 - level)) > 1e-9)
    assert (found.p < 1 - level) == (found.low > 0 or found.high < 0)
    if 1 / 1000 < found.p < 0.999:
        touching = seeds_by_cases(one, IDENTITY, 1 - found.p)
        assert min(abs(touching.low), abs(touching.high)) < 1e-9


def test_seeds_that_do_not_vary_and_share_nothing_give_no_interval(make_estimate):
    one = make_estimate(0.2, 1e-3, values=[0.2] * 3, covariance=np.eye(3) * 1e-3 - 1e-4)
    assert seeds_by_cases(one, IDENTITY, 0.95) is None


def test_orh_by_hand():
    """MS = 0.01, cov₂ = 0.02, S = 3: v = 0.07/3, df = 2·(0.07/0.01)²; negative cov₂ counts 0."""
    values = np.array([0.4, 0.5, 0.6])
    covariance = np.full((3, 3), 0.02) + np.eye(3)
    assert orh_variance(values, covariance) == pytest.approx((0.07 / 3, 98))
    assert orh_variance(values, -covariance) == pytest.approx((0.01 / 3, 2))


def test_seeds_of_their_own_give_welchs_t_test(make_estimate):
    """Where patients share nothing, two samples of trainings are compared as any two samples."""
    arm, base = np.array([0.82, 0.85, 0.81, 0.84]), np.array([0.79, 0.8, 0.83])
    value, signed = arm.mean() - base.mean(), np.concatenate([arm, -base])
    t_B = np.ones(99)
    one = make_estimate(value, 1e-4, t_B, values=signed, covariance=np.eye(7) * 1e-4)
    found = seeds_by_cases(replace(one, n_base=3), IDENTITY, 0.9)
    test = stats.ttest_ind(arm, base, equal_var=False)
    limits = test.confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((limits.low, limits.high))
    assert found.p == pytest.approx(test.pvalue)


def test_two_samples_by_hand():
    """MS/S = 0.005/2 and 0.01/3; cov₂ = 0.02 and 0.03, less twice 0.01 between the two."""
    values = np.array([0.4, 0.5, -0.4, -0.5, -0.6])
    covariance = np.full((5, 5), -0.01)
    covariance[:2, :2], covariance[2:, 2:] = 0.02, 0.03
    parts = np.array([0.0025, 0.01 / 3])
    variance = parts.sum() + 0.03
    expected = variance, variance**2 / (parts**2 / [1, 2]).sum()
    assert orh_variance(values, covariance + np.eye(5), 3) == pytest.approx(expected)
