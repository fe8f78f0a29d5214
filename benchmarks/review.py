"""How quick the review pages are: `python -m benchmarks.review` prints Markdown. Needs chromium and Playwright.

Made pictures in GROUPS groups of two to four, an own server process on loopback, and the page that stands alone. Times
are of a headless Chromium: to the first card with its kept picture, and of a key until the next frame was drawn.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lookalike.duplicates import Duplicates
from lookalike.duplicates.review.accepted import apply_command
from lookalike.duplicates.review.page import write_page
from lookalike.duplicates.review.saved_groups import save_duplicates
from lookalike.search import Collection
from lookalike.types import DuplicateGroup, Extra, Hit

GROUPS, PORT = 1000, 8739
KEYS = 40
WORDS = (
    ("identical", 1.0, "the same bytes"),
    ("copy", 0.997, "scaled to 50%; 120 matching points"),
    ("copy", 0.96, "80% crop, made brighter; 64 matching points"),
    ("copy", 0.93, "mirrored; the pictures agree as a whole"),
    ("copy", 0.91, "text added at the bottom; 41 matching points"),
)
OPTIONS = ["--no-sandbox", "--disable-background-networking", "--disable-gpu"]


def make(place: Path, groups: int) -> Path:
    """A collection of made pictures, and in it what a search would have found."""
    folder = place / "photos"
    folder.mkdir()
    rng = np.random.default_rng(1)
    sizes = [int(rng.integers(2, 5)) for _ in range(groups)]
    names = []
    for group, size in enumerate(sizes):
        image = np.full((240, 320, 3), rng.integers(60, 200, 3), np.uint8)
        for _ in range(25):
            x, y = int(rng.integers(0, 320)), int(rng.integers(0, 240))
            colour = tuple(int(c) for c in rng.integers(0, 255, 3))
            cv2.circle(image, (x, y), int(rng.integers(6, 40)), colour, -1)
        for n in range(size):
            names.append(f"holiday {group % 37}/IMG_{group:05d}{'' if not n else f' ({n})'}.jpg")
            path = folder / names[-1]
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 92 - 7 * n])[1].tobytes())
    with Collection.open(place / "c", create=True) as photos:
        photos.sync(folder)
        ids = [f"photos/{name}" for name in names]
        facts = ["path", "root", "size", "mtime_ns", "sha256", "width", "height", "format", "frames"]
        rows = iter(photos.get(ids, facts))
        found = []
        for group, size in enumerate(sizes):
            members = [row for row in (next(rows) for _ in range(size)) if row is not None]
            extras = tuple(_extra(row, *WORDS[(group + n) % len(WORDS)]) for n, row in enumerate(members[1:]))
            found.append(DuplicateGroup(Hit(members[0].id, 1.0, dict(members[0].metadata)), extras))
        duplicates = Duplicates(groups=tuple(found), pictures=len(names))
        save_duplicates(photos, duplicates)
        command = apply_command(str(photos.uri), ["--last"], journal="journal.jsonl")
        write_page(duplicates, place / "review.html", photos.thumbnails, command="…", apply_command=command)
    return place / "c"


def _extra(row: Any, relation: str, probability: float, words: str) -> Extra:
    reason = "compressed less: 41,203 against 30,110 bytes"
    return Extra(
        id=row.id, score=0.98, relation=relation, probability=probability, words=words, reason=reason,
        metadata=dict(row.metadata),
    )  # fmt: skip


@contextmanager
def serving(collection: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "lookalike", "serve", "-c", str(collection), "--port", str(PORT), "--allow-apply"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{PORT}/readyz")
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{PORT}/duplicates"
    finally:
        process.terminate()
        process.wait()


TIMED_KEY = """async (key) => {
  const begun = performance.now();
  document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  const handled = performance.now() - begun;
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  return [handled, performance.now() - begun];
}"""
SHOWN = """() => {
  const image = document.querySelector(".group .keep img");
  return image?.complete && image.naturalWidth > 0;
}"""


def until(page: Any, expression: str) -> None:
    end = time.monotonic() + 120
    while not page.evaluate(expression):
        if time.monotonic() > end:
            raise TimeoutError(expression)
        time.sleep(0.01)


def measure(browser: Any, url: str, groups: int) -> dict[str, str]:
    """Times of one page, each the median and the worst."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    begun = time.perf_counter()
    page.goto(url, wait_until="commit")
    until(page, SHOWN)
    told = {"first card": f"{time.perf_counter() - begun:.2f} s"}
    until(page, f"() => document.querySelector('.totals').textContent.includes('of {groups:,} group')")
    told["all groups listed"] = f"{time.perf_counter() - begun:.2f} s"
    for key, name in (("j", "`j`, next group"), ("a", "`a`, accept"), ("n", "`n`, not a copy")):
        times = []
        for _ in range(KEYS):
            if key != "j":
                page.evaluate(TIMED_KEY, "j")
            times.append(page.evaluate(TIMED_KEY, key))
        handled, drawn = ([one[n] for one in times] for n in (0, 1))
        told[f"{name}: handled"] = f"{statistics.median(handled):.0f} ms (worst {max(handled):.0f})"
        told[f"{name}: drawn"] = f"{statistics.median(drawn):.0f} ms (worst {max(drawn):.0f})"
    begun = time.perf_counter()
    page.evaluate("() => document.querySelector('.chips input[value=cropped]').click()")
    told["a filter"] = f"{1000 * (time.perf_counter() - begun):.0f} ms"
    page.evaluate("() => document.querySelector('.chips input[value=cropped]').click()")
    begun = time.perf_counter()
    page.get_by_role("button", name="Accept all shown").click()
    until(page, "() => /shown \\(0\\)/.test(document.querySelector('.review-bar').textContent)")
    told["accept all shown"] = f"{1000 * (time.perf_counter() - begun):.0f} ms"
    page.evaluate("() => scrollTo(0, document.body.scrollHeight / 2)")
    page.wait_for_timeout(500)
    counts = "() => [document.querySelectorAll('.group').length, document.querySelectorAll('*').length]"
    cards, elements = page.evaluate(counts)
    told["in the document"] = f"{cards} cards, {elements:,} elements"
    page.close()
    return told


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=int, default=GROUPS)
    groups = parser.parse_args().groups
    with tempfile.TemporaryDirectory() as place:
        collection = make(Path(place), groups)
        page = Path(place) / "review.html"
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        with sync_playwright() as play, serving(collection) as url:
            browser = play.chromium.launch(executable_path=chromium, args=OPTIONS)
            served, alone = (measure(browser, address, groups) for address in (url, page.as_uri()))
            browser.close()
        size = page.stat().st_size / 1e6
    rows = [f"| {name} | {served[name]} | {alone[name]} |" for name in served]
    head = f"| {groups:,} groups | page of `serve` | page that stands alone ({size:.0f} MB) |\n|---|---|---|\n"
    sys.stdout.write(head + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
