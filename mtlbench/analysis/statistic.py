"""One metric over the aligned arms, ready to be bootstrapped."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from mtlbench.analysis.align import Arm, Cases
from mtlbench.analysis.auc import AucKernel, Cluster, auc_rows, split_classes
from mtlbench.analysis.calibration import CalibrationKernel
from mtlbench.analysis.dice import (
    ALL,
    DiceKernel,
    class_names,
    classes_of,
    dice_rows,
    effective_patients,
    ratio_terms,
)
from mtlbench.analysis.findings import Findings
from mtlbench.analysis.frame import Floats, Indices, Mask
from mtlbench.analysis.froc import FrocKernel, events
from mtlbench.analysis.ranked import Functional, RankedKernel
from mtlbench.analysis.resample import Draw, Rows
from mtlbench.config import CLASSES

NO_FINDINGS = "it has no lesions.csv and candidates.csv with hits"


class Kernel(Protocol):
    """A metric of one arm with one seed as a function of what is drawn."""

    def __call__(self, draw: Draw) -> tuple[Floats, Floats]:
        """Value (B) and influence of each row (R × B)."""

    def value(self, draw: Draw) -> Floats:
        """The value alone (B)."""


@dataclass(frozen=True)
class Statistic:
    """A metric's rows and kernels; without rows it is undefined for every arm."""

    metric: str
    rows: Rows | None = None
    kernels: dict[str, list[Kernel]] = field(default_factory=dict)
    """Arm → a kernel per seed."""
    classes: tuple[str, ...] = ()
    """Names of the classes averaged; empty for `auc`."""
    n_patients: int = 0
    n_cases: int = 0
    n_positive: int = 0
    n_negative: int = 0
    scarce: tuple[str, int] = ("", 0)
    """The smallest group of patients that the metric needs: what they have, how many they are."""
    effective: tuple[str, float] = ("", np.inf)
    """Of pooled pixels: the class that the fewest patients carry, and `effective_patients`."""
    n_folds: int = 1
    reasons: dict[str, str] = field(default_factory=dict)
    """Arm → why it has no value."""
    notes: tuple[str, ...] = ()
    centres: dict[str, float] = field(default_factory=dict)
    """Arm → `Estimate.centre`, where the metric is corrected for bias."""
    no_interval: dict[str, str] = field(default_factory=dict)
    """Arm → `Estimate.no_interval`."""


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
        scarce=min(("a positive case", n_positive), ("a negative case", n_negative), key=_size),
        n_folds=len(folds),
        reasons=reasons,
    )


