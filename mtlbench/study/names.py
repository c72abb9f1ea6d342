"""Names in a study file, checked against the dicts that they point into."""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from mtlbench.analysis.published import load_published
from mtlbench.config import StudyConfig
from mtlbench.data.adapters import ADAPTERS
from mtlbench.models.backbones import BACKBONES
from mtlbench.training.losses import LOSSES
from mtlbench.training.strategy import STRATEGIES

if TYPE_CHECKING:
    from mtlbench.study.design import Cell

BASELINE_METRICS = ("auc", "dice")
"""Keys of a `baseline` table; `dice` stands for all Dice metrics."""


def check_names(study: StudyConfig, cells: Iterable["Cell"]) -> list[str]:
    """One line `dotted.key: what must hold` per name that is not known."""
    lines = [*_unknown("dataset", study.dataset, ADAPTERS)]
    for cell in cells:
        config = cell.config
        lines += _unknown("strategy", config.strategy, STRATEGIES, cell.label)
        lines += _unknown("model.backbone", config.model.backbone, BACKBONES, cell.label)
        lines += _unknown("loss.segmentation", config.loss.segmentation, LOSSES, cell.label)
    verified = [name for name, entry in load_published().items() if entry.enabled]
    for name in study.compare.published:
        lines += _unknown("compare.published", name, verified)
    if isinstance(study.baseline, dict):
        for metric in study.baseline:
            lines += _unknown("baseline", metric, BASELINE_METRICS)
    lines += _baselines(study)
    return lines


def _unknown(key: str, name: str, known: Collection[str], where: str = "") -> list[str]:
    if name in known:
        return []
    arm = f" (arm {where})" if where else ""
    return [f"{key}: must be one of {', '.join(sorted(known))}, but got {name!r}{arm}"]


def _baselines(study: StudyConfig) -> list[str]:
    """A baseline is one row, so a swept arm needs a rule that chooses its cell."""
    if study.compare.choose:
        return []
    names = [study.baseline] if isinstance(study.baseline, str) else study.baseline.values()
    swept = {arm.name for arm in study.arms if arm.vary}
    return [
        f"baseline: {name!r} has `vary`, so compare.choose must say which cell stands for it"
        for name in names
        if name in swept
    ]
