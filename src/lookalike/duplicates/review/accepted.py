"""Accepted extras: pairs with the verdict "copy", in groups whose kept image is not to be replaced."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from lookalike.duplicates.keep.keep_choices import chosen_extra
from lookalike.duplicates.review.decisions import pair_key
from lookalike.types import DuplicateGroup, Extra


def accepted_groups(
    groups: Iterable[DuplicateGroup], verdicts: Mapping[str, str], chosen: Mapping[str, tuple[int, str]]
) -> tuple[DuplicateGroup, ...]:
    """Return the groups with their accepted extras only; groups without any are omitted.

    `verdicts`: `Decisions.by_pair`. `chosen`: `KeepChoices.by_content`. A group in which an extra was chosen to be kept
    instead is omitted until the next search, since its extras were compared with another image.
    """
    accepted = []
    for group in groups:
        extras = tuple(extra for extra in group.extras if verdicts.get(_pair(group, extra)) == "copy")
        if extras and chosen_extra(group, chosen) is None:
            accepted.append(replace(group, extras=extras))
    return tuple(accepted)


def last_options(when: str) -> list[str]:
    """Return the command-line options that select the groups of one search, and of no later one."""
    return ["--last", "--found-at", when]


def apply_command(uri: str, options: Sequence[str], *, journal: str) -> str:
    """Return the command that moves exactly the accepted extras to the trash. `options`: those that find the groups."""
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
    """Return the pair's key; "" if either has no hash."""
    first, second = (str(facts.get("sha256") or "") for facts in (group.keep.metadata, extra.metadata))
    return pair_key(first, second) if first and second else ""
