import tomllib
from pathlib import Path

import jsonschema
import pytest
from pydantic import ValidationError

from mtlbench.config import DataConfig, LabelRule, study_schema

SHIPPED = sorted((Path(__file__).parents[1] / "studies").glob("*.toml"))


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


@pytest.mark.parametrize("cut", ["5", 5])
def test_a_category_may_be_a_number(cut):
    assert LabelRule(birads_cut=cut).birads_cut == "5"


@pytest.mark.parametrize(
    "data",
    [{"label_rule": {"birads_cut": "7"}}, {"label_rule": {"mias_masses": ["CALC"]}},
     {"intensity": "log"}, {"subset": "masses"}, {"faulty": "drop"}],
)  # fmt: skip
def test_unknown_values_are_refused(data):
    with pytest.raises(ValidationError):
        DataConfig(**data)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_schema_accepts_the_shipped_studies(path):
    jsonschema.validate(tomllib.loads(path.read_text()), study_schema())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("seeds = [0, 1]", 'seeds = ["0"]'),
        ("lr = ", "rate = "),
        ("[budget]", "[budgets]"),
        ('split = "patient"', 'split = "patients"'),
    ],
)
def test_the_schema_refuses_what_the_reader_refuses(old, new):
    text = SHIPPED[[path.stem for path in SHIPPED].index("quickstart")].read_text()
    assert old in text
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tomllib.loads(text.replace(old, new)), study_schema())
