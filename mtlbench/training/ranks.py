"""What a process of a run on several devices knows of the others.

A run is computed by one process per device, its ranks; of every batch each takes its part. What
they exchange is such that a mean over the ranks is the value of the whole batch, since that is
what DistributedDataParallel does to the gradients. One process is the rank 0 of 1: nothing is
exchanged then.
"""

import os
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mtlbench.config import ResourcesConfig
from mtlbench.models.batch_norm import share_batch_norms
from mtlbench.training.checkpoint import Checkpoints, Progress, Stopped, StopRequest
from mtlbench.training.contact import STOP, Contact, Pruned

FOR_EVER = timedelta(days=30)
"""A rank that hangs is found by the heartbeat, one that dies by torchrun: nobody gives up."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process is number `index` of `count`."""

    index: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this one writes and decides."""
        return self.index == 0

    def wrap(self, model: nn.Module) -> nn.Module:
        """Give the model whose gradients are averaged, to be kept; it has the weights of `model`.

        A head that is not computed gets no gradient, as in one process. Unused parameters are
        looked for at every step, which also keeps torch from rearranging its buckets after the
        first one: of more than two ranks, sums would differ in the last bits after a resume.
        """
        if self.count == 1:
            return model
        share_batch_norms(model)
        return DistributedDataParallel(model, broadcast_buffers=False, find_unused_parameters=True)

    def averaging(self, net: nn.Module, *, last: bool) -> AbstractContextManager[None]:
        """Gradients are averaged in the backward pass of a batch's `last` part, with all before."""
        if self.count == 1 or last:
            return nullcontext()
        return cast("DistributedDataParallel", net).no_sync()

    def total(self, values: Tensor) -> Tensor:
        """The sum over the ranks, without gradient."""
        if self.count == 1:
            return values
        whole = values.detach().clone()
        dist.all_reduce(whole)
        return whole

    def mean(self, values: Tensor) -> Tensor:
        """The mean over the ranks, without gradient."""
        return self.total(values) / self.count

    def agree(self, *wishes: bool) -> list[bool]:
        """What the first rank wishes, for all. On the host: a GPU is not waited for."""
        if self.count == 1:
            return list(wishes)
        decision = torch.tensor(wishes, dtype=torch.uint8)
        dist.broadcast(decision, src=0)
        return [bool(wish) for wish in decision.tolist()]

    def leave(self) -> None:
        """From here on nothing is exchanged: the first rank may take its time to write."""
        if self.count > 1:
            dist.destroy_process_group()


ALONE = Ranks()


def join_ranks(device: torch.device, meeting_place: Path) -> Ranks:
    """Meet the other ranks that torchrun has started, over loopback alone.

    They meet at a file: torch's TCPStore would listen on every interface.
    """
    loopback = "lo" if sys.platform == "linux" else "lo0"
    os.environ |= {"GLOO_SOCKET_IFNAME": loopback, "NCCL_SOCKET_IFNAME": loopback}
    if device.type == "cuda":
        torch.cuda.set_device(device)
    ranks = Ranks(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
        init_method=meeting_place.as_uri(),
        rank=ranks.index,
        world_size=ranks.count,
        timeout=FOR_EVER,
    )
    return ranks


class SharedCheckpoints(Checkpoints):
    """The first rank writes and hears the request to stop; all leave after the same step."""

    def __init__(
        self, folder: Path, resources: ResourcesConfig, heard: StopRequest, ranks: Ranks
    ) -> None:
        """`heard` is what this process's signals ask; what all have agreed on is another."""
        super().__init__(folder, resources, StopRequest())
        self._heard, self._ranks = heard, ranks

    def due(self, step: int) -> bool:
        """See `Checkpoints`; the first rank decides."""
        asked, due = self._ranks.agree(self._heard.asked, super().due(step))
        self._stop.asked = asked
        return due or asked

    def save(self, progress: Progress) -> None:
        """See `Checkpoints`."""
        if self._ranks.first:
            super().save(progress)
        elif self._stop.asked:
            raise Stopped


class SharedContact(Contact):
    """The first rank gives the signs of life, and hears for all that the run is to end."""

    def __init__(self, folder: Path, ranks: Ranks) -> None:
        """See `Contact`."""
        self._ranks = ranks
        super().__init__(folder)

    def beat(self) -> None:
        """See `Contact`."""
        if self._ranks.first:
            super().beat()

    def check(self) -> None:
        """See `Contact`."""
        (asked,) = self._ranks.agree((self._folder / STOP).exists())
        if asked:
            raise Pruned
