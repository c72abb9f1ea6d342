"""`[compare.assume]` and `[compare.effect]`: what a study's outlook before training rests on."""

from typing import Annotated

from pydantic import Field

from mtlbench.config.base import Strict

Inside = Annotated[float, Field(gt=0, lt=1)]
Correlation = Annotated[float, Field(ge=0, lt=1)]


class AssumeConfig(Strict):
    """`[compare.assume]`: what nobody knows before training; see docs/statistics.md."""

    auc: Annotated[float, Field(gt=0.5, lt=1)] = 0.80
    """Of every arm."""
    auc_correlation: Correlation = 0.5
    """Of two arms' scores of the same image, within a class."""
    patient_correlation: Correlation = 0.5
    """Of an arm's scores of two images of the same patient and class."""
    dice: Inside = 0.35
    dice_sd: Annotated[float, Field(gt=0)] = 0.30
    """Standard deviation over patients with a lesion of what each adds to mean Dice."""
    dice_correlation: Correlation = 0.6
    """Of two arms' contributions of the same patient."""
    seed_sd: Annotated[float, Field(ge=0)] = 0.01
    """Of either metric over seeds; used from three seeds on."""
    power: Inside = 0.80


class EffectConfig(Strict):
    """`[compare.effect]`: the smallest differences that matter; those of Le et al. 2019."""

    auc: Inside = 0.0265
    dice: Inside = 0.033
