import numpy as np
import pytest

from mtlbench.data.phantoms.patient import Patient, draw_patient, stream


@pytest.fixture(scope="module")
def patients() -> list[Patient]:
    return [draw_patient(0, number) for number in range(1, 2001)]


def test_shares_of_normal_benign_and_cancer(patients: list[Patient]) -> None:
    cancer = [any(finding.malignant for finding in p.findings) for p in patients]
    normal = [not p.findings for p in patients]
    assert np.mean(normal) == pytest.approx(0.40, abs=0.03)
    assert np.mean(cancer) == pytest.approx(0.31, abs=0.03)


def test_a_breast_is_benign_or_malignant_and_findings_are_numbered(patients: list[Patient]) -> None:
    for patient in patients:
        for side in ("left", "right"):
            assert len({finding.malignant for finding in patient.of(side)}) <= 1
        assert [f.number for f in patient.findings] == list(range(len(patient.findings)))


def test_all_kinds_occur(patients: list[Patient]) -> None:
    kinds = {(f.type, f.malignant) for p in patients for f in p.findings}
    assert len(kinds) == 4
    assert {len(p.of("left")) for p in patients} == {0, 1, 2}


def test_streams_are_independent() -> None:
    draws = {
        key: float(stream(*key).random())
        for key in [(0, 1, 0), (1, 0, 0), (0, 1, 1), (0, 1), (0, 1, 0, 1), (1, 1, 0)]
    }
    assert len(set(draws.values())) == len(draws)
    assert stream(0, 1, 2).random() == stream(0, 1, 2).random()
