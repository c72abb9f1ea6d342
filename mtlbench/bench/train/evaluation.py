"""What a run spends beside its steps: validation, and the final evaluation with all it writes.

Of fourteen stand-in cases twelve are for training, one for validation, one for the test: at the
price of `training/validation.py` a validation each epoch is then just below its share of a run.
"""

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mtlbench.bench.counters import own_clock, stopwatch
from mtlbench.bench.measure import Ratio, Row, Work, against, ratio_row
from mtlbench.bench.train.setting import Setting
from mtlbench.config import AugmentConfig
from mtlbench.data.prepared import Prepared
from mtlbench.data.resident import Batch, Cases, Cohort
from mtlbench.models.network import JointNet
from mtlbench.records import RunFolder
from mtlbench.training.compiling import can_compile
from mtlbench.training.evaluate import evaluate
from mtlbench.training.loop import train
from mtlbench.training.outputs import write_outputs
from mtlbench.training.state import EpochRow
from mtlbench.training.strategies import Stage
from mtlbench.training.validation import SHARE

EPOCHS = 8
SPLITS = ("val", "test")


class Watched(Cohort):
    """A cohort that knows when it was last asked for cases to evaluate."""

    def __init__(self, prepared: Prepared, device: torch.device) -> None:
        """Every fourteenth case is for validation, the next one for the test."""
        split_N = pd.Series(["val", "test", *["train"] * 12])[np.arange(len(prepared.cases)) % 14]
        super().__init__(prepared, split_N, device)
        self.read = own_clock(device)
        self.asked_s = 0.0

    def eval_batches(self, case_N: Cases, batch_size: int) -> Iterator[Batch]:
        """See `Cohort`."""
        self.asked_s = self.read()
        return super().eval_batches(case_N, batch_size)


def evaluation_rows(setting: Setting, prepared: Prepared) -> list[Row]:
    """Validation's part of a run; evaluation and outputs of the network so trained."""
    cohort, model = Watched(prepared, setting.device), setting.model()
    beside = "of a case, against its forward pass alone"
    return [
        ratio_row("validation_share", "validation's part of a run, as often as by default", SHARE,
                  partial(_validation, setting, cohort, model)),
        ratio_row("evaluate_forward", f"evaluation {beside}", None,
                  partial(_evaluation, setting, cohort, model)),
        ratio_row("outputs_forward", f"the final evaluation with all that it writes, {beside}",
                  None, partial(_outputs, setting, cohort, model)),
    ]  # fmt: skip


def _validation(setting: Setting, cohort: Watched, model: JointNet) -> Ratio:
    """Of two runs: their mean share, and how far one is from the other."""
    first, second = (validation_share(setting, cohort, model) for _ in range(2))
    return Ratio((first + second) / 2, abs(second / first - 1))


def validation_share(setting: Setting, cohort: Watched, model: JointNet) -> float:
    """Of the time of `train` after its first epoch, in which much is done once; trains `model`.

    On a GPU as a CUDA graph, as `compile = "auto"` does for long runs.
    """
    ended_s: list[float] = []
    validated_s: list[float] = []

    def on_epoch(row: EpochRow) -> None:
        ended_s.append(cohort.read())
        validated = row["val_loss_seg"] is not None
        validated_s.append(ended_s[-1] - cohort.asked_s if validated else 0.0)

    stage = Stage("joint", 0.5, 0.5, epochs=EPOCHS, steps=None)
    tasks, optim = setting.tasks(), setting.optim()
    mode = "reduce-overhead" if can_compile(setting.device) else "off"
    train(model, cohort, stage, tasks, optim, AugmentConfig(), 0, on_epoch, mode=mode)
    return sum(validated_s[1:]) / (ended_s[-1] - ended_s[0])


def _evaluation(setting: Setting, cohort: Cohort, model: JointNet) -> Ratio:
    case_N, tasks = _evaluated(cohort), setting.tasks()
    work = partial(evaluate, model, cohort, case_N, tasks, setting.batch_size)
    return _against_forward(setting, cohort, model, work)


def _outputs(setting: Setting, cohort: Cohort, model: JointNet) -> Ratio:
    with tempfile.TemporaryDirectory() as scratch:
        folder, tasks = RunFolder(Path(scratch)), setting.tasks()
        work = partial(write_outputs, folder, model, cohort, tasks, setting.batch_size, SPLITS)
        return _against_forward(setting, cohort, model, work)


def _against_forward(setting: Setting, cohort: Cohort, model: JointNet, work: Work) -> Ratio:
    tasks, batches = (
        setting.tasks(),
        list(cohort.eval_batches(_evaluated(cohort), setting.batch_size)),
    )

    @torch.inference_mode()
    def forward() -> None:
        model.eval()
        for batch in batches:
            tasks.forward(model, batch)

    return against(work, forward, setting.rounds, stopwatch(setting.device))


def _evaluated(cohort: Cohort) -> Cases:
    return np.concatenate([cohort.split[name] for name in SPLITS])
