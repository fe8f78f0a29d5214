"""Read and write model cards as JSON. Cards are validated, since model folders come from any source."""

import json
import re
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from lookalike.deprecation import with_new_keys, with_old_keys
from lookalike.errors import BrokenModel, nearest
from lookalike.parts import ALIKE, COPY
from lookalike.types import Card, Part, Preprocessing, TextTower

MODEL_FILE = "model.onnx"
"""The file of the network in a model's folder."""

CARD_FILE = "card.json"
"""The file of the card in a model's folder."""

TEXT_MODEL_FILE = "text_model.onnx"
"""The file of the network that embeds texts, if a model has one."""

TEXT_FOLDER = "text"
"""The folder of the network that embeds texts, if it keeps large tensors in files of their own."""

TOKENIZER_FILE = "tokenizer.json"
"""The file of the tokenizer of the texts, in the format of the tokenizers library."""
FORMAT = 1

RESIZES = ("squash", "letterbox", "crop")
"""How an image becomes the input of a graph."""

BOUND = "bound"
"""The way of resizing that several models share; each makes its own input from the result."""
INTERPOLATIONS = ("", "nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")
CLEANINGS = ("", "spaces", "lowercase", "canonicalize")
_LATER_FIELDS = ("parts", "output", "text", "data_files")
_LATER_PREPROCESSING = ("interpolation", "short_side")
_MAX_CONTEXT = 65_536
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,200}")
_LAYOUTS = ("NHWC", "NCHW")
_DTYPES = ("uint8", "float32")


def card_to_json(card: Card) -> str:
    """Return the card as one line of JSON."""
    values = with_old_keys(asdict(card))
    # Older versions refuse a card with a field that they do not know.
    for mapping, names in ((values, _LATER_FIELDS), (values["preprocessing"], _LATER_PREPROCESSING)):
        for name in names:
            if not mapping[name]:
                del mapping[name]
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
    values["text"] = _text(values.get("text"), where)
    values["data_files"] = _file_names(values.get("data_files", []), where)
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
    allowed = {"resize": (*RESIZES, BOUND), "layout": _LAYOUTS, "dtype": _DTYPES, "interpolation": INTERPOLATIONS}
    _check_choices(values, allowed, where)
    if values.get("interpolation") and values.get("resize") in ("letterbox", BOUND):
        raise BrokenModel(f"{where}: interpolation does not apply to {values['resize']}; export the model again")
    short = values.get("short_side", 0)
    if not isinstance(short, int) or not 0 <= short < 4096:
        raise BrokenModel(f"{where}: short_side is {short!r}, but must be a number of pixels; export the model again")
    size = values.get("size")
    if not (
        isinstance(size, list | tuple) and len(size) == 2 and all(isinstance(s, int) and 0 < s < 4096 for s in size)
    ):
        raise BrokenModel(f"{where}: size is {size!r}, but must be [height, width] in pixels; export the model again")
    as_tuples: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return Preprocessing(**as_tuples)


def _text(raw: Any, where: str) -> TextTower | None:
    if raw is None:
        return None
    if not isinstance(raw, dict):
        raise BrokenModel(f"{where}: text is {raw!r}, but must be an object; add the model again")
    values = _check_fields(raw, TextTower, where)
    _check_choices(values, {"clean": CLEANINGS}, where)
    context = values.get("context", 1)
    if not isinstance(context, int) or not 0 < context <= _MAX_CONTEXT:
        raise BrokenModel(f"{where}: context is {context!r}, but must be a number of tokens; add the model again")
    values["data_files"] = _file_names(values.get("data_files", []), where)
    try:
        return TextTower(**values)
    except TypeError as error:
        raise BrokenModel(f"{where}: text is incomplete ({error}); add the model again") from None


def is_file_name(name: str) -> bool:
    """Return whether a name is that of a plain file in a model's own folder."""
    return bool(_FILE_NAME.fullmatch(name))


def _file_names(raw: Any, where: str) -> tuple[str, ...]:
    """Names of files in the model's folder. A name that leads out of it is refused."""
    names = raw if isinstance(raw, list | tuple) else [raw]
    if names is not raw or not all(isinstance(name, str) and is_file_name(name) for name in names):
        raise BrokenModel(f"{where}: data_files is {raw!r}, but must be names of files beside it; add the model again")
    return tuple(names)


def _check_choices(values: dict[str, Any], allowed: dict[str, tuple[str, ...]], where: str) -> None:
    for name, choices in allowed.items():
        if name in values and values[name] not in choices:
            raise BrokenModel(
                f"{where}: {name} is {values[name]!r}, but must be one of {', '.join(filter(None, choices))}; "
                "export the model again"
            )


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
