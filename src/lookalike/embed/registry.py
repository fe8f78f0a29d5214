"""Models by name. Each folder in weights/ is a model of the package, with model.onnx and card.json."""

from pathlib import Path

from lookalike.embed.card import CARD_FILE, MODEL_FILE, load_card
from lookalike.errors import UnknownModel, nearest
from lookalike.plugins import load_plugin, plugins
from lookalike.types import Card, Embedder

DEFAULT_MODEL = "efficientnet-lite1.in1k"
"""The model that embeds a new collection when none is named."""

_WEIGHTS = Path(__file__).parent / "weights"


def known_models() -> dict[str, Card]:
    """Return the cards of the models in the package, by name."""
    folders = sorted(p.parent for p in _WEIGHTS.glob(f"*/{CARD_FILE}"))
    return {card.name: card for card in map(load_card, folders)}


def get_embedder(name: str | Path = DEFAULT_MODEL, *, threads: int = 1) -> Embedder:
    """Return the embedder called `name`.

    `name`: a model of the package, a folder with model.onnx and card.json, hub:owner/name[@revision], or the name under
    which another package registers a function that returns an embedder (plugins.py). `threads`: of one forward pass;
    use 1 when several workers share the embedder. Raises UnknownModel or BrokenModel.
    """
    from lookalike.embed.onnx import OnnxEmbedder

    if str(name).startswith("hub:"):
        from lookalike.embed.hub import hub_embedder

        return hub_embedder(str(name).removeprefix("hub:"), threads=threads)
    try:
        folder = model_folder(name)
    except UnknownModel:
        if (make := load_plugin("embedders", str(name))) is None:
            raise
        embedder: Embedder = make()
        return embedder
    return OnnxEmbedder.load(folder, threads=threads)


def model_folder(name: str | Path) -> Path:
    """Return the folder of a model of the package, or `name` itself if it is a folder. Raises UnknownModel."""
    shipped = _WEIGHTS / str(name)
    if (shipped / MODEL_FILE).is_file():
        return shipped
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    raise UnknownModel(
        f"no model is called {str(name)!r}, and it is not a folder with {MODEL_FILE} and {CARD_FILE} "
        f"({nearest(str(name), [*known_models(), *plugins('embedders')])}); see: lookalike models"
    )
