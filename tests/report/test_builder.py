import json
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from markupsafe import escape

from mtlbench.analysis import compare
from mtlbench.errors import StudyError
from mtlbench.records import RunFolder
from mtlbench.report import build, builder

FILES = {
    *("table.csv", "table.md", "table.tex", "estimates.csv", "comparisons.csv", "index.html"),
    *("methods.md", "references.bib"),
}
ALWAYS = {"forest", "differences", "swarm", "curves"}
SCORES, MASKS = {"roc", "pr", "calibration"}, {"ecdf", "froc"}
FIGURES = ALWAYS | SCORES | MASKS | {"plane", "cases"}
DICE = ("dice", "dice_lesions", "dice_any", "dice_image")


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def frames_of(study):
    """Frames as `compare` wants them, read without the report's code."""
    cells = pd.read_csv(study / "cells.csv")
    frames = {}
    for name, rows in cells.groupby("cell", sort=False):
        parts = [
            pd.read_csv(study / "runs" / row.hash / "predictions.csv").assign(seed=row.seed)
            for row in rows.itertuples()
        ]
        frames[name] = pd.concat(parts)
    return frames


def rewrite(study, change):
    """Change every run's predictions, and say so in the records."""
    for path in study.glob("runs/*/predictions.csv"):
        change(pd.read_csv(path)).to_csv(path, index=False)
        record = json.loads((path.parent / "record.json").read_text())
        record["files"] |= RunFolder(path.parent).describe(["predictions.csv"])
        (path.parent / "record.json").write_text(json.dumps(record))


def test_every_file_is_there(arms_report, sweep_report):
    kinds = ("pdf", "svg", "png", "csv")
    figures = {f"figures/{name}.{kind}" for name in FIGURES for kind in kinds}
    assert set(contents(arms_report)) == FILES | figures
    assert "figures/sweep_loss_lambda.pdf" in contents(sweep_report)


def test_numbers_are_those_of_compare(arms_report):
    frames = frames_of(arms_report.parent)
    baseline = {"auc": "cls", **dict.fromkeys(DICE, "seg")}
    expected = compare(frames, baseline=baseline, metrics=("auc", *DICE), resamples=200)
    table = pd.read_csv(arms_report / "table.csv").set_index(["cell", "metric"])
    for row in expected.estimates.itertuples():
        got = table.loc[(row.arm, row.metric)]
        for key in ("value", "low", "high", "n_patients", "n_cases", "n_positive"):
            assert got[key] == pytest.approx(getattr(row, key), nan_ok=True, abs=1e-12)
    for row in expected.comparisons.dropna(subset=["difference"]).itertuples():
        got = table.loc[(row.arm, row.metric)]
        assert got["baseline"] == row.baseline
        assert got["difference"] == pytest.approx(row.difference, abs=1e-12)
        assert got["difference_low"] == pytest.approx(row.low, abs=1e-12)
        assert got["p_adjusted"] == pytest.approx(row.p_adjusted, abs=1e-12)
    estimates = pd.read_csv(arms_report / "estimates.csv")
    assert list(estimates) == ["cell", *expected.estimates]
    assert list(pd.read_csv(arms_report / "comparisons.csv")) == ["cell", *expected.comparisons]


def test_seed_sd_is_that_of_the_seeds_values(arms_report):
    frame = frames_of(arms_report.parent)["joint"]
    values = [
        compare({"joint": part}, resamples=100).estimates["value"].item()
        for _, part in frame.groupby("seed")
    ]
    table = pd.read_csv(arms_report / "table.csv").set_index(["cell", "metric"])
    assert table.loc[("joint", "auc"), "seed_sd"] == pytest.approx(pd.Series(values).std())


def test_sequential_is_given_before_and_after_its_last_stage(arms_report):
    table = pd.read_csv(arms_report / "table.csv").set_index(["cell", "metric"])["value"]
    before = table["sequential (before stage cls)", "dice"]
    assert before == table["seg", "dice"]
    assert before != table["sequential", "dice"]


def test_the_same_files_give_the_same_bytes(arms_report, arms_study):
    assert contents(build(arms_study)) == contents(arms_report)
    assert not list(arms_study.glob(".report*"))


