"""Run a server under mixed load for hours: searches, uploads, hostile files, additions and removals (make soak).

    python scripts/soak.py [--seconds 7200]

Prints the requests by status and the server's memory over time. The exit status is 1 if a response had status 500, if
the server died, or if its memory grew in the last two thirds by more than 5% and more than 20 MB per hour.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import numpy as np

CLIENTS = 4
MAX_GROWTH = 0.05, 20.0  # relative growth; MB per hour


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=7200)
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.server.conftest import fill, free_port

    with tempfile.TemporaryDirectory(prefix="lookalike-soak-") as folder:
        fill(Path(folder) / "photos")
        command = [sys.executable, "-m", "lookalike"]
        uri = f"{folder}/c"
        subprocess.run([*command, "index", f"{folder}/photos", "-c", uri], check=True, capture_output=True)
        port = free_port()
        serve = [*command, "serve", "-c", uri, "--port", str(port)]
        with subprocess.Popen(serve, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
            try:
                return _soak(server, f"http://127.0.0.1:{port}", options.seconds)
            finally:
                server.terminate()


def _soak(server: "subprocess.Popen[bytes]", url: str, seconds: int) -> int:
    _wait(url)
    statuses: Counter[str] = Counter()
    end = time.monotonic() + seconds
    threads = [threading.Thread(target=_client, args=(url, end, n, statuses), daemon=True) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    memory: list[tuple[float, float]] = []
    started_at = time.monotonic()
    while time.monotonic() < end and server.poll() is None:
        time.sleep(min(10.0, max(1.0, seconds / 100)))
        memory.append((time.monotonic() - started_at, _memory(server.pid)))
        if len(memory) % 30 == 0:
            print(f"{memory[-1][0]:.0f} s: {memory[-1][1]:.0f} MB, {dict(statuses)}", flush=True)
    alive = server.poll() is None
    for thread in threads:
        thread.join(timeout=60)
    last = np.array(memory[len(memory) // 3 :])
    slope = float(np.polyfit(last[:, 0] / 3600, last[:, 1], 1)[0]) if len(last) > 2 else 0.0
    grown = float(last[-1, 1] - last[0, 1]) / float(last[0, 1])
    summary = {
        "seconds": seconds,
        "statuses": dict(statuses),
        "mb": [round(m) for _, m in memory[:: max(1, len(memory) // 12)]],
    }
    print(json.dumps(summary | {"mb_an_hour": round(slope, 1), "grown": round(grown, 3), "alive": alive}))
    return int(not alive or statuses["500"] > 0 or (grown > MAX_GROWTH[0] and slope > MAX_GROWTH[1]))


def _wait(url: str) -> None:
    for _ in range(600):
        try:
            if httpx.get(f"{url}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise SystemExit("the server did not start")


def _memory(process: int) -> float:
    """Return the resident memory of a process and its children in megabytes."""
    total = 0
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                status = (folder / "status").read_text()
                if int(folder.name) == process or f"PPid:\t{process}\n" in status:
                    total += next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
            except (OSError, StopIteration):
                continue
    return total / 1024


def _client(url: str, end: float, number: int, statuses: "Counter[str]") -> None:
    from tests.conftest import COLOURS, encode, picture
    from tests.hostile.test_fuzz import FORMS, damaged

    randomly = random.Random(number)
    whole = {name: make() for name, make in FORMS.items()}
    own: list[str] = []
    with httpx.Client(base_url=url, timeout=60) as http:
        while time.monotonic() < end:
            good = encode(picture(randomly.choice(list(COLOURS.values())), seed=randomly.randrange(10**6)))
            try:
                match randomly.randrange(8):
                    case 0 | 1 | 2:
                        response = http.get("/v1/search", params={"like": "photos/red0.png", "where": "width > 10"})
                    case 3 | 4:
                        response = http.post("/v1/search", files={"image": good})
                    case 5:
                        response = http.post(
                            "/v1/search", files={"image": damaged(randomly.choice(list(whole.values())), randomly)}
                        )
                    case 6:
                        name = f"soak/{number}/{randomly.randrange(50)}"
                        response = http.post("/v1/images", files={"image": good}, data={"id": name})
                        own.append(name)
                    case _:
                        removed = own.pop() if own else "soak/none"
                        response = http.delete(f"/v1/images/{removed.replace('/', '%2F')}")
                statuses[str(response.status_code)] += 1
            except httpx.HTTPError as error:
                statuses[type(error).__name__] += 1


if __name__ == "__main__":
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    sys.exit(main())
