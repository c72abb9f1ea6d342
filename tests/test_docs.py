"""docs/ names what there is: columns of files, metrics, paths, and links that lead somewhere."""

import csv
import json
import re
from pathlib import Path

import pytest

from mtlbench.analysis import METRICS, find_metric
from mtlbench.analysis.rows import COMPARISON_COLUMNS, ESTIMATE_COLUMNS
from mtlbench.data.convert import PLACEMENT_COLUMNS
from mtlbench.data.index import CASE_COLUMNS, LESION_COLUMNS
from mtlbench.records import CELLS
from mtlbench.training.findings import CANDIDATES, LESIONS
from mtlbench.training.loop import HISTORY
from mtlbench.training.outputs import PREDICTIONS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "results" / "README.md"]
FILES = (ROOT / "docs" / "files.md").read_text()
QUICKSTART = ROOT / "results" / "quickstart"
TABLES = {
    "`predictions.csv`": ("column", (*PREDICTIONS, "seed", "fold")),
    "`lesions.csv` and `candidates.csv` of a run": ("column of `lesions.csv`", LESIONS),
    "candidates": ("column of `candidates.csv`", CANDIDATES),
    "`cases.csv`": ("column", (*CASE_COLUMNS, *PLACEMENT_COLUMNS)),
    "`cells.csv`": ("column", CELLS),
    "`history.csv`": ("column", HISTORY),
    "estimates": ("column of `estimates.csv`", ESTIMATE_COLUMNS),
    "comparisons": ("column of `comparisons.csv`", COMPARISON_COLUMNS),
    "Metrics": ("name", METRICS),
}
"""Heading, or any name where the table's first cell is its own → first cell, and what it lists."""


def names_in(section: str, first: str) -> list[str]:
    """The names in the first column of a table; `true_0` … `true_4` are the five of them."""
    part = re.split(rf"^#+ {re.escape(section)}\n", FILES, flags=re.M)[-1]
    rows = part.split(f"\n| {first} |")[1].split("\n\n")[0].splitlines()[2:]
    cells = [re.sub(r"`(\w+_)0` … `\w+_4`", _five, row.split("|")[1]) for row in rows]
    return [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]


def _five(found: re.Match[str]) -> str:
    return " ".join(f"`{found[1]}{k}`" for k in range(5))


@pytest.mark.parametrize("section", TABLES)
def test_a_table_of_files_names_the_columns_of_the_code(section):
    first, columns = TABLES[section]
    assert sorted(names_in(section, first)) == sorted(columns)


def test_the_outlines_of_a_data_set_have_their_columns():
    part = FILES.split("describes the truth in original pixels")[1].split("## `cells.csv`")[0]
    cells = [row.split("|")[1] for row in part.splitlines() if row.startswith("| `")]
    assert sorted(re.findall(r"`(\w+)`", " ".join(cells))) == sorted(LESION_COLUMNS)


def test_the_columns_of_a_report_stand_in_it():
    with (QUICKSTART / "report" / "table.csv").open(newline="") as stream:
        columns = next(csv.reader(stream))
    assert sorted(names_in("The report", "column of `table.csv`")) == sorted(columns)


def test_the_keys_of_a_record_are_those_that_runs_write():
    described = set(names_in("`record.json`", "key"))
    written = {
        key
        for path in QUICKSTART.glob("runs/*/record.json")
        for key in json.loads(path.read_text())
    }
    only_of_failures = {"deaths", "traceback", "final"}
    assert described == written | only_of_failures
    sources = "".join(path.read_text() for path in (ROOT / "mtlbench").rglob("*.py"))
    assert all(f'"{key}": ' in sources for key in only_of_failures)


def test_the_runs_of_the_examples_are_there():
    names = set(re.findall(r"\b[0-9a-f]{16}\b", FILES))
    assert names
    assert all((QUICKSTART / "runs" / name / "predictions.csv").is_file() for name in names)


def test_other_numbers_in_a_metric_are_metrics_too():
    for name in ("sens_at_spec95", "froc_at_1"):
        assert f"`{name}`" in FILES
        assert find_metric(name).name == name


def test_the_counts_of_the_example_are_those_of_its_masks():
    (code,) = re.findall(r"```python\n(import numpy.*?)```", FILES, re.S)
    space = {}
    exec(code, space)
    truth, prediction = (
        space["np"].array(json.loads(text)) for text in re.findall(r"`(\[\[.*?\]\])`", FILES)
    )
    found = space["counts"](truth, prediction)
    said = [found[f"{kind}_{k}"] for kind in ("true", "pred", "both") for k in range(5)]
    assert said == [3, 0, 2, 0, 0, 3, 0, 2, 0, 0, 2, 0, 1, 0, 0]


def test_the_readme_begins_with_the_two_commands_that_others_rely_on():
    blocks = re.findall(r"```\n(.*?)\n```", (ROOT / "README.md").read_text(), re.S)
    install = 'python -m pip install -e ".[dev]"'
    assert blocks[:2] == [
        f"{install} && mtlbench study run quickstart",
        f"{install} && python -m nox",
    ]


def test_the_architecture_names_every_package_and_only_paths_that_exist():
    text = (ROOT / "docs" / "architecture.md").read_text()
    paths = set(re.findall(r"`(\w[\w./-]*/[\w./-]*)`", text))
    roots = (ROOT, ROOT / "mtlbench", ROOT / "mtlbench" / "models", ROOT / "mtlbench" / "training")
    assert [path for path in sorted(paths) if not any((r / path).exists() for r in roots)] == []
    packages = {path.parent for path in (ROOT / "mtlbench").glob("*/**/*.py")}
    first_level = {path for path in packages if path.parent.name == "mtlbench"}
    assert {str(path.relative_to(ROOT)) + "/" for path in first_level} <= paths


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page):
    for target, anchor in re.findall(r"\]\((?!http)([^)#]*)#?([^)]*)\)", page.read_text()):
        path = page.parent / target if target else page
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text(), re.M)
            assert anchor in {anchor_of(heading) for heading in headings}, f"{target}#{anchor}"


def anchor_of(heading: str) -> str:
    """As GitHub makes it: lower case, hyphens for spaces, no other signs."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
