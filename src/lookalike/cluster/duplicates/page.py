"""The page on which a person reviews groups: one HTML file that needs no network, with everything inside."""

import base64
import hashlib
import html
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from lookalike.cluster.duplicates.decisions import pair_key
from lookalike.cluster.duplicates.find import Duplicates
from lookalike.cluster.duplicates.rows import may_be_chosen
from lookalike.errors import LookalikeError
from lookalike.image import to_path
from lookalike.types import DuplicateGroup, Extra, Metadata

MOST_GROUPS = 500  # some 20 MB of thumbnails, which a phone still opens
Thumbnails = Callable[[Sequence[str]], Sequence[bytes | None]]


def write_page(
    found: Duplicates,
    path: str | Path,
    thumbnails: Thumbnails,
    *,
    command: str,
    masters: Thumbnails | None = None,
) -> int:
    """Write the review page. Returns how many groups are on it, at most MOST_GROUPS: the least sure ones.

    `thumbnails(ids)`: JPEGs of the collection's images; `masters(ids)`: of its masters'. `command`: what reads the
    decisions.
    Raises LookalikeError when the file cannot be written.
    """
    groups = list(found.groups)
    if len(groups) > MOST_GROUPS:
        groups = sorted(groups, key=_sureness)[:MOST_GROUPS]
    review = files("lookalike.cluster.duplicates").joinpath("review.html").read_text(encoding="utf-8")
    parts = review.split("__GROUPS__")
    words = {
        "__TITLE__": "Duplicates to review",
        "__SUMMARY__": html.escape(_summary(found, len(groups))),
        "__COMMAND__": html.escape(command),
        "__KEY__": _key(groups),
    }
    for word, value in words.items():
        parts = [part.replace(word, value) for part in parts]
    target = Path(path).expanduser()
    try:
        with open(target, "w", encoding="utf-8") as page:
            page.write(parts[0])
            page.writelines(_groups(groups, thumbnails, masters or thumbnails))
            page.write(parts[1])
    except OSError as error:
        raise LookalikeError(f"the page {target} cannot be written ({error.strerror}); name another place") from error
    return len(groups)


def _sureness(group: DuplicateGroup) -> float:
    return min(extra.probability for extra in group.extras)


def _summary(found: Duplicates, shown: int) -> str:
    extras = found.extras()
    told = f"{counted(len(found), 'group')}, {counted(len(extras), 'extra')} of {counted(found.pictures, 'picture')}, "
    told += size(_bytes(found.groups))
    return told + (f"; the {shown:,} least sure groups are shown" if shown < len(found) else "")


def _bytes(groups: Sequence[DuplicateGroup]) -> int:
    return sum(int(extra.metadata.get("size") or 0) for group in groups for extra in group.extras)


def _key(groups: Sequence[DuplicateGroup]) -> str:
    """Decisions that a browser remembers belong to these groups."""
    named = "\n".join(f"{group.keep.id}\t{extra.id}" for group in groups for extra in group.extras)
    return hashlib.sha256(named.encode(errors="surrogatepass")).hexdigest()[:16]


def _groups(groups: Sequence[DuplicateGroup], thumbnails: Thumbnails, masters: Thumbnails) -> Iterator[str]:
    for number, group in enumerate(groups, 1):
        (kept,) = (masters if group.keep.metadata.get("master") else thumbnails)([group.keep.id])
        jpegs = thumbnails([extra.id for extra in group.extras])
        count, heavy, facts = len(group.extras), _bytes([group]), group.keep.metadata
        yield (
            f'<section class="group" data-given="{number}" data-sure="{_sureness(group):.6f}" data-bytes="{heavy}">\n'
            f"<h2>Group {number}: one to keep, {counted(count, 'extra')} of {size(heavy)}</h2>\n"
            f'<div class="keep">{_picture(kept, facts)}<p class="words"><span class="badge">keep</span></p>'
            f"{_about(group.keep.id, facts)}</div>\n<div>\n"
        )
        for extra, jpeg in zip(group.extras, jpegs, strict=True):
            yield _extra(group, extra, jpeg)
        yield "</div></section>\n"


