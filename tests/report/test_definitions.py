from mtlbench.report import definitions
from mtlbench.report.collect import read_study
from mtlbench.report.methods import methods
from mtlbench.report.numbers import measure
from mtlbench.training.findings import HIT_IOU


def test_what_a_hit_is_stands_where_froc_is_shown():
    said = definitions.froc(("auc", "froc", "froc_at_0.25"))
    assert f"intersection over union is at least {HIT_IOU:g}, whatever its class" in said
    assert "at 0.25, 0.5, 1, 2, 4 false positives per image" in said
    assert definitions.froc(("auc", "dice")) == ""


def test_what_the_calibration_error_is_stands_where_it_is_shown(arms_report):
    said = definitions.calibration(("ece",))
    assert "over 10 bins of equal width" in said
    assert definitions.calibration(("auc",)) == ""
    for name in ("table.md", "methods.md", "index.html"):
        assert said in (arms_report / name).read_text(encoding="utf-8")


def test_the_paragraph_has_what_the_tables_have(arms_study):
    study = read_study(arms_study)
    numbers = measure(study)
    starts = ("For FROC", "Calibration error")
    shown = [said for said in definitions.of_metrics(numbers) if said.startswith(starts)]
    assert len(shown) == 2
    assert all(said in methods(study, numbers) for said in shown)
