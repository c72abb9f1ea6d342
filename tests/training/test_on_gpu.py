"""What only a GPU can show: that it computes what a CPU does, waits for nothing, repeats its bits.

Everything else in the tests also runs where there is a GPU: studies take it by themselves.
"""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mtlbench.bench.counters import host_waits
from mtlbench.config import (
    AugmentConfig,
    LossConfig,
    ModelConfig,
    OptimConfig,
    ResourcesConfig,
)
from mtlbench.data import resident
from mtlbench.data.gather import PackedMasks, ResidentGather, choose_gather
from mtlbench.data.resident import Cohort
from mtlbench.data.stream import StreamedGather
from mtlbench.models.network import build_model
from mtlbench.records import RunFolder
from mtlbench.training.checkpoint import Checkpoints, Stopped, StopRequest
from mtlbench.training.evaluate import count_pixels, evaluate, predict_classes
from mtlbench.training.loop import placed, take_step
from mtlbench.training.losses import LOSSES
from mtlbench.training.rehearsal import largest_batch, step_s
from mtlbench.training.repeatable import repeatable
from mtlbench.training.run import Task, execute
from mtlbench.training.tail import cross_entropy, one_hot, square_cross_entropy, squares
from mtlbench.training.tasks import Tasks

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
CPU, GPU = torch.device("cpu"), torch.device("cuda:0")
ALL = AugmentConfig(elastic=0.06, noise=0.2)
SMALL = {"backbone": "small", "output_stride": 8}


@pytest.fixture
def on_gpu(prepared, cases):
    return Cohort(prepared, cases["split"], GPU)


def tasks(device=GPU):
    return Tasks(0.5, 0.5, LOSSES["cross-entropy"], torch.ones(5, device=device))


def test_batches_are_those_of_a_cpu(cohort, on_gpu):
    """Up to rounding; a mask's pixel may be another where its place is between two."""
    assert on_gpu.placement.startswith("resident on cuda:0")
    pairs = zip(*(c.train_batches(1, 2, 4, ALL, range(3)) for c in (cohort, on_gpu)), strict=True)
    for ours, theirs in pairs:
        got = theirs.image_B1HW.cpu()
        assert torch.quantile((got - ours.image_B1HW).abs(), 0.99) < 1e-4
        assert (theirs.mask_BHW.cpu() == ours.mask_BHW).float().mean() > 0.99
        for name in ("label_B", "has_label_B", "has_mask_B"):
            assert torch.equal(getattr(theirs, name).cpu(), getattr(ours, name))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("way", ["packed", "streamed"])
def test_where_the_data_lie_changes_no_bit(prepared, cases, monkeypatch, way, dtype):
    images = prepared.images.astype(dtype) * dtype(1 if dtype == np.uint8 else 257)
    held = dataclasses.replace(prepared, images=images)
    image_NHW = torch.from_numpy(images.view(np.int16) if dtype == np.uint16 else images)
    mask_NHW = torch.from_numpy(prepared.masks.copy())
    ways = {
        "resident": lambda: ResidentGather(image_NHW.to(GPU), mask_NHW.to(GPU)),
        "packed": lambda: ResidentGather(image_NHW.to(GPU), PackedMasks(mask_NHW, GPU)),
        "streamed": lambda: StreamedGather(image_NHW, mask_NHW, GPU),
    }

    def batches(name):
        monkeypatch.setattr(resident, "choose_gather", lambda *_: (ways[name](), name))
        cohort = Cohort(held, cases["split"], GPU)
        with torch.inference_mode():
            evaluated = list(cohort.eval_batches(np.arange(len(images)), 5))
        return [*cohort.train_batches(1, 2, 4, ALL, range(3)), *evaluated]

    for expected, got in zip(batches("resident"), batches(way), strict=True):
        assert torch.equal(got.image_B1HW, expected.image_B1HW)
        assert torch.equal(got.mask_BHW, expected.mask_BHW)


def test_the_way_follows_the_free_memory(prepared):
    whole = prepared.images.nbytes + prepared.masks.nbytes
    free = {"resident on cuda:0:": 2 * whole, "masks packed": 2 * whole - 2, "streamed": 100}
    for words, free_bytes in free.items():
        assert words in choose_gather(prepared, GPU, free_bytes)[1]


