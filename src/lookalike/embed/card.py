"""Read and write model cards as JSON. Cards are validated, since model folders come from any source."""

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from lookalike.deprecation import with_new_keys, with_old_keys
from lookalike.errors import BrokenModel, nearest
from lookalike.parts import ALIKE, COPY
from lookalike.types import Card, Part, Preprocessing

MODEL_FILE = "model.onnx"
"""The file of the network in a model's folder."""

CARD_FILE = "card.json"
"""The file of the card in a model's folder."""
FORMAT = 1

RESIZES = ("squash", "letterbox", "crop")
_LAYOUTS = ("NHWC", "NCHW")
_DTYPES = ("uint8", "float32")


def card_to_json(card: Card) -> str:
    """Return the card as one line of JSON."""
    values = with_old_keys(asdict(card))
    for name in ("parts", "output"):
        if not values[name]:
            del values[name]  # older versions refuse a card with a field that they do not know
    return json.dumps({"format": FORMAT, **values}, ensure_ascii=False)


def card_from_json(text: str, *, where: str = "card") -> Card:
    """Parse a card. Raises BrokenModel, which names `where` and the invalid field."""
    try:
        raw = json.loads(text)
    except ValueError as error:
        raise BrokenModel(f"{where} is not JSON ({error}); export the model again") from None
    if not isinstance(raw, dict):
        raise BrokenModel(f"{where} must be a JSON object, not {type(raw).__name__}; export the model again")
    if raw.pop("format", FORMAT) > FORMAT:
        raise BrokenModel(f"{where} was written by a newer Lookalike; update with: pip install -U lookalike")
    values = _check_fields(with_new_keys(raw), Card, where)
    if not isinstance(values.get("preprocessing"), dict):
        raise BrokenModel(f"{where} lacks 'preprocessing'; export the model again")
    values["preprocessing"] = _preprocessing(values["preprocessing"], where)
    values["parts"] = _parts(values.get("parts", []), values.get("dim"), where)
    try:
        return Card(**values)
    except TypeError as error:
        raise BrokenModel(f"{where} is incomplete ({error}); export the model again") from None


def load_card(folder: Path) -> Card:
    """Read the card of a folder with model.onnx and card.json. Raises BrokenModel."""
    path = folder / CARD_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise BrokenModel(
            f"{path} cannot be read ({reason}); a model is a folder with {MODEL_FILE} and {CARD_FILE}"
        ) from None
    return card_from_json(text, where=str(path))


def same_model(a: Card, b: Card) -> bool:
    """Return whether two cards give the same vectors: same weights and preprocessing; names may differ."""
    first, second = ((c.sha256, c.preprocessing, c.dim, c.parts, c.output) for c in (a, b))
    return first == second


def _preprocessing(raw: dict[str, Any], where: str) -> Preprocessing:
    values = _check_fields(raw, Preprocessing, where)
    for name, allowed in (("resize", RESIZES), ("layout", _LAYOUTS), ("dtype", _DTYPES)):
        if name in values and values[name] not in allowed:
            raise BrokenModel(
                f"{where}: {name} is {values[name]!r}, but must be one of {', '.join(allowed)}; export the model again"
            )
    size = values.get("size")
    if not (
        isinstance(size, list | tuple) and len(size) == 2 and all(isinstance(s, int) and 0 < s < 4096 for s in size)
    ):
        raise BrokenModel(f"{where}: size is {size!r}, but must be [height, width] in pixels; export the model again")
    as_tuples: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return Preprocessing(**as_tuples)


def _parts(raw: Any, dim: Any, where: str) -> tuple[Part, ...]:
    if not isinstance(raw, list):
        raise BrokenModel(f"{where}: parts is {raw!r}, but must be a list; export the model again")
    parts = tuple(Part(**_check_fields(one, Part, where)) for one in raw if isinstance(one, dict))
    names = [part.name for part in parts]
    complete = len(parts) == len(raw) and set(names) <= {ALIKE, COPY} and len(set(names)) == len(names)
    if parts and not (complete and all(isinstance(p.dim, int) for p in parts) and sum(p.dim for p in parts) == dim):
        raise BrokenModel(
            f"{where}: parts must name {ALIKE} and {COPY} with dims that add up to {dim}; export the model again"
        )
    return parts


def _check_fields(raw: dict[str, Any], kind: type, where: str) -> dict[str, Any]:
    known = [f.name for f in fields(kind)]
    for name in raw:
        if name not in known:
            raise BrokenModel(f"{where} has an unknown field {name!r}; {nearest(name, known)}")
    return dict(raw)
