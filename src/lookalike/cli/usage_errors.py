"""Errors in the command itself: exit status 2, with the name of the option. Failures exit with 1."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import typer

from lookalike.errors import BadQuery, nearest


@contextmanager
def usage_error_for(option: str | None) -> Iterator[None]:
    """Turn a BadQuery of the block into a usage error of `option` (None: the message names the option itself)."""
    try:
        yield
    except BadQuery as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def check_choice(option: str, value: str, known: Sequence[str]) -> None:
    """Raise a usage error with the nearest known values if `value` is not one of them."""
    if value not in known:
        raise typer.BadParameter(f"{value!r} is not known; {nearest(value, known)}", param_hint=option)
