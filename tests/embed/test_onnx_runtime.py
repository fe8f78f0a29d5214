"""ONNX Runtime sends no telemetry and writes nothing to the user's folders."""

import os
import subprocess
import sys
from pathlib import Path

RUN = """
import os
import numpy as np
from lookalike.embed import get_embedder
assert get_embedder().embed([np.zeros((64, 64, 3), np.uint8)]).shape == (1, 512)
assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
"""


def test_embedding_writes_no_machine_identifier(tmp_path: Path) -> None:
    """With telemetry, ONNX Runtime writes an identifier to the cache when it is imported; in CI telemetry is off."""
    silent = ("CI", "GITHUB_ACTIONS", "TF_BUILD", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS", "XDG_CACHE_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in silent}
    subprocess.run([sys.executable, "-c", RUN], env=environment | {"HOME": str(tmp_path)}, check=True)
    assert [str(p) for p in tmp_path.rglob("*") if p.is_file()] == []
