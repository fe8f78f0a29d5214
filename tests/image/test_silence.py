"""Messages of codecs about files that they can read are not printed."""

import subprocess
import sys
from pathlib import Path

from PIL import Image


def test_a_png_with_a_faulty_profile_prints_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    # A profile of the right length with an invalid rendering intent.
    profile = bytearray(132)
    profile[0:4] = (132).to_bytes(4, "big")
    profile[12:24] = b"mntrRGB XYZ "
    profile[36:40] = b"acsp"
    profile[64:68] = (0x1000000).to_bytes(4, "big")
    Image.new("RGB", (8, 8), (10, 20, 30)).save(path, icc_profile=bytes(profile))
    code = f"from lookalike.image import decode, read; print(decode(read({str(path)!r})).image.mean())"
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (completed.stdout.strip(), completed.stderr) == ("20.0", "")
