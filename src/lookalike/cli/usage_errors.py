"""Errors in the command itself: exit status 2, with the name of the option. Failures exit with 1."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer

from lookalike.errors import BadQuery, LookalikeError, nearest


@contextmanager
def usage_error_for(option: str | None, kind: type[LookalikeError] = BadQuery) -> Iterator[None]:
    """Turn a BadQuery of the block into a usage error of `option` (None: the message names the option itself).

    `kind`: another error than BadQuery.
    """
    try:
        yield
    except kind as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def checked_by(check: Callable[[Any], object]) -> Callable[..., Any]:
    """Return the callback of an option whose value, or each of its values, is checked before the verb begins.

    `check` raises BadQuery for a malformed value, which becomes a usage error of the option.
    """

    def callback(param: typer.CallbackParam, value: Any) -> Any:
        for one in value if isinstance(value, list | tuple) else [value]:
            if one is None:
                continue
            try:
                check(one)
            except BadQuery as error:
                raise typer.BadParameter(str(error), param_hint=" / ".join(param.opts)) from error
        return value

    return callback


def one_of(*known: str) -> Callable[..., Any]:
    """Return the callback of an option that takes one of these values."""

    def check(value: str) -> None:
        if value not in known:
            raise BadQuery(f"{value!r} is not known; {nearest(value, known)}")

    return checked_by(check)
