"""Write the review page of groups: one self-contained HTML file that needs no network."""

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
from lookalike.duplicates.search.collection_arrays import may_replace
from lookalike.duplicates.search.find import Duplicates
from lookalike.errors import LookalikeError
from lookalike.image import to_path
from lookalike.relate.facts import change_facts
from lookalike.text import bytes_text, counted, expanded
from lookalike.types import DuplicateGroup, Metadata

MAX_GROUPS = 1000  # some 30 MB of thumbnails, which phones can still open
Thumbnails = Callable[[Sequence[str]], Sequence[bytes | None]]


def write_page(
    duplicates: Duplicates,
    path: str | Path,
    thumbnails: Thumbnails,
    *,
    command: str,
    apply_command: str = "",
    reference_thumbnails: Thumbnails | None = None,
) -> int:
    """Write the review page. Returns the number of groups on it, at most MAX_GROUPS: those with the lowest probability.

    `thumbnails(ids)`: JPEGs of the collection's images; `reference_thumbnails(ids)`: of the reference collection's.
    `command`: reads the saved decisions. `apply_command`: then moves the accepted extras to the trash. Raises
    LookalikeError if the file cannot be written.
    """
    groups = list(duplicates.groups)
    if len(groups) > MAX_GROUPS:
        groups = sorted(groups, key=_min_probability)[:MAX_GROUPS]
    before, after = review_file("review.html").split("__GROUPS__")
    parts = {
        "__TITLE__": "Duplicates to review",
        "__SUMMARY__": html.escape(_summary(duplicates, len(groups))),
        "__STYLE__": review_file("review.css"),
        "__KEY__": _storage_key(groups),
        "__SCRIPT__": review_file("review.js"),
    }
    for name, text in parts.items():
        before, after = before.replace(name, text), after.replace(name, text)
    target = expanded(path)
    try:
        with open(target, "w", encoding="utf-8", errors="backslashreplace") as page:
            page.write(before)
            page.write(_json_element("groups", [_group_data(group) for group in groups]))
            page.write(_json_element("commands", [command, apply_command]))
            page.writelines(_thumbnail_elements(groups, thumbnails, reference_thumbnails or thumbnails))
            page.write(after)
    except OSError as error:
        raise LookalikeError(f"the page {target} cannot be written ({error.strerror}); name another file") from error
    return len(groups)


def review_file(name: str) -> str:
    """Return the text of review.js or review.css, which the server's page uses too."""
    return files("lookalike.duplicates.review").joinpath(name).read_text(encoding="utf-8")


def _min_probability(group: DuplicateGroup) -> float:
    return min(extra.probability for extra in group.extras)


def _summary(duplicates: Duplicates, shown: int) -> str:
    extras = duplicates.extras()
    summary = f"{counted(len(duplicates), 'group')}, {counted(len(extras), 'extra')}, "
    summary += f"{counted(duplicates.pictures, 'image')}, {bytes_text(_bytes(duplicates.groups))}"
    return summary + (
        f"; the {shown:,} groups with the lowest probability are shown" if shown < len(duplicates) else ""
    )


def _bytes(groups: Sequence[DuplicateGroup]) -> int:
    return sum(int(extra.metadata.get("size") or 0) for group in groups for extra in group.extras)


def _storage_key(groups: Sequence[DuplicateGroup]) -> str:
    """Return the key under which a browser remembers decisions about these groups."""
    named = "\n".join(f"{group.keep.id}\t{extra.id}" for group in groups for extra in group.extras)
    return hashlib.sha256(named.encode(errors="surrogatepass")).hexdigest()[:16]


def _json_element(name: str, value: object) -> str:
    """Return a script element with JSON, in which no name can end the element."""
    return f'<script type="application/json" id="{name}">{json.dumps(value).replace("<", chr(92) + "u003c")}</script>\n'


def _group_data(group: DuplicateGroup) -> dict[str, object]:
    """Return a group as the server's /v1/duplicates does, with links to the files."""
    extras = [
        {
            "id": extra.id,
            "score": round(extra.score, 6),
            "relation": extra.relation,
            "probability": round(extra.probability, 6),
            "words": extra.words,
            "changes": None if extra.changes is None else change_facts(extra.changes),
            "reason": extra.reason,
            "unsure": extra.unsure,
            "kinds": kinds_of(extra),
            "left": extra.blocked_reason,
            "companions": [os.path.basename(path) for path in extra.companions],
            "fixed": not may_replace(
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
    return {"metadata": {name: facts.get(name) for name in names}, "link": _file_uri(path) if _is_file(path) else ""}


def _thumbnail_elements(
    groups: Sequence[DuplicateGroup], thumbnails: Thumbnails, reference_thumbnails: Thumbnails
) -> Iterator[str]:
    """Yield an element with the thumbnails of each group, the kept image's first; browsers decode only visible ones."""
    for number, group in enumerate(groups):
        keep_jpegs = (reference_thumbnails if group.keep.metadata.get("master") else thumbnails)([group.keep.id])
        jpegs = [*keep_jpegs, *thumbnails([extra.id for extra in group.extras])]
        encoded = " ".join(base64.b64encode(jpeg).decode() if jpeg else "-" for jpeg in jpegs)
        yield f'<script type="text/plain" id="pictures-{number}">{encoded}</script>\n'


def _is_file(path: object) -> bool:
    return isinstance(path, str) and os.path.isfile(to_path(path))


def _file_uri(path: object) -> str:
    """Return a link to a file, whose name may have any bytes."""
    return "file://" + quote(os.fsencode(to_path(str(path))), safe="/:")