@pytest.mark.parametrize("size", [(128, 96), (101, 67)])
def test_the_loss_tail_is_torchs_loss_in_double_precision(size):
    random = torch.Generator().manual_seed(0)
    logit_BKhw = 3 * torch.randn(3, 5, 13, 9, generator=random, dtype=torch.float64)
    mask_BHW = torch.randint(0, 4, (3, *size), generator=random, dtype=torch.uint8)
    mask_BHW[:, : size[0] // 3] = 255
    weight_K = torch.tensor([0.1, 1.0, 0.0, 0.5, 3.0], dtype=torch.float64)
    whole = logit_BKhw.requires_grad_()
    full_BKHW = F.interpolate(whole, size, mode="bilinear")
    plain = F.cross_entropy(full_BKHW, mask_BHW.long(), weight_K, ignore_index=255, reduction="sum")
    (expected,) = torch.autograd.grad(plain, whole)
    given = logit_BKhw.detach().to(GPU, torch.float32).requires_grad_()
    losses, gradients = [], []
    for _ in range(3):
        loss = cross_entropy(given, mask_BHW.to(GPU), weight_K.float().to(GPU).expand(3, 5))
        losses.append(loss.item())
        gradients.append(torch.autograd.grad(loss, given)[0].cpu())
    assert losses[0] == pytest.approx(plain.item(), rel=1e-5)
    assert (gradients[0] - expected).norm() < 1e-5 * expected.norm()
    assert losses == losses[:1] * 3
    assert all(torch.equal(gradient, gradients[0]) for gradient in gradients)


@pytest.mark.parametrize("side", [4, 8])
@pytest.mark.parametrize("size", [(128, 96), (101, 67)])
def test_squares_their_loss_and_gradient_are_those_of_a_cpu(size, side):
    random = torch.Generator().manual_seed(0)
    logit_BKhw = 3 * torch.randn(3, 5, 13, 9, generator=random)
    mask_BHW = torch.randint(0, 4, (3, *size), generator=random, dtype=torch.uint8)
    mask_BHW[:, : size[0] // 3] = 255
    weight_BK = torch.tensor([0.1, 1.0, 0.0, 0.5, 3.0]).expand(3, 5)
    found = []
    for device in (CPU, GPU, GPU):
        logits = logit_BKhw.to(device).requires_grad_()
        pooled = squares(mask_BHW.to(device), 5, side)
        loss = square_cross_entropy(logits, pooled, weight_BK.to(device), size)
        (gradient,) = torch.autograd.grad(loss, logits)
        found.append((pooled.pixels_BKrw.cpu(), loss.detach().cpu(), gradient.cpu()))
    (cpu_pixels, *on_cpu), (gpu_pixels, *first), (_, *second) = found
    assert torch.equal(cpu_pixels, gpu_pixels)
    torch.testing.assert_close(first, on_cpu, rtol=1e-4, atol=1e-4)
    assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))


def test_classes_and_pixel_counts_are_those_of_a_cpu(cohort, on_gpu):
    case_N = np.arange(len(cohort.cases))
    seg_BKhw = torch.randn(len(case_N), 5, 4, 3, generator=torch.Generator().manual_seed(0))
    (here,), (there,) = (list(c.eval_batches(case_N, 64)) for c in (cohort, on_gpu))
    class_BHW = predict_classes(seg_BKhw.to(GPU), 32, 24)
    assert (class_BHW.cpu() == predict_classes(seg_BKhw, 32, 24)).float().mean() > 0.999
    expected = count_pixels(class_BHW.cpu(), here)
    assert torch.equal(count_pixels(class_BHW, there).cpu(), expected)
    assert torch.equal(one_hot(class_BHW, 5).cpu(), one_hot(class_BHW.cpu(), 5))


def test_evaluation_is_that_of_a_cpu_up_to_bfloat16(cohort, on_gpu):
    case_N = np.arange(len(cohort.cases))
    found = [
        evaluate(placed(build_model(ModelConfig(**SMALL), 0), c.device), c, case_N,
                 tasks(c.device), 8)
        for c in (cohort, on_gpu)
    ]  # fmt: skip
    here, there = found
    np.testing.assert_allclose(there.score_N, here.score_N, atol=0.02)
    assert there.loss_seg == pytest.approx(here.loss_seg, rel=0.02)
    assert len(set(there.score_N)) > 0.9 * len(case_N)  # float32 heads: no ties


