import numpy as np
import pytest
from scipy import stats

from mtlbench.analysis.multiplicity import benjamini_hochberg, holm


def test_holm_by_hand():
    assert holm([0.01, 0.04, np.nan, 0.03, 0.005]) == pytest.approx(
        [0.03, 0.06, np.nan, 0.06, 0.02], nan_ok=True
    )
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []


def test_benjamini_hochberg_is_scipys():
    p_values = np.random.default_rng(0).random(20) ** 3
    expected = stats.false_discovery_control(p_values, method="bh")
    np.testing.assert_allclose(benjamini_hochberg(p_values), expected)
    assert benjamini_hochberg([np.nan, 0.2]) == pytest.approx([np.nan, 0.2], nan_ok=True)
