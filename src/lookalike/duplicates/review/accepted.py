"""Extras that a person accepted: pairs decided "copy", of groups in which the kept picture is not in question."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from lookalike.duplicates.keep.keep_choices import chosen_instead
from lookalike.duplicates.review.decisions import pair_key
from lookalike.types import DuplicateGroup, Extra


def accepted_groups(
    groups: Iterable[DuplicateGroup], verdicts: Mapping[str, str], chosen: Mapping[str, tuple[int, str]]
) -> tuple[DuplicateGroup, ...]:
    """The groups with their accepted extras alone; groups without any are left out.

    `verdicts`: `Decisions.by_pair`. `chosen`: `Chosen.by_content`. A group of which an extra was chosen to be kept
    instead waits for the next search: its extras were held against another picture.
    """
    accepted = []
    for group in groups:
        extras = tuple(extra for extra in group.extras if verdicts.get(_pair(group, extra)) == "copy")
        if extras and chosen_instead(group, chosen) is None:
            accepted.append(replace(group, extras=extras))
    return tuple(accepted)


def last_options(when: str) -> list[str]:
    """The options that take the groups of one search, and no later one's."""
    return ["--last", "--found-at", when]


def apply_command(uri: str, options: Sequence[str], *, journal: str) -> str:
    """What to type so that exactly the accepted extras go to the trash. `options`: how the groups are found again."""
    words = [
        "lookalike",
        "duplicates",
        "-c",
        uri,
        *options,
        "--accepted-only",
        "--apply",
        "trash",
        "--journal",
        journal,
    ]
    return shlex.join(words)


def _pair(group: DuplicateGroup, extra: Extra) -> str:
    """The key of the two contents; "" where either has no file."""
    first, second = (str(facts.get("sha256") or "") for facts in (group.keep.metadata, extra.metadata))
    return pair_key(first, second) if first and second else ""
