"""What a training carries from step to step, and its form in a checkpoint."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mtlbench.models.network import JointNet
from mtlbench.training.checkpoint import Checkpoints, Progress

EpochRow = dict[str, str | int | float | None]
"""A row of `history.csv`."""


class DivergedError(RuntimeError):
    """Loss or weights are no longer finite; `last_good` are the newest weights before that."""

    def __init__(self, message: str, last_good: Mapping[str, Tensor]) -> None:
        """The weights are a state dict of the model."""
        super().__init__(message)
        self.last_good = last_good


@dataclass(slots=True)
class Keeper:
    """The weights to keep: the last epoch's, or those of the best validation metric."""

    select: str
    best: float = -math.inf
    state: dict[str, Tensor] = field(default_factory=dict)

    def offer(self, model: JointNet, row: EpochRow) -> None:
        """Take the model's weights if this epoch's row earns it; the earlier epoch wins a tie."""
        if self.select == "last":
            return
        value = row[self.select.replace("val.", "val_")]
        if isinstance(value, float) and value > self.best:
            self.best = value
            self.state = {k: v.detach().clone() for k, v in model.state_dict().items()}

    def restore(self, model: JointNet) -> None:
        """Put the kept weights back; where no epoch offered the metric, the last ones stay."""
        if self.state:
            model.load_state_dict(self.state)


class TrainingState:
    """Weights, optimiser, kept weights, position, and the losses of the epoch so far."""

    def __init__(
        self,
        model: JointNet,
        optimizer: torch.optim.Optimizer,
        keeper: Keeper,
        device: torch.device,
    ) -> None:
        """The beginning: no step is taken."""
        self.model, self.optimizer, self.keeper = model, optimizer, keeper
        self.step = 0
        self.rows: list[EpochRow] = []
        self.sums_3 = torch.zeros(3, device=device)
        """Sums of the total, the classification and the segmentation loss."""
        self._train_s = 0.0
        self._began = time.perf_counter()
        self._good = self._copy()

    def end_epoch(self, row: EpochRow) -> None:
        """Take the epoch's row, and keep its weights if it earned it."""
        self.keeper.offer(self.model, row)
        self.rows.append(row)
        self.sums_3.zero_()
        self._good = self._copy()

    def save_if_due(self, checkpoints: Checkpoints | None) -> None:
        """Write a checkpoint if its turn has come.

        Raises:
            Stopped: a stop was asked, and the checkpoint is written.
            DivergedError: there is nothing finite to write.
        """
        if checkpoints is not None and checkpoints.due(self.step):
            self.require_finite()
            checkpoints.save(self.progress())

    def require_finite(self) -> None:
        """Raise DivergedError where the losses of the epoch or the weights are not finite."""
        if not bool(self.sums_3.isfinite().all()):
            loss = self.sums_3[0].item()
            message = f"the loss must stay finite, but its sum is {loss} at step {self.step}"
            raise DivergedError(message, self._good)
        weights = self.model.state_dict().values()
        if not bool(torch.stack([t.isfinite().all() for t in weights]).all()):
            message = f"the weights must stay finite, but are not after step {self.step}"
            raise DivergedError(message, self._good)

    def progress(self) -> Progress:
        """Give it all as one flat table of tensors, and plain values."""
        tensors = {f"model.{name}": t for name, t in self.model.state_dict().items()}
        tensors |= {f"kept.{name}": t for name, t in self.keeper.state.items()}
        for index, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": t for name, t in values.items()}
        tensors["sums"] = self.sums_3
        best = None if math.isinf(self.keeper.best) else self.keeper.best
        return Progress(self.step, self._elapsed_s(), self.rows, best, tensors)

    def resume(self, checkpoints: Checkpoints | None) -> None:
        """Go to where the newest checkpoint was, if there is one."""
        found = checkpoints and checkpoints.load(self.sums_3.device)
        if not found:
            return
        self.model.load_state_dict(_under(found.tensors, "model"))
        self.keeper.state = _under(found.tensors, "kept")
        self.keeper.best = -math.inf if found.best is None else found.best
        groups = self.optimizer.state_dict()["param_groups"]
        moments = self._moments(_under(found.tensors, "optimizer"))
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self.sums_3 = found.tensors["sums"]
        self._good = self._copy()
        self.step, self.rows, self._train_s = found.step, found.rows, found.train_s

    def _moments(self, tensors: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
        """The optimiser's, laid out in memory as its parameters are: fused steps rely on it."""
        parameters = [one for group in self.optimizer.param_groups for one in group["params"]]
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            index, _, key = name.partition(".")
            like = parameters[int(index)]
            if tensor.shape == like.shape:
                tensor = torch.empty_like(like, dtype=tensor.dtype).copy_(tensor)
            moments.setdefault(int(index), {})[key] = tensor
        return moments

    def _copy(self) -> dict[str, Tensor]:
        return {name: t.detach().clone() for name, t in self.model.state_dict().items()}

    def _elapsed_s(self) -> float:
        return self._train_s + time.perf_counter() - self._began


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {k.removeprefix(start): t for k, t in tensors.items() if k.startswith(start)}
