"""What the metrics of the tables and figures are, in a sentence or two each."""

from collections.abc import Iterator, Sequence

from mtlbench.analysis.calibration import N_BINS
from mtlbench.analysis.froc import RATES
from mtlbench.config import HIT_IOU
from mtlbench.report.numbers import Numbers


def of_metrics(numbers: Numbers) -> Iterator[str]:
    """Of those that are shown."""
    metrics = numbers.all_metrics()
    yield _dice(numbers)
    yield empty(metrics)
    yield calibration(metrics)
    yield froc(metrics)


def calibration(metrics: Sequence[str]) -> str:
    """What the calibration error is: not the plain one."""
    if "ece" not in metrics:
        return ""
    return (
        f"Calibration error is the expected calibration error over {N_BINS} bins of equal width, "
        "reduced in each bin by what chance adds to it where all is calibrated."
    )


def froc(metrics: Sequence[str]) -> str:
    """What a hit is, and what is averaged."""
    if "froc" not in metrics:
        return ""
    return (
        "For FROC, a lesion is a connected component (8 neighbours) of one class in the truth, a "
        "candidate one of the pixels predicted to be any lesion, scored by its largest probability "
        "of any lesion. A candidate hits a lesion where their intersection over union is at least "
        f"{HIT_IOU:g}, whatever its class. The score is the mean sensitivity at "
        f"{', '.join(f'{rate:g}' for rate in RATES)} false positives per image; a model that makes "
        "fewer counts there with all its candidates."
    )


def _dice(numbers: Numbers) -> str:
    if not any(metric.startswith("dice") for metric in numbers.metrics()):
        return ""
    return (
        f"Mean Dice: Dice over the pooled pixels of the test set, averaged over "
        f"{', '.join(numbers.classes)} (the classes in the test set’s truth). Lesion Dice leaves "
        "healthy out; any-lesion Dice is lesion against healthy; per-image Dice averages over "
        "images, then classes."
    )


def empty(metrics: Sequence[str]) -> str:
    """What Dice makes of a class without a pixel."""
    rules = []
    if any(metric.startswith("dice") and metric != "dice_image" for metric in metrics):
        rules.append("pooled Dice leaves out classes that the whole test set’s truth lacks")
    if "dice_image" in metrics:
        rules.append(
            "per-image Dice skips a class in neither truth nor prediction and counts 0 for one "
            "only predicted"
        )
    return f"Empty masks: {'; '.join(rules)}." if rules else ""