@pytest.mark.parametrize("backbone", ["small", "resnet18"])
def test_a_step_waits_for_nothing(on_gpu, backbone):
    model = placed(build_model(ModelConfig(backbone=backbone, output_stride=8), 0), GPU).train()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    batches = on_gpu.train_batches(0, 0, 4, ALL, range(3))
    task, sums_3 = tasks(), torch.zeros(3, device=GPU)
    with repeatable(GPU, True):
        sums_3 += take_step(model, task, next(batches), optimizer)
        with host_waits(GPU) as waits:
            for batch in batches:
                sums_3 += take_step(model, task, batch, optimizer)
            assert waits() == 0
            sums_3.tolist()
            assert waits() == 1  # which is heard of


@pytest.fixture
def task(prepared, cases, tmp_path):
    def make(name, mode="off", steps=12, backbone="resnet18", **resources):
        cases.to_csv(tmp_path / "cases.csv", index=False)
        config = {
            "seed": 0, "fold": None, "threads": 1, "starts_from": None,
            "model": ModelConfig(backbone=backbone, output_stride=8).model_dump(),
            "optim": OptimConfig(batch_size=4, validate_every=2).model_dump(),
            "augment": ALL.model_dump(), "loss": LossConfig().model_dump(exclude={"lambda_"}),
            "stages": [
                {"name": "joint", "cls_weight": 0.5, "seg_weight": 0.5, "epochs": None,
                 "steps": steps}
            ],
        }  # fmt: skip
        resources = ResourcesConfig(compile=mode, **resources)
        return Task(
            tmp_path / name, prepared.root, tmp_path / "cases.csv", config, ("cuda:0",), resources
        )

    return make


def digests(task):
    """Of what a run writes."""
    files = RunFolder(task.folder).record()["files"]
    return {name: file["sha256"] for name, file in files.items()}


@pytest.mark.parametrize("mode", ["off", "default", "reduce-overhead"])
def test_a_run_repeats_its_bits(task, mode):
    first, again = task("first", mode), task("again", mode)
    execute(first)
    execute(again)
    record = RunFolder(first.folder).record()
    assert (record["deterministic"], record["nondeterministic"]) == (True, [])
    assert record["device"] == torch.cuda.get_device_name(GPU)
    assert digests(again) == digests(first)


def test_a_run_that_was_stopped_goes_on_with_the_same_bits(task, monkeypatch):
    whole, cut = task("whole"), task("cut")
    execute(whole)
    stop = StopRequest()
    stop.asked = True
    monkeypatch.setattr(Checkpoints, "due", lambda self, step: step == 5)
    with pytest.raises(Stopped):
        execute(cut, stop)
    execute(cut)
    assert RunFolder(cut.folder).record()["attempts"] == 2
    assert digests(cut) == digests(whole)


@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_compiled_it_learns_what_it_learns_uncompiled(task, mode):
    losses = []
    for one in (task("plain"), task(mode, mode)):
        execute(one)
        rows = (one.folder / "history.csv").read_text(encoding="utf-8").splitlines()
        column = rows[0].split(",").index("loss")
        losses.append([float(row.split(",")[column]) for row in rows[1:]])
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.05)


def test_parts_of_a_batch_add_up(on_gpu):
    """To bfloat16; with batch statistics left out, as they are a part's own."""
    model = placed(build_model(ModelConfig(**SMALL), 0), GPU).eval()
    (batch,) = on_gpu.eval_batches(np.arange(8), 8)
    gradients = []
    for parts in (1, 3):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
        take_step(model, tasks(), batch, optimizer, parts)
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert F.cosine_similarity(*gradients, dim=0) > 0.999


def test_out_of_memory_says_what_would_fit(task):
    """The images are small, so it is the memory that is taken away."""
    one = task("big", steps=1)
    room = 300e6
    _, whole = torch.cuda.mem_get_info(GPU)
    torch.cuda.set_per_process_memory_fraction((room + torch.cuda.memory_reserved(GPU)) / whole)
    try:
        with pytest.raises(torch.OutOfMemoryError):
            step_s(one.config, (1024, 1024), 256, GPU)
        fits = largest_batch(one.config, (1024, 1024), 255, GPU)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert fits is None or fits[0] < 256
