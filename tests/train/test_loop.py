"""A run: the same when broken off and resumed; safe when killed; ended by what is not a number or does not fit."""

import csv
import math
import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from lookalike.errors import BadQuery, BrokenModel

torch = pytest.importorskip("torch", reason="needs the extra: pip install 'lookalike[train]'")

from lookalike.train import memory  # noqa: E402
from lookalike.train.autoencoder import ReconstructionTask, evenly_spaced  # noqa: E402
from lookalike.train.checkpoint import BEST, LAST, RunState, read_tensors, write_tensors  # noqa: E402
from lookalike.train.config import AutoencoderConfig  # noqa: E402
from lookalike.train.data.augment import RECIPES, views_of  # noqa: E402
from lookalike.train.data.cache import ImageCache  # noqa: E402
from lookalike.train.data.loader import Loader  # noqa: E402
from lookalike.train.loop import TrainingFailed, TrainingProgress, TrainingRun  # noqa: E402
from lookalike.train.models.autoencoder import Autoencoder  # noqa: E402
from lookalike.train.objectives import make_objective  # noqa: E402
from lookalike.train.run_folder import RunFolder, open_run  # noqa: E402
from lookalike.train.schedule import WeightAverage, rate_factor  # noqa: E402
from lookalike.train.split import Split  # noqa: E402

PIXELS = np.random.default_rng(0).integers(0, 256, (32, 28, 28, 3), dtype=np.uint8)
USUAL = {"side": 28, "code": 4, "width": 4, "epochs": 3, "batch": 8, "objective": "denoising", "augment": "light"}


def config_of(**settings: object) -> AutoencoderConfig:
    return AutoencoderConfig.of(USUAL | settings)


def run_of(folder: Path, **settings: object) -> TrainingRun:
    config = config_of(**settings)
    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    task = ReconstructionTask(
        network=Autoencoder(28, channels=3, code=4, width=4),
        objective=make_objective(config.objective),
        config=config,
        images=ImageCache(pixels=PIXELS, rows=np.arange(32), failed=()),
        paths=[f"{n}.png" for n in range(32)],
        train=np.arange(24),
        val=np.arange(24, 32),
    )
    return TrainingRun(task, Loader(views_of(PIXELS, RECIPES[config.augment], 28), 2), config, RunFolder(folder))


class Broken(Exception):
    """An interruption from outside."""


def unplug(epoch: int, step: int):
    def on_progress(progress: TrainingProgress) -> None:
        if (progress.epoch, progress.step) == (epoch, step):
            raise Broken

    return on_progress


def figures(state: RunState) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if name not in ("seconds", "waited")} for row in state.history]


