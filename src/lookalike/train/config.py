"""The settings of a run, from flags or a TOML file; an unknown name is answered with the nearest. Imports no torch."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from lookalike.deprecation import OLD_SETTINGS
from lookalike.errors import BadQuery, nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """The settings of every training.

    `rate`: the highest learning rate of AdamW, reached after the fraction `warmup` of all steps; then a cosine to zero.
    `clip`: the largest gradient norm (0: no limit). `ema`: the decay of the averaged weights, which are validated and
    saved (0: no average). `patience`: epochs without a better validation before the run stops (0: never). `device`:
    auto, cpu or cuda. `save_seconds`: the longest time between checkpoints, besides one per epoch. `workers`: threads
    that prepare batches.
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
        """Make a config from a mapping. Raises BadQuery for a wrong name (with the nearest), type or range."""
        kinds = {f.name: type(f.default) for f in fields(cls)}
        checked = {}
        for name, value in _with_new_names(values).items():
            if name not in kinds:
                raise BadQuery(f"{where}: {name!r} is not a setting; {nearest(name, kinds)}")
            checked[name] = _check_type(name, value, kinds[name], where)
        config = cls(**checked)
        config.check(where)
        return config

    def check(self, where: str) -> None:
        """Raise BadQuery for a value out of range."""
        _check_range(where, "epochs", self.epochs, 1)
        _check_range(where, "batch", self.batch, 2)
        _check_range(where, "workers", self.workers, 1)
        _check_range(where, "rate", self.rate, 1e-9)
        for name in ("weight_decay", "clip", "patience", "save_seconds", "seed"):
            _check_range(where, name, getattr(self, name), 0)
        for name in ("warmup", "ema"):
            _check_range(where, name, getattr(self, name), 0, 0.99999)
        _check_choice(where, "device", self.device, ("auto", "cpu", "cuda"))


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoencoderConfig(TrainingConfig):
    """The settings of an autoencoder.

    `side`: of the square images, in pixels. `code`: numbers per image. `width`: channels of the first stage. `whiten`:
    the power of the standard deviation by which each axis of the code is divided (0: only rotated, 1: whitened).
    """

    side: int = 64
    gray: bool = False
    code: int = 64
    width: int = 32
    objective: str = "mse"
    augment: str = "none"
    whiten: float = 0.5

    def check(self, where: str) -> None:
        """Raise BadQuery for a value out of range; `where` names the source of the settings."""
        from lookalike.train.objectives import RECONSTRUCTION

        TrainingConfig.check(self, where)
        _check_range(where, "side", self.side, 28, 256)
        _check_range(where, "code", self.code, 2, 4096)
        _check_range(where, "width", self.width, 4, 256)
        _check_range(where, "whiten", self.whiten, 0, 1)
        _check_choice(where, "objective", self.objective, RECONSTRUCTION)
        _check_choice(where, "augment", self.augment, AUGMENTATIONS)


AUGMENTATIONS = ("none", "shift", "light", "style", "edits")
TRAINABLE = ("head", "last", "all")
METRICS = ("recall@1", "mAP", "micro-AP")  # of validation


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarityConfig(TrainingConfig):
    """The settings of similarity training.

    `source`: labels, edits, or a pairs file. `train`: head, last (stages) or all. `model`: the base model. `side`: of
    the input, 0 for the model's own. `views`: edited copies of each image, embedded once, to train only the head (0:
    four if `source` is edits, else none). `backbone_rate`: the backbone's fraction of `rate`. `per_label`: images of
    one label in a batch. `objective`: "" for the default of the source. `metric`: of METRICS, selects the model; "" for
    the default.
    """

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
        """Raise BadQuery for a value out of range; `where` names the source of the settings."""
        from lookalike.train.objectives import similarity_objectives

        TrainingConfig.check(self, where)
        _check_choice(where, "train", self.train, TRAINABLE)
        _check_choice(where, "objective", self.objective, (*similarity_objectives(), ""))
        _check_choice(where, "augment", self.augment, (*AUGMENTATIONS, ""))
        _check_choice(where, "metric", self.metric, (*METRICS, ""))
        _check_range(where, "per_label", self.per_label, 2)
        for name in ("side", "dim", "hidden", "views", "backbone_rate"):
            _check_range(where, name, getattr(self, name), 0)
        if self.source not in ("labels", "edits") and not self.source.lower().endswith((".csv", ".parquet")):
            raise BadQuery(
                f"{where}: source {self.source!r} is neither labels, edits nor a pairs file (.csv, .parquet); "
                f"{nearest(self.source, ('labels', 'edits'))}"
            )


def read_toml(file: Path) -> dict[str, Any]:
    """Return the settings of a TOML file. Raises BadQuery."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise BadQuery(f"{file} cannot be read ({error.strerror}); name a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadQuery(f"{file} is not TOML ({error}); write lines such as: epochs = 20") from None


def from_pairs(pairs: Iterable[str], defaults: TrainingConfig) -> dict[str, Any]:
    """Convert texts such as "ema=0.999" to settings by name. Raises BadQuery."""
    values = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not sign:
            raise BadQuery(f"{pair!r} is not NAME=VALUE, such as --set ema=0.999")
        values[name.strip()] = from_text(name.strip(), text.strip(), defaults)
    return values


def from_text(name: str, text: str, defaults: TrainingConfig) -> Any:
    """Convert typed text to the setting's type; the text of an unknown name stays as it is. Raises BadQuery."""
    kind: Any = type(getattr(defaults, OLD_SETTINGS.get(name, name), text))
    try:
        return {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
    except (KeyError, ValueError):
        raise BadQuery(f"{name}={text!r}: expected {kind.__name__}") from None


def to_toml(config: TrainingConfig) -> str:
    """Return all settings as TOML, one per line, for `read_toml`."""
    lines = []
    for field in fields(config):
        value = getattr(config, field.name)
        quoted = value.replace("\\", "\\\\").replace('"', '\\"') if isinstance(value, str) else ""
        shown = (
            f'"{quoted}"' if isinstance(value, str) else str(value).lower() if value in (True, False) else repr(value)
        )
        lines.append(f"{field.name} = {shown if not isinstance(value, bool) else str(value).lower()}")
    return "\n".join(lines) + "\n"


def _with_new_names(values: Mapping[str, Any]) -> dict[str, Any]:
    return {OLD_SETTINGS.get(name, name): value for name, value in values.items()}


def _check_type(name: str, value: Any, kind: type, where: str) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:
        raise BadQuery(f"{where}: {name} is {value!r}; expected {kind.__name__}")
    return value


def _check_range(where: str, name: str, value: float, low: float, high: float = float("inf")) -> None:
    if not low <= value <= high:
        limit = f"from {low} to {high}" if high != float("inf") else f"{low} or more"
        raise BadQuery(f"{where}: {name} is {value}; expected {limit}")


def _check_choice(where: str, name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise BadQuery(f"{where}: {name} {value!r} is not known; {nearest(value, [k for k in known if k])}")
