"""What a study file may say: pydantic models, one strict base class.

A study file is TOML. `StudyConfig` is the whole file; `RunConfig` is what one arm at one point
of its swept values asks of a training. Names (adapters, backbones, strategies) are checked where
their dicts live, in `study`; here only shapes, types and ranges.
"""

from mtlbench.config.assume import AssumeConfig, EffectConfig
from mtlbench.config.base import (
    BIRADS_SETS,
    CLASSES,
    HIT_IOU,
    IGNORED,
    SCHEMA,
    Fraction,
    Intensity,
    Positive,
    Strict,
    ValidationMetric,
    faults,
)
from mtlbench.config.data import DataConfig, LabelRule
from mtlbench.config.reading import load_study, read_tables
from mtlbench.config.run import (
    AugmentConfig,
    BudgetConfig,
    LossConfig,
    ModelConfig,
    OptimConfig,
    ResourcesConfig,
    RunConfig,
)
from mtlbench.config.search import Distribution, SearchConfig, same
from mtlbench.config.study import (
    Arm,
    CompareConfig,
    StudyConfig,
    fewest_resamples,
    study_schema,
)

__all__ = [
    "BIRADS_SETS",
    "CLASSES",
    "HIT_IOU",
    "IGNORED",
    "SCHEMA",
    "Arm",
    "AssumeConfig",
    "AugmentConfig",
    "BudgetConfig",
    "CompareConfig",
    "DataConfig",
    "Distribution",
    "EffectConfig",
    "Fraction",
    "Intensity",
    "LabelRule",
    "LossConfig",
    "ModelConfig",
    "OptimConfig",
    "Positive",
    "ResourcesConfig",
    "RunConfig",
    "SearchConfig",
    "Strict",
    "StudyConfig",
    "ValidationMetric",
    "faults",
    "fewest_resamples",
    "load_study",
    "read_tables",
    "same",
    "study_schema",
]
