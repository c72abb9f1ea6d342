"""A study may grow, not change under runs that have begun: those would be left behind unseen."""

import contextlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mtlbench.config import StudyConfig, load_study
from mtlbench.errors import StudyError
from mtlbench.models.backbones.pretrained import CONTENT
from mtlbench.records import RunFolder, canonical_json, digest, read_json, run_folder
from mtlbench.study.cells import flatten
from mtlbench.study.design import Design, Run
from mtlbench.study.status import read_cells

Line = Mapping[str, str]
"""A row of cells.csv."""
Pair = tuple[str, str, Run | None]
"""What a run is called, its name so far, and what the study would now run in its place."""
_OF_A_RUN = ("seed", "predict", "starts_from")
"""Keys of a run's configuration in which a finalist differs from the trial that found it."""


def refuse_changes(folder: Path, pairs: Iterable[Pair]) -> None:
    """Raise StudyError with a diff where a run that has begun is no longer in the study."""
    runs: dict[str, set[str]] = {}
    for label, old, new in pairs:
        if (new is None or new.hash != old) and has_begun(run_folder(folder, old)):
            for line in _difference(folder, label, old, new):
                runs.setdefault(line, set()).add(old)
    counts = ((line, len(names)) for line, names in runs.items())
    _refuse(folder, [f"{line} ({n} run{'s' * (n > 1)})" for line, n in counts])


def refuse_search_changes(folder: Path, study: StudyConfig, begun: Collection[str]) -> None:
    """Raise StudyError with a diff where a search that has begun would now try something else.

    What it was, the study file of the last start says; `trials` and `finalists` may change. A wider
    space would hold all that was tried, but the trials of one search come from one space. `begun`
    are the arms that have trials.
    """
    path = folder / "study.toml"
    if not path.is_file():
        raise StudyError(f"{path}: must be there, since it says how trials.csv was searched")
    before, after = _search(load_study(path), begun), _search(study, begun)
    keys = _differing(before, after)
    _refuse(folder, [f"{key}: {_say(before, key)} -> {_say(after, key)}" for key in keys])


def _search(study: StudyConfig, begun: Collection[str]) -> dict[str, Any]:
    """What shapes the trials of the arms that have begun: dotted key → value."""
    if study.search is None:
        return {}
    shaping = study.search.model_dump(mode="json", exclude={"trials", "finalists"})
    shaping["trial_seeds"] = study.trial_seeds
    return {f"search.{key}": value for key, value in shaping.items()} | {
        f"arms.{arm.name}.search.{key}": distribution.model_dump(mode="json", exclude_defaults=True)
        for arm in study.arms
        if arm.name in begun
        for key, distribution in arm.search.items()
    }


def _refuse(folder: Path, differences: Sequence[str]) -> None:
    if differences:
        raise StudyError(
            f"{folder}: a study may grow, but what has begun must stay as it is; these differ:\n"
            + "\n".join(f"  {line}" for line in differences)
            + "\n  take the change back, or give the changed study another name"
        )


def has_begun(run: RunFolder) -> bool:
    """Whether there is something to leave behind; results that came without weights are not."""
    return run.state() != "pending"


def pairs_of(folder: Path, design: Design, searched: Collection[str] = ()) -> list[Pair]:
    """Each line of the last start's cells.csv, with the run that now has its place.

    The cells of arms that are `searched` are what the search has found so far: those that others
    have displaced are left out, with the stages that no other line starts from. Where cells.csv is
    gone, the run folders say what there was.
    """
    lines = read_cells(folder)
    if not lines:
        return _pairs_of_folders(folder, design)
    _, held = _parted(lines, design, searched)
    now: dict[tuple[str, str, str], Run] = {}
    for row in design.rows:
        fold = "" if row.fold is None else str(row.fold)
        now.setdefault((row.cell.label if row.cell else "", str(row.seed), fold), row.run)
    return [
        (line["cell"] or "a stage", line["hash"], design.runs.get(line["hash"]) or now.get(
            (line["cell"], line["seed"], line["fold"])))
        for line in lines
        if line["hash"] in held
    ]  # fmt: skip


