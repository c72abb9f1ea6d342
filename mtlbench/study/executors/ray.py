"""Ray: an actor per slot, on whichever machine of the cluster has room for it.

An actor holds what works on one machine too, a `LocalExecutor` of one slot: Ray decides where it
is, which GPUs it sees and notices its death; how a run is computed, asked for a checkpoint or
killed is the same code everywhere. The study's folder and the prepared data must have the same path
on every machine.

Who ends when whom is killed: a cluster that was started here ends with the driver (see `guard`),
Ray ends the actors of a driver that is gone, and a worker ends with its actor.
"""

import contextlib
import os
import secrets
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mtlbench.config import ResourcesConfig
from mtlbench.errors import StudyError
from mtlbench.study.executors.base import Ended
from mtlbench.study.executors.local import STOP_S, LocalExecutor
from mtlbench.study.executors.places import most_sharers
from mtlbench.study.executors.shares import gpu_index, seen_devices, shares
from mtlbench.study.executors.temporary import guarded_folder
from mtlbench.training.run import Task

if not os.environ.get("RAY_ADDRESS"):
    # A cluster of our own: nothing listens beyond loopback (Ray's name for that speaks of other
    # systems), nobody else's process may call it, nothing goes to the user's home or to Ray's
    # makers. Ray reads these when it is imported.
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
try:
    import ray
    from ray.exceptions import GetTimeoutError, RayError
except ModuleNotFoundError:
    raise StudyError("--executor ray needs the extra: pip install 'mtlbench[ray]'") from None

POLL_S = 1.0
"""How long an actor waits for its run at a time; a call to it waits as long at most."""
ANSWER_S = 10.0
"""An actor that does not answer for so long is killed."""
PREFIX = "mtlbench-ray."
"""Of the temporary folder of a cluster of our own, for its sockets and logs."""
OBJECTS_BYTES = 80 * 2**20
"""Ray's object store of a cluster of our own: tasks and answers are small."""


class RayExecutor:
    """An actor per slot; one that dies is replaced when the next run comes."""

    def __init__(
        self, places: Sequence[tuple[str, ...]], resources: ResourcesConfig, folder: Path
    ) -> None:
        """Connect to the cluster that `RAY_ADDRESS` names, or start one on this machine.

        Raises:
            StudyError: there is no such cluster, it has fewer GPUs than the slots ask for, or the
                path of the temporary folder is too long for one.
        """
        self.slots = len(places)
        self._slots: list[_Slot] = []
        self._own = contextlib.ExitStack()
        """What goes with a cluster that was started here."""
        try:
            with _sigterm_untouched():
                self._connect(places)
            asked = shares(places, resources, _resources())
        except StudyError:
            self.close()
            raise
        self._sharers = most_sharers(places)
        self._slots = [
            _Slot(place, share, resources, folder)
            for place, share in zip(places, asked, strict=True)
        ]

    def submit(self, task: Task) -> None:
        """Give the task to a free actor, with the devices that the actor sees."""
        slot = next(slot for slot in self._slots if slot.run is None)
        paths = {name: getattr(task, name).resolve() for name in ("folder", "prepared", "cases")}
        slot.begin(replace(task, **paths, sharers=self._sharers))

    def adopts(self, folder: Path) -> bool:
        """Never: a worker ends with its driver."""
        return False

    def wait(self, timeout_s: float) -> list[Ended]:
        """Answers of the actors; one that died while it had a run has ended it too."""
        busy = {slot.answer: slot for slot in self._slots if slot.run}
        if not busy:
            time.sleep(timeout_s)
            return []
        ready, _ = ray.wait(list(busy), timeout=timeout_s)
        return [ended for answer in ready for ended in busy[answer].look()]

    def kill(self, run: str) -> None:
        """Kill the run's worker with its children; if the actor cannot, the actor too."""
        for slot in self._slots:
            if slot.run == run:
                slot.kill()

    def close(self) -> None:
        """Let the runs write checkpoints, end the actors, and what was started here with them."""
        closing = [slot.actor.close.remote() for slot in self._slots if slot.run]
        if closing:
            ray.wait(closing, num_returns=len(closing), timeout=STOP_S + ANSWER_S)
        for slot in self._slots:
            ray.kill(slot.actor)
        self._slots.clear()
        ray.shutdown()
        self._own.close()

    def _connect(self, places: Sequence[tuple[str, ...]]) -> None:
        quiet: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
        if address := os.environ.get("RAY_ADDRESS"):
            try:
                ray.init(**quiet)
            except ConnectionError as error:
                raise StudyError(
                    f"RAY_ADDRESS must name a running Ray cluster, but got {address!r}: {error}"
                ) from None
            return
        temporary = self._own.enter_context(guarded_folder(PREFIX))
        indices = {gpu_index(device) for place in places for device in place}
        gpus = sorted(index for index in indices if index is not None)
        with _visible(gpus), _short_paths():
            ray.init(
                address="local",
                num_gpus=len(gpus),
                include_dashboard=False,
                object_store_memory=OBJECTS_BYTES,
                _temp_dir=str(temporary / "ray"),  # which Ray opens to everybody
                **quiet,
            )


