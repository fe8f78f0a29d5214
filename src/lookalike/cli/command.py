"""How verbs are run and described: plain names in the help, finite numbers only, Ctrl-C as one line."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from lookalike.cli.entry import INTERRUPTED
from lookalike.cli.output import discard_output, log


class VerbCommand(TyperCommand):
    """A command whose arguments are shown as their `metavar`, without brackets and types added to it."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return what follows the verb in the first line of its help."""
        arguments = (p.metavar for p in self.get_params(ctx) if p.param_type_name == "argument")
        return ["[OPTIONS]", *filter(None, arguments)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments and the options with their descriptions."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            if parameter.param_type_name == "argument":
                sections["Arguments"].append((parameter.metavar or record[0], record[1]))
            else:
                sections["Options"].append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)

    def invoke(self, ctx: Any) -> Any:
        """Run the verb. A range lets "nan" pass, which is no value of any option."""
        for parameter in self.get_params(ctx):
            value = ctx.params.get(parameter.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise typer.BadParameter(f"{value} is not a finite number", param_hint=" / ".join(parameter.opts))
        return super().invoke(ctx)


class RootGroup(TyperGroup):
    """The group of all verbs. Ctrl-C ends each of them with one line and exit status 130.

    A reader of stdout that has gone (head, less) ends them with 0; Typer itself would end with 1.
    """

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Parse the command line, which writes the help if that is requested."""
        with _reader_may_go():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Run a verb. The text of a KeyboardInterrupt says what remains (see `interrupt_text`)."""
        try:
            with _reader_may_go():
                return super().invoke(ctx)
        except KeyboardInterrupt as error:
            log(str(error) or "interrupted; everything saved so far stays")
            raise typer.Exit(INTERRUPTED) from error


@contextmanager
def _reader_may_go() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        discard_output()
        raise typer.Exit(0) from error


@contextmanager
def interrupt_text(text: str) -> Iterator[None]:
    """Log this line instead of the general one if Ctrl-C ends the block."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(text) from error
