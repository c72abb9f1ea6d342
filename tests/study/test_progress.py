import io

import pytest
from rich.console import Console

from mtlbench.study.agenda import Work
from mtlbench.study.design import Run
from mtlbench.study.progress import LiveProgress, PlainProgress


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (Work(2, 3, 0), "cls seed 0  complete: 2 of 3 done\n"),
        (Work(0, 1, 0, failed=1), "cls seed 0  failed: 0 of 1 done, 1 failed\n"),
    ],
)
def test_an_ended_run_is_told_with_what_is_done_of_all(work, said):
    console = Console(file=io.StringIO(), width=100)
    progress, run = PlainProgress(console), Run({"starts_from": None}, 1, 1)
    progress.begun(run, "cls seed 0")
    progress.ended(run, "failed" if work.failed else "complete", work)
    assert console.file.getvalue() == said
    assert work.left == 1 - work.failed


@pytest.mark.parametrize("label", ["joint [loss.lambda=0.3] seed 0", "joint [trial 9] seed 1"])
def test_bars_show_labels_as_they_are(label):
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    progress = LiveProgress(console)
    progress.begun(Run({"starts_from": None}, 1, 1), label)
    progress.close()
    assert label in console.file.getvalue()
