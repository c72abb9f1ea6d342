"""FROC on resampled patients: lesions found against false positives per image.

The images are the test cases with a mask; patients are the rows. P = patients with such an image,
E = events of one fold (lesions found and false positives) by falling score, T = groups of equal
score, B = resamples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mtlbench.analysis.align import Cases
from mtlbench.analysis.findings import Findings
from mtlbench.analysis.frame import Floats, Indices, Mask
from mtlbench.analysis.ranked import rank, read_curve, share_above
from mtlbench.analysis.resample import Draw, Rows
from mtlbench.errors import DataError

RATES = (0.25, 0.5, 1.0, 2.0, 4.0)
"""False positives per image at which `froc` averages the sensitivity."""


@dataclass(frozen=True)
class Events:
    """One fold of one seed, by patient: the events, the lesions and the images."""

    patient_E: Indices
    lesion_E: Mask
    """A lesion found; else a false positive."""
    group_E: Indices
    last_T: Indices
    lesions_P: Floats
    images_P: Floats

    def curve(self, count_PB: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """False positives per image and sensitivity, T × B; drawn images and lesions, B."""
        count_EB = count_PB[self.patient_E]
        lesion_EB = count_EB * self.lesion_E[:, None]
        found_TB = np.cumsum(lesion_EB, axis=0)[self.last_T]
        false_TB = np.cumsum(count_EB - lesion_EB, axis=0)[self.last_T]
        images_B, lesions_B = self.images_P @ count_PB, self.lesions_P @ count_PB
        return false_TB / images_B, found_TB / lesions_B, images_B, lesions_B

    def per_patient(self, value_EB: Floats) -> Floats:
        """Sums of events' values, P × B."""
        total_PB = np.zeros((len(self.images_P), value_EB.shape[1]))
        if len(value_EB):
            order_E = np.argsort(self.patient_E, kind="stable")
            patients, start = np.unique(self.patient_E[order_E], return_index=True)
            total_PB[patients] = np.add.reduceat(value_EB[order_E], start, axis=0)
        return total_PB


def events(
    cases: Cases, findings: Findings, seed: object, used_N: Mask, patients_P: Indices
) -> Events:
    """Gather what one seed found in the images `used_N` of a fold."""
    place = pd.Series(np.searchsorted(patients_P, cases.patient_N[used_N]), cases.image_N[used_N])
    lesions, candidates = (
        table[(table["seed"] == seed) & table["image_id"].isin(place.index)]
        for table in (findings.lesions, findings.candidates)
    )
    if lesions["hit"].isna().any():
        raise DataError(f"lesions (seed {seed}): hit must be given, as in the other seeds")
    found, wrong = lesions[lesions["hit"] == 1], candidates[candidates["hit"] == 0]
    score_E = np.concatenate([found["score"], wrong["score"]]).astype(float)
    patient_E = place[[*found["image_id"], *wrong["image_id"]]].to_numpy(np.intp)
    lesion_E = np.arange(len(score_E)) < len(found)
    ranking, order_E = rank(score_E, lesion_E)
    n_patients = len(patients_P)
    return Events(
        patient_E[order_E],
        ranking.positive_N,
        ranking.group_N,
        ranking.last_T,
        np.bincount(place[lesions["image_id"]], minlength=n_patients).astype(float),
        np.bincount(place, minlength=n_patients).astype(float),
    )


class FrocKernel:
    """Mean over folds, and over rates of false positives per image, of the lesions found."""

    def __init__(self, rows: Rows, folds: Sequence[Events], rates: Sequence[float]) -> None:
        """Take the events by fold, their patients in the order of the rows."""
        self._folds = list(zip(folds, rows.strata, strict=True))
        self._rates = rates

    def __call__(self, draw: Draw) -> tuple[Floats, Floats]:
        """Value (B) and influence (P × B); NaN where no lesion is drawn.

        A patient adds lesions found less those expected, and moves the threshold by its false
        positives, as in `ranked.sensitivity_at`; a rate's standard error is √(rate/images).
        """
        values, influences = [], []
        for fold, rows in self._folds:
            with np.errstate(divide="ignore", invalid="ignore"):
                value_B, influence_PB = _mean_over_rates(fold, draw.count_RB[rows], self._rates)
            values.append(value_B)
            influences.append(influence_PB / len(self._folds))
        return np.asarray(np.mean(values, axis=0)), np.concatenate(influences)

    def value(self, draw: Draw) -> Floats:
        """The value alone."""
        return self(draw)[0]


def _mean_over_rates(
    fold: Events, count_PB: Floats, rates: Sequence[float]
) -> tuple[Floats, Floats]:
    """Sensitivity where that many false positives per image are accepted, and its influence."""
    x_TB, y_TB, images_B, lesions_B = fold.curve(count_PB)
    most_B = x_TB.max(axis=0, initial=0)
    value_B, moved_B = np.zeros(len(images_B)), np.zeros(len(images_B))
    weight_EB = np.zeros((len(fold.patient_E), len(images_B)))
    for rate in rates:
        height_B, group_B, part_B = read_curve(x_TB, y_TB, np.full(len(images_B), rate))
        step_B = np.sqrt(rate / images_B)
        low_B, high_B = np.maximum(rate - step_B, 0), rate + step_B
        rise_B = read_curve(x_TB, y_TB, high_B)[0] - read_curve(x_TB, y_TB, low_B)[0]
        # A curve that ends before the rate has no threshold to move.
        slope_B = np.where(most_B < low_B, 0, rise_B / (high_B - low_B)) / images_B
        above_EB = share_above(fold.group_E, group_B, part_B)
        weight_EB += above_EB * np.where(fold.lesion_E[:, None], 1 / lesions_B, -slope_B)
        value_B += np.where(lesions_B > 0, height_B, np.nan)
        moved_B += slope_B * np.minimum(rate, most_B)
    expected_PB = np.multiply.outer(fold.images_P, moved_B)
    expected_PB -= np.multiply.outer(fold.lesions_P, value_B / lesions_B)
    n = len(rates)
    return value_B / n, (fold.per_patient(weight_EB) + expected_PB) / n
