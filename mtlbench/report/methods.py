"""The methods paragraph: what was trained, selected and tested, and how, ready to paste.

Everything comes from the files of the results folder: `study.toml`, and the `config.json` and
`record.json` of its runs.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mtlbench.analysis.seeds import MIN_SEEDS
from mtlbench.report import definitions, files, text
from mtlbench.report.collect import Cell, Study
from mtlbench.report.notes import (
    budget_rule,
    interval_methods,
    span,
    split_rule,
)
from mtlbench.report.numbers import Numbers
from mtlbench.report.runs import Run
from mtlbench.report.tables import ADJUSTED, epoch_rule

TASKS = {(True, False): "classification", (False, True): "segmentation", (True, True): "both tasks"}


def methods(study: Study, numbers: Numbers) -> str:
    """A few paragraphs of plain text, a blank line between them."""
    paragraphs = (_data(study), _training(study), _selection(study), _tests(study, numbers))
    sentences = (filter(None, paragraph) for paragraph in (*paragraphs, [_cost(study)]))
    return "\n\n".join(" ".join(paragraph) for paragraph in sentences)


def _data(study: Study) -> Iterator[str]:
    data = study.config.data
    height, width = data.size
    kept = "" if data.subset == "all" else f", {data.subset} images only"
    yield (
        f"We used {study.data_name}{kept}; images were resampled to {height} × {width} pixels "
        f"(intensity: {data.intensity}; crop: {data.crop}; artefacts: {data.artefacts})."
    )
    yield (
        f"The classification task was {data.label_rule.describe(study.config.dataset)}. The cases "
        f"were split {split_rule(study)}."
    )


def _training(study: Study) -> Iterator[str]:
    arms = dict.fromkeys(cell.arm for cell in study.complete)
    trained = text.listed(f"{arm} ({_stages(study, arm)})" for arm in arms)
    yield f"We {'compared' if len(arms) > 1 else 'trained'} {trained}."
    weights = _said(study, "model.weights").replace("none", "random")
    yield (
        f"All networks had the backbone {_said(study, 'model.backbone')} (output stride "
        f"{_said(study, 'model.output_stride')}, {_said(study, 'model.pooling')} pooling, "
        f"{weights} initial weights)."
    )
    yield (
        f"They were trained with AdamW (learning rate {_said(study, 'optim.lr')}, weight decay "
        f"{_said(study, 'optim.weight_decay')}, batch size {_said(study, 'optim.batch_size')}); "
        f"the learning rate rose linearly over a fraction of {_said(study, 'optim.warmup')} of the "
        "steps and then followed a cosine decay."
    )
    if loss := _said(study, "loss.segmentation"):
        classes = _said(study, "loss.class_weights")
        yield f"The segmentation loss was {loss} (class weights: {classes})."
    for ranges in _values(study, "augment"):
        yield f"The images were augmented at random ({_augmentation(ranges)})."
    yield f"The training budget was {budget_rule(study)}."


def _augmentation(ranges: Mapping[str, Any]) -> str:
    """The transforms that are on, with their range to either side."""
    on = {key.removesuffix("_deg"): value for key, value in ranges.items() if value}
    words = [key if value is True else f"{key} ±{_number(value)}" for key, value in on.items()]
    return ", ".join(words) or "none"


def _stages(study: Study, arm: str) -> str:
    """`segmentation, then classification`, or `both tasks at once, λ = 0.5`."""
    first = study.of_arm(arm)[0].runs[0]
    tasks = [TASKS[stage["cls_weight"] > 0, stage["seg_weight"] > 0] for stage in _chain(first)]
    words = ", then ".join(tasks)
    if tasks[-1] != "both tasks":
        return words
    runs = _runs(study.of_arm(arm))
    lambdas = sorted({stage["cls_weight"] for run in runs for stage in _chain(run)[-1:]})
    return f"{words} at once, λ = {_or(lambdas)}"


def _chain(run: Run) -> list[Mapping[str, Any]]:
    return list(run.config["stages"])


def _selection(study: Study) -> Iterator[str]:
    folds = f" in each of {study.config.data.folds} folds" if study.config.data.folds else ""
    seeds = study.config.seeds
    noun = "seeds" if len(seeds) > 1 else "seed"
    yield f"Every arm was trained with the {noun} {text.listed(map(str, seeds))}{folds}."
    rules = {epoch_rule(cell) for cell in study.complete}
    for rule in sorted(rule for rule in rules if rule):
        yield f"We kept the weights of the epoch with the best {rule} on the validation set."
    if None in rules:
        others = " of the other arms" if len(rules) > 1 else ""
        yield f"We kept the weights of the last epoch{others}."
    for arm, trials in study.trials.groupby("arm", sort=False):
        yield _search(study, str(arm), len(trials))
    if any(study.is_chosen(cell) for cell in study.complete):
        chosen = study.config.compare.choose
        yield f"Of an arm with several cells, the one with the best mean {chosen} represents it."
    yield "The test set was not used for any choice."


def _search(study: Study, arm: str, trials: int) -> str:
    search = study.config.search
    keys = [key for one in study.config.arms if one.name == arm for key in one.search]
    how = f" with Optuna’s {search.sampler} sampler (pruner: {search.pruner})" if search else ""
    return (
        f"For {arm}, {trials} configurations of {text.listed(keys)} were tried on the validation "
        f"set{how}."
    )


def _tests(study: Study, numbers: Numbers) -> Iterator[str]:
    rules = study.config.compare
    yield (
        f"The test set had {span(numbers, 'n_patients')} patients ({span(numbers, 'n_cases')} "
        f"cases). {rules.resamples:,} bootstrap resamples were of whole patients, the same for all "
        "arms, seeds and metrics."
    )
    intervals = interval_methods(study, numbers.estimates, numbers.all_metrics())
    yield f"The {text.level_text(rules.level)} intervals were computed by {intervals}."
    differences = interval_methods(study, numbers.comparisons, numbers.all_metrics())
    yield definitions.calibration(numbers.all_metrics())
    yield definitions.froc(numbers.all_metrics())
    if all(len(cell.seeds) >= MIN_SEEDS for cell in study.complete):
        yield (
            "Values are means over the seeds, which were treated as random readers (Obuchowski and "
            "Rockette 1995; degrees of freedom by Hillis 2007); where a metric is skewed, their "
            "standard error was widened by the quantile of the studentised bootstrap (Hall 1988)."
        )
    else:
        yield "Values are means over seeds and folds; intervals hold for these trained models only."
    yield (
        "Differences from the baseline were paired by patient, with intervals by "
        f"{differences}; p-values invert these intervals and were adjusted by the "
        f"{ADJUSTED[rules.adjust]} procedure over all cells within one metric."
    )
    if rules.margins:
        margins = (f"{text.metric_name(k)} {text.percent(v)}" for k, v in rules.margins.items())
        yield f"The margins of non-inferiority, in points, were {text.listed(margins)}."


def _cost(study: Study) -> str:
    runs = [run for cell in study.complete for run in cell.runs]
    versions = sorted({f"{k} {v}" for run in runs for k, v in run.record["versions"].items()})
    spent = text.listed(f"{n} runs took {hours}" for n, hours in spent_by_device(study))
    pruned = (study.trials["state"] == "pruned").sum() if len(study.trials) else 0
    left_out = f"; {pruned} pruned trials are not counted" if pruned else ""
    return (
        f"The software was {', '.join(versions)}. In total, {spent}, the times of single runs "
        f"added up{left_out}."
    )


def spent_by_device(study: Study) -> list[tuple[int, str]]:
    """Number of complete runs and `1.25 GPU hours on <device>`, for each device.

    All complete runs of the folder count: also trials, and stages that others start from.
    """
    seconds: dict[str, list[float]] = defaultdict(list)
    for path in sorted((study.folder / "runs").glob("*/record.json")):
        if files.json_object(path).get("state") == "complete":
            record = files.json_object(path, files.RECORD)
            seconds[str(record["device"])].append(float(record["wall_s"]))
    return [
        (len(times), f"{_hours(study, device, sum(times))} on {device}")
        for device, times in sorted(seconds.items())
    ]


def _hours(study: Study, device: str, seconds: float) -> str:
    """A run's time by what it holds meanwhile: its GPUs, or its processes' threads."""
    resources = study.config.resources
    on_cpu = device.startswith("cpu")
    held = resources.gpus_per_run * (resources.threads if on_cpu else 1)
    return f"{seconds * held / 3600:.3g} {'core' if on_cpu else 'GPU'} hours"


def _said(study: Study, key: str) -> str:
    """The values of a configuration's key over all runs, `a or b`; empty where none has it."""
    return _or(_values(study, key))


def _values(study: Study, key: str) -> list[Any]:
    found: list[Any] = []
    for run in _runs(study.complete):
        value: Any = run.config
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is not None and value not in found:
            found.append(value)
    return found


def _runs(cells: Iterable[Cell]) -> Iterator[Run]:
    return (run for cell in cells for run in cell.runs)


def _or(values: Sequence[Any]) -> str:
    words = dict.fromkeys(_number(value) for value in values)
    return text.listed(words, "or") if words else ""


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
