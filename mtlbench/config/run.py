"""`[budget]`, `[resources]` and `[base]`: what a training is asked for."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mtlbench.config.base import (
    Fraction,
    FromList,
    ManualWeights,
    Positive,
    Strict,
    ValidationMetric,
)


class BudgetConfig(Strict):
    """`[budget]`: how long each arm trains, in epochs or in optimisation steps."""

    rule: Literal["per-stage", "total"] = "total"
    epochs: Positive | None = None
    steps: Positive | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("exactly one of epochs and steps must be given")
        return self


class ResourcesConfig(Strict):
    """`[resources]`: `threads` and `gpus_per_run` are part of a run (they change the last bits)."""

    threads: Positive = 1
    gpus_per_run: Positive = 1
    """Processes of a run, one per GPU (or CPU); each takes an equal part of every batch."""
    retries: Annotated[int, Field(ge=0)] = 2
    """How often a run that failed is tried again, over all starts of the study."""
    hung_minutes: Annotated[float, Field(gt=0)] = 30.0
    """A run that shows no sign of life for so long is killed and tried again."""
    keep: Literal["all", "best", "none"] = "all"
    """Whose `model.safetensors` stay: all, each cell's best run by validation, none."""
    slurm: dict[str, str | int | float | bool] = {}
    """Parameters of submitit's executor: `slurm_partition`, `timeout_min`, `slurm_gres`, ..."""
    checkpoint_minutes: Annotated[float, Field(gt=0)] = 5.0
    """How often a run writes a checkpoint, from which it goes on after a kill."""
    checkpoint_steps: Positive | None = None
    """The same in optimisation steps; it goes before the minutes."""
    compile: Literal["auto", "off", "default", "reduce-overhead"] = "auto"
    """A mode of `torch.compile`; `auto`: where a GPU's time saved exceeds the time compiling takes.

    A mode that is asked for by name is part of a run, since it changes the last bits.
    """
    deterministic: bool = True
    """Whether a GPU repeats its bits; a CPU always does."""


class ModelConfig(Strict):
    """`[base.model]`: backbone and heads."""

    backbone: str = "resnet18"
    output_stride: Literal[8, 16, 32] = 32
    pooling: Literal["mean", "max"] = "mean"
    weights: str = "none"
    """`none`, `imagenet`, or the path of a state-dict file (.safetensors or .pth)."""


class LossConfig(Strict):
    """`[base.loss]`: Eq. 1 of Le et al. 2019, L = λ·L_cls + (1−λ)·L_seg."""

    lambda_: Fraction = Field(0.5, alias="lambda")
    segmentation: str = "cross-entropy"
    target_stride: Literal[1, 4, 8] = 1
    """1: every pixel of the mask counts; 4, 8: squares of so many pixels a side, each with
    the share of every class in it, which is faster and nearly the same."""
    class_weights: (
        Literal["none", "inverse", "median-frequency", "effective-number"] | FromList[ManualWeights]
    ) = "median-frequency"

    @model_validator(mode="after")
    def _weights_positive(self) -> Self:
        weights = self.class_weights
        if not isinstance(weights, str) and (min(weights) < 0 or max(weights) <= 0):
            raise ValueError(f"class_weights must be >= 0 and not all 0, but got {list(weights)}")
        return self


class OptimConfig(Strict):
    """`[base.optim]`: AdamW with linear warm-up and cosine decay; `select` is the epoch kept."""

    lr: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    batch_size: Positive = 16
    accumulate: Positive = 1
    """Parts in which a batch is computed, one after another; batch norm sees a part at a time."""
    warmup: Fraction = 0.1
    """Fraction of a stage's steps over which the learning rate rises."""
    select: Literal["last"] | ValidationMetric = "last"
    validate_every: Literal["auto"] | Positive = "auto"
    """Epochs from one validation to the next; the last epoch has one always. `auto`: as few as keep
    validation below a twentieth of a run."""


class AugmentConfig(Strict):
    """`[base.augment]`: ranges of the random transform of a training image; 0 turns one off."""

    flip: bool = True
    """Mirror top to bottom with probability one half (the chest wall stays at its side)."""
    rotate_deg: Annotated[float, Field(ge=0, le=180)] = 10.0
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.1
    shift: Annotated[float, Field(ge=0, lt=1)] = 0.05
    contrast: Annotated[float, Field(ge=0, lt=1)] = 0.1
    brightness: Annotated[float, Field(ge=0, lt=1)] = 0.1
    elastic: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Largest displacement of a smooth random deformation, in parts of the image's height."""
    noise: Annotated[float, Field(ge=0)] = 0.0
    """SD of Gaussian noise, in units of the SD of the training images' pixels."""


class RunConfig(Strict):
    """What one cell asks of a training: `[base]` with the arm's `set` and `vary` on top."""

    strategy: str = "joint"
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    optim: OptimConfig = OptimConfig()
    augment: AugmentConfig = AugmentConfig()
    budget: BudgetConfig = BudgetConfig(epochs=10)
