import pytest
import torch

from mtlbench.config import LossConfig
from mtlbench.training.losses import LOSSES, class_weights
from mtlbench.training.start import stage_tasks, trained_tasks

CLS, SEG = ({"cls_weight": c, "seg_weight": 1 - c} for c in (1.0, 0.0))


def config(*stages, **loss):
    return {"loss": LossConfig(**loss).model_dump(exclude={"lambda_"}), "stages": stages}


@pytest.mark.parametrize("stride", [1, 4, 8])
def test_a_stage_is_scored_as_its_study_file_says(cohort, stride):
    loss = LossConfig(target_stride=stride, class_weights="inverse")
    tasks = stage_tasks(config(CLS, SEG, target_stride=stride, class_weights="inverse"), cohort)
    assert (tasks.cls_weight, tasks.seg_weight, tasks.target_stride) == (0.0, 1.0, stride)
    assert tasks.segmentation is LOSSES["cross-entropy"]
    weight_K = torch.from_numpy(class_weights(loss, cohort.train_pixels()))
    assert torch.equal(tasks.class_weight_K, weight_K)


def test_without_segmentation_the_classes_are_not_weighted(cohort):
    tasks = stage_tasks(config(CLS, class_weights="inverse"), cohort)
    assert torch.equal(tasks.class_weight_K, torch.ones(5))


def test_after_several_stages_the_model_is_asked_for_all_that_was_trained(cohort):
    stages = config(CLS, SEG, target_stride=8)
    tasks = trained_tasks(stages, stage_tasks(stages, cohort))
    assert (tasks.cls_weight, tasks.seg_weight, tasks.target_stride) == (1.0, 1.0, 8)