def _extra(group: DuplicateGroup, extra: Extra, jpeg: bytes | None) -> str:
    keep_hash, hash_ = (str(facts.get("sha256") or "") for facts in (group.keep.metadata, extra.metadata))
    pair = pair_key(keep_hash, hash_) if keep_hash and hash_ else ""
    names = {keep_hash: _name(group.keep.id, group.keep.metadata), hash_: _name(extra.id, extra.metadata)}
    first, second = (names[part] for part in pair.split("|")) if pair else ("", "")
    left = f'<p class="left">{html.escape(extra.left)}: it is left alone</p>' if extra.left else ""
    if extra.companions:
        names_along = ", ".join(shown(os.path.basename(path)) for path in extra.companions)
        left = f'<p class="facts">goes with {html.escape(names_along)}</p>'
    paths = (str(facts.get("path") or "") for facts in (extra.metadata, group.keep.metadata))
    fixed = bool(group.keep.metadata.get("reference")) or not may_be_chosen(*paths)
    buttons = _buttons(pair, same=keep_hash == hash_, fixed=fixed)
    return (
        f'<article class="extra {extra.relation}" tabindex="0" data-pair="{pair}" data-first="{html.escape(first)}" '
        f'data-second="{html.escape(second)}" data-keep="{hash_}" data-name="{html.escape(names[hash_])}">'
        f"{_picture(jpeg, extra.metadata)}<div>"
        f'<span class="badge">{extra.relation} · {percent(extra.probability)}</span> '
        f'<span class="facts">score {extra.score:.3f}</span>'
        f'<p class="words">{html.escape(extra.words)}</p>{_about(extra.id, extra.metadata)}'
        f'<p class="why">The other is kept: {html.escape(extra.reason)}</p>{left}'
        f"{buttons}</div></article>\n"
    )


def _buttons(pair: str, *, same: bool, fixed: bool) -> str:
    """`same`: the two hold the same bytes. `fixed`: it cannot be kept instead."""
    if not pair:
        return ""
    wrong = "" if same else '<button data-verdict="not-a-copy">Not a copy</button>'
    instead = "" if same or fixed else "<button data-instead>Keep this one instead</button>"
    return (
        f'<div class="buttons">{wrong}<button data-verdict="keep-both">Keep both</button>'
        f'<button data-verdict="copy">A copy, yes</button>{instead}<button data-look>Look closely</button></div>'
    )


def _picture(jpeg: bytes | None, facts: Metadata) -> str:
    if not jpeg:
        return '<div class="picture">no thumbnail kept</div>'
    name = html.escape(shown(os.path.basename(str(facts.get("path") or ""))))
    data = base64.b64encode(jpeg).decode()
    image = f'<img alt="{name}" src="data:image/jpeg;base64,{data}" decoding="async" loading="lazy">'
    return f'<div class="picture">{image}</div>'


def _about(image_id: str, facts: Metadata) -> str:
    name = shown(_name(image_id, facts))
    path = facts.get("path")
    link = f'<a href="{_uri(path)}" target="_blank">{html.escape(name)}</a>' if _is_file(path) else html.escape(name)
    reference = " · reference, never touched" if facts.get("reference") else ""
    return f'<p class="path">{link}</p><p class="facts">{html.escape(_facts(facts))}{reference}</p>'


def _facts(facts: Metadata) -> str:
    told = []
    if facts.get("width"):
        told.append(f"{facts['width']!s} × {facts['height']!s}")
    if facts.get("format"):
        told.append(str(facts["format"]))
    if facts.get("path"):
        told.append(size(int(facts.get("size") or 0)))
        told.append(day(int(facts.get("mtime_ns") or 0)))
    return " · ".join(told)


def _name(image_id: str, facts: Mapping[str, object]) -> str:
    return str(facts.get("path") or image_id)


def _is_file(path: object) -> bool:
    return isinstance(path, str) and os.path.isfile(to_path(path))


def _uri(path: object) -> str:
    """A link that opens the file itself, whatever bytes its name has."""
    return "file://" + quote(os.fsencode(to_path(str(path))), safe="/:")


def shown(name: str) -> str:
    """A name on one line that cannot rearrange what stands beside it: control characters are written out."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)


def counted(count: int, noun: str) -> str:
    """A number and its noun: 1 group, 1,200 groups."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def percent(probability: float) -> str:
    """A probability for people, never rounded up to certainty."""
    return "100 %" if probability >= 1 else f"{min(probability, 0.999) * 100:.1f} %"


def size(count: int) -> str:
    """Bytes for people."""
    for unit, each in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= each:
            return f"{count / each:.1f} {unit}"
    return f"{count} bytes"


def day(mtime_ns: int) -> str:
    try:
        return datetime.fromtimestamp(mtime_ns / 1e9, UTC).strftime("%Y-%m-%d")
    except (OverflowError, ValueError, OSError):
        return "no sensible date"
