"""The first text of a process with a large model (CLIP ViT-B/32 in size): CPU seconds of each step, and of the whole.

The model is a folder as a hub has it, or one with a card, as `lookalike models add` writes it.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.large_model import large_model
from lookalike.embed.card import CARD_FILE, MODEL_FILE, TEXT_MODEL_FILE, TOKENIZER_FILE, card_to_json
from lookalike.embed.layouts import read_layout

CHILD = """
import json, sys, time
last = time.process_time()
steps = {"Python": last}
def step(name):
    global last
    now = time.process_time()
    steps[name], last = now - last, now
from lookalike.embed import get_embedder
step("import")
embedder = get_embedder(sys.argv[1], device="cpu")
step("card")
text = embedder._text
from lookalike.embed.model_files import check_file
from lookalike.embed.onnx_runtime import onnx_runtime
onnx_runtime()
step("ONNX Runtime")
text._load_tokenizer()
step("tokenizer")
check_file(text._files.text_model, text._tower.sha256)
step("checksum")
text._open_session(text._files.text_model)
step("session")
print(json.dumps(steps))
"""
WHOLE = """
import sys, time
from lookalike.embed import get_embedder
assert get_embedder(sys.argv[1], device="cpu").embed_texts(["a red bicycle on a beach"]).shape == (1, 512)
print(time.process_time())
"""


def add_card(source: Path, folder: Path) -> Path:
    """Write the model as `lookalike models add` does: the files beside a card."""
    files = read_layout(source, "clip-b32")
    assert files.text_model is not None
    assert files.tokenizer is not None
    folder.mkdir()
    names = {MODEL_FILE: files.model, TEXT_MODEL_FILE: files.text_model, TOKENIZER_FILE: files.tokenizer}
    for name, path in names.items():
        shutil.copyfile(path, folder / name)
    (folder / CARD_FILE).write_text(card_to_json(files.card))
    return folder


def run(code: str, model: Path) -> tuple[str, float]:
    """The output of a new process, and its seconds."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code, str(model)], check=True, capture_output=True, text=True)
    return done.stdout, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="folder of the large model; made if it does not exist")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with large_model(asked.model) as source, tempfile.TemporaryDirectory() as place:
        models = {"with a card": add_card(source, Path(place) / "added"), "as on a hub": source}
        steps: dict[str, list[dict[str, float]]] = {name: [] for name in models}
        whole: dict[str, list[tuple[float, float]]] = {name: [] for name in models}
        for _ in range(asked.rounds):
            for name, model in models.items():
                steps[name].append(json.loads(run(CHILD, model)[0]))
                output, seconds = run(WHOLE, model)
                whole[name].append((float(output), seconds))
    columns = list(steps["with a card"][0])
    print(f"| model | {' | '.join(columns)} | whole process, CPU s | wall s |\n|{'---|' * (len(columns) + 3)}")
    for name, rows in steps.items():
        cells = [f"{median(row[column] for row in rows):.2f}" for column in columns]
        times = [seconds for _, seconds in whole[name]]
        cpu = f"**{median(cpu for cpu, _ in whole[name]):.2f}**"
        print(f"| {name} | {' | '.join([*cells, cpu])} | {median(times):.2f} ({min(times):.2f}-{max(times):.2f}) |")


if __name__ == "__main__":
    main()
