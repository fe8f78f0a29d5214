"""The progress of a training run: a bar with loss, metrics and remaining time on a terminal, else a line per epoch."""

import sys
from typing import TYPE_CHECKING, Any, Self

from lookalike.cli.output import ProgressLine, log

if TYPE_CHECKING:
    from lookalike.train.loop import TrainingProgress

_SHOWN = ("recall@1", "mAP", "micro-AP", "PSNR")


class TrainingLine:
    """A callback for the progress of a run; `pictures` takes (done, total) while the cache is filled."""

    def __init__(self) -> None:
        self._reading: ProgressLine | None = None
        self._bar: Any = None
        self._task: Any = None

    def pictures(self, done: int, total: int) -> None:
        """Show how many images have been decoded."""
        if self._reading is None:
            self._reading = ProgressLine("images read")
        self._reading(done, total)
        if done == total:
            self._reading.__exit__(None, None, None)
            self._reading = None

    def __call__(self, progress: "TrainingProgress") -> None:
        metrics = "  ".join(f"{name} {progress.metrics[name]:.3f}" for name in _SHOWN if name in progress.metrics)
        if progress.step == 0:
            log(f"epoch {progress.epoch:>3} of {progress.epochs}  loss {progress.loss:.4f}  {metrics}")
        elif sys.stderr.isatty():
            self._draw(progress, f"epoch {progress.epoch + 1}  loss {progress.loss:.4f}  {metrics}")

    def _draw(self, progress: "TrainingProgress", text: str) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task(text, total=progress.epochs * progress.steps)
        self._bar.update(self._task, completed=progress.epoch * progress.steps + progress.step, description=text)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for bar in (self._bar, self._reading):
            if isinstance(bar, ProgressLine):
                bar.__exit__(None, None, None)
            elif bar is not None:
                bar.stop()
