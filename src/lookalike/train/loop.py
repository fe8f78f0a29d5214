"""The training loop of all tasks: steps, validation, checkpoints and early stopping. A killed run resumes.

for each epoch:  plan of batches ─ views from the loader ─ loss ─ gradient, clipped ─ AdamW ─ weight average
                 validate the average ─ save it if it is the best so far ─ checkpoint
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lookalike.errors import ModelError
from lookalike.train.checkpoint import (
    BEST,
    LAST,
    RunState,
    load_checkpoint,
    read_tensors,
    save_checkpoint,
    write_tensors,
)
from lookalike.train.config import TrainingConfig
from lookalike.train.data.loader import Loader
from lookalike.train.memory import is_out_of_memory, out_of_memory_message
from lookalike.train.run_folder import RunFolder
from lookalike.train.schedule import WeightAverage, rate_factor

Rows = NDArray[np.int64]


class TrainingFailed(ModelError):
    """A run cannot continue: the loss is not finite, the device is missing, or there is not enough memory."""


class TrainingTask(Protocol):
    """A network with its objective, batches and validation (`metric`: higher is better)."""

    network: nn.Module
    objective: nn.Module

    @property
    def metric(self) -> str:
        """The metric that selects the best epoch."""
        ...

    def groups(self) -> list[dict[str, Any]]:
        """Return parameter groups, each with `share`, its factor of the learning rate."""
        ...

    def plan(self, epoch: int) -> list[Rows]:
        """Return the batches of an epoch as rows; every epoch has the same number."""
        ...

    def loss(self, rows: Rows, views: Tensor) -> Tensor:
        """Return the loss of one batch of the loader's views."""
        ...

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return metrics by name, `metric` among them; empty if there is nothing to validate on."""
        ...

    def names(self, rows: Rows) -> Sequence[str]:
        """Return readable names of rows, for messages."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingProgress:
    """The state that a progress line shows."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    metrics: dict[str, float]


ProgressCallback = Callable[[TrainingProgress], None]


def no_progress(_progress: TrainingProgress) -> None:
    """Ignore progress."""


class TrainingRun:
    """A run in a folder, new or resumed from its last checkpoint."""

    def __init__(self, task: TrainingTask, loader: Loader, config: TrainingConfig, folder: RunFolder) -> None:
        self.task, self.loader, self.config, self.run = task, loader, config, folder
        self.folder = folder.checkpoints
        self.device = device_of(config.device)
        for module in (task.network, task.objective):
            module.to(self.device)
        task.network.to(memory_format=torch.channels_last)
        if config.compile:
            task.network.compile()  # in place, so that weight names stay the same
        self.average = WeightAverage(task.network, config.ema)
        groups = [*task.groups(), {"params": list(task.objective.parameters()), "share": 1.0}]
        self.optimizer = torch.optim.AdamW(
            [group for group in groups if group["params"]], lr=config.rate, weight_decay=config.weight_decay
        )
        self.steps = len(task.plan(0)) * config.epochs
        self.state = self._resumed()
        self._saved = time.monotonic()

    @property
    def modules(self) -> dict[str, nn.Module]:
        modules = {"network": self.task.network, "objective": self.task.objective}
        return modules | ({"average": self.average.network} if self.config.ema else {})

    def train(self, on_progress: ProgressCallback = no_progress) -> RunState:
        """Run to the end and load the best weights into the task's network. Raises TrainingFailed."""
        try:
            while not self.state.finished and self.state.epoch < self.config.epochs:
                self._epoch(on_progress)
        finally:
            self.loader.close()
        if (self.folder / BEST).exists():
            self.task.network.load_state_dict(read_tensors(self.folder / BEST)[0])
        else:
            self.task.network.load_state_dict(self.average.network.state_dict())
        self.task.network.eval()
        return self.state

    def _epoch(self, on_progress: ProgressCallback) -> None:
        state, started_at, waited = self.state, time.perf_counter(), self.loader.waited
        plan = self.task.plan(state.epoch)
        for rows, views in self.loader.batches(plan, (self.config.seed, state.epoch), start=state.step):
            state.loss_sum += self._step(rows, torch.from_numpy(views), state)
            state.step += 1
            state.steps_done += 1
            metrics = state.history[-1] if state.history else {}
            on_progress(self._progress(len(plan), state.loss_sum / state.step, metrics))
            if time.monotonic() - self._saved >= self.config.save_seconds and state.step < len(plan):
                self._save()
        seconds = max(time.perf_counter() - started_at, 1e-9)
        self._end_epoch(len(plan), seconds=seconds, waited=(self.loader.waited - waited) / seconds)
        on_progress(self._progress(len(plan), state.history[-1]["loss"], state.history[-1]))

    def _step(self, rows: Rows, views: Tensor, state: RunState) -> float:
        """Take one step. Returns the loss, which is finite."""
        torch.manual_seed(int(np.random.default_rng([self.config.seed, state.epoch, state.step]).integers(2**62)))
        for group in self.optimizer.param_groups:
            group["lr"] = (
                self.config.rate * group["share"] * rate_factor(state.steps_done, self.steps, self.config.warmup)
            )
        self.task.network.train()
        self.task.objective.train()
        try:
            value, norm = self._gradient(rows, views)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            fits = lambda count: self._fits(rows[:count], views[:count])  # noqa: E731
            raise TrainingFailed(out_of_memory_message(len(rows), fits)) from error
        if not (math.isfinite(value) and math.isfinite(norm)):
            raise TrainingFailed(self._not_a_number(rows, state))
        self.optimizer.step()
        self.average.update(state.steps_done)
        return value

    def _gradient(self, rows: Rows, views: Tensor) -> tuple[float, float]:
        """Compute the gradient. Returns the loss and the gradient norm before clipping."""
        self.optimizer.zero_grad(set_to_none=True)
        with self._precision():
            loss = self.task.loss(rows, views.to(self.device, non_blocking=True))
        loss.backward()
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = nn.utils.clip_grad_norm_(parameters, self.config.clip or math.inf)
        return float(loss.detach()), float(norm)

    def _fits(self, rows: Rows, views: Tensor) -> bool:
        try:
            self._gradient(rows, views)
        except Exception as error:
            if is_out_of_memory(error):
                return False
            raise
        return True

    def _precision(self) -> AbstractContextManager[Any]:
        """bfloat16 on a GPU: it has the range of float32, so the loss needs no scaling."""
        return torch.autocast("cuda", torch.bfloat16) if self.device.type == "cuda" else nullcontext()

    def _end_epoch(self, steps: int, *, seconds: float, waited: float) -> None:
        state = self.state
        self.average.network.eval()
        with torch.no_grad():
            metrics = self.task.validate(self.average.network)
        state.history.append(
            {"epoch": state.epoch + 1, "loss": state.loss_sum / max(steps, 1), "rate": self._rate()}
            | metrics
            | {"seconds": seconds, "waited": waited}
        )
        state.epoch, state.step, state.loss_sum = state.epoch + 1, 0, 0.0
        value = metrics.get(self.task.metric)
        state.stale += 1
        if value is not None and (state.best is None or value > state.best):
            state.best, state.best_epoch, state.stale = value, state.epoch, 0
            write_tensors(self.folder / BEST, dict(self.average.network.state_dict()), {})
        stop_early = value is not None and self.config.patience and state.stale >= self.config.patience
        self.run.write_metrics(state.history)
        state.finished = bool(stop_early) or state.epoch >= self.config.epochs
        self._save()

    def _rate(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])

    def _save(self) -> None:
        save_checkpoint(self.folder / LAST, self.state, self.modules, self.optimizer)
        self._saved = time.monotonic()

    def _resumed(self) -> RunState:
        file = self.folder / LAST
        return load_checkpoint(file, self.modules, self.optimizer) if file.exists() else RunState()

    def _progress(self, steps: int, loss: float, metrics: dict[str, float]) -> TrainingProgress:
        state = self.state
        return TrainingProgress(
            epoch=state.epoch, epochs=self.config.epochs, step=state.step, steps=steps, loss=loss, metrics=metrics
        )

    def _not_a_number(self, rows: Rows, state: RunState) -> str:
        names = ", ".join(self.task.names(rows)[:3])
        checkpoint = (
            f"the last good checkpoint is in {self.folder}"
            if (self.folder / LAST).exists()
            else "there is no checkpoint yet"
        )
        return (
            f"the loss is not a finite number in epoch {state.epoch + 1}, batch {state.step + 1} "
            f"({names} and {max(0, len(rows) - 3)} more); {checkpoint}. A lower --rate or a --clip usually helps"
        )


def device_of(name: str) -> torch.device:
    """Return the torch device; "auto" is a GPU if there is one. Raises TrainingFailed."""
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainingFailed("PyTorch finds no GPU for --device cuda; leave --device out, or use --device cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def in_batches(count: int, batch: int) -> Iterator[slice]:
    """Return slices of at most `batch` rows that cover `count` rows."""
    return (slice(start, start + batch) for start in range(0, count, batch))
