"""Statistics of scores and labels: AUC, what is read off the ROC curve, calibration."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mtlbench.analysis.align import Arm, Cases
from mtlbench.analysis.auc import AucKernel, Cluster, auc_rows, split_classes
from mtlbench.analysis.calibration import CalibrationKernel
from mtlbench.analysis.frame import Floats
from mtlbench.analysis.ranked import Functional, RankedKernel
from mtlbench.analysis.resample import Rows
from mtlbench.analysis.statistic import Kernel, Statistic


def auc_statistic(cases: Cases, arms: Sequence[Arm]) -> Statistic:
    """Prepare `auc`; what cannot be computed gets a reason instead of a kernel."""
    reasons = {arm.name: "it has no scores" for arm in arms if arm.score_SN is None}
    if cases.label_N is None:
        return Statistic("auc", reasons=reasons)
    label_N = cases.label_N
    folds = split_classes(cases, label_N)
    if any(len(cluster.patients) == 0 for fold in folds for cluster in fold):
        lacking = "each fold of the test set" if len(folds) > 1 else "the test set"
        why = f"{lacking} must have positive and negative cases"
        return Statistic("auc", reasons={arm.name: why for arm in arms} | reasons)
    rows = auc_rows(folds)
    n_positive, n_negative = (sum(len(fold[side].patients) for fold in folds) for side in (0, 1))
    return Statistic(
        "auc",
        rows,
        {
            arm.name: [AucKernel(folds, score_N) for score_N in arm.score_SN]
            for arm in arms
            if arm.score_SN is not None
        },
        n_patients=len(np.unique(rows.patient_R)),
        n_cases=int((~np.isnan(label_N)).sum()),
        n_positive=int((label_N == 1).sum()),
        n_negative=int((label_N == 0).sum()),
        scarce=min(
            ("a positive case", n_positive), ("a negative case", n_negative), key=lambda one: one[1]
        ),
        n_folds=len(folds),
        reasons=reasons,
    )


def ranked_statistic(
    metric: str, cases: Cases, arms: Sequence[Arm], functional: Functional, *, by_class: bool
) -> Statistic:
    """Prepare a functional of scores and labels.

    `by_class`: its strata are the patients with positive and those with negative cases, as for
    AUC; else, where the metric depends on how frequent positives are, all labelled patients.
    """
    frame = replace(auc_statistic(cases, arms), metric=metric)
    if frame.rows is None or cases.label_N is None:
        return frame
    label_N = cases.label_N
    folds: list[tuple[Cluster, ...]] = [*split_classes(cases, label_N)]
    if not by_class:
        folds = [(cluster,) for cluster in labelled(cases, label_N)]
    rows = Rows([[cluster.patients for cluster in fold] for fold in folds])
    kernels: dict[str, list[Kernel]] = {
        arm.name: [RankedKernel(folds, label_N, score_N, functional) for score_N in arm.score_SN]
        for arm in arms
        if arm.score_SN is not None
    }
    return replace(frame, rows=rows, kernels=kernels)


def calibration_statistic(metric: str, cases: Cases, arms: Sequence[Arm]) -> Statistic:
    """Prepare the calibration error."""
    frame = replace(auc_statistic(cases, arms), metric=metric)
    if frame.rows is None or cases.label_N is None:
        return frame
    label_N, folds = cases.label_N, labelled(cases, cases.label_N)
    own = {
        arm.name: [CalibrationKernel(folds, label_N, score_N) for score_N in arm.score_SN]
        for arm in arms
        if arm.score_SN is not None
    }
    rows = Rows([(cluster.patients,) for cluster in folds])
    itself = rows.draw(np.ones((rows.n_patients, 1), np.int64))
    centres = {
        arm: float(np.mean([kernel.plain(itself) for kernel in of_seeds]))
        for arm, of_seeds in own.items()
    }
    kernels: dict[str, list[Kernel]] = {arm: [*of_seeds] for arm, of_seeds in own.items()}
    return replace(frame, rows=rows, kernels=kernels, centres=centres)


def labelled(cases: Cases, label_N: Floats) -> list[Cluster]:
    """The labelled cases of each fold."""
    return [
        Cluster(np.flatnonzero(~np.isnan(label_N) & (cases.fold_N == fold)), cases.patient_N)
        for fold in np.unique(cases.fold_N)
    ]
