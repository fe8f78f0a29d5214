"""Synthetic images with enough detail for verification, and groups of small files for tests that move them."""

import hashlib
import io
import os
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from lookalike.types import RGB, DuplicateGroup, Extra, Hit


def scene(seed: int, *, size: tuple[int, int] = (240, 180)) -> RGB:
    """Draw colored discs and bars on a soft ground; two seeds share only about their mean color."""
    rng = np.random.default_rng(seed)
    image = np.full((size[1], size[0], 3), 150, np.uint8)
    for _ in range(70):
        color = tuple(int(c) for c in rng.integers(40, 230, 3))
        x, y = int(rng.integers(0, size[0])), int(rng.integers(0, size[1]))
        if rng.random() < 0.5:
            cv2.circle(image, (x, y), int(rng.integers(4, 20)), color, -1)
        else:
            cv2.rectangle(image, (x, y), (x + int(rng.integers(6, 40)), y + int(rng.integers(6, 40))), color, -1)
    return image


def save(image: RGB, path: Path, *, quality: int = 90, scale: float = 1.0) -> Path:
    """Write a picture; the ending says how."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(image)
    if scale != 1.0:
        picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BOX)
    buffer = io.BytesIO()
    picture.save(
        buffer, "JPEG" if path.suffix == ".jpg" else "PNG", **({"quality": quality} if path.suffix == ".jpg" else {})
    )
    path.write_bytes(buffer.getvalue())
    return path


def facts(path: Path) -> dict[str, str | int]:
    """What a group knows of a file."""
    status = os.lstat(path)
    return {
        "path": str(path),
        "root": str(path.parent),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "size": status.st_size,
        "mtime_ns": status.st_mtime_ns,
    }


def group(keep: Path, *extras: Path) -> DuplicateGroup:
    """A group of files as they are now."""
    members = tuple(
        Extra(id=p.name, score=1, relation="copy", probability=1, words="", reason="", metadata=facts(p))
        for p in extras
    )
    return DuplicateGroup(Hit(keep.name, 1.0, facts(keep)), members)
