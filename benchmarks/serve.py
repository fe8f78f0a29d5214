"""What the server bears: `python -m benchmarks.serve DATA` prints Markdown. Needs Debian's wrk, hey and chromium.

A collection of 100,000 made vectors (benchmarks/store.py's) with thumbnails, a real server process on loopback, and a
load tool on the same cores. Uploads are DATA/kodak24, reduced to 640 x 480. Name parts to run only those:
ids uploads mixed indexing page.
"""

import argparse
import http.client
import io
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from benchmarks.store import Made, rows

ROWS, CONNECTIONS = 100_000, 50
BY_ID = """
math.randomseed(os.time())
request = function()
  local at = math.random(0, %d)
  return wrk.format("GET", string.format("/v1/search?k=12&like=id:folder%%%%2F%%d%%%%2FIMG_%%08d.jpg", at %% 97, at))
end
"""
BY_UPLOAD = """
local bodies = {}
for n = 0, %d do local f = io.open(string.format("%s/%%d.jpg", n), "rb"); bodies[n] = f:read("*a"); f:close() end
local n = 0
request = function()
  n = (n + 1) %% (%d + 1)
  return wrk.format("POST", "/v1/search?k=12", {["Content-Type"] = "image/jpeg"}, bodies[n])
end
"""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Server:
    """One server process and what it uses."""

    def __init__(self, place: str, *options: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "lookalike", "serve", "-c", place, "--port", str(self.port), *options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(3000):
            with suppress(OSError):
                if urllib.request.urlopen(f"{self.url}/readyz", timeout=2).status == 200:
                    return
            time.sleep(0.1)
        raise SystemExit("the server did not get ready")

    def usage(self) -> tuple[float, float]:
        """Seconds of CPU and MB in memory, of the process and its children."""
        import psutil

        own = psutil.Process(self.process.pid)
        cpu = mb = 0.0
        for process in [own, *own.children(recursive=True)]:
            with suppress(psutil.Error):
                times = process.cpu_times()
                cpu += times.user + times.system
                mb += process.memory_info().rss / 2**20
        return cpu, mb

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=30)


@contextmanager
def serving(place: str, *options: str) -> Iterator[Server]:
    server = Server(place, *options)
    try:
        yield server
    finally:
        server.stop()


def made_collection(place: str) -> None:
    from PIL import Image

    from lookalike.search import Collection

    with Collection.open(place, create=True) as photos:
        jpegs = []
        for seed in range(64):
            colours = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
            buffer = io.BytesIO()
            Image.fromarray(np.kron(colours, np.ones((32, 32, 1), np.uint8))).save(buffer, "JPEG", quality=80)
            jpegs.append(buffer.getvalue())
        made = Made(photos.card.dim)
        at = 0
        for ids, vectors, metadata in rows(made, ROWS):
            facts = {"width": 640, "height": 480, "format": "JPEG", "plain": False}
            more = [row | facts | {"thumbnail": jpegs[(at + n) % 64]} for n, row in enumerate(metadata)]
            photos.store.add(ids, vectors, more)
            at += len(ids)
        photos.store.optimize()


def wrk(url: str, script: str, folder: str, *, seconds: int, connections: int = CONNECTIONS) -> dict[str, float]:
    place = Path(folder, "ask.lua")
    place.write_text(script)
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "--latency",
        "--timeout",
        "10s",
        "-s",
        str(place),
        url,
    ]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = {"rate": float(out.split("Requests/sec:")[1].split()[0]), "failed": 0.0}
    for line in out.splitlines():
        words = line.split()
        if words and words[0] in ("50%", "99%"):
            found[words[0]] = _ms(words[1])
        if "Non-2xx" in line:
            found["failed"] = float(words[-1])
    return found


