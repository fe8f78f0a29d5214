"""What a person mistyped ends with exit status 2, naming the option; what fails is another thing (exit 1)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import typer

from lookalike.errors import BadQuery, nearest


@contextmanager
def usage_error_for(option: str | None) -> Iterator[None]:
    """A BadQuery within is a mistake in this option; None where the sentence names it."""
    try:
        yield
    except BadQuery as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def check_choice(option: str, value: str, known: Sequence[str]) -> None:
    """Refuse a value that is none of these, with the nearest."""
    if value not in known:
        raise typer.BadParameter(f"{value!r} is not known; {nearest(value, known)}", param_hint=option)
