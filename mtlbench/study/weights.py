"""Whose weights are on disk: `[resources] keep`, and what starts from them.

One rule, for the runs of a design and the trials of a search:

- A run's weights stay while a run that is not complete starts from it, wanted by this start or not.
- Of all others `keep` says whose stay.
- Weights that are gone (not kept, deleted, damaged) are made again when a run is about to start
  from them, and only then: by the same training in a folder of its own, `runs/<hash>-weights`. The
  run that has lost them stays complete meanwhile, its record and results as they are.
"""

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from mtlbench.records import MODEL, RunFolder, digest, run_folder
from mtlbench.study.design import Run
from mtlbench.study.status import found
from mtlbench.training.run import KEPT

AGAIN = "-weights"
"""Ends the name of a run that makes the weights of another again."""


class Again(Run):
    """The training of a complete run once more, for its weights."""

    @cached_property
    def hash(self) -> str:
        """The run's name: that of the first, marked."""
        return digest(self.config) + AGAIN


def first_of(name: str) -> str:
    """The run whose weights are made again by the run of this name, or that run itself."""
    return name.removesuffix(AGAIN)


def drop_models(
    folder: Path, groups: Iterable[Collection[str]], keep: str, metric: str, runs: Iterable[Run]
) -> None:
    """Delete the weights of complete runs that neither `keep` holds nor one of `runs` needs.

    `groups` are the runs of each cell; `best` keeps one of each by the validation `metric`, or by
    the lesion Dice where the run has no such metric. A run of several groups is kept by any.
    """
    if keep == "all":
        return
    seen, kept = set[str](), set[str]()
    for group in groups:
        scores = {
            name: _score(record, metric)
            for name in group
            if (record := run_folder(folder, name).record()).get("state") == "complete"
        }
        seen |= set(scores)
        if keep == "best" and scores:
            kept.add(max(scores, key=lambda name: scores[name]))
    idle = seen - kept
    needed = {
        run.starts_from
        for run in runs
        if run.starts_from in idle and run_folder(folder, run.hash).state() != "complete"
    }
    for name in idle - needed:
        _drop(run_folder(folder, name))


def has_model(run: RunFolder) -> bool:
    """Whether a complete run's weights are still there."""
    return MODEL in run.record().get("files", {})


def mend(run: RunFolder) -> bool:
    """Hold a complete run to its files; tell whether it has lost its weights, and nothing else.

    Without them it stays complete. Where another file is not what it wrote, it no longer is.
    """
    if run.record().get("state") != "complete" or run.state(verify=True) == "complete":
        return False
    _drop(run)
    run.reopen_if_damaged()
    return run.state() == "complete"


def weights_again(folder: Path, run: Run) -> Run | None:
    """Give the run that makes a complete run's weights again; None where they are there.

    It is compiled as the first was, for the same bits.
    """
    first = run_folder(folder, run.hash)
    take_over(folder, run.hash)  # what a killed driver has left
    if has_model(first):
        return None
    again = Again(run.config, run.steps, run.epochs, run.weights)
    place = run_folder(folder, again.hash)
    if place.record().get("state", "complete") == "complete":  # new, or taken over before
        record = first.record()
        known = {key: record[key] for key in ("device", *KEPT) if key in record}
        place.write_record(known | {"state": "interrupted"})
    return again


def to_make_again(folder: Path, runs: Mapping[str, Run]) -> list[Run]:
    """The complete runs among `runs` whose weights `study run` will make again; nothing is written.

    They are those that a run which is not complete starts from, and so on down its stages.
    """
    again: dict[str, Run] = {}
    for name, run in runs.items():
        start = run.starts_from
        if found(run_folder(folder, name))[0] == "complete":
            continue
        while start is not None and _has_lost_weights(run_folder(folder, start)):
            again[start] = runs[start]
            start = runs[start].starts_from
    return list(again.values())


def _has_lost_weights(run: RunFolder) -> bool:
    state, record, lacking = found(run)
    return state == "complete" and (MODEL in lacking or MODEL not in record["files"])


def take_over(folder: Path, name: str) -> None:
    """Give a run the weights that have been made again; a kill on the way costs these alone."""
    first, again = run_folder(folder, name), run_folder(folder, name + AGAIN)
    if not has_model(again) or again.state(verify=True) != "complete":
        return
    (again.path / MODEL).replace(first.path / MODEL)
    record, entry = first.record(), again.record()["files"][MODEL]
    first.write_record(record | {"files": record["files"] | {MODEL: entry}})
    _drop(again)


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
