"""The command of one verb: plain names in the help, and no number that is not finite."""

import math
from typing import Any

import typer
from typer.core import TyperCommand


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
