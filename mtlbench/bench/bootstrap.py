"""Intervals of `compare` against a loop over scikit-learn, their memory, and how `compare` starts.

The loop draws cases and calls `roc_auc_score`. Its time is that of `PEER_RESAMPLES` of them,
scaled to `RESAMPLES`; ours is that of a whole call of `compare`.
"""

import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd

from mtlbench.analysis import compare
from mtlbench.bench.measure import Result, Row, noise_of, ratio
from mtlbench.config import CLASSES

CASES = 10_000
PER_PATIENT = 3
"""Cases of a patient in the clustered row; the loop knows no patients."""
RESAMPLES = 10_000
PEER_RESAMPLES = 100
ROUNDS = 7
ARMS = ("cls", "seg", "joint")
ARM_CASES = 2_000
ARM_METRICS = ("auc", "dice", "dice_lesions", "dice_any", "dice_image")
ARM_ROUNDS = 3
PIXELS = 100_000
START = "from mtlbench.cli import main; main()"


def run() -> Result:
    """Measure all rows, in about two minutes."""
    single, clustered = scores(CASES), scores(CASES, PER_PATIENT)
    peer = _loop(single)
    loop = f"of a scikit-learn loop's time (scaled from {PEER_RESAMPLES} of {RESAMPLES} resamples)"
    return Result(
        noise_of(peer, ROUNDS),
        [
            Row("auc_percentile", f"percentile interval of an AUC, part {loop}",
                _part(_interval(single, "percentile"), peer), "ratio", 0.015),
            Row("auc_studentised", f"studentised interval of an AUC, part {loop}",
                _part(_interval(single, "studentised"), peer), "ratio", 0.05),
            Row("auc_studentised_clustered", f"the same, {PER_PATIENT} cases a patient",
                _part(_interval(clustered, "studentised"), peer), "ratio", 0.08),
            Row("dice_all", f"{len(ARMS)} arms, {len(ARM_METRICS)} metrics, {ARM_CASES} cases, "
                f"{RESAMPLES} resamples", _seconds_of_arms(), "s", 5.0),
            Row("memory_mb", f"peak of a studentised interval, {CASES} cases",
                _peak(_interval(single, "studentised")), "MB", 50.0),
            Row("compare_start", "`mtlbench compare` of two small files against `import pandas`",
                _start(), "ratio", 2.5),
        ],
    )  # fmt: skip


def scores(n: int, per_patient: int = 1, seed: int = 0) -> pd.DataFrame:
    """Predictions of `n` cases, 30 % positive, no ties; `seed` does not change the labels."""
    label = (np.random.default_rng(n).random(n) < 0.3).astype(int)
    score = np.random.default_rng(seed).normal(label)
    return pd.DataFrame(
        {
            "image_id": np.arange(n),
            "patient_id": np.arange(n) // per_patient,
            "label": label,
            "score": 1 / (1 + np.exp(-score)),
        }
    )


def with_masks(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The same with pixel counts: one lesion an image, found in part, and false positives."""
    n = len(frame)
    k_N = np.arange(n) % (len(CLASSES) - 1) + 1
    area_N = np.exp(np.random.default_rng(n).normal(5, 1, n)).astype(int)
    rng = np.random.default_rng(seed)
    found_N = (area_N * rng.beta(4, 2, n)).astype(int)
    wrong_N = np.exp(rng.normal(4, 1, n)).astype(int)
    lesion = {"true": area_N, "pred": found_N + wrong_N, "both": found_N}
    healthy = {"true": area_N, "pred": found_N + wrong_N, "both": area_N + wrong_N}
    counts = {f"{kind}_0": PIXELS - out_N for kind, out_N in healthy.items()} | {
        f"{kind}_{k}": np.where(k_N == k, in_N, 0)
        for kind, in_N in lesion.items()
        for k in range(1, len(CLASSES))
    }
    return frame.assign(**counts)


def _interval(frame: pd.DataFrame, method: str) -> Callable[[], object]:
    return lambda: compare({"arm": frame}, method=method, resamples=RESAMPLES)


def _loop(frame: pd.DataFrame) -> Callable[[], object]:
    from sklearn.metrics import roc_auc_score

    label_N, score_N = frame["label"].to_numpy(), frame["score"].to_numpy()

    def work() -> list[float]:
        rng = np.random.default_rng(0)
        drawn = (rng.integers(len(frame), size=len(frame)) for _ in range(PEER_RESAMPLES))
        return [roc_auc_score(label_N[draw_N], score_N[draw_N]) for draw_N in drawn]

    return work


def _part(work: Callable[[], object], peer: Callable[[], object]) -> float:
    return ratio(work, peer, ROUNDS) * PEER_RESAMPLES / RESAMPLES


def _seconds_of_arms() -> float:
    frames = {arm: with_masks(scores(ARM_CASES, seed=k), k) for k, arm in enumerate(ARMS)}
    times = []
    for _ in range(ARM_ROUNDS):
        start = time.perf_counter()
        compare(frames, baseline=ARMS[0], metrics=ARM_METRICS, resamples=RESAMPLES)
        times.append(time.perf_counter() - start)
    return median(times)


def _peak(work: Callable[[], object]) -> float:
    """Most memory that Python and numpy hold at a time while `work` runs, in MB."""
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def _start() -> float:
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / f"{name}.csv" for name in ARMS[:2]}
        for seed, path in enumerate(files.values()):
            scores(60, seed=seed).to_csv(path, index=False)
        named = [f"{name}={path}" for name, path in files.items()]
        command = ["-c", START, "compare", *named, "--resamples", "100", "--json"]
        return ratio(_python(command), _python(["-c", "import pandas"]))


def _python(arguments: list[str]) -> Callable[[], object]:
    command = [sys.executable, *arguments]
    return lambda: subprocess.run(command, check=True, capture_output=True)
