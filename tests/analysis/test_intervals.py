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
    studentised,
)


def test_limits_and_p_by_hand(make_estimate):
    """|t*| = 0.1, 0.2 .. 9.9 of both signs, B + 1 = 100: the 95 % quantile is the 95th, 9.5."""
    t_B = np.arange(1, 100) / 10 * np.where(np.arange(99) % 2, 1, -1)
    found = studentised(make_estimate(0.19, 0.0004, t_B), IDENTITY, 0.95)
    assert (found.low, found.high) == pytest.approx((0.19 - 9.5 * 0.02, 0.19 + 9.5 * 0.02))
    assert found.p == pytest.approx(0.05)
    assert studentised(make_estimate(0.5, 0.0004, t_B), IDENTITY, 0.95).p == pytest.approx(1 / 100)
    assert studentised(make_estimate(0.0, 0.0004, t_B), IDENTITY, 0.95).p == 1


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
def test_p_inverts_the_interval(make_estimate, t_B, value, level):
    found = studentised(make_estimate(value, 0.01, t_B), IDENTITY, level)
    assume(found is not None)
    assert 1 / (len(t_B) + 1) <= found.p <= 1
    assume(abs(found.p - (1 - level)) > 1e-9)
    assert (found.p < 1 - level) == (found.low > 0 or found.high < 0)
    if 1 / (len(t_B) + 1) < found.p < 1 and len(set(np.abs(t_B))) == len(t_B):
        touching = studentised(make_estimate(value, 0.01, t_B), IDENTITY, 1 - found.p)
        assume(touching is not None)
        assert min(abs(touching.low), abs(touching.high)) < 1e-9


def test_closed_form_by_hand(make_estimate):
    """AUC 0.8, se 0.03, 11 patients in the smaller class."""
    found = clustered_t(make_estimate(0.8, 0.0009, df=10), LOGIT, 0.95)
    ends = np.log(4) + np.array([-1, 1]) * stats.t.ppf(0.975, 10) * 0.03 / 0.16
    assert (found.low, found.high) == pytest.approx(tuple(1 / (1 + np.exp(-ends))))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_no_interval_at_the_edge(make_estimate, value):
    assert studentised(make_estimate(value, 0.01, [1, 2, 3]), LOGIT, 0.95) is None
    assert clustered_t(make_estimate(value, 0.01), LOGIT, 0.95) is None


def test_no_interval_without_variance_or_degrees_of_freedom(make_estimate):
    assert studentised(make_estimate(0.5, 0.0, [1, 2, 3]), LOGIT, 0.95) is None
    assert clustered_t(make_estimate(0.5, 0.01, df=0), LOGIT, 0.95) is None


def test_resamples_without_value_or_variance_are_counted_and_left_out(make_estimate):
    base = make_estimate(0.5, 0.01, np.arange(1, 100) / 10)
    holes = Estimate(
        base.value, base.variance, base.value_S, base.covariance_SS,
        np.append(base.value_B, [np.nan, 0.5, 0.5]),
        np.append(base.variance_B, [0.01, 0.0, np.nan]),
        base.df,
    )  # fmt: skip
    assert holes.n_undefined == 3
    assert studentised(holes, IDENTITY, 0.9) == studentised(base, IDENTITY, 0.9)
