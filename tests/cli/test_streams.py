"""Closed and full standard streams, and Ctrl-C at any moment: a sentence and a status, never a traceback."""

import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX streams and signals")


def shell(command: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run a command line in which `lookalike` is ours."""
    environment = {**os.environ, "LOOKALIKE_COLLECTION": str(tmp_path / "c")}
    script = command.replace("lookalike", f"{sys.executable} -m lookalike")
    return subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, env=environment, timeout=120, check=False
    )


@pytest.fixture
def indexed(tmp_path: Path, photos: Path) -> Path:
    assert shell(f"lookalike index {photos}", tmp_path).returncode == 0
    return tmp_path


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("verb", ["info --json", "search nowhere.jpg"])
def test_closed_streams(indexed: Path, verb: str, closed: str) -> None:
    ran = shell(f"lookalike {verb} {closed}", indexed)
    assert ran.returncode == shell(f"lookalike {verb}", indexed).returncode
    assert "Traceback" not in ran.stdout + ran.stderr


@pytest.mark.parametrize("verb", ["info --json", "--version"])
def test_a_full_disk_under_the_output(indexed: Path, verb: str) -> None:
    ran = shell(f"lookalike {verb} > /dev/full", indexed)
    assert ran.returncode == 1
    assert ran.stderr.count("\n") == 1
    assert "the output cannot be written" in ran.stderr


def test_a_full_disk_under_the_messages(indexed: Path) -> None:
    ran = shell("lookalike search nowhere.jpg 2> /dev/full", indexed)
    assert ran.returncode == 1
    assert "Traceback" not in ran.stdout


@pytest.mark.parametrize(
    "verb", ["models", "info", "search {}/red.png -k 5", "search {}/red.png -k 5 --json", "--help"]
)
def test_a_reader_that_closes_the_pipe(indexed: Path, photos: Path, verb: str) -> None:
    # `true` has ended before the first line is written.
    ran = shell(f"set -o pipefail; (sleep 0.2; lookalike {verb.format(photos)}) | true", indexed)
    assert ran.returncode == 0
    assert "Traceback" not in ran.stderr


def interrupted(words: str, folder: Path, after: float) -> subprocess.CompletedProcess[str]:
    """Run a verb whose stdin stays open and whose model is slow, and interrupt it `after` seconds."""
    code = (
        "import signal, sys, time\n"
        "from lookalike.cli import entry\n"
        f"sys.argv = ['lookalike', *{words.split()!r}]\n"
        "real = signal.signal\n"
        "def slow(self, images):\n"
        "    time.sleep(3)\n"
        "    return embed(self, images)\n"
        "def reporting(*arguments):\n"
        "    global embed\n"
        "    if 'lookalike.cli.main' in sys.modules and '-o' in sys.argv:  # no machine is done before the interrupt\n"
        "        from lookalike.embed.onnx import OnnxEmbedder\n"
        "        embed, OnnxEmbedder.embed = OnnxEmbedder.embed, slow\n"
        "    before = real(*arguments)\n"
        "    print('on', flush=True)\n"
        "    return before\n"
        "signal.signal = reporting\n"
        "entry.run()\n"
    )
    environment = {**os.environ, "LOOKALIKE_COLLECTION": str(folder / "c")}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "on\n"
        time.sleep(after)
        running.send_signal(signal.SIGINT)
        try:
            running.wait(timeout=60)  # stdin stays open; the output is short
        finally:
            running.kill()
        out, err = running.stdout.read(), running.stderr.read() if running.stderr else ""
    return subprocess.CompletedProcess(words, running.returncode, out, err)


@pytest.mark.parametrize("after", [0.0, 0.1, 0.3, 0.6])
def test_an_interrupt_at_any_moment(indexed: Path, after: float) -> None:
    ran = interrupted("info", indexed, after)
    assert ran.returncode in (0, 1, 130, -signal.SIGINT)  # the last: Python itself has wound up
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("after", [0.0, 2.0])
@pytest.mark.parametrize("words", ["search -", "index -", "duplicates --decisions -", "split -"])
def test_an_interrupted_verb_says_so_and_keeps_what_was_saved(
    indexed: Path, photos: Path, words: str, after: float
) -> None:
    for n in range(400 if words == "split -" else 0):
        (photos / f"{n}.bmp").write_bytes((photos / "red.png").read_bytes())
    ran = interrupted(words.replace("split -", f"split {photos} -o {indexed}/x.csv"), indexed, after)
    assert (ran.returncode, ran.stdout.replace("on\n", "")) == (130, "")
    assert re.fullmatch(r"interrupted.*\n", ran.stderr), ran.stderr
    assert '"images": 5' in shell("lookalike info --json", indexed).stdout


def test_codecs_are_silent(indexed: Path, photos: Path) -> None:
    file = io.BytesIO()
    scene = np.random.default_rng(1).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(scene).save(file, "JPEG")
    data = file.getvalue()
    (photos / "noisy.jpg").write_bytes(data[:700] + b"\0\xff\x01" + data[702:])
    noisy = shell(f"LOOKALIKE_NOISE=1 lookalike embed {photos} -o {indexed}/v.npy", indexed)
    assert "JPEG" in noisy.stderr
    ran = shell(f"lookalike embed {photos} -o {indexed}/w.npy", indexed)
    assert ran.returncode == 0
    assert "Corrupt" not in ran.stderr
    assert "written to" in ran.stderr


def test_too_little_memory_is_a_sentence(indexed: Path) -> None:
    """An array of a terabyte, wherever a command asks for it."""
    script = (
        "import sys; from lookalike import cluster; import numpy as np;"
        "cluster.outliers = lambda vectors: np.ones(1 << 47);"
        "from lookalike.cli.entry import run; sys.argv = ['lookalike', 'outliers']; run()"
    )
    environment = {**os.environ, "LOOKALIKE_COLLECTION": str(indexed / "c")}
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=120, check=False
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("error: there is not enough memory for this; ")
    assert ran.stderr.count("\n") == 1
