"""docs/study-file.md has every key of a study file, with its values and its default."""

import re
import tomllib
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from mtlbench import config
from mtlbench.config.search import Distribution
from mtlbench.data.adapters import ADAPTERS
from mtlbench.models.backbones import BACKBONES
from mtlbench.study.cells import read_study_file
from mtlbench.study.search.pruners import PRUNERS
from mtlbench.study.search.samplers import SAMPLERS
from mtlbench.training.losses import LOSSES
from mtlbench.training.strategies import STRATEGIES

PAGE = Path(__file__).parents[1] / "docs" / "study-file.md"
SECTIONS: dict[str, type[BaseModel]] = {
    "Top level": config.StudyConfig,
    "`[data]`": config.DataConfig,
    "`[data.label_rule]`": config.LabelRule,
    "`[budget]`": config.BudgetConfig,
    "`[base]`": config.RunConfig,
    "`[base.model]`": config.ModelConfig,
    "`[base.loss]`": config.LossConfig,
    "`[base.optim]`": config.OptimConfig,
    "`[base.augment]`": config.AugmentConfig,
    "`[[arms]]`": config.Arm,
    "What `search` tries for a key": Distribution,
    "`[search]`": config.SearchConfig,
    "`[resources]`": config.ResourcesConfig,
    "`[compare]`": config.CompareConfig,
    "`[compare.assume]`": config.AssumeConfig,
    "`[compare.effect]`": config.EffectConfig,
}
REGISTRIES = {
    ("Top level", "dataset"): ADAPTERS,
    ("`[base]`", "strategy"): STRATEGIES,
    ("`[base.model]`", "backbone"): BACKBONES,
    ("`[base.loss]`", "segmentation"): LOSSES,
    ("`[search]`", "sampler"): SAMPLERS,
    ("`[search]`", "pruner"): PRUNERS,
}
"""Keys whose values are the names in a dict, though their type may be any text."""


def rows_of(section: str) -> dict[str, list[str]]:
    """Key → the other cells of its row, of the first table below a heading."""
    (body,) = re.findall(
        rf"^#+ {re.escape(section)}\n(.*?)(?=^#|\Z)", PAGE.read_text(), re.S | re.M
    )
    table = body.split("|---|---|---|---|\n")[1].split("\n\n")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()]
    return {key.strip("`"): rest for key, *rest in rows}


def fields_of(model: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def literals(annotation: Any) -> set[Any]:
    """The values of every `Literal` within a type."""
    if get_origin(annotation) is Literal:
        return set(get_args(annotation))
    return {value for part in get_args(annotation) for value in literals(part)}


def values_in(cell: str) -> set[Any]:
    """What stands between backticks with a TOML value: `"a"` and `8`, not `.`."""
    code = re.findall(r"`([^`]+)`", cell)
    return {tomllib.loads(f"x = {text}")["x"] for text in code if re.match(r'"|\d', text)}


def models_of(annotation: Any) -> set[type[BaseModel]]:
    """The tables that a type has, and those below them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        below = (models_of(field.rebuild_annotation()) for field in fields_of(annotation).values())
        return {annotation}.union(*below)
    return {model for part in get_args(annotation) for model in models_of(part)}


FIELDS = [
    pytest.param(section, key, field, id=f"{section}: {key}")
    for section, model in SECTIONS.items()
    for key, field in fields_of(model).items()
]


def test_every_table_has_a_section():
    assert set(SECTIONS.values()) == models_of(config.StudyConfig) | models_of(config.RunConfig)


@pytest.mark.parametrize(("section", "model"), SECTIONS.items(), ids=SECTIONS)
def test_a_section_has_the_keys_of_its_table(section, model):
    assert rows_of(section).keys() == fields_of(model).keys()


@pytest.mark.parametrize(("section", "key", "field"), FIELDS)
def test_a_row_has_the_values_and_the_default(section, key, field):
    values, default, _ = rows_of(section)[key]
    allowed = literals(field.rebuild_annotation())
    known = set(REGISTRIES.get((section, key), allowed))
    assert allowed in (set(), known)
    assert values_in(values) == known
    if (section, key) == ("`[base]`", "budget"):
        assert default == "from `[budget]`"
    elif field.is_required():
        assert default == "required"
    elif field.default is None:
        assert default == "none"
    elif isinstance(field.default, BaseModel):
        assert default == "`{}`"
        assert field.default == type(field.default)()
    else:
        expected = to_jsonable_python(field.default)
        assert tomllib.loads(f"x = {default.strip('`')}")["x"] == expected


def test_the_example_is_a_study(tmp_path):
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.S)
    path = tmp_path / "example.toml"
    path.write_text(example)
    study, cells = read_study_file(path)
    assert (study.name, len(cells)) == ("my_study", 1 + 3)
