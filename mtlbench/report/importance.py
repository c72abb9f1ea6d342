"""What mattered on the validation set: ANOVA of a design's runs, or a search's own fANOVA.

The validation metrics, not the test set's: what mattered guides the next study, and test data
choose nothing.
"""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from mtlbench.analysis.importance import factorial_anova
from mtlbench.errors import DataError
from mtlbench.report import files, text
from mtlbench.report.collect import Cell, Study, short_key
from mtlbench.report.tables import Block, Entry, Table

COLUMNS = (
    *("metric", "arm", "factor", "importance", "p", "df", "df_error"),
    *("method", "n", "reason"),
)
VALIDATION_METRICS = ("auc", "dice", "dice_lesions", "dice_any")
"""What a run's record has of the validation set."""
SEARCHED = ("metric", "arm", "factor", "importance", "method", "n")
"""Columns of the `importances.csv` that a search's driver writes."""
WORDS = {"lr": "learning rate"}
"""What a key's name does not say by itself."""
HEADER = ("Factor", "Share of variance, %", "p", "Runs")


def importances(study: Study) -> pd.DataFrame:
    """A row per (metric, arm, factor), columns COLUMNS; none where nothing is varied.

    Raises:
        DataError: a search's `importances.csv` is not as it must be.
    """
    path = study.folder / "importances.csv"
    if path.is_file():
        return _of_search(path)
    tables = [table for group in _groups(study) for table in _of_design(group)]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(COLUMNS))


def importance_table(study: Study, rows: pd.DataFrame) -> Table:
    """A block per metric and arm; what could not be measured is a dash, with why in the notes."""
    blocks = []
    for (metric, arm), part in rows.groupby(["metric", "arm"], sort=False):
        entries = [
            (
                Entry(factor_label(row["factor"])),
                Entry(text.percent(row["importance"])),
                Entry(text.p_value(row["p"])),
                Entry(text.count(row["n"])),
            )
            for row in part.to_dict("records")
        ]
        blocks.append(Block(f"{metric_label(str(metric))} of {arm}", tuple(entries)))
    notes = tuple(note for note in (*_notes(rows), left_out(study, rows)) if note)
    return Table("importances", "What mattered (validation)", HEADER, tuple(blocks), notes)


def left_out(study: Study, rows: pd.DataFrame) -> str:
    """What a search's own measure does not see; empty where no trial was pruned."""
    counts = study.trials.groupby("arm", sort=False)["state"].agg(list)
    pruned = [f"{a}: {s.count('pruned')} of {len(s)}" for a, s in counts.items() if "pruned" in s]
    if not pruned or rows["p"].notna().any():  # an ANOVA is of a design's runs
        return ""
    return (
        f"Pruned trials have no final value and are left out ({'; '.join(pruned)}). They were "
        "behind, so the shares are of the differences among the better trials: a key that makes a "
        "trial poor counts for less than it matters."
    )


def metric_label(metric: str) -> str:
    """`auc` and `val.auc` → `AUC`."""
    key = metric.removeprefix("val.")
    return text.METRIC_NAMES.get(key, key)


def factor_label(factor: str) -> str:
    """`optim.lr × loss.class_weights` → `learning rate × class weights`."""
    keys = map(short_key, factor.split(" × "))
    return " × ".join(WORDS.get(key, key.replace("_", " ")) for key in keys)


def _groups(study: Study) -> Iterator[list[Cell]]:
    """Cells of the arms that vary the same keys over the same values, two cells an arm or more."""
    grids: dict[object, list[Cell]] = {}
    for arm in study.config.arms:
        planned = [cell for cell in study.cells if cell.arm == arm.name]
        grid = frozenset(tuple(sorted(cell.values.items())) for cell in planned)
        if len(grid) > 1:
            grids.setdefault(grid, []).extend(study.of_arm(arm.name))
    yield from (cells for cells in grids.values() if cells)


def _of_design(cells: list[Cell]) -> Iterator[pd.DataFrame]:
    """An ANOVA per metric that the runs have: the arm is a factor, seed and fold are a block."""
    table = pd.DataFrame([row for cell in cells for row in _runs(cell)])
    keys = dict.fromkeys(key for cell in cells for key in cell.values)
    block = next(name for name in map(str, table) if name.startswith("seed"))
    for metric in VALIDATION_METRICS:
        rows = factorial_anova(table, metric, ["arm", *keys], block)
        if not rows.empty:
            arms = table.loc[table[metric].notna(), "arm"].unique()
            rows.insert(0, "metric", metric)
            yield rows.assign(arm=" and ".join(arms))[list(COLUMNS)]


def _runs(cell: Cell) -> Iterator[dict[str, object]]:
    for run in cell.runs:
        name, value = ("seed", str(run.seed))
        if run.fold is not None:
            name, value = "seed and fold", f"{run.seed}/{run.fold}"
        validation = {key: run.record["validation"].get(key) for key in VALIDATION_METRICS}
        measured = {key: float("nan") if v is None else v for key, v in validation.items()}
        yield {"arm": cell.arm, **cell.values, name: value, **measured}


def _of_search(path: Path) -> pd.DataFrame:
    table = files.text_table(path, SEARCHED)
    for name in ("importance", "n"):
        numbers = pd.to_numeric(table[name].replace("", "nan"), errors="coerce")
        if (wrong := numbers.isna() & ~table[name].isin(["", "nan"])).any():
            raise DataError(
                f"{path}: {name} must be a number or empty, but got {table[name][wrong].iloc[0]!r}"
            )
        table[name] = numbers
    return table.reindex(columns=list(COLUMNS)).assign(reason="")


def _notes(rows: pd.DataFrame) -> tuple[str, ...]:
    notes = [
        "Validation metrics of single runs, not of the test set: shares of their variance over "
        f"the values tried here ({'; '.join(rows['method'].unique())})."
    ]
    if rows["p"].notna().any():
        notes.append(
            "ω² estimates the share in the population: 0 where the factor explains no more than "
            "chance would. p: F test, not adjusted."
        )
    for reason, part in rows[rows["reason"] != ""].groupby("reason", sort=False):
        where = dict.fromkeys(
            f"{metric_label(m)} of {a}" for m, a in part[["metric", "arm"]].values
        )
        notes.append(f"{', '.join(where)}: {reason}.")
    return tuple(notes)