class _Slot:
    """The driver's end of an actor."""

    def __init__(
        self, place: tuple[str, ...], share: dict[str, float], resources: ResourcesConfig,
        folder: Path,
    ) -> None:  # fmt: skip
        self._make: Callable[[], Any] = lambda: (
            ray.remote(LocalExecutor)
            .options(**share)
            .remote([seen_devices(place)], resources, folder)
        )
        self.run: str | None = None
        self.answer: Any = None
        """What the actor was last asked, to come."""
        self._broken = False
        self.actor: Any = self._make()

    def begin(self, task: Task) -> None:
        if self._broken:
            ray.kill(self.actor)
            self.actor, self._broken = self._make(), False
        self.run = task.folder.name
        self.answer = self.actor.submit.remote(task)

    def look(self) -> list[Ended]:
        """Take the answer, which has come; where the run goes on, ask again."""
        assert self.run is not None
        try:
            found: list[Ended] = ray.get(self.answer) or []
        except RayError as error:
            self._broken = True
            found = [Ended(self.run, f"its Ray actor failed: {str(error).splitlines()[0]}")]
        if found:
            self.run = None
        else:
            self.answer = self.actor.wait.remote(POLL_S)
        return found

    def kill(self) -> None:
        try:
            ray.get(self.actor.kill.remote(self.run), timeout=ANSWER_S)
        except (GetTimeoutError, RayError):
            ray.kill(self.actor)


@contextlib.contextmanager
def _sigterm_untouched() -> Iterator[None]:
    """Keep the driver's answer to SIGTERM, which `ray.init` replaces."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


@contextlib.contextmanager
def _visible(gpus: Sequence[int]) -> Iterator[None]:
    """Let the cluster have these GPUs of those that this process sees."""
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = before.split(",") if before else {index: str(index) for index in gpus}
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(names[index] for index in gpus)
    try:
        yield
    finally:
        del os.environ["CUDA_VISIBLE_DEVICES"]
        if before is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = before


@contextlib.contextmanager
def _short_paths() -> Iterator[None]:
    """Tell what to do where Ray's sockets cannot have the paths that it gives them."""
    try:
        yield
    except OSError as error:
        if "AF_UNIX" not in str(error):
            raise
        folder = tempfile.gettempdir()
        raise StudyError(
            f"TMPDIR must be a folder with a short path, but got {folder}: {error}"
        ) from None


def _resources() -> list[dict[str, float]]:
    """What each machine of the cluster has."""
    nodes: Any = ray.nodes()  # type: ignore[no-untyped-call]
    return [node["Resources"] for node in nodes]
