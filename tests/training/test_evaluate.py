import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import confusion_matrix, roc_auc_score

from mtlbench.config import ModelConfig
from mtlbench.models.network import build_model
from mtlbench.training.evaluate import evaluate
from mtlbench.training.losses import LOSSES
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
