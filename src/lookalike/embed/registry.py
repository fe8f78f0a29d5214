"""Models by name: those of the package in weights/, and those that the user has added (add_model.py).

Each is a folder with model.onnx and card.json, or with join.json, which names two models.
"""

import json
import os
from contextlib import suppress
from pathlib import Path

from lookalike.embed.card import CARD_FILE, MODEL_FILE, load_card
from lookalike.embed.model_files import files_in
from lookalike.embed.presets import PRESETS
from lookalike.errors import BrokenModel, ModelError, UnknownModel, nearest
from lookalike.parts import ALIKE, COPY
from lookalike.plugins import load_plugin, plugins
from lookalike.text import expanded
from lookalike.types import Card, Embedder

DEFAULT_MODEL = "efficientnet-lite1.two-parts"
"""The model that embeds a new collection when none is named."""

BASE_MODEL = "efficientnet-lite1.in1k"
"""The model that training starts from, and the default of earlier versions: their collections keep it."""

MODELS_VARIABLE = "LOOKALIKE_MODELS"
"""The environment variable that names the folder of added models."""
JOIN_FILE = "join.json"
"""The file of two models side by side in a model's folder."""

_WEIGHTS = Path(__file__).parent / "weights"


def user_models_folder() -> Path:
    """Return the folder of added models: $LOOKALIKE_MODELS if it is set, else one in the user's data folder."""
    if named := os.environ.get(MODELS_VARIABLE):
        return expanded(named)
    from platformdirs import user_data_dir

    return Path(user_data_dir("lookalike", appauthor=False)) / "models"


def known_models(*, added: bool = True) -> dict[str, Card]:
    """Return cards by name: of the models of the package, and if `added`, of those that the user has added.

    A broken one is left out; opening it by name says why.
    """
    cards = {card.name: card for card in (load_card(p.parent) for p in sorted(_WEIGHTS.glob(f"*/{CARD_FILE}")))}
    for folder in sorted(user_models_folder().glob("[!.]*")) if added else ():
        with suppress(ModelError):
            cards[folder.name] = _card_of(folder)
    return cards


def model_names() -> list[str]:
    """Return the names of the package's models and of the added ones, readable or not."""
    folders = [*_WEIGHTS.glob("*"), *user_models_folder().glob("[!.]*")]
    return sorted(folder.name for folder in folders if folder.is_dir())


def joins(model: str, name: str) -> bool:
    """Return whether a model is called `name`, or is made of one that is."""
    folder = user_models_folder() / model
    if model == name or not (folder / JOIN_FILE).is_file():
        return model == name
    return any(joins(member, name) for member in _joined_names(folder))


def _card_of(folder: Path) -> Card:
    if not (folder / JOIN_FILE).is_file():
        return load_card(folder)
    from lookalike.embed.combined import joined_card, part_card

    alike, copy = (_card_of(model_folder(name)) for name in _joined_names(folder))
    return joined_card(part_card(alike, ALIKE), part_card(copy, COPY), folder.name)


def _joined_names(folder: Path) -> tuple[str, str]:
    """Return the names of the model that says alike and of the one that says copy. Raises BrokenModel."""
    try:
        names = json.loads((folder / JOIN_FILE).read_text(encoding="utf-8"))
        return str(names[ALIKE]), str(names[COPY])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BrokenModel(f"{folder / JOIN_FILE} cannot be read ({error}); join the models again") from None


def _joined(folder: Path, threads: int, device: str | None) -> Embedder:
    from lookalike.embed.combined import join

    alike, copy = (get_embedder(name, threads=threads, device=device) for name in _joined_names(folder))
    return join(alike, copy, folder.name)


def get_embedder(name: str | Path = DEFAULT_MODEL, *, threads: int = 1, device: str | None = None) -> Embedder:
    """Return the embedder called `name`.

    `name`: a model of the package or one that was added, a folder with model.onnx and card.json,
    hub:owner/name[@revision], or the name under which another package registers a function that returns an embedder
    (plugins.py). `threads`: of one forward pass;
    use 1 when several workers share the embedder. `device`: "cpu", "cuda", "tensorrt", "coreml", "directml",
    "openvino", "rocm", or "auto" for a GPU where the installed ONNX Runtime can use one and else the CPU; by default
    $LOOKALIKE_DEVICE, else "auto". Raises UnknownModel or BrokenModel, BadQuery for an unknown device, ModelError for
    one that cannot be used.
    """
    if str(name).startswith("hub:"):
        from lookalike.embed.hub import hub_embedder

        return hub_embedder(str(name).removeprefix("hub:"), threads=threads, device=device)
    try:
        folder = model_folder(name)
    except UnknownModel:
        if (make := load_plugin("embedders", str(name))) is None:
            raise
        embedder: Embedder = make()
        return embedder
    if (folder / JOIN_FILE).is_file():
        return _joined(folder, threads, device)
    from lookalike.embed.open_model import open_files

    if not (folder / CARD_FILE).is_file():
        from lookalike.embed.layouts import is_layout, read_layout

        if is_layout(folder):
            return open_files(read_layout(folder, folder.name), threads=threads, device=device)
    return open_files(files_in(folder), threads=threads, device=device)


def model_folder(name: str | Path) -> Path:
    """Return the folder of a model by name, or `name` itself if it is a folder. Raises UnknownModel."""
    for parent in (_WEIGHTS, user_models_folder()):
        folder = parent / str(name)
        if folder.parent == parent and any((folder / file).is_file() for file in (MODEL_FILE, JOIN_FILE)):
            return folder
    folder = expanded(name)
    if folder.is_dir():
        return folder
    if str(name) in PRESETS:
        raise UnknownModel(f"the model {name} is not on this machine; download it with: lookalike models add {name}")
    raise UnknownModel(
        f"no model is called {str(name)!r}, and it is not a folder with {MODEL_FILE} and {CARD_FILE} "
        f"({nearest(str(name), [*model_names(), *plugins('embedders'), *PRESETS])}); see: lookalike models"
    )
