"""The calibration curve: the fraction of positives in each bin of scores, with Wilson's intervals.

N = labelled cases, S = seeds, P = patients, F = bins with a case.
"""

import numpy as np
import pandas as pd
from scipy import special

from mtlbench.analysis.calibration import N_BINS
from mtlbench.analysis.curves import align_scores
from mtlbench.analysis.frame import Floats


def calibration_curve(frame: pd.DataFrame, *, level: float = 0.95) -> pd.DataFrame:
    """Fraction of positives against mean score in ten bins of equal width.

    Numerators and denominators of a bin are means over seeds. The interval is that of Wilson for
    the bin's effective number of patients, (Σn)²/Σn² with n a patient's cases in the bin (Kish
    1965): as if all cases of a patient said the same. It has a width also where a bin holds
    positives alone, or none, of which resamples know nothing.

    Args:
        frame: predictions as for `compare`.
        level: of the interval of each bin by itself.

    Returns:
        Columns `bin` (its lower edge), `score`, `fraction`, `low`, `high`, `n`, the cases in the
        bin (a mean over seeds), and `n_effective`, its patients; bins without a case are left out.

    Raises:
        DataError: where the frame is faulty or has no scores.

    """
    cases, score_SN, label_N = align_scores(frame, "a calibration curve")
    used_N = ~np.isnan(label_N)
    score_SN, label_N = score_SN[:, used_N], label_N[used_N]
    bin_SN = np.minimum((score_SN * N_BINS).astype(int), N_BINS - 1)
    there_F = np.unique(bin_SN)
    member_FSN = bin_SN == there_F[:, None, None]
    n_FN, positive_FN, score_FN = (
        (member_FSN * each).mean(axis=1) for each in (1, label_N, score_SN)
    )
    n_F = n_FN.sum(axis=1)
    fraction_F = positive_FN.sum(axis=1) / n_F
    n_FP = np.array([np.bincount(cases.patient_N[used_N], each_N) for each_N in n_FN])
    effective_F = n_F**2 / (n_FP**2).sum(axis=1)
    low_F, high_F = wilson(fraction_F, effective_F, level)
    return pd.DataFrame(
        {
            "bin": there_F / N_BINS,
            "score": score_FN.sum(axis=1) / n_F,
            "fraction": fraction_F,
            "low": low_F,
            "high": high_F,
            "n": n_F,
            "n_effective": effective_F,
        }
    )


def wilson(fraction_F: Floats, n_F: Floats, level: float) -> tuple[Floats, Floats]:
    """Score interval of a proportion of n, which need not be whole (Wilson 1927)."""
    z2_F = special.ndtri((1 + level) / 2) ** 2 / n_F
    centre_F = fraction_F + z2_F / 2
    half_F = np.sqrt(z2_F * (fraction_F * (1 - fraction_F) + z2_F / 4))
    low_F, high_F = ((centre_F + sign * half_F) / (1 + z2_F) for sign in (-1, 1))
    return np.clip(low_F, 0, fraction_F), np.clip(high_F, fraction_F, 1)
