from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import confusion_matrix, roc_auc_score

from mtlbench.config import ModelConfig
from mtlbench.data.resident import Batch, Cohort
from mtlbench.models.network import build_model
from mtlbench.training.evaluate import count_pixels, evaluate, most_likely, predict_classes
from mtlbench.training.losses import LOSSES
from mtlbench.training.tail import ROWS
from mtlbench.training.tasks import Tasks

BOTH = Tasks(0.5, 0.5, LOSSES["cross-entropy"], torch.ones(5))


def test_counts_and_scores_agree_with_scikit_learn(cohort):
    model = build_model(ModelConfig(backbone="small", output_stride=8), 0)
    case_N = cohort.split["train"]
    result = evaluate(model, cohort, case_N, BOTH, batch_size=7)
    true_NK, pred_NK, both_NK = result.counts
    with torch.inference_mode():
        for i, batch in enumerate(cohort.eval_batches(case_N, batch_size=1)):
            cls_B, seg_BKhw = model(batch.image_B1HW, classify=True, segment=True)
            np.testing.assert_allclose(result.score_N[i], cls_B.sigmoid()[0], rtol=1e-5)
            pred_HW = F.interpolate(seg_BKhw, size=(32, 24), mode="bilinear").argmax(1)[0]
            table_KK = confusion_matrix(
                batch.mask_BHW[0].flatten(), pred_HW.flatten(), labels=list(range(5))
            )
            assert true_NK[i].tolist() == table_KK.sum(axis=1).tolist()
            assert pred_NK[i].tolist() == table_KK.sum(axis=0).tolist()
            assert both_NK[i].tolist() == table_KK.diagonal().tolist()
    label_N = cohort.cases["label"].to_numpy(dtype=int)[case_N]
    np.testing.assert_allclose(result.summary()["auc"], roc_auc_score(label_N, result.score_N))


def test_a_task_without_weight_has_no_columns(cohort):
    model = build_model(ModelConfig(backbone="small", output_stride=8), 0)
    cls_only = Tasks(1.0, 0.0, LOSSES["cross-entropy"], torch.ones(5))
    result = evaluate(model, cohort, cohort.split["val"], cls_only, batch_size=4)
    assert result.counts is None
    assert result.summary()["dice"] is None
    seg_only = Tasks(0.0, 1.0, LOSSES["cross-entropy"], torch.ones(5))
    result = evaluate(model, cohort, cohort.split["val"], seg_only, batch_size=4)
    assert np.isnan(result.score_N).all()
    assert result.summary()["auc"] is None


def test_losses_are_means_over_all_labelled_cases_and_pixels(prepared, cases):
    """However they are cut into batches."""
    some = prepared.cases.copy()
    some.loc[::3, "label"] = None
    cohort = Cohort(replace(prepared, cases=some), cases["split"], torch.device("cpu"))
    model = build_model(ModelConfig(backbone="small", output_stride=8), 0)
    weight_K = torch.tensor([0.1, 1.0, 2.0, 0.5, 3.0])
    case_N = cohort.split["train"]
    (batch,) = cohort.eval_batches(case_N, batch_size=len(case_N))
    with torch.inference_mode():
        cls_B, seg_BKhw = model.eval()(batch.image_B1HW, classify=True, segment=True)
        logit_BKHW = F.interpolate(seg_BKhw, size=(32, 24), mode="bilinear")
        target_BHW = batch.mask_BHW.long()
        known_B = batch.has_label_B
        loss_cls = F.binary_cross_entropy_with_logits(cls_B[known_B], batch.label_B[known_B])
        loss_seg = F.cross_entropy(logit_BKHW, target_BHW, weight_K, ignore_index=255)
    tasks = Tasks(0.5, 0.5, LOSSES["cross-entropy"], weight_K)
    for batch_size in (1, 7):
        result = evaluate(model, cohort, case_N, tasks, batch_size)
        assert result.loss_cls == pytest.approx(loss_cls.item(), rel=1e-5)
        assert result.loss_seg == pytest.approx(loss_seg.item(), rel=1e-5)


