"""What the room exports."""

import subprocess
import sys

import pytest

from lookalike import train
from lookalike.errors import LookalikeError


def test_importing_the_room_loads_no_torch() -> None:
    code = "import sys, lookalike.train as t; assert t.SimilarityConfig().epochs == 20; print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"


def test_dir_names_what_is_exported() -> None:
    assert dir(train) == train.__all__ == sorted(train.__all__)


def test_without_torch_the_missing_part_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_torch(name: str) -> object:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr("lookalike.train.import_module", no_torch)
    with pytest.raises(LookalikeError, match=r"train_similarity needs torch.*pip install 'lookalike\[train\]'"):
        _ = train.train_similarity
