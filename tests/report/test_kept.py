import pandas as pd
import pytest
from typer.testing import CliRunner

from mtlbench.cli import app
from mtlbench.report import build

FILES = [f"figures/cases.{kind}" for kind in ("pdf", "svg", "png", "csv")]


def lose_panels(study):
    for path in study.glob("runs/*/panels.npz"):
        path.unlink()


def test_without_panels_the_old_figure_stays_in_its_place(arms_study):
    old = build(arms_study)
    before = {name: (old / name).read_bytes() for name in FILES}
    page = (old / "index.html").read_text()
    lose_panels(arms_study)
    new = build(arms_study)
    assert {name: (new / name).read_bytes() for name in FILES} == before
    figure = page[page.index('<figure id="figure-cases"') :].split("</figure>")[0]
    assert figure in (new / "index.html").read_text()


@pytest.mark.parametrize(
    "change",
    [lambda data: data.assign(score=data["score"] + 0.01), lambda data: data.drop(columns="dice")],
    ids=["other numbers", "an older version"],
)
def test_a_figure_of_other_numbers_does_not_stay(arms_study, change):
    table = build(arms_study) / "figures" / "cases.csv"
    change(pd.read_csv(table)).to_csv(table, index=False)
    lose_panels(arms_study)
    report = build(arms_study)
    assert not any((report / name).exists() for name in FILES)
    assert "the figure of cases is not drawn" in (report / "index.html").read_text()


@pytest.mark.parametrize("is_kept", [True, False])
def test_the_command_names_the_missing_files(arms_study, is_kept):
    if is_kept:
        build(arms_study)
    lost = sorted(str(p.relative_to(arms_study)) for p in arms_study.glob("runs/*/panels.npz"))
    lose_panels(arms_study)
    said = CliRunner().invoke(app, ["study", "report", str(arms_study)])
    assert said.exit_code == 0
    assert said.stderr.startswith("warning: missing: ")
    named = said.stderr.removeprefix("warning: missing: ").split(";")[0].split(", ")
    assert {*named} < {*lost}
    assert len(named) == 4  # the first run of each arm
    assert ("is not drawn" in said.stderr) == (not is_kept)
    said = CliRunner().invoke(app, ["study", "report", str(arms_study), "--no-images"])
    assert said.stderr == ""
    assert not list((arms_study / "report").glob("figures/cases*"))


def test_a_whole_study_has_nothing_to_warn_of(arms_study):
    told = []
    build(arms_study, warn=told.append)
    assert told == []
