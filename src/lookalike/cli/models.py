"""lookalike models: list the models, add others, remove them."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli.command import VerbCommand
from lookalike.cli.options import JsonOption
from lookalike.cli.output import log, print_json, print_row

if TYPE_CHECKING:
    from lookalike.types import Card

app = typer.Typer(invoke_without_command=True, no_args_is_help=False)
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="What the model is called from then on.")]


@app.callback()
def models(context: typer.Context, json: JsonOption = False) -> None:
    """List the models: those of the package and those that were added. Others: --model FOLDER or hub:owner/name."""
    if context.invoked_subcommand is not None:
        return
    from lookalike.embed import DEFAULT_MODEL, known_models

    own = known_models(added=False)  # docs/models.md describes them
    for name, card in known_models().items():
        if json:
            print_json(asdict(card) | {"default": name == DEFAULT_MODEL})
        else:
            about = "" if name in own or not card.description else f"  {card.description}"
            print_row(_row(name, card) + about + ("  (default)" if name == DEFAULT_MODEL else ""))
    log("also: --model FOLDER (model.onnx + card.json), --model hub:owner/name (needs: pip install 'lookalike[hub]')")


def _row(name: str, card: "Card") -> str:
    height, width = card.preprocessing.size
    parts = "  " + ", ".join(part.name for part in card.parts) if card.parts else ""
    return f"{name:<28} {card.dim:>5} numbers  {width} x {height} px  {card.license}{parts}"


@app.command("add", cls=VerbCommand)
def add(
    name: NameArgument,
    onnx: Annotated[Path | None, typer.Option(metavar="FILE", help="An ONNX file: images in, vectors out.")] = None,
    size: Annotated[str, typer.Option(metavar="W,H", help="Pixels of its input; one number for a square.")] = "224",
    mean: Annotated[
        str | None,
        typer.Option(metavar="R,G,B", help="Subtracted from the pixels; 0..255, or 0..1 if below 1."),
    ] = None,
    std: Annotated[
        str | None, typer.Option(metavar="R,G,B", help="The pixels are divided by these; on the scale of --mean.")
    ] = None,
    resize: Annotated[str, typer.Option(metavar="HOW", help="squash, letterbox or crop.")] = "squash",
    parts: Annotated[
        str | None,
        typer.Option(metavar="PARTS", help="What its vectors say: copy, alike, or both: alike:256,copy:512."),
    ] = None,
    output: Annotated[str | None, typer.Option(metavar="NAME", help="The graph's output; default: the first.")] = None,
    license: Annotated[str, typer.Option(metavar="TEXT", help="The license of the weights.")] = "unknown",
    alike: Annotated[
        str | None, typer.Option(metavar="MODEL", help="With --copy: join two models; alike by this.")
    ] = None,
    copy: Annotated[
        str | None, typer.Option(metavar="MODEL", help="With --alike: join two models; copies by this.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an added model of that name.")] = False,
    json: JsonOption = False,
) -> None:
    """Add a model: an ONNX file with its input described, or two models side by side."""
    from lookalike.embed.add_model import OnnxSource, add_onnx_model, join_models

    if (onnx is None) == (alike is None and copy is None):
        raise typer.BadParameter("name either a file with --onnx, or two models with --alike and --copy")
    if onnx is None:
        if alike is None or copy is None:
            raise typer.BadParameter("--alike and --copy go together: one model each")
        card = join_models(name, alike=alike, copy=copy, overwrite=overwrite)
    else:
        low, spread = _normalization(mean, std)
        source = OnnxSource(
            file=onnx, size=_size(size), mean=low, std=spread, resize=_resize(resize), parts=_parts(parts),
            output=output, license=license,
        )  # fmt: skip
        card = add_onnx_model(name, source, overwrite=overwrite)
    if json:
        print_json(asdict(card))
    else:
        print_row(_row(name, card))
        log(f"added; use it with: lookalike index FOLDER -c COLLECTION --model {name}")


@app.command("remove", cls=VerbCommand)
def remove(name: NameArgument) -> None:
    """Delete a model that was added. Collections that it made can no longer be searched with new images."""
    from lookalike.embed.add_model import remove_model

    remove_model(name)
    log(f"removed: {name}")


def _size(text: str) -> tuple[int, int]:
    """Return (height, width) of "W,H" or "SIDE"."""
    sides = _numbers(text, "--size", (1, 2))
    if not all(side == int(side) and 8 <= side < 4096 for side in sides):
        raise typer.BadParameter(f"{text!r}: a side is a whole number of pixels from 8 to 4095", param_hint="--size")
    return int(sides[-1]), int(sides[0])


def _normalization(mean: str | None, std: str | None) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and std on the scale 0..255."""
    low = _numbers(mean, "--mean", (3,)) if mean is not None else ()
    spread = _numbers(std, "--std", (3,)) if std is not None else ()
    if any(value <= 0 for value in spread):
        raise typer.BadParameter(f"{std!r}: pixels are divided by these, so they are above 0", param_hint="--std")
    factor = 255.0 if (low or spread) and all(value < 1 for value in (*low, *spread)) else 1.0
    return tuple(value * factor for value in low), tuple(value * factor for value in spread)


def _resize(text: str) -> str:
    from lookalike.embed.card import RESIZES

    if text not in RESIZES:
        raise typer.BadParameter(f"{text!r} is not one of {', '.join(RESIZES)}", param_hint="--resize")
    return text


def _parts(text: str | None) -> dict[str, int] | None:
    if text is None:
        return None
    from lookalike.parts import ALIKE, COPY

    parts: dict[str, int] = {}
    for item in text.split(","):
        name, _, dim = item.strip().partition(":")
        if name not in (ALIKE, COPY) or name in parts or (dim and not dim.isdecimal()):
            raise typer.BadParameter(f"{text!r}: write copy, alike, or alike:DIM,copy:DIM", param_hint="--parts")
        parts[name] = int(dim or 0)
    if len(parts) > 1 and not all(parts.values()):
        raise typer.BadParameter(f"{text!r}: two parts need their dims: alike:DIM,copy:DIM", param_hint="--parts")
    return parts


def _numbers(text: str, option: str, counts: tuple[int, ...]) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) not in counts or not all(abs(value) < 1e6 for value in values):
        raise typer.BadParameter(f"{text!r} is not {' or '.join(map(str, counts))} numbers", param_hint=option)
    return values
