"""One training run, whatever is trained: steps, validation, checkpoints, an early end; resumed where it was killed.

for each epoch:  plan of batches ─ views from the loader ─ loss ─ gradient, clipped ─ AdamW ─ average
                 validate the average ─ keep it if it is the best so far ─ checkpoint
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
from lookalike.train.checkpoint import BEST, LAST, Place, load_checkpoint, read_tensors, save_checkpoint, write_tensors
from lookalike.train.config import Loop
from lookalike.train.data.loader import Loader
from lookalike.train.memory import explain, is_out_of_memory
from lookalike.train.run_folder import RunFolder
from lookalike.train.schedule import Average, rate_at

Rows = NDArray[np.int64]


class TrainingFailed(ModelError):
    """A run cannot go on: the loss is not a number, or there is not enough memory."""


class Task(Protocol):
    """What is trained: a network, its objective, its batches, and how it is judged (`metric`: higher is better)."""

    network: nn.Module
    objective: nn.Module

    @property
    def metric(self) -> str:
        """The figure that decides which epoch is kept."""
        ...

    def groups(self) -> list[dict[str, Any]]:
        """Parameter groups, each with the `share` of the rate that it learns at."""
        ...

    def plan(self, epoch: int) -> list[Rows]:
        """The epoch's batches, as rows; as many each epoch."""
        ...

    def loss(self, rows: Rows, views: Tensor) -> Tensor:
        """The loss of one batch, views as the loader made them."""
        ...

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Figures by name, `metric` among them; empty where there is nothing to judge by."""
        ...

    def names(self, rows: Rows) -> Sequence[str]:
        """What a person calls these rows."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a progress line shows."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    figures: dict[str, float]


Tell = Callable[[Told], None]


def quiet(_told: Told) -> None:
    """No progress."""


