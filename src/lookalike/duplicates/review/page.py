"""The page on which a person reviews groups: one HTML file that needs no network, with everything inside."""

import base64
import hashlib
import html
import json
import os
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from lookalike.duplicates.review.kinds import kinds_of
from lookalike.duplicates.search.collection_arrays import may_be_chosen
from lookalike.duplicates.search.find import Duplicates
from lookalike.errors import LookalikeError
from lookalike.image import to_path
from lookalike.text import bytes_text, counted
from lookalike.types import DuplicateGroup, Metadata

MAX_GROUPS = 1000  # some 30 MB of thumbnails, which a phone still opens
Thumbnails = Callable[[Sequence[str]], Sequence[bytes | None]]


def write_page(
    found: Duplicates,
    path: str | Path,
    thumbnails: Thumbnails,
    *,
    command: str,
    apply_command: str = "",
    masters: Thumbnails | None = None,
) -> int:
    """Write the review page. Returns how many groups are on it, at most MAX_GROUPS: the least sure ones.

    `thumbnails(ids)`: JPEGs of the collection's images; `masters(ids)`: of its masters'. `command`: what reads the
    decisions. `apply_command`: what then moves the accepted extras to the trash.
    Raises LookalikeError when the file cannot be written.
    """
    groups = list(found.groups)
    if len(groups) > MAX_GROUPS:
        groups = sorted(groups, key=_sureness)[:MAX_GROUPS]
    before, after = _file("review.html").split("__GROUPS__")
    parts = {
        "__TITLE__": "Duplicates to review",
        "__SUMMARY__": html.escape(_summary(found, len(groups))),
        "__STYLE__": _file("review.css"),
        "__KEY__": _key(groups),
        "__SCRIPT__": review_file("review.js"),
    }
    for name, text in parts.items():
        before, after = before.replace(name, text), after.replace(name, text)
    target = Path(path).expanduser()
    try:
        with open(target, "w", encoding="utf-8", errors="backslashreplace") as page:
            page.write(before)
            page.write(_data("groups", [_as_group(group) for group in groups]))
            page.write(_data("commands", [command, apply_command]))
            page.writelines(_pictures(groups, thumbnails, masters or thumbnails))
            page.write(after)
    except OSError as error:
        raise LookalikeError(f"the page {target} cannot be written ({error.strerror}); name another place") from error
    return len(groups)


def review_file(name: str) -> str:
    """review.js or review.css, which the server's page uses too."""
    return _file(name)


def _file(name: str) -> str:
    return files("lookalike.duplicates.review").joinpath(name).read_text(encoding="utf-8")


def _sureness(group: DuplicateGroup) -> float:
    return min(extra.probability for extra in group.extras)


def _summary(found: Duplicates, shown: int) -> str:
    extras = found.extras()
    told = f"{counted(len(found), 'group')}, {counted(len(extras), 'extra')} of {counted(found.pictures, 'picture')}, "
    told += bytes_text(_bytes(found.groups))
    return told + (f"; the {shown:,} least sure groups are shown" if shown < len(found) else "")


def _bytes(groups: Sequence[DuplicateGroup]) -> int:
    return sum(int(extra.metadata.get("size") or 0) for group in groups for extra in group.extras)


def _key(groups: Sequence[DuplicateGroup]) -> str:
    """Decisions that a browser remembers belong to these groups."""
    named = "\n".join(f"{group.keep.id}\t{extra.id}" for group in groups for extra in group.extras)
    return hashlib.sha256(named.encode(errors="surrogatepass")).hexdigest()[:16]


def _data(name: str, value: object) -> str:
    """JSON that no name within can end or turn around."""
    return f'<script type="application/json" id="{name}">{json.dumps(value).replace("<", chr(92) + "u003c")}</script>\n'


def _as_group(group: DuplicateGroup) -> dict[str, object]:
    """As the server's /v1/duplicates tells a group, with links to the files."""
    extras = [
        {
            "id": extra.id,
            "score": round(extra.score, 6),
            "relation": extra.relation,
            "probability": round(extra.probability, 6),
            "words": extra.words,
            "reason": extra.reason,
            "unsure": extra.unsure,
            "kinds": kinds_of(extra),
            "left": extra.left,
            "companions": [os.path.basename(path) for path in extra.companions],
            "fixed": not may_be_chosen(
                *(str(facts.get("path") or "") for facts in (extra.metadata, group.keep.metadata))
            ),
            **_file_facts(extra.metadata),
        }
        for extra in group.extras
    ]
    return {"keep": {"id": group.keep.id, **_file_facts(group.keep.metadata)}, "extras": extras}


def _file_facts(facts: Metadata) -> dict[str, object]:
    names = ("path", "width", "height", "size", "format", "mtime_ns", "sha256", "reference")
    path = facts.get("path")
    return {"metadata": {name: facts.get(name) for name in names}, "link": _uri(path) if _is_file(path) else ""}


def _pictures(groups: Sequence[DuplicateGroup], thumbnails: Thumbnails, masters: Thumbnails) -> Iterator[str]:
    """The thumbnails of each group in one element, the kept one's first; the browser decodes what it shows."""
    for number, group in enumerate(groups):
        kept = (masters if group.keep.metadata.get("master") else thumbnails)([group.keep.id])
        jpegs = [*kept, *thumbnails([extra.id for extra in group.extras])]
        encoded = " ".join(base64.b64encode(jpeg).decode() if jpeg else "-" for jpeg in jpegs)
        yield f'<script type="text/plain" id="pictures-{number}">{encoded}</script>\n'


def _is_file(path: object) -> bool:
    return isinstance(path, str) and os.path.isfile(to_path(path))


def _uri(path: object) -> str:
    """A link that opens the file itself, whatever bytes its name has."""
    return "file://" + quote(os.fsencode(to_path(str(path))), safe="/:")
