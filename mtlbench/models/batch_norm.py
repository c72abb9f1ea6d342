"""Batch normalisation with the statistics of a batch that lies on several processes.

torch's SyncBatchNorm refuses tensors of a CPU; this one is the same on both, so that what the
tests see on a CPU is what runs on GPUs. B = a process's part of the batch, C = channels,
P = processes, H W = map size.
"""

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.modules.batchnorm import _BatchNorm

from mtlbench.errors import StudyError

_ACROSS = (0, 2, 3)


class SharedBatchNorm2d(nn.BatchNorm2d):
    """`nn.BatchNorm2d` over the parts of all processes; in evaluation mode it is the same."""

    @classmethod
    def of(cls, layer: nn.BatchNorm2d) -> "SharedBatchNorm2d":
        """Take over a layer, with its very parameters and buffers."""
        shared = cls(layer.num_features, layer.eps, layer.momentum)
        shared.weight, shared.bias = layer.weight, layer.bias
        for name, values in layer.named_buffers():
            setattr(shared, name, values)
        return shared.train(layer.training)

    def forward(self, input: Tensor) -> Tensor:
        """Normalise BCHW; in training mode every process must take part."""
        if not self.training:
            return super().forward(input)
        mean_C, var_C, count = _moments(input)
        self._remember(mean_C, var_C * (count / (count - 1).clamp(min=1)))
        out: Tensor = _Normalise.apply(
            input, self.weight, self.bias, mean_C, var_C, count, self.eps
        )
        return out

    @torch.no_grad()
    def _remember(self, mean_C: Tensor, unbiased_C: Tensor) -> None:
        """Move the running statistics, as `nn.BatchNorm2d` does."""
        assert self.momentum is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean_C, self.momentum)
        self.running_var.lerp_(unbiased_C, self.momentum)


def share_batch_norms(model: nn.Module) -> None:
    """Let every batch normalisation of a model see the whole batch, in place.

    Raises:
        StudyError: the model has a batch normalisation of another kind.
    """
    for parent in list(model.modules()):
        for name, layer in parent.named_children():
            if type(layer) is nn.BatchNorm2d:
                setattr(parent, name, SharedBatchNorm2d.of(layer))
            elif isinstance(layer, _BatchNorm) and not isinstance(layer, SharedBatchNorm2d):
                raise StudyError(
                    "resources.gpus_per_run must be 1 unless the backbone normalises by "
                    f"BatchNorm2d alone, but it has a {type(layer).__name__}"
                )


@torch.no_grad()
def _moments(input_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance of each channel over all processes, and the number of values of one.

    The parts are put together as by Chan et al. (1983), in the same order everywhere: the result
    has the same bits in every process.
    """
    var_C, mean_C = torch.var_mean(input_BCHW.float(), dim=_ACROSS, correction=0)
    count_1 = mean_C.new_full((1,), input_BCHW.numel() / input_BCHW.shape[1])  # no copy: no wait
    own = torch.cat([mean_C, var_C, count_1])
    parts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, own)
    everyone = torch.stack(parts)
    channels = len(mean_C)
    mean_PC, var_PC = everyone[:, :channels], everyone[:, channels:-1]
    count_P1 = everyone[:, -1:]
    share_P1 = count_P1 / count_P1.sum()
    mean_C = (share_P1 * mean_PC).sum(dim=0)
    var_C = (share_P1 * (var_PC + (mean_PC - mean_C) ** 2)).sum(dim=0)
    return mean_C, var_C, count_P1.sum()


class _Normalise(Function):
    """(x − mean) / sd · weight + bias, where mean and variance depend on every process's x."""

    @staticmethod
    def forward(
        ctx: Any,
        input_BCHW: Tensor,
        weight_C: Tensor,
        bias_C: Tensor,
        mean_C: Tensor,
        var_C: Tensor,
        count: Tensor,
        eps: float,
    ) -> Tensor:
        """Normalise the own part."""
        ctx.save_for_backward(input_BCHW, weight_C, mean_C, (var_C + eps).rsqrt(), count)
        return F.batch_norm(input_BCHW, mean_C, var_C, weight_C, bias_C, eps=eps)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradient of the own part through everyone's moments (Ioffe & Szegedy 2015)."""
        input_BCHW, weight_C, mean_C, inverse_sd_C, count = ctx.saved_tensors
        grad_BCHW = grads[0].float()
        unit_BCHW = (input_BCHW.float() - _wide(mean_C)) * _wide(inverse_sd_C)
        bias_C = grad_BCHW.sum(dim=_ACROSS)
        weight_grad_C = (grad_BCHW * unit_BCHW).sum(dim=_ACROSS)
        sums_2C = torch.stack([bias_C, weight_grad_C])
        dist.all_reduce(sums_2C)
        mean_grad_C, mean_moment_C = sums_2C / count
        through_BCHW = grad_BCHW - _wide(mean_grad_C) - unit_BCHW * _wide(mean_moment_C)
        grad_input_BCHW = through_BCHW * _wide(weight_C * inverse_sd_C)
        return (
            grad_input_BCHW.to(input_BCHW.dtype),
            weight_grad_C, bias_C, None, None, None, None,
        )  # fmt: skip


def _wide(values_C: Tensor) -> Tensor:
    return values_C[:, None, None]