def test_no_images_leaves_no_pixels(arms_study):
    for panels in arms_study.glob("runs/*/panels.npz"):
        panels.write_bytes(b"not to be read")
    report = build(arms_study, images=False)
    assert not [name for name in contents(report) if "cases" in name]
    assert "data:image/png" not in (report / "index.html").read_text()


@pytest.mark.parametrize("value", ["<script>alert(1)</script>", "=1+1|a_b", "@a & $x^2$ \\cmd{#}"])
def test_free_text_stays_text(named_study, value, no_figures):
    report = build(named_study(value))
    page = (report / "index.html").read_text()
    assert "<script" not in page
    assert escape(value) in page
    cells = pd.read_csv(report / "table.csv", keep_default_na=False)["model.weights"].unique()
    assert set(cells) == {"none", f"'{value}" if value[0] in "=@" else value}
    for table in re.findall(r"(?:^\|.*\n)+", (report / "table.md").read_text(), re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1


def test_the_page_fetches_nothing_and_runs_nothing(arms_report):
    page = (arms_report / "index.html").read_text()
    assert "default-src 'none'" in page
    assert not re.findall(r"""src=["'](?!data:)""", page)
    links = re.findall(r"""<a [^>]*href=["']([^"']*)""", page)
    assert [link for link in links if ":" in link or link.startswith("/")] == []
    assert not re.findall(r"url\(|@import|<script|<link (?!rel=.icon. href=.data:)", page)
    assert not re.findall(r"<[^>]*\s(?:on\w+|style)=", page)


def test_p_is_never_printed_as_zero(arms_report):
    for name in ("table.md", "table.tex", "index.html"):
        assert "0.000" not in (arms_report / name).read_text()


def test_bold_is_the_best_value_where_it_is_supported(arms_report):
    table = pd.read_csv(arms_report / "table.csv")
    reliable = pd.read_csv(arms_report / "comparisons.csv").set_index(["cell", "metric"])[
        "reliable"
    ]
    full = (arms_report / "table.md").read_text().split("## All cells under all metrics")[1]
    blocks = full.split("\n## ")[0].split("### ")[1:]
    metrics = list(dict.fromkeys(table["metric"]))
    assert metrics[:5] == ["auc", *DICE]
    metrics = [metric for metric in metrics if metric not in ("froc_at_2", "froc_at_4")]
    for metric, block in zip(metrics, blocks, strict=True):
        rows = table[(table["metric"] == metric) & ~table["cell"].str.contains("before")]
        less = metric in ("brier", "ece")
        assert less == ("less is better" in block.splitlines()[0])
        best = rows.loc[rows["value"].idxmin() if less else rows["value"].idxmax()]
        supported = best["p_adjusted"] < 0.05 and reliable[best["cell"], metric]
        bold = re.findall(r"^\| (\S+) \| \*\*", block, re.MULTILINE)
        assert bold == ([best["cell"]] if supported else [])


def test_notes_name_method_resamples_empty_masks_and_split(arms_report):
    for name in ("table.md", "table.tex", "index.html"):
        text = (arms_report / name).read_text().replace("\n", " ")
        for words in (r"200 resamples", "Empty masks: pooled Dice", "patients/cases: val 20/40"):
            assert text.count(words) >= 2, (name, words)  # below the small table and the full one


def test_differences_of_a_metric_have_the_same_decimals(arms_report):
    full = (arms_report / "table.md").read_text().split("## All cells under all metrics")[1]
    for block in full.split("\n## ")[0].split("### ")[1:]:
        shown = re.findall(r"\| ([+−]?[\d.]+) \[([+−]?[\d.]+), ([+−]?[\d.]+)\]", block)
        values, deltas = ([r for r in shown if r[1][0] in signs] for signs in ("0123456789", "+−"))
        for rows in (values, deltas):
            assert len({len(n.split(".")[1]) for row in rows for n in row}) <= 1


def test_froc_rates_that_no_model_reaches_are_printed_once(arms_report):
    """No run has a false candidate in every image."""
    full = (arms_report / "table.md").read_text()
    titles = re.findall(r"### Lesion sensitivity at (.*) FP per image", full)
    assert titles == ["0.25", "0.5", "1, 2, 4"]
    table = pd.read_csv(arms_report / "table.csv").set_index(["cell", "metric"])
    for metric in ("froc_at_2", "froc_at_4"):
        assert table["value"]["joint", metric] == table["value"]["joint", "froc_at_1"]


def test_a_column_in_which_nothing_stands_is_left_out(arms_study, arms_report, no_figures):
    """No run selects an epoch, so nothing was selected; with one seed there is no SD of seeds."""
    full = (arms_report / "table.md").read_text().split("## All cells under all metrics")[1]
    assert "Selected on validation" not in full
    assert "Validation data selected nothing" in full
    assert "| Seed SD |" in full
    assert (
        "| Here | Published | Δ [interval], points | Method |"
        in (arms_report / "table.md").read_text()
    )
    path = arms_study / "cells.csv"
    cells = pd.read_csv(path, dtype=str, keep_default_na=False)
    cells[cells["seed"] == "0"].to_csv(path, index=False)
    assert "Seed SD" not in (build(arms_study) / "table.md").read_text()


def test_optimism_is_validation_less_test(arms_report):
    study = arms_report.parent
    cells = pd.read_csv(study / "cells.csv")
    table = pd.read_csv(arms_report / "table.csv").set_index(["cell", "metric"])
    for arm, metric in (("joint", "auc"), ("joint", "dice"), ("seg", "dice_any")):
        hashes = cells[cells["cell"] == arm]["hash"]
        records = [json.loads((study / f"runs/{h}/record.json").read_text()) for h in hashes]
        validation = np.mean([record["validation"][metric] for record in records])
        row = table.loc[(arm, metric)]
        assert row["optimism"] == pytest.approx(validation - row["value"], abs=1e-12)
        shown = f"{100 * validation:.1f} | {100 * row['value']:.1f} | {100 * row['optimism']:+.1f}"
        assert (
            f"| {arm} | {shown.replace('-', '−')} | 2 |" in (arms_report / "table.md").read_text()
        )
    assert table["optimism"]["cls", "dice_image"] != table["optimism"]["cls", "dice_image"]


def test_margins_and_subgroups_come_where_they_are_asked_for(arms_study, arms_report, no_figures):
    path = arms_study / "study.toml"
    asked = '[compare]\nmargins = { auc = 0.02 }\nsubgroups = ["lesion_type"]\n'
    path.write_text(path.read_text().replace("[compare]\n", asked))
    report = build(arms_study)
    text = (report / "table.md").read_text()
    assert "| Not inferior, p |" in text
    assert "AUC (Δ against cls, margin 2.0 points)" in text
    compared = pd.read_csv(report / "comparisons.csv").set_index(["cell", "metric"])
    p = compared.loc[("joint", "auc"), "p_noninferior"]
    assert f"| {p:.3f} |" in text or (p < 0.001 and "| \\<0.001 |" in text)
    groups = pd.read_csv(report / "subgroups.csv")
    assert set(groups["group"]) == {"mass", "calcification"}
    row = groups[(groups["metric"] == "auc") & (groups["arm"] == "joint")].iloc[0]
    block = text.split("### AUC by lesion type")[1]
    mark = "" if row["reliable"] else "\N{NO-BREAK SPACE}\\*"
    name = f"{row['group']}{mark}"
    assert f"| {name} | joint | {100 * row['value']:.1f} [{100 * row['low']:.1f}, " in block
    assert not groups["reliable"].all()
    assert "- \\* An interval or p of the row may be wrong" in block
    for group in groups.loc[~groups["reliable"], "group"].unique():
        assert f"- lesion\\_type = {group}" in block
    assert "Not inferior" not in (arms_report / "table.md").read_text()
    assert not (arms_report / "subgroups.csv").exists()


def test_half_a_study_gives_half_a_report(arms_study, no_figures):
    records = sorted(arms_study.glob("runs/*/record.json"))
    cells = pd.read_csv(arms_study / "cells.csv").set_index("hash")
    gone = [r for r in records if cells.loc[r.parent.name, "arm"] in ("joint", "sequential")]
    gone[0].unlink()
    for path in gone[1:]:
        path.write_text(json.dumps({"state": "running"}))
    report = build(arms_study)
    table = pd.read_csv(report / "table.csv").set_index("cell")
    assert table.loc["joint", "value"].isna().all()
    assert (table.loc["joint", "seeds"] == 0).all()
    page = (report / "index.html").read_text()
    assert "sequential (seeds 0, 1); joint (seeds 0, 1)" in page


def test_a_failure_leaves_the_old_report(arms_study, monkeypatch, no_figures):
    report = build(arms_study)
    old = contents(report)
    monkeypatch.setattr(builder.html, "render", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build(arms_study)
    assert contents(report) == old
    for record in arms_study.glob("runs/*/record.json"):
        record.unlink()
    with pytest.raises(StudyError, match="none of the 8 runs"):
        build(arms_study)
    assert contents(report) == old
    assert not list(arms_study.glob(".report*"))


def test_a_baseline_without_the_metric_is_said_so(arms_study, no_figures):
    path = arms_study / "study.toml"
    path.write_text(path.read_text().replace('{ auc = "cls", dice = "seg" }', '"cls"'))
    report = build(arms_study)
    compared = pd.read_csv(report / "comparisons.csv")["metric"].unique()
    assert compared[0] == "auc"
    assert not [metric for metric in compared if metric.startswith("dice")]
    page = (report / "table.md").read_text()
    assert page.count("the baseline has no value") == 1
    assert (
        "since the baseline has no value: Mean Dice, Lesion Dice, Any-lesion Dice, Per-image Dice, "
        "FROC score, Lesion sensitivity at 0.25 FP per image, "
    ) in page


def test_what_an_arm_does_not_do_is_no_warning(arms_report):
    page = (arms_report / "index.html").read_text()
    assert "it has no scores" not in page
    assert "no difference" not in page


def test_report_loads_neither_torch_nor_optuna(arms_study):
    code = (
        "import sys; from pathlib import Path; from mtlbench.report import build;"
        f"build(Path({str(arms_study)!r}));"
        "print(sorted({'torch', 'torchvision', 'optuna', 'matplotlib.pyplot'} & set(sys.modules)))"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""


def test_few_patients_support_nothing(patients_study, no_figures):
    """Scores that separate 4 patients, two of them positive, and Dice far apart: p < 0.001."""
    study = patients_study(6)
    rewrite(study, lambda f: f.assign(label=f["patient_id"].str[1:].astype(int) % 2))
    report = build(study)
    page, table = (report / "index.html").read_text(), (report / "table.md").read_text()
    assert "supported)" not in page
    assert "(undecided: too few patients" in page
    assert "**" not in table
    assert "<strong>" not in page.split('<section id="figures">')[0]
    assert table.count("(fewer than 20 test patients in a class") == 2
    assert re.search(r"Unreliable intervals and p \(.*\): all AUC, Mean Dice, Lesion Dice", table)


def test_many_patients_are_bold_and_supported(patients_study, no_figures):
    report = build(patients_study(400))
    assert "supported)" in (report / "index.html").read_text()
    table = (report / "table.md").read_text()
    assert "| **" in table
    assert "Unreliable" not in table


COUNTS = {f"{kind}_{k}": None for kind in ("true", "pred", "both") for k in range(5)}


@pytest.mark.parametrize(
    ("change", "figures"),
    [
        (lambda frame: frame.assign(**COUNTS), ALWAYS | SCORES),
        (lambda frame: frame.assign(label=None), ALWAYS | MASKS),
        (lambda frame: frame.assign(label=None, **COUNTS), {"curves"}),
    ],
    ids=["no masks", "no labels", "neither"],
)
def test_a_study_without_truth_has_a_report(arms_study, change, figures):
    rewrite(arms_study, change)
    for path in arms_study.glob("runs/*/panels.npz"):
        with np.load(path) as stored:
            empty = {name: values.ravel()[:0] for name, values in stored.items()}
        np.savez(path, **empty)
    report = build(arms_study)
    assert {p.stem for p in (report / "figures").iterdir()} == figures
    assert "Seg perf (Mean Dice, %)" in (report / "table.md").read_text()


def test_weights_of_a_stage_without_the_metric_are_the_last_epochs(arms_study, no_figures):
    for path in arms_study.glob("runs/*/config.json"):
        config = json.loads(path.read_text())
        path.write_text(json.dumps(config | {"optim": {"select": "val.auc"}}))
    kept = pd.read_csv(build(arms_study) / "table.csv").groupby("cell")["weights_kept"].first()
    assert kept[["seg", "cls", "joint"]].tolist() == ["last epoch", "best val.auc", "best val.auc"]