def dice_statistic(
    metric: str, cases: Cases, arms: Sequence[Arm], among: Collection[int] = ALL
) -> Statistic:
    """Prepare one of the Dice metrics; of the classes `among` those that `classes_of` finds."""
    reasons = {arm.name: "it has no predicted masks" for arm in arms if arm.pred_SNK is None}
    if cases.true_NK is None or np.isnan(cases.true_NK).all():
        why = "no test case has a mask"
        return Statistic(metric, reasons={arm.name: why for arm in arms} | reasons)
    masked_N = ~np.isnan(cases.true_NK[:, 0])
    true_NK, patient_N = cases.true_NK[masked_N], cases.patient_N[masked_N]
    classes = classes_of(metric, cases.true_NK, cases.fold_N, among)
    if not classes:
        why = "no class that it averages is in the truth of the test set (of every fold)"
        return Statistic(metric, reasons={arm.name: why for arm in arms} | reasons)
    rows = dice_rows(cases, masked_N)
    names = class_names(metric, classes)

    def kernel(pred_NK: Floats, both_NK: Floats) -> Kernel:
        terms = ratio_terms(metric, true_NK, pred_NK[masked_N], both_NK[masked_N])
        return DiceKernel(rows, patient_N, [term[:, list(classes)] for term in terms])

    area_NK = _areas(metric, true_NK)[:, list(classes)]
    lesion_N = true_NK[:, 1:].sum(axis=1) > 0
    return Statistic(
        metric,
        rows,
        {
            arm.name: [kernel(*pair) for pair in zip(arm.pred_SNK, arm.both_SNK, strict=True)]
            for arm in arms
            if arm.pred_SNK is not None and arm.both_SNK is not None
        },
        names,
        n_patients=len(np.unique(patient_N)),
        n_cases=int(masked_N.sum()),
        n_positive=int(lesion_N.sum()),
        n_negative=int((~lesion_N).sum()),
        scarce=_scarcest(area_NK, patient_N, names),
        effective=_narrowest(metric, area_NK, patient_N, names),
        n_folds=len(rows.strata),
        reasons=reasons,
        notes=tuple(_absent(metric, classes, true_NK, arms, masked_N)),
        no_interval=_without_lesions(classes, arms, masked_N),
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


def froc_statistic(
    metric: str, cases: Cases, arms: Sequence[Arm], rates: Sequence[float]
) -> Statistic:
    """Prepare the sensitivity to lesions at rates of false positives per image."""
    reasons = {arm.name: NO_FINDINGS for arm in arms if arm.findings is None}
    found = {arm.name: arm.findings for arm in arms if arm.findings is not None}
    if cases.true_NK is None or not found:
        return Statistic(metric, reasons={arm.name: NO_FINDINGS for arm in arms})
    masked_N = ~np.isnan(cases.true_NK[:, 0])
    lesions = next(iter(found.values())).lesions.drop_duplicates(["image_id", "lesion"])
    lesion_N = np.isin(cases.image_N, lesions["image_id"].to_numpy(str))
    folds = np.unique(cases.fold_N)
    if not all(lesion_N[cases.fold_N == fold].any() for fold in folds):
        why = "there must be a lesion in the test set (in each fold of it)"
        return Statistic(metric, reasons={arm.name: why for arm in arms})
    rows = dice_rows(cases, masked_N)

    def kernel(findings: Findings, seed: object) -> Kernel:
        parts = [
            events(
                cases, findings, seed, masked_N & (cases.fold_N == fold), rows.patient_R[stratum]
            )
            for fold, stratum in zip(folds, rows.strata, strict=True)
        ]
        return FrocKernel(rows, parts, rates)

    n_patients = len(np.unique(cases.patient_N[lesion_N]))
    return Statistic(
        metric,
        rows,
        {
            arm.name: [kernel(arm.findings, seed) for seed in arm.seeds]
            for arm in arms
            if arm.findings is not None
        },
        n_patients=len(rows.patient_R),
        n_cases=int(masked_N.sum()),
        n_positive=int(lesion_N.sum()),
        n_negative=int((masked_N & ~lesion_N).sum()),
        scarce=("a lesion", n_patients),
        n_folds=len(folds),
        reasons=reasons,
        notes=(f"{len(lesions)} lesions in {int(lesion_N.sum())} images",),
    )


def _areas(metric: str, true_NK: Floats) -> Floats:
    """Pixels of truth of what `classes_of` numbers."""
    return true_NK[:, 1:].sum(axis=1, keepdims=True) if metric == "dice_any" else true_NK


def _scarcest(area_NK: Floats, patient_N: Indices, names: Sequence[str]) -> tuple[str, int]:
    sizes = [len(np.unique(patient_N[area_N > 0])) for area_N in area_NK.T]
    return min(zip([f"{name} in the truth" for name in names], sizes, strict=True), key=_size)


def _narrowest(
    metric: str, area_NK: Floats, patient_N: Indices, names: Sequence[str]
) -> tuple[str, float]:
    """Dice per image weighs images alike, however large their lesions."""
    if metric == "dice_image":
        return "", np.inf
    numbers = map(float, effective_patients(area_NK, patient_N))
    return min(zip(names, numbers, strict=True), key=lambda one: one[1])


def _without_lesions(classes: Sequence[int], arms: Sequence[Arm], masked_N: Mask) -> dict[str, str]:
    """Arms whose lesions are all missed: their mean Dice would vary with the healthy pixels alone.

    Dice of the lesions themselves is 0, which is told as such.
    """
    lesions = [k for k in classes if k > 0]
    if 0 not in classes or not lesions:
        return {}
    return {
        arm.name: "not estimable where the Dice of every lesion class is 0"
        for arm in arms
        if arm.both_SNK is not None and not arm.both_SNK[:, masked_N][..., lesions].any()
    }


def _size(group: tuple[str, int]) -> int:
    return group[1]


def _absent(
    metric: str,
    classes: Sequence[int],
    true_NK: Floats,
    arms: Sequence[Arm],
    masked_N: Mask,
) -> list[str]:
    """Say what the mean over classes leaves out, once: for the metric that averages all."""
    if metric != "dice":
        return []
    notes = []
    for k in sorted(set(range(len(CLASSES))) - set(classes)):
        where = "every fold" if true_NK[:, k].sum() > 0 else "the test set"
        wrong = [
            f"{arm.name} {(arm.pred_SNK - arm.both_SNK)[:, masked_N, k].sum(axis=1).mean():.0f}"
            for arm in arms
            if arm.pred_SNK is not None and arm.both_SNK is not None
        ]
        notes.append(
            f"class {CLASSES[k]!r} is not in the truth of {where} and not averaged; pixels that "
            f"are wrongly predicted as it: {', '.join(wrong)}"
        )
    return notes
