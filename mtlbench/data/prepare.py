"""From a data set's folder to a prepared one: one pass, never half written.

H, W = prepared height and width in pixels.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import mtlbench
from mtlbench.config import DataConfig
from mtlbench.data.adapters import read_index
from mtlbench.data.check import between_images, equal_pixels, errors
from mtlbench.data.convert import PLACEMENT_COLUMNS, convert, lost_image
from mtlbench.data.index import CASE_COLUMNS, LESION_COLUMNS
from mtlbench.data.journal import Journal, findings_of
from mtlbench.data.mammogram import Finding, Mammogram
from mtlbench.data.parallel import ordered_map
from mtlbench.data.prepared import FILES, PREPARED_SCHEMA, Prepared, open_prepared
from mtlbench.data.scratch import scratch_folder
from mtlbench.data.select import Excluded, Selection, exclude_faulty, select
from mtlbench.errors import DataError
from mtlbench.records import digest, file_sha256, sync_folder, write_csv, write_json

Progress = Callable[[int, int], None]
_SHOWN = 10
_EVERY_SET = ("size", "intensity", "artefacts", "crop", "faulty", "other_lesions", "label_rule")
_OWN_KEYS = {
    "folder": ("columns",),
    "phantom": ("patients", "difficulty", "phantom_seed"),
    "cbis-ddsm": ("subset",),
}
"""Keys of `[data]` that only one adapter reads."""


def prepare(
    adapter_name: str,
    root: Path,
    config: DataConfig,
    out: Path,
    jobs: int = 0,
    progress: Progress | None = None,
) -> Prepared:
    """Write the folder `out` with arrays, tables and recipe; a prepared set there is replaced.

    The bytes do not depend on `jobs`, the number of processes (0: this one). A preparation that
    was killed goes on after its last image. Images that are no case are left out and listed,
    with `config.faulty = "exclude"` also those with an error. `progress` is told (images done,
    images in all).

    Raises:
        DataError: the data hold errors, or `out` holds something else; nothing is written.
        StudyError: there is no such adapter.
    """
    _check_target(out)
    began = time.time()
    index = read_index(adapter_name, root, config)
    selection = select(index, config)
    findings = [*index.findings, *between_images(index.mammograms)]
    selection = _without_errors(root, selection, findings, config)
    with scratch_folder(out, recipe_key(adapter_name, root, config)) as scratch:
        if _modified(out) > began:  # another process has just prepared the same
            return open_prepared(out)
        new = scratch / "new"
        recipe = _recipe(adapter_name, config)
        recipe |= _write_contents(selection, root, config, new, jobs, progress)
        recipe["files"] = {name: _describe(new / name) for name in FILES}
        write_json(new / "recipe.json", recipe)
        if out.exists():
            out.rename(scratch / "old")
        new.rename(out)
        sync_folder(out.parent)
    return open_prepared(out)


def recipe_key(adapter_name: str, root: Path, config: DataConfig) -> str:
    """Name the prepared data in a cache without reading an image.

    Covers what `[data]` asks of preparation, the sizes and times of the files below `root`, and
    the code that prepares them; equal keys mean equal prepared data.
    """
    files = [] if adapter_name == "phantom" else list(_file_list(root))
    return digest([_recipe(adapter_name, config), files, _code_digest()])


def _recipe(adapter_name: str, config: DataConfig) -> dict[str, Any]:
    keys = (*_EVERY_SET, *_OWN_KEYS.get(adapter_name, ()))
    asked = config.model_dump(mode="json", include=set(keys))
    return {
        "schema": PREPARED_SCHEMA,
        "version": mtlbench.__version__,
        "adapter": adapter_name,
    } | {key: asked[key] for key in keys}


def _write_contents(
    selection: Selection,
    root: Path,
    config: DataConfig,
    folder: Path,
    jobs: int,
    progress: Progress | None,
) -> dict[str, Any]:
    """Write arrays and tables; give what the recipe says of them."""
    used = selection.mammograms
    with closing(Journal(folder, config.size)) as journal:
        _convert_all(used, config, journal, jobs, progress)
        entries = journal.entries
        digests = [entry["digest"] for entry in entries]
        findings = [f.below(root) for entry in entries for f in findings_of(entry)]
        findings += equal_pixels(used, digests)
        selection = _without_errors(root, selection, findings, config)
        kept = {mammogram.image_id for mammogram in selection.mammograms}
        dtype = journal.finish([e["image_id"] in kept for e in entries if e["dtype"]])
    entries = [entry for entry in entries if entry["image_id"] in kept]
    lesions = [row for entry in entries for row in entry["lesions"]]
    write_csv(
        folder / "cases.csv", (*CASE_COLUMNS, *PLACEMENT_COLUMNS), [e["row"] for e in entries]
    )
    write_csv(folder / "lesions.csv", LESION_COLUMNS, lesions)
    excluded = [entry._asdict() for entry in selection.excluded]
    write_csv(folder / "excluded.csv", Excluded._fields, excluded)
    source = digest([[entry["image_id"], entry["digest"]] for entry in entries])
    return {"n": len(entries), "dtype": str(dtype), "source": source}


def _convert_all(
    used: Sequence[Mammogram],
    config: DataConfig,
    journal: Journal,
    jobs: int,
    progress: Progress | None,
) -> None:
    """Convert the images that the journal has not yet."""
    done = len(journal.entries)
    if progress and done:
        progress(done, len(used))
    work = partial(convert, config=config)
    results = ordered_map(work, used[done:], jobs, lost_image)
    for mammogram, case in zip(used[done:], results, strict=True):
        journal.append(mammogram, case)
        if progress:
            progress(len(journal.entries), len(used))


def _without_errors(
    root: Path, selection: Selection, findings: Sequence[Finding], config: DataConfig
) -> Selection:
    """Leave the faulty images out, or stop: one line an error, the first few, how many there are.

    An error that is not of one image stops in any case.
    """
    found = errors(findings)
    if config.faulty == "exclude":
        selection = exclude_faulty(selection, found)
        found = [finding for finding in found if not finding.image_id]
    if found:
        lines = [f"{root}/{finding}" for finding in found]
        more = len(found) - _SHOWN
        rest = [f"... and {more} more; `mtlbench data check` lists them all"] if more > 0 else []
        raise DataError("\n".join([*lines[:_SHOWN], *rest]))
    if not selection.mammograms:
        reasons = [f"{entry.image_id}: {entry.reason}" for entry in selection.excluded[:_SHOWN]]
        raise DataError("\n".join([f"{root}: no image is a case", *reasons]))
    return selection


def _check_target(out: Path) -> None:
    if not out.exists() or (out / "recipe.json").is_file():
        return
    if not out.is_dir() or any(out.iterdir()):
        raise DataError(f"{out}: must be new, empty or a prepared data set, but is something else")


def _modified(out: Path) -> float:
    recipe = out / "recipe.json"
    return recipe.stat().st_mtime if recipe.is_file() else 0.0


def _describe(path: Path) -> dict[str, object]:
    return {"bytes": path.stat().st_size, "sha256": file_sha256(path)}


def _file_list(root: Path) -> Iterator[tuple[str, int, int]]:
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        stat = path.stat()
        yield path.relative_to(root).as_posix(), stat.st_size, stat.st_mtime_ns


def _code_digest() -> str:
    """Hash this package: what older code prepared is not taken for what this code would."""
    hashed = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        hashed.update(path.read_bytes())
    return hashed.hexdigest()
