"""How quick are the lists of the page at 100,000 and 1,000,000 images: orders, values, folders, first paint, scrolling?

    python -m benchmarks.lists WORK [--rows 100000 1000000]

Prints Markdown. WORK/c-ROWS is a collection with made vectors of 256 numbers, dates of 25 years, eight cameras, folders
of 500 images and one small thumbnail for all; it is made once. The browser is Debian's chromium (the extra `dev` has
Playwright). "first" is the first request of its kind after the server has started, "then" the median of nine.
"""

import argparse
import hashlib
import io
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from benchmarks.store import Made, line
from lookalike.embed import BASE_MODEL, get_embedder
from lookalike.search import Collection
from lookalike.similarity import normalize

BATCH, PER_FOLDER, YEARS, PORT, REPEATS, SCROLLS = 20_000, 500, 25, 8765, 9, 60
CAMERAS = [f"Maker {n} Model {n}" for n in range(8)]
HITS_SHOWN = "!document.querySelector('#viewer').open && Boolean(document.querySelector('.tile .score'))"
REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "list by id": ("/v1/images", {"k": 120}),
    "list at random": ("/v1/images", {"k": 120, "order": "random", "seed": 1}),
    "list by date, newest first": ("/v1/images", {"k": 120, "sort": "-taken"}),
    "the same from its middle": ("/v1/images", {"k": 120, "sort": "-taken", "offset": "half"}),
    "values of five columns": ("/v1/facets", {"column": ["label", "year", "camera", "lens", "format"], "limit": 300}),
    "the same of one year": (
        "/v1/facets",
        {"column": ["label", "camera", "lens", "format"], "limit": 300, "where": "year = 2010"},
    ),
    "the same of a condition (10%)": (
        "/v1/facets",
        {"column": ["label", "year", "camera", "format"], "limit": 300, "where": "width < 400"},
    ),
    "folders": ("/v1/folders", {"below": "photos"}),
    "folders of one year": ("/v1/folders", {"below": "photos", "where": "year = 2010"}),
    "hits of an image": ("/v1/search", {"like": "id:photos/0/00000007.jpg", "k": 200}),
}


def make_collection(place: Path, rows: int) -> None:
    dot = io.BytesIO()
    Image.new("RGB", (64, 48), (90, 120, 150)).save(dot, "JPEG")
    with Collection.open(place, model=BASE_MODEL, create=True) as photos:
        made, random = Made(get_embedder(BASE_MODEL).card.dim), np.random.default_rng(0)
        for start in range(0, rows, BATCH):
            vectors, _ = made.batch(start, min(BATCH, rows - start))
            years = random.integers(2000, 2000 + YEARS, len(vectors)).tolist()
            ids, metadata = [], []
            for row, year in enumerate(years, start):
                ids.append(f"photos/{row // PER_FOLDER}/{row:08}.jpg")
                taken = f"{year}-{row % 12 + 1:02}-{row % 28 + 1:02}T{row % 24:02}:{row % 60:02}:00"
                metadata.append({
                    "path": f"/none/{row}.jpg", "size": 10_000 + row % 90_000, "width": row % 4000, "height": 3000,
                    "sha256": hashlib.sha256(b"%d" % row).hexdigest(), "format": "JPEG", "taken": taken, "year": year,
                    "camera": CAMERAS[row % 8], "label": f"l{row % 40}" if row % 10 == 0 else None, "plain": False,
                    "thumbnail": dot.getvalue(),
                })  # fmt: skip
            photos.store.add(ids, normalize(vectors), metadata)
        photos.optimize()


def milliseconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - started)


def measure_requests(http: httpx.Client, rows: int) -> None:
    for name, (path, parameters) in REQUESTS.items():
        asked = {key: rows // 2 if value == "half" else value for key, value in parameters.items()}

        def ask(path: str = path, asked: dict[str, Any] = asked) -> None:
            http.get(path, params=asked).raise_for_status()

        first = milliseconds(ask)
        then = statistics.median(milliseconds(ask) for _ in range(REPEATS))
        line(f"{rows:,}", name, round(first), round(then, 1))


def measure_page(rows: int) -> None:
    """First paint cold and warm, hits after a click, and the longest frame while the whole list is scrolled through."""
    from playwright.sync_api import sync_playwright

    url = f"http://127.0.0.1:{PORT}"
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        for name in ("first paint, nothing cached", "first paint, again"):
            page.goto(f"{url}/?sort=-taken")
            page.wait_for_selector(".tile img")
            paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
            shown = page.evaluate("performance.now()")
            line(f"{rows:,}", name, round(paint), f"first image in the page {shown:.0f}")
        frames = page.evaluate(
            """async (steps) => {
              const times = [];
              const height = document.documentElement.scrollHeight - innerHeight;
              let last = await new Promise(requestAnimationFrame);
              for (let n = 1; n <= steps; n += 1) {
                scrollTo(0, (height * n) / steps);
                for (let frame = 0; frame < 6; frame += 1) {
                  const now = await new Promise(requestAnimationFrame);
                  times.push(now - last);
                  last = now;
                }
              }
              return times;
            }""",
            SCROLLS,
        )
        over = sum(frame > 50 for frame in frames)
        line(
            f"{rows:,}",
            "longest frame while the list is scrolled through",
            round(max(frames)),
            f"{over} over 50 ms of {len(frames)}",
        )
        page.goto(f"{url}/?like=id%3Aphotos%2F0%2F00000007.jpg")
        page.wait_for_selector(".tile .score")
        spent = []
        for n in range(1, REPEATS + 1):
            page.locator(".tile").nth(n).click()
            started = time.perf_counter()
            page.get_by_role("button", name="More like this").click()
            while not page.evaluate(HITS_SHOWN):  # a function in the page would need eval, which its policy forbids
                time.sleep(0.005)
            spent.append(1000 * (time.perf_counter() - started))
        line(f"{rows:,}", "hits after a click", round(statistics.median(spent)), "")
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    options = parser.parse_args()
    for rows in options.rows:
        place = options.work / f"c-{rows}"
        if not place.exists():
            make_collection(place, rows)
        words = ["serve", "-c", str(place), "--port", str(PORT), "--read-only"]
        with subprocess.Popen(
            [sys.executable, "-m", "lookalike", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as server:
            try:
                with httpx.Client(base_url=f"http://127.0.0.1:{PORT}", timeout=60) as http:
                    while not _is_ready(http):
                        time.sleep(0.5)
                    line("images", "request", "first, ms", "then, ms")
                    line(*["---"] * 4)
                    measure_requests(http, rows)
                line("images", "page", "ms", "")
                line(*["---"] * 4)
                measure_page(rows)
            finally:
                server.terminate()


def _is_ready(http: httpx.Client) -> bool:
    try:
        return http.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    main()