def _ms(text: str) -> float:
    for unit, factor in (("us", 0.001), ("ms", 1.0), ("s", 1000.0)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    return float(text)


def hey(url: str, rate: float, seconds: int) -> dict[str, float]:
    """A steady rate: p50 and p99 as a client sees them."""
    clients = 20
    command = ["hey", "-z", f"{seconds}s", "-c", str(clients), "-q", f"{rate / clients:.2f}", url]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = {"rate": float(out.split("Requests/sec:")[1].split()[0])}
    for line in out.splitlines():
        words = line.split()
        if len(words) > 2 and words[0] in ("50%", "99%") and words[1] == "in":
            found[words[0]] = float(words[2]) * 1000
    return found


def ids(place: str, folder: str) -> None:
    print("\n| searches by id, 100,000 images | requests/s | p50 ms | p99 ms | server's CPU ms a request | failed |")
    print("|---|---|---|---|---|---|")
    with serving(place) as server:
        wrk(server.url, BY_ID % (ROWS - 1), folder, seconds=2)
        before, _ = server.usage()
        begun = time.monotonic()
        most = wrk(server.url, BY_ID % (ROWS - 1), folder, seconds=8)
        cpu = (server.usage()[0] - before) * 1000 / (most["rate"] * (time.monotonic() - begun))
        print(
            f"| as many as it bears, {CONNECTIONS} connections | {most['rate']:.0f} | {most['50%']:.0f} | "
            f"{most['99%']:.0f} | {cpu:.2f} | {most['failed']:.0f} |"
        )
        url = f"{server.url}/v1/search?k=12&like=id:folder%2F12%2FIMG_00000012.jpg"
        steady = hey(url, most["rate"] * 0.8, 7)
        print(f"| at 80% of that | {steady['rate']:.0f} | {steady['50%']:.0f} | {steady['99%']:.0f} | | |")
        one = wrk(server.url, BY_ID % (ROWS - 1), folder, seconds=2, connections=1)
        print(f"| one after the other | {one['rate']:.0f} | {one['50%']:.1f} | {one['99%']:.1f} | | |", flush=True)


def pictures(data: Path, folder: str) -> list[bytes]:
    from PIL import Image

    made = []
    for n, path in enumerate(sorted(data.glob("kodak24/*.png"))):
        buffer = io.BytesIO()
        Image.open(path).convert("RGB").resize((640, 480)).save(buffer, "JPEG", quality=88)
        Path(folder, f"{n}.jpg").write_bytes(buffer.getvalue())
        made.append(buffer.getvalue())
    return made


def alone(jpegs: list[bytes], seconds: float, *, decoding: bool) -> float:
    """Images a second of the embedder by itself, one thread a core, batches of four."""
    from lookalike.embed import get_embedder
    from lookalike.image import decode, fit

    embedder = get_embedder()
    side = max(embedder.card.preprocessing.size)
    fitted = [fit(decode(jpeg, side=side).image, embedder.card.preprocessing) for jpeg in jpegs]

    def work(_: int) -> int:
        done, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            some = [(done + n) % len(jpegs) for n in range(4)]
            batch = [decode(jpegs[n], side=side).image if decoding else fitted[n] for n in some]
            embedder.embed(batch)
            done += 4
        return done

    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:
        return sum(pool.map(work, range(cores))) / seconds


def uploads(place: str, folder: str, data: Path) -> None:
    jpegs = pictures(data, folder)
    before = alone(jpegs, 3, decoding=False)
    decoded = alone(jpegs, 3, decoding=True)
    with serving(place) as server:
        script = BY_UPLOAD % (len(jpegs) - 1, folder, len(jpegs) - 1)
        wrk(server.url, script, folder, seconds=2, connections=16)
        asked = wrk(server.url, script, folder, seconds=8, connections=16)
    after = alone(jpegs, 3, decoding=False)
    rate = (before + after) / 2
    print("\n| uploads of 0.3 MP searched among 100,000 | a second | against the embedder alone |\n|---|---|---|")
    print(f"| embedder alone, one thread a core, before and after | {rate:.0f} ({before:.0f}, {after:.0f}) | 1 |")
    print(f"| decoding and embedding, no server | {decoded:.0f} | {decoded / rate:.2f} |")
    p50, p99 = asked["50%"], asked["99%"]
    print(
        f"| POST /v1/search, 16 connections: p50 {p50:.0f} ms, p99 {p99:.0f} ms | {asked['rate']:.0f} | "
        f"{asked['rate'] / rate:.2f} |",
        flush=True,
    )


def hostile(jpeg: bytes) -> list[bytes]:
    import struct
    import zlib

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return [
        b"\x89PNG\r\n\x1a\n" + chunk,
        jpeg[:300],
        b"<svg onload='alert(1)'/>",
        b"\0" * 5000,
        jpeg[: len(jpeg) // 2],
        b"",
    ]


def mixed(place: str, folder: str, data: Path) -> None:
    jpegs = pictures(data, folder)
    bad = hostile(jpegs[0])
    lot = random.Random(1)
    kinds: Counter[str] = Counter()
    lock = threading.Lock()

    def one(connection: http.client.HTTPConnection) -> None:
        n, at = lot.random(), lot.randrange(ROWS)
        image = f"folder%2F{at % 97}%2FIMG_{at:08}.jpg"
        if n < 0.01:
            kind = "hostile"
            connection.request("POST", "/v1/search?k=12", lot.choice(bad), {"Content-Type": "image/png"})
        elif n < 0.11:
            kind = "upload"
            connection.request("POST", "/v1/search?k=12", lot.choice(jpegs), {"Content-Type": "image/jpeg"})
        elif n < 0.41:
            kind = "thumbnail"
            connection.request("GET", f"/v1/images/{image}/thumbnail")
        elif n < 0.5:
            kind = "where"
            connection.request("GET", f"/v1/search?k=12&like=id:{image}&where=part%20%3D%20{at % 5}")
        else:
            kind = "id"
            connection.request("GET", f"/v1/search?k=12&like=id:{image}")
        answer = connection.getresponse()
        answer.read()
        with lock:
            kinds[f"{kind} {answer.status // 100}xx"] += 1

    with serving(place) as server:

        def client(count: int) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
            for _ in range(count):
                one(connection)
            connection.close()

        def run(count: int) -> None:
            with ThreadPoolExecutor(CONNECTIONS) as pool:
                list(pool.map(client, [count // CONNECTIONS] * CONNECTIONS))

        run(2000)
        kinds.clear()
        levels = [server.usage()[1]]
        begun = time.monotonic()
        for _ in range(4):
            run(2500)
            levels.append(server.usage()[1])
        seconds = time.monotonic() - begun
        alive = server.process.poll() is None
    told = ", ".join(f"{kind}: {count}" for kind, count in sorted(kinds.items()))
    print(
        f"\n10,000 mixed requests, {CONNECTIONS} connections, {seconds:.0f} s: {told}; server alive: {alive}; MB "
        f"after each quarter: {' '.join(f'{level:.0f}' for level in levels)}",
        flush=True,
    )


def indexing(place: str, folder: str) -> None:
    """Searches at a modest rate while 100 rows are committed each second."""
    from lookalike.search import Collection

    stop = threading.Event()

    def write() -> None:
        with Collection.open(place) as photos:
            made, n = Made(photos.card.dim), 0
            while not stop.wait(1.0):
                vectors, _ = made.batch(5 * 10**7 + n, 100)
                facts = [{"width": 640, "height": 480, "part": 7} for _ in range(100)]
                photos.store.add([f"new/{n}/{i}" for i in range(100)], vectors, facts)
                n += 1

    with serving(place) as server:
        url = f"{server.url}/v1/search?k=12&like=id:folder%2F12%2FIMG_00000012.jpg"
        quiet = hey(url, 50, 5)
        thread = threading.Thread(target=write)
        thread.start()
        busy = hey(url, 50, 12)
        stop.set()
        thread.join()
    print("\n| 50 searches a second | p50 ms | p99 ms |\n|---|---|---|")
    for name, told in (("nobody writes", quiet), ("100 rows are committed each second", busy)):
        print(f"| {name} | {told['50%']:.0f} | {told['99%']:.0f} |", flush=True)


FRAMES = """async () => {
  const frames = []; let last = performance.now(); let on = true;
  const tick = (now) => { frames.push(now - last); last = now; if (on) requestAnimationFrame(tick); };
  requestAnimationFrame(tick);
  const height = document.documentElement.scrollHeight;
  for (let y = 0; y < height; y += 240) { window.scrollTo(0, y); await new Promise(requestAnimationFrame); }
  on = false;
  return { frames: frames.slice(2), height, tiles: document.querySelectorAll('.tile').length };
}"""


def page(place: str) -> None:
    from playwright.sync_api import sync_playwright

    with serving(place) as server, sync_playwright() as play:
        options = ["--no-sandbox", "--disable-background-networking"]
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=options)
        paints = []
        for _ in range(5):
            sheet = browser.new_page(viewport={"width": 1280, "height": 900})
            sheet.goto(server.url)
            sheet.wait_for_selector(".tile img")
            paints.append(sheet.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
            shown = sheet.evaluate("performance.now()")
            sheet.close()
        sheet = browser.new_page(viewport={"width": 1280, "height": 900})
        sheet.goto(f"{server.url}/?k=1000&like=id%3Afolder%2F12%2FIMG_00000012.jpg")
        sheet.wait_for_selector(".score")
        time.sleep(3)
        told = sheet.evaluate(FRAMES)
        browser.close()
    frames = sorted(told["frames"])
    print(
        f"\nFirst contentful paint over 100,000 images: median {sorted(paints)[2]:.0f} ms of 5 "
        f"(pictures there after {shown:.0f} ms). "
        f"1,000 hits scrolled ({told['height']:,} pixels, {told['tiles']} tiles at a time): {len(frames)} frames, "
        f"median {frames[len(frames) // 2]:.0f} ms, longest {frames[-1]:.0f} ms.",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("parts", nargs="*", default=["ids", "uploads", "mixed", "indexing", "page"])
    parser.add_argument("--collection", help="A collection that an earlier run made; made there when it is not there.")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = args.collection or f"{folder}/collection"
        if not Path(place).exists():
            made_collection(place)
        runs = {
            "ids": lambda: ids(place, folder),
            "uploads": lambda: uploads(place, folder, args.data),
            "mixed": lambda: mixed(place, folder, args.data),
            "indexing": lambda: indexing(place, folder),
            "page": lambda: page(place),
        }
        print(json.dumps({"load before": os.getloadavg(), "cores": os.cpu_count()}))
        for part in args.parts:
            runs[part]()


if __name__ == "__main__":
    main()
