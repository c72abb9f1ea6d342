import pytest
from pydantic import ValidationError

from mtlbench.config import DataConfig, LabelRule


@pytest.mark.parametrize(
    ("rule", "dataset", "words"),
    [
        ({}, "ddsm", "malignant against the rest"),
        ({}, "inbreast", "BI-RADS 4 and above against the rest"),
        ({"birads_cut": "5"}, "vindr", "BI-RADS 5 and above against the rest"),
        (
            {"normals": "exclude", "benign_without_callback": "exclude"},
            "cbis-ddsm",
            "malignant against the rest, benign without callback left out, normals left out",
        ),
    ],
)
def test_a_label_rule_in_words(rule, dataset, words):
    assert LabelRule(**rule).describe(dataset) == words


@pytest.mark.parametrize(
    "data",
    [{"label_rule": {"birads_cut": "7"}}, {"label_rule": {"mias_masses": ["CALC"]}},
     {"intensity": "log"}, {"subset": "masses"}, {"faulty": "drop"}],
)  # fmt: skip
def test_unknown_values_are_refused(data):
    with pytest.raises(ValidationError):
        DataConfig(**data)
