import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mtlbench import bench
from mtlbench.bench import Result, Row
from mtlbench.cli.bench import OTHERS, app


@pytest.fixture
def asked(monkeypatch):
    """Every bench measures the same at once, and says a lot."""
    calls = []

    def fake(*arguments, **options):
        calls.append((arguments, options))
        print("a library's greeting")
        rows = [
            Row("a", "kept", 1.04, "ratio", 1.0),
            Row("b", "a peer's", None, "ratio", 2.0, "higher", 0.01),
        ]
        return Result(0.05, rows, {"threads": 3})

    monkeypatch.setattr(bench, "BENCHES", dict.fromkeys(["train", *OTHERS], fake))
    return calls


@pytest.mark.parametrize("name", ["train", *OTHERS])
def test_json_on_stdout_and_nothing_else(asked, name):
    done = CliRunner().invoke(app, [name, "--json"])
    assert done.exit_code == 0
    report = json.loads(done.stdout)
    assert report["noise"] == 0.05
    assert report["environment"]["threads"] == 3
    assert report["environment"]["packages"]["torch"]
    assert report["rows"] == [
        {"id": "a", "what": "kept", "value": 1.04, "unit": "ratio", "bar": 1.0, "noise": None,
         "holds": True},
        {"id": "b", "what": "a peer's", "value": None, "unit": "ratio", "bar": 2.0, "noise": 0.01,
         "holds": None},
    ]  # fmt: skip
    assert "greeting" in done.stderr


def test_options_of_train_reach_it(asked):
    options = ["--peers", "--backbone", "small", "--size", "64x48", "--batch-size", "3"]
    more = ["--device", "cpu", "--output-stride", "8", "--trace", "steps.json", "--part", "loop"]
    CliRunner().invoke(app, ["train", *options, *more])
    keywords = {"only": ["loop"], "peers": True, "trace": Path("steps.json")}
    assert asked == [(("cpu", "small", 8, (64, 48), 3), keywords)]


def test_the_table_says_what_is_not_measured(asked):
    lines = CliRunner().invoke(app, ["study"]).stdout.splitlines()
    cells = {row[0].strip(): row[1:] for row in (line.split("│")[1:-1] for line in lines) if row}
    assert [cell.strip() for cell in cells["a"]] == ["1.04", "ratio", "1", "yes", "-"]
    assert [cell.strip() for cell in cells["b"]] == ["-", "ratio", "2", "-", "0.01"]
    assert {"a peer's", "kept"} <= set(cells)
    assert "noise, the largest of a work against itself: 0.05" in lines
    assert "threads: 3" in lines


def test_an_unknown_bench_is_a_fault_of_usage(asked):
    assert CliRunner().invoke(app, ["nothing"]).exit_code == 2
    assert not asked
