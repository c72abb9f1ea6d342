from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest


@pytest.fixture
def kill_at_fourth(monkeypatch: pytest.MonkeyPatch) -> Callable[[type, str], None]:
    """Let the method that saves a file do nothing three times, and then end the writer."""

    def change(saver: type, name: str) -> None:
        calls = count(1)

        def save(self: object, path: Path, **_: object) -> None:
            if next(calls) > 3:
                raise KeyboardInterrupt

        monkeypatch.setattr(saver, name, save)

    return change
