"""What a run begins with, from its configuration: model and tasks."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from mtlbench.config import CLASSES, LossConfig, ModelConfig
from mtlbench.data.resident import Cohort
from mtlbench.errors import StudyError
from mtlbench.models.backbones.pretrained import weights_identity
from mtlbench.models.network import JointNet, build_model
from mtlbench.records import MODEL, RunFolder
from mtlbench.training.losses import LOSSES, class_weights
from mtlbench.training.tasks import Tasks


def model_config(config: Mapping[str, Any], weights: Path | None) -> ModelConfig:
    """The model's configuration, which names the file `weights` in place of its content.

    Raises:
        StudyError: the file is not the one that the study was laid out with.
    """
    model = ModelConfig(**config["model"])
    if weights is None:
        return model
    if weights_identity(str(weights)) != model.weights:
        raise StudyError(
            f"model.weights: {weights}: must be the file that it was when the study began "
            f"({model.weights}), but its content has changed"
        )
    return model.model_copy(update={"weights": str(weights)})


def starting_model(folder: RunFolder, config: Mapping[str, Any], start: ModelConfig) -> JointNet:
    """Initialised by seed and weights, or what the run that this one `starts_from` has trained."""
    model = build_model(start, config["seed"])
    if config["starts_from"]:
        source = folder.path.parent / config["starts_from"] / MODEL
        model.load_state_dict(load_file(source))
    return model


def stage_tasks(config: Mapping[str, Any], cohort: Cohort) -> Tasks:
    """Those of the last stage, on the cohort's device."""
    weight_K = (
        class_weights(LossConfig(**config["loss"]), cohort.train_pixels())
        if config["stages"][-1]["seg_weight"]
        else np.ones(len(CLASSES), np.float32)
    )
    return weighted_tasks(config, torch.from_numpy(weight_K).to(cohort.device))


def weighted_tasks(config: Mapping[str, Any], class_weight_K: Tensor) -> Tasks:
    """Those of the last stage, with the given class weights."""
    loss, stage = LossConfig(**config["loss"]), config["stages"][-1]
    segmentation = LOSSES[loss.segmentation]
    return Tasks(
        stage["cls_weight"], stage["seg_weight"], segmentation, class_weight_K, loss.target_stride
    )


def trained_tasks(config: Mapping[str, Any], tasks: Tasks) -> Tasks:
    """The tasks that any stage so far has trained: those the model can be asked for."""
    return replace(
        tasks,
        cls_weight=max(stage["cls_weight"] for stage in config["stages"]),
        seg_weight=max(stage["seg_weight"] for stage in config["stages"]),
    )
