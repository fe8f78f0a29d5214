"""What the room exports."""

import subprocess
import sys

from lookalike import train


def test_importing_the_room_loads_no_torch() -> None:
    code = "import sys, lookalike.train as t; assert t.SimilarityConfig().epochs == 20; print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"


def test_dir_names_what_is_exported() -> None:
    assert dir(train) == train.__all__ == sorted(train.__all__)
