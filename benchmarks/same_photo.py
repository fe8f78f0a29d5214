"""The same photo as a 12 and as a 0.3 MP file: how alike are its two vectors, as we decode and after a full decode?

The larger file is the photo of $LOOKALIKE_DATA/kodak24 enlarged (Lanczos), the smaller one the photo reduced (area).
"""

import sys
from collections.abc import Callable

import cv2
import numpy as np

from benchmarks.photos import DATA, jpeg
from lookalike.embed import get_embedder
from lookalike.image import decode, fit
from lookalike.types import RGB, Preprocessing


def ours(data: bytes, card: Preprocessing) -> RGB:
    return fit(decode(data, side=max(card.size)).image, card)


def full_then_area(data: bytes, card: Preprocessing) -> RGB:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    return cv2.resize(image, card.size[::-1], interpolation=cv2.INTER_AREA)


def main() -> None:
    paths = sorted((DATA / "kodak24").glob("*.png"))
    if not paths:
        print(f"skipped: there is no kodak24 in {DATA}")
        return
    embedder = get_embedder()
    ways: dict[str, Callable[[bytes, Preprocessing], RGB]] = {"ours": ours, "full decode, area": full_then_area}
    scores: dict[str, list[float]] = {name: [] for name in ways}
    for path in paths:
        photo = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        turn = photo.shape[0] > photo.shape[1]
        large = cv2.resize(photo, (3000, 4000) if turn else (4000, 3000), interpolation=cv2.INTER_LANCZOS4)
        small = cv2.resize(photo, (480, 640) if turn else (640, 480), interpolation=cv2.INTER_AREA)
        for name, way in ways.items():
            pair = embedder.embed([way(jpeg(image), embedder.card.preprocessing) for image in (large, small)])
            scores[name].append(float(pair[0] @ pair[1]))
        sys.stderr.write(".")
    print("| decoding | mean cosine of 12 and 0.3 MP | worst |\n|---|---|---|")
    for name, values in scores.items():
        print(f"| {name} | **{np.mean(values):.4f}** | {min(values):.4f} |")


if __name__ == "__main__":
    main()
