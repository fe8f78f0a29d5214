"""Fuzz the parsers of untrusted files with atheris, guided by coverage: make fuzz.

    python scripts/fuzz.py [--seconds 3600] [--target header ...] [--corpus DIR]

The time is divided among the targets; each runs in a separate process. A target fails on any exception but Lookalike's
own. The last target, `decode`, runs the real decoders in child processes and counts crashes. Failing inputs are saved
in the corpus folder. Requires the package atheris.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

Target = Callable[[bytes], None]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--target", nargs="+", choices=[*TARGETS, "decode"], default=[*TARGETS, "decode"])
    parser.add_argument("--corpus", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--one", choices=list(TARGETS), help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs="*", help=argparse.SUPPRESS)
    options, rest = parser.parse_known_args()
    if options.one:
        return _guided(options.one, [*rest, *options.rest])
    share = max(1, options.seconds // len(options.target))
    failed = 0
    for name in options.target:
        folder = options.corpus / name
        folder.mkdir(parents=True, exist_ok=True)
        failed += _decode(share) if name == "decode" else _in_process(name, folder, share)
    return 1 if failed else 0


def _in_process(name: str, folder: Path, seconds: int) -> int:
    for kind, data in _seeds().items():
        (folder / f"seed-{kind}").write_bytes(data)
    command = [sys.executable, __file__, "--one", name, "--", str(folder)]
    command += [f"-max_total_time={seconds}", "-rss_limit_mb=2048", "-timeout=10", f"-artifact_prefix={folder}/failed-"]
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    done = [line for line in completed.stderr.splitlines() if line.startswith(("Done ", "stat::number_of_executed"))]
    summary = done[0] if done else completed.stderr[-2000:]
    print(f"{name}: {'passed' if completed.returncode == 0 else 'FAILED'}: {summary}", flush=True)
    return int(completed.returncode != 0)


def _guided(name: str, rest: list[str]) -> int:
    import atheris

    with atheris.instrument_imports(include=["lookalike.image", "lookalike.store.where"]):
        target = TARGETS[name]()
    atheris.Setup([sys.argv[0], *(option for option in rest if option != "--")], target)
    atheris.Fuzz()
    return 0


def _header() -> Target:
    from lookalike.errors import ImageError
    from lookalike.image.decoding import header

    def run(data: bytes) -> None:
        try:
            encoding = header.read_encoding(data)
        except ImageError:
            return
        assert encoding.width > 0
        assert encoding.frames > 0

    return run


def _exif() -> Target:
    from lookalike.image.containers import raw
    from lookalike.image.decoding import exif

    def run(data: bytes) -> None:
        assert 1 <= exif.orientation_of(data) <= 8
        raw.raw_format(data)

    return run


def _boxes() -> Target:
    from lookalike.image.containers import isobmff, jxl

    def run(data: bytes) -> None:
        isobmff.color_space(data)
        assert 1 <= isobmff.exif_orientation(data) <= 8
        try:
            jxl.jxl_header(data)
        except ValueError:
            return

    return run


def _source(ending: str) -> Target:
    from lookalike.errors import SourceError
    from lookalike.image import close_archives, find

    folder = tempfile.mkdtemp(prefix="lookalike-fuzz-")
    path = os.path.join(folder, f"x{ending}")

    def run(data: bytes) -> None:
        with open(path, "wb") as file:
            file.write(data)
        try:
            for _ in find([path]):
                pass
        except SourceError:
            return
        finally:
            close_archives()

    return run


def _where() -> Target:
    from lookalike.errors import BadFilter
    from lookalike.store.where import backticks, condition

    columns = {"id": str, "width": int, "label": str, "price": float, "plain": bool, "thumbnail": bytes}

    def run(data: bytes) -> None:
        try:
            condition(data.decode("utf-8", "replace"), columns, backticks)
        except BadFilter:
            return

    return run


TARGETS: dict[str, Callable[[], Target]] = {
    "header": _header,
    "exif": _exif,
    "boxes": _boxes,
    "zip": lambda: _source(".zip"),
    "tar": lambda: _source(".tar"),
    "csv": lambda: _source(".csv"),
    "parquet": lambda: _source(".parquet"),
    "where": _where,
}


def _seeds() -> dict[str, bytes]:
    """Return a valid file of each kind."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.hostile.test_fuzz import ENCODERS
    from tests.hostile.test_sources import WHOLE

    seeds = {name: encode() for name, encode in (ENCODERS | WHOLE).items()}
    return seeds | {"where": b"width > 1000 and (label = 'cat' or price is null) and id like '%x%'"}


def _decode(seconds: int) -> int:
    """Decode damaged files of random formats in child processes for `seconds`."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.hostile.test_fuzz import ENCODERS, LIMITS, damaged

    from lookalike.errors import ImageError
    from lookalike.image import DecoderFailed, GuardedDecoder

    seed = int(time.time())
    randomly = random.Random(seed)
    whole = {name: encode() for name, encode in ENCODERS.items()}
    counts: dict[str, int] = dict.fromkeys(("shown", "refused", "died"), 0)
    crashes: list[str] = []
    end = time.monotonic() + seconds
    with GuardedDecoder(LIMITS, seconds=20) as decoder:
        while time.monotonic() < end:
            name = randomly.choice(list(whole))
            try:
                decoder.decode_frames(damaged(whole[name], randomly), 2, side=None, doubtful=True)
                counts["shown"] += 1
            except DecoderFailed as error:
                counts["died"] += 1
                crashes.append(f"{name}: {error}")
            except ImageError:
                counts["refused"] += 1
    print(
        f"decode: seed {seed}: {counts['shown']:,} shown, {counts['refused']:,} refused, "
        f"{counts['died']} died {crashes}"
    )
    return 0  # a crash costs one file; the bug is in the decoder's library


if __name__ == "__main__":
    sys.exit(main())