def test_validation_compares_with_squares_as_training_does(cohort):
    model = build_model(ModelConfig(backbone="small", output_stride=8), 0).eval()
    tasks = replace(BOTH, target_stride=8)
    case_N = cohort.split["val"]
    (batch,) = cohort.eval_batches(case_N, batch_size=len(case_N))
    pooled = tasks.pooled(batch)
    with torch.no_grad():
        _, _, loss_seg = tasks.losses(model, pooled, tasks.counts(pooled))
    found = [evaluate(model, cohort, case_N, each, 3).loss_seg for each in (tasks, BOTH)]
    assert found[0] == pytest.approx(loss_seg.item(), rel=1e-5)
    assert found[1] != pytest.approx(loss_seg.item(), rel=1e-5)


def test_each_batch_is_seen_with_the_classes_that_are_counted(cohort):
    model = build_model(ModelConfig(backbone="small", output_stride=8), 0)
    case_N = cohort.split["train"]
    seen = []
    result = evaluate(model, cohort, case_N, BOTH, 7, lambda *shown: seen.append(shown))
    assert np.concatenate([batch.case_B for batch, _ in seen]).tolist() == case_N.tolist()
    class_NHW = torch.cat([segmentation.class_BHW for _, segmentation in seen])
    counted_NHW = torch.cat([batch.mask_BHW for batch, _ in seen]) != 255
    for k in range(5):
        inside_NHW = (class_NHW == k) & counted_NHW
        assert inside_NHW.sum(dim=(1, 2)).tolist() == result.counts[1][:, k].tolist()
    cls_only = Tasks(1.0, 0.0, LOSSES["cross-entropy"], torch.ones(5))
    evaluate(model, cohort, case_N[:3], cls_only, 7, lambda *shown: seen.append(shown))
    assert seen[-1][1] is None


def test_classes_are_those_of_torch_but_for_near_ties():
    logit_BKhw = torch.randn(2, 5, 5, 4, generator=torch.Generator().manual_seed(0))
    logit_BKHW = F.interpolate(logit_BKhw.double(), size=(150, 101), mode="bilinear")
    first, second = logit_BKHW.topk(2, dim=1).values.unbind(dim=1)
    clear_BHW = first - second > 1e-5
    found_BHW = predict_classes(logit_BKhw, 150, 101)
    assert found_BHW.dtype == torch.uint8
    assert torch.equal(found_BHW[clear_BHW], logit_BKHW.argmax(dim=1)[clear_BHW].byte())
    assert clear_BHW.double().mean() > 0.999


def test_of_several_largest_logits_the_first_is_taken():
    logit_BKHW = torch.randint(0, 2, (2, 5, 9, 8), generator=torch.Generator().manual_seed(0))
    assert torch.equal(most_likely(logit_BKHW.float()), logit_BKHW.argmax(dim=1).byte())


def test_pixels_are_counted_by_bands_and_the_host_waits_for_nothing(dispatched):
    random = torch.Generator().manual_seed(0)
    height, width = 10 * ROWS, 96
    mask_BHW = torch.randint(0, 5, (2, height, width), generator=random, dtype=torch.uint8)
    mask_BHW[:, :50] = 255
    yes_B = torch.tensor([True, False])
    image_B1HW = torch.empty(2, 1, height, width)
    batch = Batch(image_B1HW, mask_BHW, yes_B.float(), yes_B, yes_B, np.arange(2))
    seg_BKhw = torch.randn(2, 5, 20, 3, generator=random)
    with dispatched as made:
        pixels_BKK = count_pixels(predict_classes(seg_BKhw, height, width), batch)
    pred_BHW = F.interpolate(seg_BKhw, size=(height, width), mode="bilinear").argmax(1)
    counted_HW = mask_BHW[0] != 255
    table_KK = confusion_matrix(mask_BHW[0][counted_HW], pred_BHW[0][counted_HW])
    assert np.abs(pixels_BKK[0].numpy() - table_KK).sum() <= 2  # a near tie moves two
    assert pixels_BKK[1].sum() == 0
    assert made.waits == 0
    assert made.largest <= 2 * 5 * ROWS * width
