"""lookalike train: an embedder of your own, from a split."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional, TypeVar

import typer

from lookalike.cli.options import JsonOption
from lookalike.cli.output import log, print_json, print_row
from lookalike.cli.train_progress import TrainingLine
from lookalike.cli.usage_errors import usage_error_for
from lookalike.errors import BadQuery, LookalikeError

if TYPE_CHECKING:
    from lookalike.train.config import Loop
    from lookalike.train.similarity_training import Taught

_Config = TypeVar("_Config", bound="Loop")

app = typer.Typer(
    help="Train an embedder of your own: autoencoder, or similarity.",
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

SplitArgument = Annotated[Path, typer.Argument(metavar="SPLIT", help="The file that lookalike split wrote.")]
OutputOption = Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="The new model's folder.")]
RootOption = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--root", metavar="FOLDER", help="Where the pictures are now, if they moved."),
]
ConfigOption = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--config", metavar="FILE.toml", help="Settings by name; flags outrank them."),
]
SetOption = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--set", metavar="NAME=VALUE", help="Any setting of docs/training.md; may be repeated."),
]
EpochsOption = Annotated[Optional[int], typer.Option(help="How often all pictures pass, at most.")]  # noqa: UP045
BatchOption = Annotated[Optional[int], typer.Option(help="Pictures a step.")]  # noqa: UP045
RateOption = Annotated[Optional[float], typer.Option(help="The highest learning rate.")]  # noqa: UP045
SideOption = Annotated[Optional[int], typer.Option(help="Pixels a side that the network sees.")]  # noqa: UP045
SeedOption = Annotated[Optional[int], typer.Option(help="The same seed gives the same run.")]  # noqa: UP045
DeviceOption = Annotated[Optional[str], typer.Option(help="auto, cpu or cuda.")]  # noqa: UP045
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Begin anew, whatever the folder holds of a run.")]


@app.command()
def autoencoder(
    split: SplitArgument,
    output: OutputOption,
    side: SideOption = None,
    grey: Annotated[Optional[bool], typer.Option("--grey/--colour", help="One channel, or three.")] = None,  # noqa: UP045
    code: Annotated[Optional[int], typer.Option(help="How many numbers a picture becomes.")] = None,  # noqa: UP045
    objective: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="mse, l1, ms_ssim, denoising or variational."),
    ] = None,
    epochs: EpochsOption = None,
    batch: BatchOption = None,
    rate: RateOption = None,
    seed: SeedOption = None,
    device: DeviceOption = None,
    config: ConfigOption = None,
    settings: SetOption = None,
    root: RootOption = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Learn to restore pictures from a small code; the code is an embedder. Needs no labels."""
    flags: dict[str, Any] = {"side": side, "grey": grey, "code": code, "objective": objective, "epochs": epochs}
    flags |= {"batch": batch, "rate": rate, "seed": seed, "device": device}
    _needs_torch()
    from lookalike.train.autoencoder import train_autoencoder
    from lookalike.train.config import AutoencoderConfig
    from lookalike.train.split_file import read_split

    asked = _asked(AutoencoderConfig, config, settings, flags)
    with _told_to_go_on(), TrainingLine() as line:
        trained = train_autoencoder(
            read_split(split, root=root), asked, output, overwrite=overwrite, tell=line, say=log, progress=line.pictures
        )
    best = trained.history[trained.best_epoch - 1]
    told = f"kept: epoch {trained.best_epoch}, PSNR {best['PSNR']:.1f} dB"
    _draw(lambda plot: plot.curves(trained.history, "PSNR", epoch=trained.best_epoch, kept=told), output / "curves.png")
    _draw(lambda plot: plot.restorations(trained.originals, trained.restored), output / "restorations.png")
    _draw(lambda plot: plot.latent_walk(trained.walk), output / "walk.png")
    log(str(trained))
    print_json({"model": str(output), "figures": best}) if json else print_row(str(output))