@pytest.mark.parametrize(("epoch", "step"), [(1, 2), (2, 0)])
def test_a_broken_run_ends_as_an_unbroken_one(tmp_path, epoch, step):
    whole = run_of(tmp_path / "whole")
    expected = whole.train()
    with pytest.raises(Broken):
        run_of(tmp_path / "broken", save_seconds=0).train(unplug(epoch, step))
    resumed = run_of(tmp_path / "broken", save_seconds=0)
    assert (resumed.state.epoch, resumed.state.step) in ((epoch, step), (epoch, step - 1))
    actual = resumed.train()
    assert figures(actual) == figures(expected)
    for a, b in zip(resumed.task.network.state_dict().values(), whole.task.network.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_it_learns_and_keeps_the_best_epoch(tmp_path):
    run = run_of(tmp_path, epochs=6, rate=0.01, objective="mse", augment="none")
    state = run.train()
    losses = [row["loss"] for row in state.history]
    assert losses[-1] < losses[0]
    assert state.best == max(row["PSNR"] for row in state.history) == state.history[state.best_epoch - 1]["PSNR"]
    assert run.task.validate(run.task.network)["PSNR"] == pytest.approx(state.best)
    with (tmp_path / "metrics.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert [row["epoch"] for row in rows] == list("123456")
    assert {"loss", "rate", "PSNR", "seconds", "waited"} <= set(rows[0])


def test_it_ends_early_when_nothing_gets_better(tmp_path):
    run = run_of(tmp_path, epochs=9, patience=2)
    run.task = _Stubborn(run.task)
    assert len(run.train().history) == 3


class _Stubborn:
    """Returns the same metrics for every epoch."""

    def __init__(self, task: ReconstructionTask) -> None:
        self._task = task

    def validate(self, network: torch.nn.Module) -> dict[str, float]:
        return {"PSNR": 1.0}

    def __getattr__(self, name: str) -> object:
        return getattr(self._task, name)


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_last_good(tmp_path, monkeypatch):
    run = run_of(tmp_path, save_seconds=0)
    loss = type(run.task).loss
    calls = []

    def corrupted(self, rows, views):
        calls.append(rows)
        return loss(self, rows, views) * (math.nan if len(calls) == 5 else 1)

    monkeypatch.setattr(type(run.task), "loss", corrupted)
    with pytest.raises(TrainingFailed, match=r"epoch 2, batch 2 \(\d+\.png.*last good checkpoint is in"):
        run.train()
    tensors, _ = read_tensors(tmp_path / "checkpoints" / LAST)
    assert all(torch.isfinite(values.float()).all() for values in tensors.values())
    assert run_of(tmp_path).state.steps_done == 4


def test_out_of_memory_names_a_size_that_fits(tmp_path, monkeypatch):
    run = run_of(tmp_path)
    loss = type(run.task).loss

    def greedy(self, rows, views):
        if len(rows) > 3:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes")
        return loss(self, rows, views)

    monkeypatch.setattr(type(run.task), "loss", greedy)
    with pytest.raises(TrainingFailed, match=r"a batch of 8 images; use --batch 2, which fits"):
        run.train()
    assert "--side" in memory.out_of_memory_message(8, lambda count: False)
    assert not memory.is_out_of_memory(RuntimeError("shapes differ"))


KILLED = """
import os, signal, sys, torch
from pathlib import Path
from lookalike.train import checkpoint
file = Path(sys.argv[1])
checkpoint.write_tensors(file, {"a": torch.ones(3)}, {})
os.fsync = lambda number: os.kill(os.getpid(), signal.SIGKILL)
checkpoint.write_tensors(file, {"a": torch.zeros(3)}, {})
"""


def test_kill_9_while_a_checkpoint_is_written_leaves_the_one_before(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / LAST)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert read_tensors(tmp_path / LAST)[0]["a"].tolist() == [1, 1, 1]
    write_tensors(tmp_path / LAST, {"a": torch.full((3,), 2.0)}, {})
    assert sorted(os.listdir(tmp_path)) == [LAST]  # what the killed one left was written over


def test_a_damaged_or_foreign_checkpoint_is_an_error(tmp_path):
    run_of(tmp_path, epochs=1).train()
    with pytest.raises(BrokenModel, match="another run"):
        run_of(tmp_path, objective="l1", ema=0.0)
    (tmp_path / "checkpoints" / LAST).write_bytes(b"rubbish")
    with pytest.raises(BrokenModel, match="--overwrite"):
        run_of(tmp_path)


def test_the_pictures_shown_are_of_all_of_the_part():
    assert evenly_spaced(np.arange(100, 200), 4).tolist() == [100, 133, 166, 199]
    assert evenly_spaced(np.arange(3), 12).tolist() == [0, 1, 2]


def test_the_rate_rises_then_falls():
    rates = [rate_factor(step, 100, 0.1) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == pytest.approx(1)
    assert rates[55] == pytest.approx(0.5, abs=0.02)
    assert rates[99] < 0.001
    assert all(a >= b for a, b in pairwise(rates[10:]))


def test_the_average_follows_by_hand():
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(network.weight)
    average = WeightAverage(network, 0.5)
    torch.nn.init.ones_(network.weight)
    average.update(0)  # early on the average is short: a tenth of the old is left
    assert average.network.weight.item() == pytest.approx(0.9)
    average.update(1000)
    assert average.network.weight.item() == pytest.approx(0.95)


SPLIT = Split(paths=["a"], labels=[""], parts=["train"])


def test_a_folder_goes_on_only_with_the_same_settings_and_split(tmp_path):
    run, _ = open_run(tmp_path / "m", config_of(), SPLIT)
    write_tensors(run.checkpoints / LAST, {"a": torch.ones(3)}, {})
    assert open_run(tmp_path / "m", config_of(), SPLIT)[1] is True
    with pytest.raises(BadQuery, match=r"other settings \(now: epochs = 9\).*--overwrite"):
        open_run(tmp_path / "m", config_of(epochs=9), SPLIT)
    with pytest.raises(BadQuery, match="another split"):
        open_run(tmp_path / "m", config_of(), Split(paths=["b"], labels=[""], parts=["train"]))
    (tmp_path / "m" / "card.json").write_text("{}")
    (tmp_path / "m" / "mine.txt").write_text("not a run's")
    with pytest.raises(BadQuery, match="finished model"):
        open_run(tmp_path / "m", config_of(), SPLIT)
    open_run(tmp_path / "m", config_of(epochs=9), SPLIT, overwrite=True)
    assert (tmp_path / "m" / "mine.txt").exists()


def test_a_run_that_ended_before_its_first_checkpoint_blocks_nothing(tmp_path):
    """Its error said to split again, or to take another rate: neither may be refused as another run's."""
    run, _ = open_run(tmp_path / "m", config_of(), SPLIT)
    run.cache.mkdir()
    (run.cache / "vectors.npy").write_bytes(b"of a picture")
    assert open_run(tmp_path / "m", config_of(), SPLIT)[1] is False
    assert (run.cache / "vectors.npy").exists()
    other = Split(paths=["b"], labels=[""], parts=["train"])
    assert open_run(tmp_path / "m", config_of(rate=1e-4), other)[1] is False
    assert not run.cache.exists()
    assert "rate = 0.0001" in (tmp_path / "m" / "config.toml").read_text()


def test_only_the_best_is_a_model_and_no_pickle_is_written(tmp_path):
    run_of(tmp_path, epochs=1).train()
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == sorted([BEST, LAST])
