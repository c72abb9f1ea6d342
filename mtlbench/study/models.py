"""Whose weights stay on disk: `[resources] keep`."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from mtlbench.records import RunFolder

MODEL = "model.safetensors"


def drop_models(
    folder: Path, groups: Iterable[Collection[str]], rule: str, metric: str, needed: Collection[str]
) -> None:
    """Delete weights that the rule does not keep, of complete runs that nothing waits for.

    `groups` are the runs of each cell; `best` keeps one of each by the validation `metric`, or by
    the lesion Dice where the run has no such metric. A run of several groups is kept by any.
    """
    if rule == "all":
        return
    kept: set[str] = set(needed)
    seen: set[str] = set()
    for group in groups:
        scores = {
            name: _score(record, metric)
            for name in group
            if (record := RunFolder(folder / "runs" / name).record()).get("state") == "complete"
        }
        seen |= set(scores)
        if rule == "best" and scores:
            kept.add(max(scores, key=lambda name: scores[name]))
    for name in seen - kept:
        _drop(RunFolder(folder / "runs" / name))


def has_model(run: RunFolder) -> bool:
    """Whether a complete run's weights are still there."""
    return MODEL in run.record().get("files", {})


def _score(record: Mapping[str, Any], metric: str) -> float:
    validation = record["validation"]
    value = validation.get(metric.removeprefix("val."))
    value = validation.get("dice_lesions") if value is None else value
    return 0.0 if value is None else float(value)


def _drop(run: RunFolder) -> None:
    """The record goes first: a run whose record lists no weights is complete without them."""
    record = run.record()
    if MODEL in record["files"]:
        files = {name: entry for name, entry in record["files"].items() if name != MODEL}
        run.write_record(record | {"files": files})
    (run.path / MODEL).unlink(missing_ok=True)
