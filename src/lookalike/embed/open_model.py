"""Open the files of a model as the embedder that its card describes."""

from lookalike.embed.model_files import ModelFiles
from lookalike.embed.onnx import OnnxEmbedder
from lookalike.types import Embedder


def open_files(files: ModelFiles, *, threads: int = 1, device: str | None = None) -> Embedder:
    """Return an embedder of images, and of texts if the card has a text tower. Raises BrokenModel."""
    if files.card.text is None:
        return OnnxEmbedder.open(files, threads=threads, device=device)
    from lookalike.embed.two_towers import TwoTowerEmbedder

    return TwoTowerEmbedder.open(files, threads=threads, device=device)