def former_finalists(folder: Path, design: Design, searched: Collection[str]) -> list[str]:
    """Runs of the last start's cells.csv that have begun and that no present cell has or needs."""
    former, _ = _parted(read_cells(folder), design, searched)
    own = former - set(design.runs)
    return sorted(name for name in own if has_begun(run_folder(folder, name)))


def _parted(
    lines: Sequence[Line], design: Design, searched: Collection[str]
) -> tuple[set[str], set[str]]:
    """Runs of displaced finalists, and of all other cells; each with what they start from."""
    cells = {cell.label for cell in design.cells}
    before = {line["hash"]: line["starts_from"] for line in lines}
    former, held = set[str](), set[str]()
    for line in (line for line in lines if line["cell"]):
        is_former = line["arm"] in searched and line["cell"] not in cells
        name = line["hash"]
        while name:
            (former if is_former else held).add(name)
            name = before.get(name, "")
    return former, held


def _pairs_of_folders(folder: Path, design: Design) -> list[Pair]:
    """Each run in the folders that is not in the design, with the run there that is most like it.

    Trials are left out, and other seeds of them: that is what a finalist is, or was.
    """
    found = _configs(folder)
    tried = {_essence(config) for config in found.values() if "predict" in config}
    ours = [(run, _flat(run.config)) for run in design.runs.values()]
    pairs: list[Pair] = []
    for name, config in found.items():
        if name not in design.runs and _essence(config) not in tried:
            flat = _flat(config)
            alike = [(run, now) for run, now in ours if _instance(now) == _instance(flat)]
            nearest = min(alike, key=lambda pair: len(_differing(flat, pair[1])), default=(None,))
            pairs.append((f"run {name}", name, nearest[0]))
    return pairs


def _configs(folder: Path) -> dict[str, Mapping[str, Any]]:
    """What the runs that have folders compute, by their names; what cannot be read is left out."""
    found: dict[str, Mapping[str, Any]] = {}
    for path in sorted((folder / "runs").glob("*/config.json")):
        with contextlib.suppress(json.JSONDecodeError, UnicodeDecodeError):
            config = read_json(path)
            found[digest(config)] = config
    return found


def _essence(config: Mapping[str, Any]) -> str:
    """What a trial's run has in common with a finalist's."""
    return canonical_json({k: config[k] for k in config if k not in _OF_A_RUN})


def _instance(flat: Mapping[str, Any]) -> tuple[Any, Any]:
    return flat["seed"], flat["fold"]


def _difference(folder: Path, label: str, old: str, new: Run | None) -> list[str]:
    """Lines `dotted.key: was -> is` for two configurations."""
    if new is None:
        return [f"{label}: is no longer in the study"]
    try:
        before = _flat(read_json(run_folder(folder, old).path / "config.json"))
    except (FileNotFoundError, json.JSONDecodeError):
        return [f"{label}: its config.json is gone"]
    after = _flat(new.config)
    keys = _differing(before, after)
    own = [key for key in keys if key != "starts_from"] or keys
    return [f"{key}: {_change(before, after, key)}{_source(key)}" for key in own]


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    return [key for key in {**before, **after} if before.get(key) != after.get(key)]


def _change(before: Mapping[str, Any], after: Mapping[str, Any], key: str) -> str:
    if all(str(values.get(key)).startswith(CONTENT) for values in (before, after)):
        return "other content"
    return f"{_say(before, key)} -> {_say(after, key)}"


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    stages = {str(number): stage for number, stage in enumerate(config["stages"], start=1)}
    return flatten({**config, "stages": stages})


def _source(key: str) -> str:
    """Where the study file says what a stage does."""
    if not key.startswith("stages."):
        return ""
    return ", by strategy, loss.lambda" if key.endswith("_weight") else ", by strategy, budget"


def _say(values: Mapping[str, Any], key: str) -> str:
    return canonical_json(values[key]) if key in values else "absent"