@app.command()
def similarity(
    split: SplitArgument,
    output: OutputOption,
    source: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--from", metavar="labels|edits|PAIRS.csv", help="What says which pictures are alike."),
    ] = None,
    train: Annotated[Optional[str], typer.Option("--train", help="head (minutes), last, or all.")] = None,  # noqa: UP045
    model: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="What to start from: an EfficientNet-Lite of ours, or small-cnn for random weights."),
    ] = None,
    objective: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="supcon, arcface, proxy, multi_similarity, triplet, contrastive, nt_xent or sscd."),
    ] = None,
    augment: Annotated[Optional[str], typer.Option(help="none, shift, light, style or edits.")] = None,  # noqa: UP045
    side: SideOption = None,
    dim: Annotated[Optional[int], typer.Option(help="How many numbers a vector has.")] = None,  # noqa: UP045
    epochs: EpochsOption = None,
    batch: BatchOption = None,
    rate: RateOption = None,
    seed: SeedOption = None,
    device: DeviceOption = None,
    config: ConfigOption = None,
    settings: SetOption = None,
    root: RootOption = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Learn what alike means from labels, pairs, or only edits of the pictures. The better one is kept."""
    flags: dict[str, Any] = {"source": source, "train": train, "model": model, "objective": objective, "side": side}
    flags |= {"augment": augment, "dim": dim, "epochs": epochs, "batch": batch, "rate": rate}
    flags |= {"seed": seed, "device": device}
    _needs_torch()
    from lookalike.train.config import SimilarityConfig
    from lookalike.train.similarity import train_similarity
    from lookalike.train.split_file import read_split

    asked = _asked(SimilarityConfig, config, settings, flags)
    with _told_to_go_on(), TrainingLine() as line:
        taught = train_similarity(
            read_split(split, root=root), asked, output, overwrite=overwrite, tell=line, say=log, progress=line.pictures
        )
    _draw(
        lambda plot: plot.curves(taught.history, taught.metric, before=taught.before[taught.metric], **_kept(taught)),
        output / "curves.png",
    )
    shown = taught.examples
    _draw(lambda plot: plot.before_after(shown.queries, shown.before, shown.after), output / "before-after.png")
    log(str(taught))
    log(f"search with it: lookalike index FOLDER --model {output} -c {output.name}.lookalike")
    told = {"model": str(output), "kept": taught.kept, "before": taught.before, "after": taught.after}
    print_json(told) if json else print_row(str(output))


@contextmanager
def _told_to_go_on() -> Iterator[None]:
    """A person who interrupts a run wants to know whether it was in vain."""
    try:
        yield
    except KeyboardInterrupt:
        log("broken off; the same command goes on from the last checkpoint, or begins anew where there is none yet")
        raise


def _needs_torch() -> None:
    """One sentence where the extra is missing, before any work."""
    from importlib.util import find_spec

    wanted = ("torch", "onnx", "onnxscript", "safetensors", "pytorch_metric_learning")
    missing = [name for name in wanted if find_spec(name) is None]
    if missing:
        raise LookalikeError(f"training needs {', '.join(missing)}; install them with: pip install 'lookalike[train]'")


def _asked(kind: "type[_Config]", file: Path | None, pairs: list[str] | None, flags: Mapping[str, Any]) -> "_Config":
    """The TOML file's settings, then --set, then flags: the later outranks."""
    from lookalike.train.config import read_toml

    values = read_toml(file) if file else {}
    with usage_error_for(None):
        values |= _pairs(pairs, kind()) | {name: value for name, value in flags.items() if value is not None}
        return kind.of(values, where=f"{file} and the flags" if file else "the flags")


def _pairs(pairs: list[str] | None, usual: "Loop") -> dict[str, Any]:
    from lookalike.train.config import from_text

    values = {}
    for pair in pairs or []:
        name, sign, text = pair.partition("=")
        if not sign:
            raise BadQuery(f"--set {pair!r} is not NAME=VALUE, such as --set ema=0.999")
        values[name.strip()] = from_text(name.strip(), text.strip(), usual)
    return values


def _kept(taught: "Taught") -> dict[str, Any]:
    """What `plot.curves` marks as kept: before, an epoch, or a mixture of the two."""
    figure = f"{taught.metric} {taught.after[taught.metric]:.3f}"
    if taught.kept == "before":
        return {"kept": f"kept: the model of before; best after training: {figure}"}
    if taught.share == 1:
        return {"epoch": taught.best_epoch, "kept": f"kept: epoch {taught.best_epoch}, {figure}"}
    told = f"kept (dotted): {figure}, {taught.share:.0%} of the way from before to epoch {taught.best_epoch}"
    return {"mixture": taught.after[taught.metric], "kept": told}


def _draw(make: Any, target: Path) -> None:
    from lookalike import plot

    log(f"drawn: {plot.save(make(plot), target)}")
