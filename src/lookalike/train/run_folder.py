"""What a run leaves: config.toml, metrics.csv, checkpoints/, cache/ while it runs, model.onnx and card.json."""

import csv
import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lookalike.embed.card import CARD_FILE, MODEL_FILE
from lookalike.errors import BadQuery
from lookalike.train.checkpoint import LAST
from lookalike.train.config import Loop, to_toml
from lookalike.train.data.cache import forget_cache
from lookalike.train.split import Split

CONFIG, METRICS, DATA = "config.toml", "metrics.csv", "split.sha256"
DRAWN = ("curves.png", "before-after.png", "restorations.png", "walk.png")


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The places of one run."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def cache(self) -> Path:
        return self.path / "cache"

    def write_metrics(self, history: Sequence[dict[str, float]]) -> None:
        """metrics.csv: a row an epoch."""
        columns = list(dict.fromkeys(name for row in history for name in row))
        with (self.path / METRICS).open("w", newline="", encoding="utf-8") as lines:
            writer = csv.DictWriter(lines, columns)
            writer.writeheader()
            writer.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in history)

    def clean(self) -> None:
        """Give the cache's space back."""
        forget_cache(self.cache)
        for name in ("vectors.npy", "vectors.part.npy"):
            (self.cache / name).unlink(missing_ok=True)
        if self.cache.is_dir() and not any(self.cache.iterdir()):
            self.cache.rmdir()


def open_run(path: Path, config: Loop, split: Split, *, overwrite: bool = False) -> tuple[RunFolder, bool]:
    """Make the folder of a run, or find it to go on. Returns it, and whether a run of before goes on.

    A run that ended before its first checkpoint left nothing to go on with: whatever it was asked, a new one begins.
    Raises BadQuery where it holds a finished model, or a run of other settings or another split.
    """
    run, settings, digest = RunFolder(path), f"# {type(config).__name__}\n{to_toml(config)}", digest_of(split)
    if overwrite:
        _empty(run)
    if (path / CARD_FILE).exists():
        raise BadQuery(f"{path} holds a finished model; choose another place with -o, or say --overwrite")
    if (run.checkpoints / LAST).exists():
        _check_same(path, settings, digest)
        return run, True
    if (path / CONFIG).exists() and _differs(path, settings, digest):
        _empty(run)  # its cache is of other pictures
    try:
        path.mkdir(parents=True, exist_ok=True)
        (path / CONFIG).write_text(settings, encoding="utf-8")
        (path / DATA).write_text(digest)
    except OSError as error:
        raise BadQuery(f"{path} cannot be written to ({error.strerror}); choose another place with -o") from None
    return run, False


def digest_of(split: Split) -> str:
    """A split in 64 signs: the same pictures, labels and parts."""
    rows = zip(split.paths, split.labels, split.parts, strict=True)
    return hashlib.sha256(repr(list(rows)).encode("utf-8", "surrogatepass")).hexdigest()


def _check_same(path: Path, settings: str, digest: str) -> None:
    if reason := _differs(path, settings, digest):
        raise BadQuery(
            f"{path} holds an unfinished run {reason}; "
            "give the same settings to go on, choose another place with -o, or say --overwrite"
        )


def _differs(path: Path, settings: str, digest: str) -> str:
    """What is other than in the run of before, or ""."""
    before = _text(path / CONFIG)
    differing = sorted(set(settings.splitlines()) - set(before.splitlines()))
    if differing:
        return f"with other settings (now: {', '.join(differing[:3])})"
    return "on another split" if _text(path / DATA) != digest else ""


def _text(file: Path) -> str:
    """What a file says; nothing where a run was killed before it wrote it."""
    return file.read_text(encoding="utf-8") if file.exists() else ""


def _empty(run: RunFolder) -> None:
    """Remove what a run writes, and nothing else."""
    for folder in (run.checkpoints, run.cache):
        shutil.rmtree(folder, ignore_errors=True)
    for name in (CONFIG, METRICS, DATA, CARD_FILE, MODEL_FILE, *DRAWN):
        (run.path / name).unlink(missing_ok=True)