class Run:
    """A run in a folder, from its start or from its last checkpoint to its end."""

    def __init__(self, task: Task, loader: Loader, config: Loop, folder: RunFolder) -> None:
        self.task, self.loader, self.config, self.run = task, loader, config, folder
        self.folder = folder.checkpoints
        self.device = device_of(config.device)
        for module in (task.network, task.objective):
            module.to(self.device)
        task.network.to(memory_format=torch.channels_last)
        if config.compile:
            task.network.compile()  # in place: names of weights stay
        self.average = Average(task.network, config.ema)
        groups = [*task.groups(), {"params": list(task.objective.parameters()), "share": 1.0}]
        self.optimiser = torch.optim.AdamW(
            [group for group in groups if group["params"]], lr=config.rate, weight_decay=config.weight_decay
        )
        self.steps = len(task.plan(0)) * config.epochs
        self.place = self._resumed()
        self._saved = time.monotonic()

    @property
    def modules(self) -> dict[str, nn.Module]:
        kept = {"network": self.task.network, "objective": self.task.objective}
        return kept | ({"average": self.average.network} if self.config.ema else {})

    def train(self, tell: Tell = quiet) -> Place:
        """Run to the end and put the best weights into the task's network. Raises TrainingFailed."""
        try:
            while not self.place.finished and self.place.epoch < self.config.epochs:
                self._epoch(tell)
        finally:
            self.loader.close()
        if (self.folder / BEST).exists():
            self.task.network.load_state_dict(read_tensors(self.folder / BEST)[0])
        else:
            self.task.network.load_state_dict(self.average.network.state_dict())
        self.task.network.eval()
        return self.place

    def _epoch(self, tell: Tell) -> None:
        place, begun, waited = self.place, time.perf_counter(), self.loader.waited
        plan = self.task.plan(place.epoch)
        for rows, views in self.loader.batches(plan, (self.config.seed, place.epoch), start=place.step):
            place.loss_sum += self._step(rows, torch.from_numpy(views), place)
            place.step += 1
            place.steps_done += 1
            figures = place.history[-1] if place.history else {}
            tell(self._told(len(plan), place.loss_sum / place.step, figures))
            if time.monotonic() - self._saved >= self.config.save_seconds and place.step < len(plan):
                self._save()
        took = max(time.perf_counter() - begun, 1e-9)
        self._end_epoch(len(plan), seconds=took, waited=(self.loader.waited - waited) / took)
        tell(self._told(len(plan), place.history[-1]["loss"], place.history[-1]))

    def _step(self, rows: Rows, views: Tensor, place: Place) -> float:
        """One step. The loss, a finite number."""
        torch.manual_seed(int(np.random.default_rng([self.config.seed, place.epoch, place.step]).integers(2**62)))
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.rate * group["share"] * rate_at(place.steps_done, self.steps, self.config.warmup)
        self.task.network.train()
        self.task.objective.train()
        try:
            value, length = self._gradient(rows, views)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            fits = lambda count: self._fits(rows[:count], views[:count])  # noqa: E731
            raise TrainingFailed(explain(len(rows), fits)) from error
        if not (math.isfinite(value) and math.isfinite(length)):
            raise TrainingFailed(self._not_a_number(rows, place))
        self.optimiser.step()
        self.average.update(place.steps_done)
        return value

    def _gradient(self, rows: Rows, views: Tensor) -> tuple[float, float]:
        """The loss and the gradient's length before clipping."""
        self.optimiser.zero_grad(set_to_none=True)
        with self._precision():
            loss = self.task.loss(rows, views.to(self.device, non_blocking=True))
        loss.backward()
        learning = [p for group in self.optimiser.param_groups for p in group["params"]]
        length = nn.utils.clip_grad_norm_(learning, self.config.clip or math.inf)
        return float(loss.detach()), float(length)

    def _fits(self, rows: Rows, views: Tensor) -> bool:
        try:
            self._gradient(rows, views)
        except Exception as error:
            if is_out_of_memory(error):
                return False
            raise
        return True

    def _precision(self) -> AbstractContextManager[Any]:
        """bfloat16 on a GPU: as wide a range as float32, so that no loss need be scaled."""
        return torch.autocast("cuda", torch.bfloat16) if self.device.type == "cuda" else nullcontext()

    def _end_epoch(self, steps: int, *, seconds: float, waited: float) -> None:
        place = self.place
        self.average.network.eval()
        with torch.no_grad():
            figures = self.task.validate(self.average.network)
        place.history.append(
            {"epoch": place.epoch + 1, "loss": place.loss_sum / max(steps, 1), "rate": self._rate()}
            | figures
            | {"seconds": seconds, "waited": waited}
        )
        place.epoch, place.step, place.loss_sum = place.epoch + 1, 0, 0.0
        value = figures.get(self.task.metric)
        place.stale += 1
        if value is not None and (place.best is None or value > place.best):
            place.best, place.best_epoch, place.stale = value, place.epoch, 0
            write_tensors(self.folder / BEST, dict(self.average.network.state_dict()), {})
        tired = value is not None and self.config.patience and place.stale >= self.config.patience
        self.run.write_metrics(place.history)
        place.finished = bool(tired) or place.epoch >= self.config.epochs
        self._save()

    def _rate(self) -> float:
        return float(self.optimiser.param_groups[0]["lr"])

    def _save(self) -> None:
        save_checkpoint(self.folder / LAST, self.place, self.modules, self.optimiser)
        self._saved = time.monotonic()

    def _resumed(self) -> Place:
        file = self.folder / LAST
        return load_checkpoint(file, self.modules, self.optimiser) if file.exists() else Place()

    def _told(self, steps: int, loss: float, figures: dict[str, float]) -> Told:
        place = self.place
        return Told(
            epoch=place.epoch, epochs=self.config.epochs, step=place.step, steps=steps, loss=loss, figures=figures
        )

    def _not_a_number(self, rows: Rows, place: Place) -> str:
        names = ", ".join(self.task.names(rows)[:3])
        kept = (
            f"the last good checkpoint is kept in {self.folder}"
            if (self.folder / LAST).exists()
            else "nothing was kept"
        )
        return (
            f"the loss is not a finite number in epoch {place.epoch + 1}, batch {place.step + 1} "
            f"({names} and {max(0, len(rows) - 3)} more); {kept}. A lower --rate, or a --clip, helps as a rule"
        )


def device_of(name: str) -> torch.device:
    """The device asked for; "auto" takes a GPU where there is one. Raises TrainingFailed."""
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainingFailed("device cuda was asked for and PyTorch sees no GPU; leave --device out, or say cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def in_batches(count: int, batch: int) -> Iterator[slice]:
    """Slices that cover `count` rows."""
    return (slice(start, start + batch) for start in range(0, count, batch))
