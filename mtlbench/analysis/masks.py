"""Statistics of masks: Dice by its several names, and FROC."""

from collections.abc import Collection, Sequence

import numpy as np

from mtlbench.analysis.align import Arm, Cases
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
from mtlbench.analysis.statistic import Kernel, Statistic
from mtlbench.config import CLASSES

NO_FINDINGS = "it has no lesions.csv and candidates.csv with hits"


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
    return min(
        zip([f"{name} in the truth" for name in names], sizes, strict=True), key=lambda one: one[1]
    )


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
