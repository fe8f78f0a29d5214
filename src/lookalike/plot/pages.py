"""Pages that stand alone: a template of this package with its data inside, opened from disk, nothing fetched."""

import base64
import json
import re
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import LookalikeError

_SCRIPT = re.compile(r"<!--SCRIPT ([\w.]+)-->")


def write_page(template: str, data: Mapping[str, Any], sheets: Mapping[str, Iterable[bytes]], path: str | Path) -> Path:
    """Fill templates/NAME with `data` (as JSON) and `sheets` (JPEGs by name), a sheet at a time. Raises LookalikeError.

    The template holds two lines, <!--DATA--> and <!--SHEETS-->, and <!--SCRIPT FILE--> for each script it shares.
    """
    target = Path(path).expanduser()
    text = _SCRIPT.sub(lambda found: f"<script>\n{shared_script(found[1])}</script>", _template(template))
    before, after = text.split("<!--DATA-->")
    between, end = after.split("<!--SHEETS-->")
    # "</script>" inside an id would end the script.
    told = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f'{before}<script type="application/json" id="data">{told}</script>{between}')
            for name, jpegs in sheets.items():
                for jpeg in jpegs:
                    file.write(f'<script type="text/plain" class="{name}">{base64.b64encode(jpeg).decode()}</script>\n')
            file.write(end)
    except OSError as error:
        raise LookalikeError(
            f"{target} cannot be written ({error.strerror}); name a file in a folder you may write to"
        ) from error
    return target


def shared_script(name: str) -> str:
    """A script of templates/ that pages share."""
    return _template(name)


def _template(name: str) -> str:
    return (files("lookalike.plot") / "templates" / name).read_text("utf-8")


def packed(values: NDArray[Any]) -> str:
    """An array as base64, little endian; the page knows its type."""
    return base64.b64encode(np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"))).tobytes()).decode()
