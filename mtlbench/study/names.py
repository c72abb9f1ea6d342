"""Names and files in a study, checked against the dicts and folders that they point into."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from mtlbench.analysis.metric import find_metric
from mtlbench.analysis.published import load_published, why_disabled
from mtlbench.config import (
    Arm,
    CompareConfig,
    OptimConfig,
    ResourcesConfig,
    RunConfig,
    SearchConfig,
    StudyConfig,
)
from mtlbench.data.adapters import ADAPTERS
from mtlbench.data.split import check_split_config
from mtlbench.errors import StudyError
from mtlbench.models.backbones import BACKBONES
from mtlbench.training.losses import LOSSES
from mtlbench.training.strategies import STRATEGIES

BASELINE_METRICS = ("auc", "dice")
"""Keys of a `baseline` table; `dice` stands for all Dice metrics."""


def check_study(study: StudyConfig, folder: Path) -> Iterator[str]:
    """Yield a line `dotted.key: what must hold` per fault that is not an arm's own.

    `folder` is the study file's, from which `compare.registry` is named.
    """
    if fault := _unknown(study.dataset, ADAPTERS):
        yield f"dataset: {fault}"
    yield from _check_published(study.compare, folder)
    yield from _check_metrics(study.compare)
    if isinstance(study.baseline, dict):
        for metric in study.baseline:
            if fault := _unknown(metric, BASELINE_METRICS):
                yield f"baseline: {fault}"
    try:
        check_split_config(study.data)
    except StudyError as error:
        yield str(error)
    yield from _swept_baselines(study)


def _check_published(compare: CompareConfig, folder: Path) -> Iterator[str]:
    try:
        entries = load_published(folder / compare.registry if compare.registry else None)
    except StudyError as error:
        yield from (f"compare.registry: {line}" for line in str(error).splitlines())
        return
    for name in compare.published:
        if fault := why_disabled(entries, name):
            yield f"compare.published: {fault}"


def _check_metrics(compare: CompareConfig) -> Iterator[str]:
    keys = {"further": compare.further, "margins": compare.margins}
    for key, names in keys.items():
        for name in names:
            try:
                find_metric(name)
            except StudyError as error:
                yield f"compare.{key}: {error}"


def check_names(config: RunConfig) -> Iterator[tuple[str, str]]:
    """Yield (dotted key, what must hold) per name or file of an arm that does not exist."""
    names: list[tuple[str, str, Collection[str]]] = [
        ("strategy", config.strategy, STRATEGIES),
        ("model.backbone", config.model.backbone, BACKBONES),
        ("loss.segmentation", config.loss.segmentation, LOSSES),
    ]
    for key, name, known in names:
        if fault := _unknown(name, known):
            yield key, fault
    weights = config.model.weights
    if weights not in ("none", "imagenet") and not Path(weights).expanduser().is_file():
        yield "model.weights", f"must be 'none', 'imagenet' or a file, but got {weights!r}"


def check_parts(optim: OptimConfig, resources: ResourcesConfig) -> Iterator[tuple[str, str]]:
    """Yield (dotted key, what must hold) where a batch cannot be computed in its parts."""
    ranks, parts = resources.gpus_per_run, optim.accumulate
    if optim.batch_size < ranks * parts:
        least = f"resources.gpus_per_run times optim.accumulate, {ranks} x {parts}"
        yield "optim.batch_size", f"must be at least {least}, but got {optim.batch_size}"
    if parts > 1 and resources.compile == "reduce-overhead":
        fault = "must be 1 with resources.compile = 'reduce-overhead', whose CUDA graphs would"
        yield "optim.accumulate", f"{fault} overwrite a part's gradients, but got {parts}"


def check_point(
    arm: Arm, params: Mapping[str, Any], config: RunConfig
) -> Iterator[tuple[str, str]]:
    """Yield (dotted key, what must hold) per range of whole numbers of a key that is not whole."""
    for key, value in params.items():
        space = arm.search.get(key)
        if space is None or space.choices is not None or not space.whole:
            continue
        found: Any = config.model_dump(by_alias=True)
        for part in key.split("."):
            found = found[part]
        if type(found) is not type(value):
            yield (
                key,
                (
                    "low and high must be written with a decimal point, since the key is "
                    f"continuous, but got {space.low} and {space.high}"
                ),
            )


def check_objectives(search: SearchConfig, arm: Arm, config: RunConfig) -> Iterator[str]:
    """Yield a line per objective whose task a point of the arm's space does not train."""
    if config.strategy not in STRATEGIES:
        return
    stages = STRATEGIES[config.strategy](config)
    for metric in search.objectives:
        is_auc = metric == "val.auc"
        if not any(stage.cls_weight if is_auc else stage.seg_weight for stage in stages):
            yield (
                f"search.objective: {metric} must be defined in all of a search, but arm "
                f"{arm.name!r} reaches strategy {config.strategy!r} with "
                f"loss.lambda = {config.loss.lambda_:g}, which does not train its task"
            )


def _unknown(name: str, known: Collection[str]) -> str | None:
    return None if name in known else f"must be one of {', '.join(sorted(known))}, but got {name!r}"


def _swept_baselines(study: StudyConfig) -> Iterator[str]:
    """A baseline is one row, so a swept arm needs a rule that chooses its cell."""
    names = [study.baseline] if isinstance(study.baseline, str) else study.baseline.values()
    swept = {arm.name for arm in study.arms if arm.vary}
    for name in dict.fromkeys(names):
        if name in swept and not study.compare.choose:
            yield f"baseline: {name!r} has `vary`, so compare.choose must say which cell it is"
