"""int8 weights of a large model (CLIP ViT-B/32 in size) on a CPU: loss, size and speed, against float32 in turn."""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.large_model import large_model
from benchmarks.photos import originals
from lookalike.embed import get_embedder
from lookalike.embed.layouts import read_layout
from lookalike.embed.quantize import quantize_model

TEXTS = ["a red bicycle on a beach", "dog", "two people at night in front of a house", "an old map of the city"] * 4


def milliseconds(embed: Callable[[Any], Any], items: list[Any]) -> float:
    """CPU milliseconds an item."""
    start = time.process_time()
    embed(items)
    return 1e3 * (time.process_time() - start) / len(items)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="folder of the large model; made if it does not exist")
    parser.add_argument("--photos", type=Path, help="folder of JPEGs; by default those of the other benchmarks")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    paths = sorted(asked.photos.rglob("*.jpg"))[:200:4] if asked.photos else []
    images = [np.asarray(Image.open(path).convert("RGB")) for path in paths] or originals()
    with large_model(asked.model) as source, TemporaryDirectory() as place:
        files, report = quantize_model(read_layout(source, "clip"), Path(place) / "int8", name="int8", images=images)
        models: list[Any] = [get_embedder(folder, device="cpu") for folder in (source, files.model.parent)]
        texts = np.sum(models[0].embed_texts(TEXTS) * models[1].embed_texts(TEXTS), axis=1)
        runs = [(run, items) for m in models for run, items in ((m.embed, images[:16]), (m.embed_texts, TEXTS))]
        times = [[milliseconds(run, items) for run, items in runs] for _ in range(asked.rounds)]
        sizes = [sum(path.stat().st_size for path in folder.rglob("*.onnx")) / 1e6 for folder in (source, Path(place))]
    image, text, image8, text8 = (median(column) for column in zip(*times, strict=True))
    print("| weights | files, MB | image, CPU ms | text, CPU ms | images: cosine, median and worst | texts: worst |")
    print("|---|---|---|---|---|---|")
    print(f"| fp32 | {sizes[0]:.0f} | {image:.1f} | {text:.1f} | | |")
    cosines = f"{report.middle:.4f}, **{report.worst:.4f}** ({report.images} images)"
    print(f"| int8 | {sizes[1]:.0f} | **{image8:.1f}** | **{text8:.1f}** | {cosines} | {texts.min():.4f} |")


if __name__ == "__main__":
    main()
