"""Models of two towers: one embeds images, the other words, into one space.

Papers: CLIP, arXiv 2103.00020; SigLIP, arXiv 2303.15343.
"""

import threading
from collections.abc import Sequence
from typing import Any, Self

from lookalike.embed.devices import CPU
from lookalike.embed.model_files import ModelFiles
from lookalike.embed.onnx import OnnxEmbedder
from lookalike.embed.text_tower import TextEncoder
from lookalike.types import RGB, Card, Vectors


class TwoTowerEmbedder:
    """An embedder of images and texts; thread-safe. Each tower is opened when it is first used.

    Raises BrokenModel at the first use if a file is not what the card describes.
    """

    def __init__(self, files: ModelFiles, *, threads: int = 1, device: str | None = CPU) -> None:
        self._files, self._threads, self._device = files, threads, device
        self._text = TextEncoder(files, threads=threads, device=device)
        self._images: OnnxEmbedder | None = None
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the image tower alone, which is what other processes embed with."""
        return self._image_tower().__reduce__()

    @classmethod
    def open(cls, files: ModelFiles, *, threads: int = 1, device: str | None = CPU) -> Self:
        """Open the files of a model whose card has a text tower."""
        return cls(files, threads=threads, device=device)

    @property
    def card(self) -> Card:
        return self._files.card

    @property
    def device(self) -> str:
        """The device that runs the image tower."""
        return self._image_tower().device

    @property
    def precision(self) -> str:
        """The precision of the image tower on its device; see `OnnxEmbedder`."""
        return self._image_tower().precision

    @property
    def batch(self) -> int:
        """The number of images of a forward pass; `embed` takes any number."""
        return self._image_tower().batch

    def embed(self, images: Sequence[RGB]) -> Vectors:
        """Embed upright RGB images of any sizes. Returns (len(images), dim), rows of length 1."""
        return self._image_tower().embed(images)

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Embed texts. Returns (len(texts), dim), rows of length 1; what exceeds the model's context is cut."""
        return self._text.embed(texts)

    def truncated(self, text: str) -> str | None:
        """Return the beginning of a text that counts if it exceeds the model's context, None if all of it counts."""
        return self._text.truncated(text)

    def _image_tower(self) -> OnnxEmbedder:
        with self._lock:
            if self._images is None:
                self._images = OnnxEmbedder.open(self._files, threads=self._threads, device=self._device)
            return self._images
