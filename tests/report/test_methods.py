import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from mtlbench.report.collect import read_study
from mtlbench.report.methods import methods, spent_by_device
from mtlbench.report.numbers import measure
from mtlbench.report.references import bibtex

ROOT = Path(__file__).parents[2]


def edit_records(study, **changes):
    for i, path in enumerate(sorted(study.glob("runs/*/record.json"))):
        record = json.loads(path.read_text())
        path.write_text(json.dumps(record | {k: v[i % len(v)] for k, v in changes.items()}))


def keys(source):
    return re.findall(r"^@\w+\{([^,]+),", source, re.MULTILINE)


@pytest.fixture(scope="module")
def measured(written):
    study = read_study(written / "arms")
    return study, measure(study)


def test_the_paragraph_says_what_was_done(measured, arms_report):
    said = methods(*measured)
    for words in (
        "resampled to 64 × 48 pixels",
        "patients/cases: val 20/40, test 40/80",
        "We compared cls (classification), seg (segmentation), sequential (segmentation, then "
        "classification) and joint (both tasks at once, λ = 0.5).",
        "backbone resnet18 (output stride 32, mean pooling",
        "AdamW (learning rate 0.001, weight decay 0.01, batch size 16)",
        "6 epochs: every stage",
        "seeds 0 and 1",
        "weights of the last epoch",
        "The test set had 40 patients (80 cases)",
        "The test set was not used for any choice.",
        "(200 resamples)",
        "adjusted by the Holm procedure over all cells",
        "mtlbench 0.1.0, torch 2.10.0",
        "8 runs took 0.0278 core hours on cpu",  # 8 × 12.5 s
    ):
        assert words in said
    assert (arms_report / "methods.md").read_text() == f"{said}\n"
    assert all(part in (arms_report / "index.html").read_text() for part in said.split("\n\n"))


def test_a_sweep_says_which_cell_stands_for_its_arm(sweep_report):
    said = (sweep_report / "methods.md").read_text()
    assert "the one with the best mean val.auc represents it" in said


def test_hours_are_those_of_what_a_run_holds(arms_study):
    path = arms_study / "study.toml"
    path.write_text(path.read_text() + "[resources]\nthreads = 3\ngpus_per_run = 2\n")
    edit_records(arms_study, device=["cpu", "H100"], wall_s=[600.0, 1800.0])
    assert spent_by_device(read_study(arms_study)) == [
        (4, "4 GPU hours on H100"),  # 4 × 0.5 h × 2 GPUs
        (4, "4 core hours on cpu"),  # 4 × 600 s × 2 processes × 3 threads
    ]


def test_only_what_was_used_is_cited(measured, arms_report):
    source = bibtex(*measured, [])
    assert keys(source) == [
        *("mtlbench", "le2019", "he2016", "pytorch", "loshchilov2019"),
        *("hall1988", "obuchowski1997", "wilson1927", "holm1979"),
    ]
    assert "version = {0.1.0}" in source
    assert (arms_report / "references.bib").read_text() == source


def test_a_search_a_data_set_and_another_adjustment_are_cited(measured, arms_study):
    numbers = measured[1]
    path = arms_study / "study.toml"
    path.write_text(
        path.read_text()
        .replace('"phantom"', '"inbreast"')
        .replace("[compare]", '[compare]\nadjust = "bh"')
    )
    (arms_study / "trials.csv").write_text("arm,trial,state\njoint,0,complete\n")
    used = keys(bibtex(read_study(arms_study), numbers, []))
    assert {"inbreast", "optuna", "benjamini1995"} <= set(used)
    assert "holm1979" not in used


def test_a_folder_that_holds_a_known_data_set_cites_it(measured, arms_study):
    path = arms_study / "study.toml"
    text = path.read_text().replace('"phantom"', '"folder"')
    path.write_text(text.replace("[compare]", '[compare]\ndataset = "CBIS-DDSM, masses"'))
    used = keys(bibtex(read_study(arms_study), measured[1], []))
    assert "cbis-ddsm" in used
    assert "ddsm" not in used


def test_entries_are_well_formed_and_ours_is_that_of_the_citation_file():
    source = (ROOT / "mtlbench/report/references.bib").read_text(encoding="utf-8")
    assert source.count("{") == source.count("}")
    assert len(keys(source)) == len(set(keys(source))) == source.count("\n@") + 1
    cited = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    title = re.search(r'^title: "(.*)"', cited, re.MULTILINE)[1]
    assert f"title   = {{{title}}}" in source
    author = re.search(r"^authors:\n  - name: (.*)", cited, re.MULTILINE)[1]
    assert f"{{{{{author}}}}}" in source
    with (ROOT / "pyproject.toml").open("rb") as file:
        licence = tomllib.load(file)["project"]["license"]
    assert f"{{{licence}}}" in source


@pytest.mark.skipif(not shutil.which("bibtex"), reason="bibtex is not installed")
def test_bibtex_reads_every_entry(tmp_path):
    shutil.copy(ROOT / "mtlbench/report/references.bib", tmp_path)
    lines = (r"\citation{*}", r"\bibdata{references}", r"\bibstyle{plain}")
    (tmp_path / "all.aux").write_text("\n".join(lines) + "\n")
    done = subprocess.run(["bibtex", "all"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "error" not in done.stdout.lower()
