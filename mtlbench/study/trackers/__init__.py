"""Other tools that may show a study. To add one: a module with a `Tracker`, and a line here.

They live in the driver's process and only mirror: the run folders stay the truth. Each is an
optional extra of its own name, whose library is imported when the tracker is opened.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from mtlbench.errors import StudyError
from mtlbench.study.trackers.base import Tracker
from mtlbench.study.trackers.mlflow import MlflowTracker
from mtlbench.study.trackers.tensorboard import TensorboardTracker
from mtlbench.study.trackers.wandb import WandbTracker

TRACKERS: dict[str, Callable[[Path, str], Tracker]] = {
    "tensorboard": TensorboardTracker,
    "mlflow": MlflowTracker,
    "wandb": WandbTracker,
}
"""Called with results/<study> and the study's name; their data go below `trackers/<tool>/`."""

__all__ = ["TRACKERS", "Tracker", "open_trackers"]


def open_trackers(names: Sequence[str], folder: Path, study: str) -> list[Tracker]:
    """The trackers of those names; one that cannot be opened is left out, with a line on stderr.

    Args:
        names: keys of TRACKERS.
        folder: results/<study>.
        study: the study's name.

    Raises:
        StudyError: the extra of one is not installed.
    """
    opened: list[Tracker] = []
    for name in dict.fromkeys(names):
        try:
            opened.append(TRACKERS[name](folder, study))
        except ImportError as error:
            raise StudyError(
                f"--tracker {name} needs the extra: pip install 'mtlbench[{name}]' ({error})"
            ) from None
        except Exception as error:
            print(f"{name} cannot be opened and is left out: {error}", file=sys.stderr)
    return opened
