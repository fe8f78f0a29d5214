"""The folder of a run: config.toml, metrics.csv, checkpoints/, cache/ while it runs, model.onnx and card.json."""

import csv
import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lookalike.deprecation import OLD_SETTINGS
from lookalike.embed.card import CARD_FILE, MODEL_FILE
from lookalike.errors import BadQuery
from lookalike.train.checkpoint import LAST
from lookalike.train.config import TrainingConfig, to_toml
from lookalike.train.data.cache import delete_cache
from lookalike.train.split import Split

CONFIG_FILE, METRICS_FILE, DIGEST_FILE = "config.toml", "metrics.csv", "split.sha256"
FIGURE_FILES = ("curves.png", "before-after.png", "restorations.png", "walk.png")


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The paths of one run."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def cache(self) -> Path:
        return self.path / "cache"

    def write_metrics(self, history: Sequence[dict[str, float]]) -> None:
        """Write metrics.csv, with one row per epoch."""
        columns = list(dict.fromkeys(name for row in history for name in row))
        with (self.path / METRICS_FILE).open("w", newline="", encoding="utf-8") as lines:
            writer = csv.DictWriter(lines, columns)
            writer.writeheader()
            writer.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in history)

    def clean(self) -> None:
        """Delete the cache."""
        delete_cache(self.cache)
        for name in ("vectors.npy", "vectors.part.npy"):
            (self.cache / name).unlink(missing_ok=True)
        if self.cache.is_dir() and not any(self.cache.iterdir()):
            self.cache.rmdir()


def open_run(path: Path, config: TrainingConfig, split: Split, *, overwrite: bool = False) -> tuple[RunFolder, bool]:
    """Create or reopen the folder of a run. Returns it, and whether an earlier run resumes.

    A run that ended before its first checkpoint cannot resume: a new one starts, whatever the settings of the old one.
    Raises BadQuery if the folder has a finished model, or a run with other settings or another split.
    """
    run, settings, digest = RunFolder(path), f"# {type(config).__name__}\n{to_toml(config)}", split_digest(split)
    if overwrite:
        _remove_outputs(run)
    if (path / CARD_FILE).exists():
        raise BadQuery(f"{path} has a finished model; choose another folder with -o, or add --overwrite")
    if (run.checkpoints / LAST).exists():
        _check_same(path, settings, digest)
        return run, True
    if (path / CONFIG_FILE).exists() and _difference(path, settings, digest):
        _remove_outputs(run)  # its cache has other images
    try:
        path.mkdir(parents=True, exist_ok=True)
        (path / CONFIG_FILE).write_text(settings, encoding="utf-8")
        (path / DIGEST_FILE).write_text(digest)
    except OSError as error:
        raise BadQuery(f"{path} cannot be written to ({error.strerror}); choose another folder with -o") from None
    return run, False


def split_digest(split: Split) -> str:
    """Return a hash (64 hexadecimal digits) of the paths, labels and parts of a split."""
    rows = zip(split.paths, split.labels, split.parts, strict=True)
    return hashlib.sha256(repr(list(rows)).encode("utf-8", "surrogatepass")).hexdigest()


def _check_same(path: Path, settings: str, digest: str) -> None:
    if reason := _difference(path, settings, digest):
        raise BadQuery(
            f"{path} has an unfinished run {reason}; "
            "use the same settings to resume it, choose another folder with -o, or add --overwrite"
        )


def _difference(path: Path, settings: str, digest: str) -> str:
    """Return how the earlier run differs, or ""."""
    before = _text(path / CONFIG_FILE)
    differing = sorted(set(settings.splitlines()) - {_with_new_name(line) for line in before.splitlines()})
    if differing:
        return f"with other settings (now: {', '.join(differing[:3])})"
    return "on another split" if _text(path / DIGEST_FILE) != digest else ""


def _with_new_name(line: str) -> str:
    name, equals, value = line.partition(" = ")
    return OLD_SETTINGS.get(name, name) + equals + value


def _text(file: Path) -> str:
    """Return a file's text, or "" if a run was killed before it wrote the file."""
    return file.read_text(encoding="utf-8") if file.exists() else ""


def _remove_outputs(run: RunFolder) -> None:
    """Remove the files that a run writes, and nothing else."""
    for folder in (run.checkpoints, run.cache):
        shutil.rmtree(folder, ignore_errors=True)
    for name in (CONFIG_FILE, METRICS_FILE, DIGEST_FILE, CARD_FILE, MODEL_FILE, *FIGURE_FILES):
        (run.path / name).unlink(missing_ok=True)
