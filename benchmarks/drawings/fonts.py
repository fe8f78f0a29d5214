"""Font families with Latin letters: matplotlib's own, and the system's where there are any."""

from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from PIL import ImageFont

SYSTEM = Path("/usr/share/fonts")
NEEDED = "Aag05%€"  # a family without one of these draws boxes
NO_TEXT = (
    "STIXNonUni",
    "STIXSiz",
    "STIXFive",
    "DejaVuSansDisplay",
    "DejaVuSerifDisplay",
    "DejaVuMath",
    "cm",
    "LastResort",
)


@dataclass(frozen=True)
class Family:
    """The files of one family; `bold` is the regular file where the family has no bold."""

    name: str
    regular: str
    bold: str

    @property
    def mono(self) -> bool:
        return "Mono" in self.name

    def at(self, size: float, *, bold: bool = False) -> ImageFont.FreeTypeFont:
        return load_font(self.bold if bold else self.regular, max(round(size), 6))


@lru_cache(1024)
def load_font(path: str, size: int) -> ImageFont.FreeTypeFont:
    # The basic engine everywhere: Raqm is not part of every Pillow, and the pictures must not depend on it.
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


def x_height(font: ImageFont.FreeTypeFont) -> float:
    _, top, _, bottom = font.getbbox("x")
    return bottom - top


@cache
def families() -> tuple[Family, ...]:
    """Families in order of their names, each drawing once: what one machine draws, it draws again."""
    import matplotlib as mpl

    folders = [Path(mpl.get_data_path()) / "fonts" / "ttf", SYSTEM]
    files: dict[str, dict[str, str]] = {}
    for path in sorted((p for folder in folders for p in folder.rglob("*.[to]tf")), key=lambda p: (p.name, str(p))):
        name, style = _name_and_style(path.stem)
        if style and not name.startswith(NO_TEXT):
            files.setdefault(name, {}).setdefault(style, str(path))
    drawings, chosen = set(), []
    for name, styles in sorted(files.items()):
        drawing = _drawing(styles["regular"]) if "regular" in styles else None
        if drawing and drawing not in drawings:
            drawings.add(drawing)
            chosen.append(Family(name, styles["regular"], styles.get("bold", styles["regular"])))
    return tuple(chosen)


def pick_family(random: np.random.Generator, *, mono: bool | None = None) -> Family:
    options = [f for f in families() if mono is None or f.mono == mono]
    return options[int(random.integers(len(options)))]


def _name_and_style(stem: str) -> tuple[str, str]:
    """("NotoSans", "bold") of NotoSans-Bold; no style where it is neither regular nor bold."""
    name, _, style = stem.partition("-")
    if name.startswith("STIX") and name.endswith("Bol"):
        name, style = name.removesuffix("Bol"), "Bold"
    if "Ital" in stem or "Obli" in stem or name.endswith("BolIta"):
        return name, ""
    return name, {"": "regular", "Regular": "regular", "Book": "regular", "Bold": "bold"}.get(style, "")


def _drawing(path: str) -> bytes | None:
    """How the family draws a few letters; None where it lacks one."""
    try:
        font = load_font(path, 20)
        missing = bytes(font.getmask("\uffff"))
        letters = [bytes(font.getmask(letter)) for letter in NEEDED]
    except (OSError, ValueError):
        return None
    return None if any(not any(b) or b == missing for b in letters) else b"".join(letters)
