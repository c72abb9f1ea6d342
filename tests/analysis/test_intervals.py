import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from mtlbench.analysis.intervals import (
    IDENTITY,
    LOGIT,
    Estimate,
    clustered_t,
    holm,
    orh_variance,
    seeds_by_cases,
    studentised,
)


def estimate(value, variance, t_B=(), values=None, covariance=None, df=30):
    """An estimate whose studentised resamples are t_B exactly, on the identity scale."""
    t_B = np.asarray(t_B, float)
    return Estimate(
        value=value,
        variance=variance,
        value_S=np.asarray([value] if values is None else values, float),
        covariance_SS=np.asarray([[variance]] if covariance is None else covariance, float),
        value_B=value + t_B * 0.1,
        variance_B=np.full(t_B.shape, 0.01),
        df=df,
    )


def test_limits_and_p_by_hand():
    """|t*| = 0.1, 0.2 .. 9.9 of both signs, B + 1 = 100: the 95 % quantile is the 95th, 9.5."""
    t_B = np.arange(1, 100) / 10 * np.where(np.arange(99) % 2, 1, -1)
    found = studentised(estimate(0.19, 0.0004, t_B), IDENTITY, 0.95)
    assert (found.low, found.high) == pytest.approx((0.19 - 9.5 * 0.02, 0.19 + 9.5 * 0.02))
    assert found.p == pytest.approx(0.05)
    assert studentised(estimate(0.5, 0.0004, t_B), IDENTITY, 0.95).p == pytest.approx(1 / 100)
    assert studentised(estimate(0.0, 0.0004, t_B), IDENTITY, 0.95).p == 1


def test_logit_scale_by_hand():
    """Values 0.8 on logit scale with se 0.02/0.16; all t* are ±2."""
    value_B = np.full(99, 0.9)
    gap = np.log(9) - np.log(4)
    variance_B = np.full(99, (gap / 2 * 0.09) ** 2)
    found = studentised(
        Estimate(0.8, 0.0004, np.array([0.8]), np.array([[0.0004]]), value_B, variance_B, 9),
        LOGIT,
        0.95,
    )
    ends = np.log(4) + np.array([-2, 2]) * 0.02 / 0.16
    assert (found.low, found.high) == pytest.approx(tuple(1 / (1 + np.exp(-ends))))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats(-8, 8), min_size=20, max_size=80),
    st.floats(-0.5, 0.5),
    st.floats(0.5, 0.99),
)
def test_p_inverts_the_interval(t_B, value, level):
    found = studentised(estimate(value, 0.01, t_B), IDENTITY, level)
    assume(found is not None)
    assert 1 / (len(t_B) + 1) <= found.p <= 1
    assume(abs(found.p - (1 - level)) > 1e-9)
    assert (found.p < 1 - level) == (found.low > 0 or found.high < 0)
    if 1 / (len(t_B) + 1) < found.p < 1 and len(set(np.abs(t_B))) == len(t_B):
        touching = studentised(estimate(value, 0.01, t_B), IDENTITY, 1 - found.p)
        assume(touching is not None)
        assert min(abs(touching.low), abs(touching.high)) < 1e-9


def test_closed_form_by_hand():
    """AUC 0.8, se 0.03, 11 patients in the smaller class."""
    found = clustered_t(estimate(0.8, 0.0009, df=10), LOGIT, 0.95)
    ends = np.log(4) + np.array([-1, 1]) * stats.t.ppf(0.975, 10) * 0.03 / 0.16
    assert (found.low, found.high) == pytest.approx(tuple(1 / (1 + np.exp(-ends))))


def test_seeds_alone_give_the_t_test_over_seeds():
    """Without covariance between seeds, Obuchowski-Rockette-Hillis is the t test of the seeds."""
    values = np.array([0.02, 0.05, 0.01, 0.04])
    found = seeds_by_cases(
        estimate(values.mean(), 1e-4, values=values, covariance=np.eye(4) * 1e-4), IDENTITY, 0.9
    )
    test = stats.ttest_1samp(values, 0)
    limits = test.confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((limits.low, limits.high))


def test_cases_alone_give_the_patient_level_interval():
    """Seeds that agree leave the covariance that they share; df is that of the patients."""
    found = seeds_by_cases(
        estimate(0.8, 9e-4, values=[0.8] * 3, covariance=np.full((3, 3), 9e-4), df=10), LOGIT, 0.95
    )
    closed = clustered_t(estimate(0.8, 9e-4, df=10), LOGIT, 0.95)
    assert (found.low, found.high) == pytest.approx((closed.low, closed.high))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(-0.5, 0.5), min_size=3, max_size=6),
    st.floats(-1e-3, 1e-2),
    st.floats(0.5, 0.98),
)
def test_p_of_seeds_inverts_the_interval(values, shared, level):
    """The interval at level 1 - p touches 0, above the floor 1/(B+1)."""
    covariance = np.full((len(values), len(values)), shared) + np.eye(len(values)) * 1e-3
    t_B = np.ones(999)
    one = estimate(np.mean(values), 1e-3, t_B, values=values, covariance=covariance, df=10)
    found = seeds_by_cases(one, IDENTITY, level)
    assume(found is not None and abs(found.p - (1 - level)) > 1e-9)
    assert (found.p < 1 - level) == (found.low > 0 or found.high < 0)
    if 1 / 1000 < found.p < 0.999:
        touching = seeds_by_cases(one, IDENTITY, 1 - found.p)
        assert min(abs(touching.low), abs(touching.high)) < 1e-9


def test_seeds_that_do_not_vary_and_share_nothing_give_no_interval():
    one = estimate(0.2, 1e-3, values=[0.2] * 3, covariance=np.eye(3) * 1e-3 - 1e-4)
    assert seeds_by_cases(one, IDENTITY, 0.95) is None


def test_orh_by_hand():
    """MS = 0.01, cov₂ = 0.02, S = 3: v = 0.07/3, df = 2·(0.07/0.01)²; negative cov₂ counts 0."""
    values = np.array([0.4, 0.5, 0.6])
    covariance = np.full((3, 3), 0.02) + np.eye(3)
    assert orh_variance(values, covariance) == pytest.approx((0.07 / 3, 98))
    assert orh_variance(values, -covariance) == pytest.approx((0.01 / 3, 2))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_no_interval_at_the_edge(value):
    assert studentised(estimate(value, 0.01, [1, 2, 3]), LOGIT, 0.95) is None
    assert clustered_t(estimate(value, 0.01), LOGIT, 0.95) is None


def test_no_interval_without_variance_or_degrees_of_freedom():
    assert studentised(estimate(0.5, 0.0, [1, 2, 3]), LOGIT, 0.95) is None
    assert clustered_t(estimate(0.5, 0.01, df=0), LOGIT, 0.95) is None


def test_resamples_without_value_or_variance_are_counted_and_left_out():
    base = estimate(0.5, 0.01, np.arange(1, 100) / 10)
    holes = Estimate(
        base.value, base.variance, base.value_S, base.covariance_SS,
        np.append(base.value_B, [np.nan, 0.5, 0.5]),
        np.append(base.variance_B, [0.01, 0.0, np.nan]),
        base.df,
    )  # fmt: skip
    assert holes.n_undefined == 3
    assert studentised(holes, IDENTITY, 0.9) == studentised(base, IDENTITY, 0.9)


def test_holm_by_hand():
    assert holm([0.01, 0.04, np.nan, 0.03, 0.005]) == pytest.approx(
        [0.03, 0.06, np.nan, 0.06, 0.02], nan_ok=True
    )
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []
