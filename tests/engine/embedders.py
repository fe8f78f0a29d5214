"""Embedders that workers of a cluster import."""

import os
import time
from collections.abc import Sequence

from lookalike.types import RGB, Vectors
from tests.conftest import ColourEmbedder


class SlowEmbedder(ColourEmbedder):
    """Takes a while, so that there is time for faults."""

    seconds = 0.01

    def embed(self, images: Sequence[RGB]) -> Vectors:
        time.sleep(self.seconds * len(images))
        return super().embed(images)


class FatalEmbedder(ColourEmbedder):
    """Ends its process at a violet image, as a decoder or a driver of a GPU may."""

    def embed(self, images: Sequence[RGB]) -> Vectors:
        for image in images:
            red, green, blue = image.reshape(-1, 3).mean(axis=0)
            if red > 100 and green < 60 and blue > 200:
                os._exit(11)
        return super().embed(images)


class BrokenEmbedder(ColourEmbedder):
    """Raises, as a model that does not fit its card does."""

    def embed(self, images: Sequence[RGB]) -> Vectors:
        raise ZeroDivisionError("the model is broken")
