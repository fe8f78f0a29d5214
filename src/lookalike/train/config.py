"""What a run is told: flags, or the same names in a TOML file; a misspelt one is answered by the nearest. No torch."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from lookalike.errors import BadQuery, nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """What every training has.

    `rate`: AdamW's learning rate at its highest, reached after the share `warmup` of all steps, then a cosine to zero.
    `clip`: the largest length of the gradient (0: any). `ema`: of the averaged weights that are validated and kept
    (0: no average). `patience`: epochs without a better validation before it ends (0: never). `device`: auto, cpu or
    cuda.
    `save_seconds`: a checkpoint at least so often, besides one an epoch. `workers`: threads that prepare batches.
    """

    epochs: int = 20
    batch: int = 64
    rate: float = 1e-3
    weight_decay: float = 0.02
    warmup: float = 0.1
    clip: float = 1.0
    ema: float = 0.99
    patience: int = 6
    seed: int = 0
    device: str = "auto"
    compile: bool = False
    workers: int = 2
    save_seconds: float = 300.0

    @classmethod
    def of(cls, values: Mapping[str, Any], *, where: str = "the settings") -> Self:
        """Check names, types and ranges. Raises BadQuery, naming what is wrong and the nearest right name."""
        kinds = {f.name: type(f.default) for f in fields(cls)}
        checked = {}
        for name, value in values.items():
            if name not in kinds:
                raise BadQuery(f"{where}: {name!r} is not a setting; {nearest(name, kinds)}")
            checked[name] = _typed(name, value, kinds[name], where)
        config = cls(**checked)
        config.check(where)
        return config

    def check(self, where: str) -> None:
        """Raise BadQuery for a value out of range."""
        _within(where, "epochs", self.epochs, 1)
        _within(where, "batch", self.batch, 2)
        _within(where, "workers", self.workers, 1)
        _within(where, "rate", self.rate, 1e-9)
        for name in ("weight_decay", "clip", "patience", "save_seconds", "seed"):
            _within(where, name, getattr(self, name), 0)
        for name in ("warmup", "ema"):
            _within(where, name, getattr(self, name), 0, 0.99999)
        _among(where, "device", self.device, ("auto", "cpu", "cuda"))


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoencoderConfig(Loop):
    """`side`: of the square pictures, in pixels. `code`: how many numbers a picture becomes. `width`: channels of the
    first stage. `whiten`: to which power the code's axes are divided by their spread before they are compared."""

    side: int = 64
    grey: bool = False
    code: int = 64
    width: int = 32
    objective: str = "mse"
    augment: str = "none"
    whiten: float = 0.5

    def check(self, where: str) -> None:
        from lookalike.train.objectives import RESTORATION

        Loop.check(self, where)
        _within(where, "side", self.side, 28, 256)
        _within(where, "code", self.code, 2, 4096)
        _within(where, "width", self.width, 4, 256)
        _within(where, "whiten", self.whiten, 0, 1)
        _among(where, "objective", self.objective, RESTORATION)
        _among(where, "augment", self.augment, AUGMENTATIONS)


AUGMENTATIONS = ("none", "shift", "light", "style", "edits")
BACKBONES = ("small-cnn",)  # besides every folder or name of an EfficientNet-Lite of ours
TRAINED = ("head", "last", "all")
FIGURES = ("recall@1", "mAP", "micro-AP")  # of validation


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarityConfig(Loop):
    """`source`: labels, edits, or a pairs file. `train`: the head only, the last stages, or all. `model`: what it
    starts from. `side`: of the input, 0 for the model's own. `views`: edited copies of each picture, embedded once, for
    the head alone (0: four where training is from edits, else none). `backbone_rate`: the backbone's share of `rate`.
    `per_label`: pictures of one label in a batch. `objective`: "" for the usual one of the source. `metric`: of
    FIGURES, decides what is kept, "" for the usual one."""

    source: str = "labels"
    train: str = "head"
    model: str = "efficientnet-lite1.in1k"
    objective: str = ""
    side: int = 0
    dim: int = 0
    hidden: int = 512
    width: int = 32
    per_label: int = 4
    views: int = 0
    augment: str = ""
    backbone_rate: float = 0.2
    metric: str = ""

    def check(self, where: str) -> None:
        from lookalike.train.objectives import SIMILARITY

        Loop.check(self, where)
        _among(where, "train", self.train, TRAINED)
        _among(where, "objective", self.objective, (*SIMILARITY, ""))
        _among(where, "augment", self.augment, (*AUGMENTATIONS, ""))
        _among(where, "metric", self.metric, (*FIGURES, ""))
        _within(where, "per_label", self.per_label, 2)
        for name in ("side", "dim", "hidden", "views", "backbone_rate"):
            _within(where, name, getattr(self, name), 0)
        if self.source not in ("labels", "edits") and not self.source.lower().endswith((".csv", ".parquet")):
            raise BadQuery(
                f"{where}: source {self.source!r} is neither labels, edits nor a pairs file (.csv, .parquet); "
                f"{nearest(self.source, ('labels', 'edits'))}"
            )


def read_toml(file: Path) -> dict[str, Any]:
    """The settings of a TOML file. Raises BadQuery."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise BadQuery(f"{file} cannot be read ({error.strerror}); name a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadQuery(f"{file} is not TOML ({error}); lines such as: epochs = 20") from None


def from_text(name: str, text: str, usual: Loop) -> Any:
    """A value as a person types it, in the type that the setting has; an unknown name keeps its text."""
    kind: Any = type(getattr(usual, name, text))
    try:
        return {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
    except (KeyError, ValueError):
        raise BadQuery(f"{name}={text!r}: {kind.__name__} was wanted") from None


def to_toml(config: Loop) -> str:
    """All settings of a run, one a line, such that `read_toml` gives them back."""
    lines = []
    for field in fields(config):
        value = getattr(config, field.name)
        quoted = value.replace("\\", "\\\\").replace('"', '\\"') if isinstance(value, str) else ""
        shown = (
            f'"{quoted}"' if isinstance(value, str) else str(value).lower() if value in (True, False) else repr(value)
        )
        lines.append(f"{field.name} = {shown if not isinstance(value, bool) else str(value).lower()}")
    return "\n".join(lines) + "\n"


def _typed(name: str, value: Any, kind: type, where: str) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:
        raise BadQuery(f"{where}: {name} is {value!r}; {kind.__name__} was wanted")
    return value


def _within(where: str, name: str, value: float, low: float, high: float = float("inf")) -> None:
    if not low <= value <= high:
        limit = f"from {low} to {high}" if high != float("inf") else f"{low} or more"
        raise BadQuery(f"{where}: {name} is {value}; {limit} was wanted")


def _among(where: str, name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise BadQuery(f"{where}: {name} {value!r} is not known; {nearest(value, [k for k in known if k])}")
