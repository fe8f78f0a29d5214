"""Read PAM, the portable arbitrary map: a text header and raw samples.

No maintained library scales samples correctly when the maximum is not 2 ** n - 1.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class PamHeader:
    """The header. `depth`: channels. `maximum`: the sample value of full light. `start`: byte offset of the samples."""

    width: int
    height: int
    depth: int
    maximum: int
    start: int


def pam_header(data: bytes) -> PamHeader:
    """Parse the header lines. Raises ValueError."""
    end = data.find(b"ENDHDR", 0, 8192)
    start = data.find(b"\n", end) + 1
    if end < 0 or not start:
        raise ValueError("no ENDHDR line")
    fields: dict[bytes, bytes] = {}
    for line in data[2:end].splitlines():
        name, _, value = line.strip().partition(b" ")
        fields[name] = value.strip()
    width, height, depth, maximum = (int(fields[name]) for name in (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL"))
    if not 1 <= depth <= 4 or not 1 <= maximum <= 65535:
        raise ValueError(f"{depth} channels with a maximum of {maximum}")
    return PamHeader(width, height, depth, maximum, start)


def read_pam(data: bytes) -> NDArray[Any]:
    """Return samples (height, width, channels) as uint8; missing samples are 0. Raises ValueError."""
    header = pam_header(data)
    kind = np.dtype(np.uint8 if header.maximum < 256 else ">u2")
    count = header.width * header.height * header.depth
    stored = np.frombuffer(
        data, kind, count=min(count, (len(data) - header.start) // kind.itemsize), offset=header.start
    )
    if not stored.size:
        raise ValueError("there are no samples")
    samples = np.zeros(count, np.uint8)
    # A table of at most 65,536 entries; rounding each sample takes ten times as long.
    steps = np.minimum(np.arange(int(np.iinfo(kind).max) + 1), header.maximum)
    samples[: stored.size] = ((steps * 510 + header.maximum) // (2 * header.maximum)).astype(np.uint8)[stored]
    return samples.reshape(header.height, header.width, header.depth)
