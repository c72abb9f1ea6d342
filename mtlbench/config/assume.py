"""`[compare.assume]` and `[compare.effect]`: what a study's outlook before training rests on."""

from typing import Annotated

from pydantic import Field

from mtlbench.config.base import Strict

Inside = Annotated[float, Field(gt=0, lt=1)]
Correlation = Annotated[float, Field(ge=0, lt=1)]
Spread = Annotated[float, Field(ge=0)]


class AssumeConfig(Strict):
    """`[compare.assume]`: what nobody knows before training; docs/statistics.md has the reasons."""

    pilot: str | None = None
    """Results folder of an earlier study, from the study file's folder: it says what is not set."""
    auc: Annotated[float, Field(gt=0.5, lt=1)] = 0.80
    """Of every arm."""
    auc_correlation: Correlation = 0.85
    """Of the AUCs of two arms' runs, over test sets."""
    auc_seed_sd: Spread = 0.005
    """Of an arm's AUC over seeds, were the test set endless; used from three seeds on."""
    patient_correlation: Correlation = 0.7
    """Of an arm's scores of two images of the same patient and class."""
    dice: Inside = 0.35
    dice_sd: Annotated[float, Field(gt=0)] = 0.15
    """Standard deviation over the patients with a lesion class of what each adds to its Dice."""
    dice_correlation: Correlation = 0.85
    """Of the mean Dice of two arms' runs, over test sets."""
    dice_seed_sd: Spread = 0.005
    """As `auc_seed_sd`."""
    power: Inside = 0.80


class EffectConfig(Strict):
    """`[compare.effect]`: the smallest differences that matter; those of Le et al. 2019."""

    auc: Inside = 0.0265
    dice: Inside = 0.033
