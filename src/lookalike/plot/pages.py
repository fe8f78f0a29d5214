"""Self-contained pages: a template with its data inside, which opens from disk and fetches nothing."""

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
from lookalike.text import expanded

_SCRIPT = re.compile(r"<!--SCRIPT ([\w.]+)-->")


def write_page(template: str, data: Mapping[str, Any], sheets: Mapping[str, Iterable[bytes]], path: str | Path) -> Path:
    """Fill templates/TEMPLATE with `data` (as JSON) and `sheets` (JPEGs by name), a sheet at a time.

    The template has the lines <!--DATA--> and <!--SHEETS-->, and <!--SCRIPT FILE--> for each script shared with other
    pages. Raises LookalikeError if the page cannot be written.
    """
    target = expanded(path)
    text = _SCRIPT.sub(lambda match: f"<script>\n{shared_script(match[1])}</script>", _template(template))
    before, after = text.split("<!--DATA-->")
    between, end = after.split("<!--SHEETS-->")
    # "</script>" in an id would end the script.
    text_data = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f'{before}<script type="application/json" id="data">{text_data}</script>{between}')
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
    """Return the text of a script in templates/ that several pages use."""
    return _template(name)


def _template(name: str) -> str:
    return (files("lookalike.plot") / "templates" / name).read_text("utf-8")


def packed(values: NDArray[Any]) -> str:
    """Return an array as base64, little endian; the page knows its type."""
    return base64.b64encode(np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"))).tobytes()).decode()
