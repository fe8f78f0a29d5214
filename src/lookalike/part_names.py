"""The names of a vector's parts, and of the ways to weigh them. Importing this loads nothing, as `--help` needs."""

from typing import Final

ALIKE: Final = "alike"
COPY: Final = "copy"
BOTH: Final = "both"
WEIGHINGS = (BOTH, ALIKE, COPY)
