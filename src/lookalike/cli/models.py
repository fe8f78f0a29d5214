"""lookalike models: list the models, add others, remove them."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike.cli.command import VerbCommand, interrupt_text
from lookalike.cli.options import JsonOption
from lookalike.cli.output import ProgressLine, log, print_json, print_row
from lookalike.text import expanded

if TYPE_CHECKING:
    from lookalike.embed.install_model import HubSource
    from lookalike.embed.model_list import ListedModel
    from lookalike.embed.presets import Preset
    from lookalike.types import Card

app = typer.Typer(invoke_without_command=True, no_args_is_help=False)
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="What the model is called from then on.")]
_MEGABYTE = 10**6
_FOR_ONNX = ("size", "mean", "std", "resize", "parts", "output", "license")


@app.callback()
def models(
    context: typer.Context,
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure how many images a second each model here embeds on one core.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """List the models: those of the package, those that were added, and those known by name, to be downloaded."""
    if context.invoked_subcommand is not None:
        return
    from lookalike.embed.model_list import list_models

    for model in list_models(measure=measure):
        if json:
            print_json(_facts(model))
        elif model.card is not None:
            print_row(_listed_row(model, model.card))
        elif model.preset is not None:
            print_row(_preset_row(model.preset))
    log("download one with: lookalike models add NAME, or models add hub:owner/name (needs: lookalike[hub,text])")
    log("none of these downloads has been tried yet; sizes and licenses are those that public pages state")
    log("also: --model FOLDER (model.onnx + card.json), --model hub:owner/name")


def _facts(model: "ListedModel") -> dict[str, Any]:
    from lookalike.embed import DEFAULT_MODEL

    if model.card is None:
        assert model.preset is not None
        return {"default": False, "status": model.status} | asdict(model.preset)
    measured = {"images_per_second": model.images_per_second} if model.images_per_second is not None else {}
    facts = {"default": model.name == DEFAULT_MODEL, "status": model.status, "bytes": model.bytes}
    return asdict(model.card) | facts | measured


def _listed_row(model: "ListedModel", card: "Card") -> str:
    from lookalike.embed import DEFAULT_MODEL

    row = f"{_row(model.name, card)}  {model.bytes / _MEGABYTE:,.0f} MB here"
    if card.description and model.status == "added":  # docs/models.md describes those of the package
        row += f"  {card.description}"
    if model.images_per_second is not None:
        row += f"  {model.images_per_second:,.1f} images a second"
    return row + ("  (default)" if model.name == DEFAULT_MODEL else "")


def _row(name: str, card: "Card") -> str:
    height, width = card.preprocessing.size
    row = f"{name:<28} {card.dim:>5} numbers  {width} x {height} px  {card.license}"
    if card.parts:
        row += "  " + ", ".join(part.name for part in card.parts)
    if card.text is not None:
        row += "  " + (card.description or "words")
    return row


def _preset_row(preset: "Preset") -> str:
    sizes = ", ".join(
        f"{precision} {megabytes:,.0f} MB" if megabytes else f"{precision} of unknown size"
        for precision, megabytes in preset.megabytes.items()
    )
    row = f"{preset.name:<28} {preset.dim:>5} numbers  {preset.side} x {preset.side} px  {preset.license}"
    return f"{row}  {preset.purpose}  to download: {sizes}"


@app.command("add", cls=VerbCommand)
def add(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A model known by name, hub:owner/name[@revision], or what the model is to be called."
        ),
    ],
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="SOURCE", help="hub:owner/name[@revision], a folder, or an ONNX file."),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(metavar="P", help="Of the weights: fp32 (default), fp16, int8, uint8, q4, q4f16 or bnb4."),
    ] = None,
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
    """Add a model: download one, copy a folder, describe an ONNX file, or put two models side by side."""
    if source is not None and onnx is None and expanded(source).is_file():
        onnx, source = expanded(source), None
    _check_combination(context, name, source=source, onnx=onnx, joined=alike is not None or copy is not None)
    if alike is not None or copy is not None:
        card = _join(name, alike, copy, overwrite=overwrite)
    elif onnx is not None:
        from lookalike.embed.add_model import OnnxSource, add_onnx_model

        low, spread = _normalization(mean, std)
        described = OnnxSource(
            file=onnx, size=_size(size), mean=low, std=spread, resize=_resize(resize), parts=_parts(parts),
            output=output, license=license,
        )  # fmt: skip
        card = add_onnx_model(name, described, overwrite=overwrite)
    else:
        card = _install(name, source, precision=_precision(precision), overwrite=overwrite)
    if json:
        print_json(asdict(card))
    else:
        print_row(_row(card.name, card))
        log(
            f"added; use it with: lookalike index FOLDER -c COLLECTION --model {card.name} "
            "(with --add beside the model of a collection that exists)"
        )


def _check_combination(
    context: typer.Context, name: str, *, source: str | None, onnx: Path | None, joined: bool
) -> None:
    """Raise a usage error unless there is one source, with no option of another."""
    from lookalike.embed.presets import PRESETS
    from lookalike.errors import nearest

    named = [source is not None or name.startswith("hub:"), onnx is not None, joined]
    if sum(named) > 1:
        raise typer.BadParameter("name one source: --from, --onnx, or two models with --alike and --copy")
    if not any(named) and name not in PRESETS:
        raise typer.BadParameter(
            f"no model is known by the name {name!r} ({nearest(name, PRESETS)}); to give a model this name, add --from "
            "hub:owner/name, --from FOLDER, --onnx FILE, or --alike MODEL --copy MODEL"
        )
    for option in _FOR_ONNX:
        if onnx is None and _is_typed(context, option):
            raise typer.BadParameter("it describes an ONNX file, which --onnx names", param_hint=f"--{option}")
    if (onnx is not None or joined) and _is_typed(context, "precision"):
        raise typer.BadParameter("it chooses among weights to download or to copy", param_hint="--precision")


def _is_typed(context: typer.Context, option: str) -> bool:
    where = context.get_parameter_source(option)
    return where is not None and where.name == "COMMANDLINE"


def _join(name: str, alike: str | None, copy: str | None, *, overwrite: bool) -> "Card":
    from lookalike.embed.add_model import join_models

    if alike is None or copy is None:
        raise typer.BadParameter("--alike and --copy go together: one model each")
    return join_models(name, alike=alike, copy=copy, overwrite=overwrite)


def _install(name: str, source: str | None, *, precision: str, overwrite: bool) -> "Card":
    """Download a preset or a repository, or copy a folder."""
    from lookalike.embed.install_model import DownloadListener, install_from_folder, install_from_hub

    if source is not None and not source.startswith("hub:"):
        return install_from_folder(name, Path(source), precision=precision, overwrite=overwrite)
    model_name, hub_source = _hub_source(name, source)
    with ProgressLine("MB") as line, interrupt_text("interrupted; what was downloaded stays, the next run continues"):
        listener = DownloadListener(
            notice=log, progress=lambda done, total: line(done // _MEGABYTE, max(1, total // _MEGABYTE))
        )
        return install_from_hub(model_name, hub_source, precision=precision, overwrite=overwrite, listener=listener)


def _hub_source(name: str, source: str | None) -> "tuple[str, HubSource]":
    """Return what the model is called, and where it lies."""
    from lookalike.embed.install_model import HubSource
    from lookalike.errors import BadQuery

    if source is None and not name.startswith("hub:"):
        return name, HubSource.of_preset(name)
    try:
        parsed = HubSource.parse(source or name)
    except BadQuery as error:
        raise typer.BadParameter(str(error), param_hint="--from" if source else "NAME") from None
    return (name if source else parsed.model_name), parsed


def _precision(text: str | None) -> str:
    from lookalike.embed.layouts import PRECISIONS

    if text is not None and text not in PRECISIONS:
        raise typer.BadParameter(f"{text!r} is not one of {', '.join(PRECISIONS)}", param_hint="--precision")
    return text or PRECISIONS[0]


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
