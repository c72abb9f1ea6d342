"""The part of a cluster that each slot asks for."""

import itertools
import math
from collections import Counter
from collections.abc import Sequence

from mtlbench.config import ResourcesConfig
from mtlbench.errors import StudyError


def gpu_index(device: str) -> int | None:
    """Which GPU of this machine; None for a CPU."""
    kind, _, index = device.partition(":")
    return int(index or 0) if kind == "cuda" else None


def seen_devices(place: tuple[str, ...]) -> tuple[str, ...]:
    """The slot's devices as its actor sees them: Ray numbers those it gives from 0."""
    return tuple(
        device if gpu_index(device) is None else f"cuda:{rank}" for rank, device in enumerate(place)
    )


def shares(
    places: Sequence[tuple[str, ...]], resources: ResourcesConfig, nodes: list[dict[str, float]]
) -> list[dict[str, float]]:
    """What each slot's actor asks Ray for: whole GPUs, or its part of one that slots share.

    Args:
        places: devices of each slot.
        resources: of a run.
        nodes: what each machine of the cluster has.

    Raises:
        StudyError: the cluster has fewer GPUs than the slots ask for.

    """
    users = Counter(device for place in places for device in place)
    gpus = [_gpus(place, users) for place in places]
    there = sum(node.get("GPU", 0) for node in nodes)
    if math.ceil(sum(gpus)) > there:
        raise StudyError(
            f"--jobs {len(places)} with resources.gpus_per_run {len(places[0])}: the Ray cluster "
            f"must have {math.ceil(sum(gpus))} GPUs, but has {there:g}"
        )
    wanted = resources.threads * len(places[0])
    cpus = _cpus(wanted, len(places), [node.get("CPU", 0) for node in nodes])
    return [{"num_cpus": cpus, "num_gpus": share} for share in gpus]


def _gpus(place: tuple[str, ...], users: Counter[str]) -> float:
    if gpu_index(place[0]) is None:
        return 0
    # Rounded down, as Ray counts in parts of 10,000: three thirds must not be more than one.
    return len(place) if len(place) > 1 else math.floor(10_000 / users[place[0]]) / 10_000


def _cpus(wanted: int, slots: int, nodes: list[float]) -> float:
    """The most CPUs up to `wanted` with which all slots find room at once."""
    parts = (1 / divisor for divisor in itertools.count(2))
    for cpus in itertools.chain(range(wanted, 0, -1), itertools.islice(parts, slots)):
        if sum(int(node / cpus) for node in nodes) >= slots:
            return cpus
    return 0
