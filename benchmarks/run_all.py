"""Run the benchmarks one after the other and write docs/benchmarks.md: date, machine, and what each printed."""

import datetime
import platform
import subprocess
import sys
from pathlib import Path

from benchmarks.photos import DATA

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "docs" / "benchmarks.md"
QUESTIONS = {
    "How near is indexing to the ideal?": ["benchmarks.index"],
    "What does a second run cost?": ["benchmarks.unchanged"],
    "Does memory stay flat?": ["benchmarks.memory"],
    "How quick is a cold start?": ["benchmarks.cold"],
    "How quick and how right is a search among 100,000?": ["benchmarks.store", "--rows", "100000"],
    "Does the size of the file change the vector?": ["benchmarks.same_photo"],
    "What does decoding cost?": ["benchmarks.decode"],
    "Words: how near is indexing with a large model to the ideal, and in how much memory?": ["benchmarks.words_index"],
    "Words: which batch and how many threads?": ["benchmarks.words_batch"],
    "Words: how quick is the first text?": ["benchmarks.words_cold"],
    "Words: what do int8 weights lose and gain?": ["benchmarks.words_int8"],
    "How good are the default model's hits?": ["benchmarks.quality", str(DATA)],
}


def processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return f"{names[0]} x {len(names)}" if names else platform.processor()


def answer(arguments: list[str]) -> str:
    done = subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else f"failed: {done.stderr.strip().splitlines()[-1]}"


def main() -> None:
    wanted = sys.argv[1:]
    for question, arguments in QUESTIONS.items():
        if wanted and arguments[0].split(".")[1] not in wanted:
            continue
        today = datetime.datetime.now(tz=datetime.UTC).date()
        text = (
            f"## {question}\n\n`python -m {' '.join(arguments).replace(str(DATA), 'DATA')}`, {today}, {processor()}\n\n"
        )
        section = text + answer(arguments) + "\n"
        put(question, section)
        print(section, flush=True)


def put(question: str, section: str) -> None:
    """Replace the section of that question, or add it at the end; what stands before the sections stays."""
    old = TARGET.read_text(encoding="utf-8") if TARGET.exists() else "# Benchmarks\n"
    parts = old.split("\n## ")
    kept = [part for part in parts if not part.startswith(question)]
    TARGET.write_text("\n## ".join([*kept, section.removeprefix("## ")]).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
