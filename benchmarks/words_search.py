"""How long does a search by words take: as a command, and as a request to a server, beside the model's own time?

    python -m benchmarks.words_search [--model FOLDER] [--rows 100000] [--rounds 7]

The model is as large as CLIP ViT-B/32, with random weights, added as `lookalike models add` does; the vectors are made.
Prints Markdown; medians.
"""

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import httpx
import numpy as np

from benchmarks.large_model import large_model
from benchmarks.words_cold import add_card
from lookalike.embed import get_embedder
from lookalike.search import Collection
from lookalike.server import Settings, create_app
from lookalike.similarity import normalize
from lookalike.types import TextEmbedder

BATCH, PORT = 20_000, 8765
TEXTS = [f"a red bicycle on a beach, number {n}" for n in range(200)]


def make_collection(model: Path, place: Path, rows: int) -> None:
    random = np.random.default_rng(0)
    with Collection.open(place, model=model, create=True) as photos:
        for start in range(0, rows, BATCH):
            vectors = normalize(random.normal(size=(min(BATCH, rows - start), photos.card.dim)).astype(np.float32))
            ids = [f"photos/{start + n}.jpg" for n in range(len(vectors))]
            photos.store.add(ids, vectors, [{"path": f"/photos/{name}", "width": 500} for name in ids])
        photos.optimize()


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def command(place: Path) -> list[str]:
    return [sys.executable, "-m", "lookalike", "search", f"text:{TEXTS[0]}", "-c", str(place)]


def requests(place: Path, rounds: int) -> tuple[float, float]:
    """Median seconds of a search by a new text through a server, and of the model alone, in turn."""
    import uvicorn

    app = create_app(Settings(uri=str(place), port=PORT, decoders=1))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=PORT, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    alone, whole = list[float](), list[float]()
    with httpx.Client(base_url=f"http://127.0.0.1:{PORT}", timeout=60) as client:
        deadline = time.monotonic() + 120
        while not _is_ready(client):
            assert time.monotonic() < deadline, "the server is not ready"
            time.sleep(0.2)
        embedder = app.state.lookalike.service.photos.embedder
        assert isinstance(embedder, TextEmbedder)
        for text in TEXTS[: 10 * rounds]:
            alone.append(timed(lambda text=text: embedder.embed_texts([text])))
            whole.append(timed(lambda text=text: client.get("/v1/search", params={"text": text, "k": 200})))
    server.should_exit = True
    thread.join(60)
    return median(whole), median(alone)


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of the large model; made if it does not exist")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with large_model(options.model) as source, tempfile.TemporaryDirectory() as folder:
        model, place = add_card(source, Path(folder) / "added"), Path(folder) / "c"
        get_embedder(model)
        make_collection(model, place, options.rows)
        run = lambda: subprocess.run(command(place), check=True, capture_output=True)  # noqa: E731
        cold = [timed(run) for _ in range(options.rounds)]
        whole, alone = requests(place, options.rounds)
    print(f"| {options.rows:,} vectors | ms |\n|---|---|")
    print(
        f"| `lookalike search text:...`, whole process | {1000 * median(cold):.0f} ({1000 * min(cold):.0f} at best) |"
    )
    print(f"| a request to a server | {1000 * whole:.1f} |")
    print(f"| the model alone, between the requests | {1000 * alone:.1f} |")


if __name__ == "__main__":
    main()
