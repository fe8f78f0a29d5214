"""lookalike train: train your own embedder from a split."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from lookalike.cli.command import VerbCommand, interrupt_text
from lookalike.cli.options import JsonOption
from lookalike.cli.output import log, print_json, print_row
from lookalike.cli.train_progress import TrainingLine
from lookalike.cli.usage_errors import usage_error_for
from lookalike.errors import LookalikeError
from lookalike.text import percent

if TYPE_CHECKING:
    from lookalike.train.config import TrainingConfig
    from lookalike.train.similarity_training import TrainingResult

_RESUMABLE = "interrupted; the same command continues from the last checkpoint, or starts again if there is none yet"
_Config = TypeVar("_Config", bound="TrainingConfig")
_Result = TypeVar("_Result")

app = typer.Typer(
    help="Train your own embedder: autoencoder, or similarity.",
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

SplitArgument = Annotated[Path, typer.Argument(metavar="SPLIT", help="A file written by lookalike split.")]
OutputOption = Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="The new model's folder.")]
RootOption = Annotated[
    Path | None,
    typer.Option("--root", metavar="FOLDER", help="The folder of the images, if they have moved."),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE.toml", help="Settings by name; flags take precedence."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any setting of docs/training.md; may be repeated."),
]
EpochsOption = Annotated[int | None, typer.Option(metavar="N", help="The largest number of passes over all images.")]
BatchOption = Annotated[int | None, typer.Option(metavar="N", help="Images per step.")]
RateOption = Annotated[float | None, typer.Option(metavar="R", help="The highest learning rate.")]
SideOption = Annotated[int | None, typer.Option(metavar="N", help="Side of the network's input in pixels.")]
SeedOption = Annotated[int | None, typer.Option(metavar="N", help="The same seed gives the same run.")]
DeviceOption = Annotated[str | None, typer.Option(metavar="auto|cpu|cuda", help="Where to train.")]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Start again and discard an earlier run in the folder.")
]


@app.command(cls=VerbCommand)
def autoencoder(
    split: SplitArgument,
    output: OutputOption,
    side: SideOption = None,
    gray: Annotated[bool | None, typer.Option("--gray/--color", help="One channel, or three.")] = None,
    grey: Annotated[bool | None, typer.Option("--grey/--colour", hidden=True)] = None,
    code: Annotated[int | None, typer.Option(metavar="N", help="Numbers per image.")] = None,
    objective: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="mse, l1, ms_ssim, denoising or variational."),
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
    """Learn to reconstruct images from a small code; the encoder becomes the embedder. Needs no labels."""
    flags: dict[str, Any] = {
        "side": side,
        "gray": gray if gray is not None else grey,
        "code": code,
        "objective": objective,
        "epochs": epochs,
    }
    flags |= {"batch": batch, "rate": rate, "seed": seed, "device": device}
    _needs_torch()
    from lookalike.train.autoencoder import train_autoencoder
    from lookalike.train.config import AutoencoderConfig

    options = _config(AutoencoderConfig, config, settings, flags)
    trained = _train(train_autoencoder, split, options, output, root=root, overwrite=overwrite)
    best = trained.history[trained.best_epoch - 1]
    caption = f"saved: epoch {trained.best_epoch}, PSNR {best['PSNR']:.1f} dB"
    _draw(
        lambda plot: plot.curves(trained.history, "PSNR", epoch=trained.best_epoch, caption=caption),
        output / "curves.png",
    )
    _draw(lambda plot: plot.restorations(trained.originals, trained.restored), output / "restorations.png")
    _draw(lambda plot: plot.latent_walk(trained.walk), output / "walk.png")
    log(str(trained))
    print_json({"model": str(output), "figures": best}) if json else print_row(str(output))


@app.command(cls=VerbCommand)
def similarity(
    split: SplitArgument,
    output: OutputOption,
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="labels|edits|PAIRS.csv", help="What defines which images are alike."),
    ] = None,
    train: Annotated[
        str | None, typer.Option("--train", metavar="head|last|all", help="What to train: the head takes minutes.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL", help="The base model: an EfficientNet-Lite of Lookalike, or small-cnn for random weights."
        ),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="supcon, arcface, proxy, multi_similarity, triplet, contrastive, nt_xent or sscd."
        ),
    ] = None,
    augment: Annotated[str | None, typer.Option(metavar="NAME", help="none, shift, light, style or edits.")] = None,
    side: SideOption = None,
    dim: Annotated[int | None, typer.Option(metavar="N", help="Numbers per vector.")] = None,
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
    """Learn similarity from labels, pairs, or only edits of the images. Saves the better of base and trained model."""
    flags: dict[str, Any] = {"source": source, "train": train, "model": model, "objective": objective, "side": side}
    flags |= {"augment": augment, "dim": dim, "epochs": epochs, "batch": batch, "rate": rate}
    flags |= {"seed": seed, "device": device}
    _needs_torch()
    from lookalike.train.config import SimilarityConfig
    from lookalike.train.similarity import train_similarity

    options = _config(SimilarityConfig, config, settings, flags)
    result = _train(train_similarity, split, options, output, root=root, overwrite=overwrite)
    _draw(
        lambda plot: plot.curves(
            result.history, result.metric, before=result.before[result.metric], **_selection(result)
        ),
        output / "curves.png",
    )
    shown = result.examples
    _draw(lambda plot: plot.before_after(shown.queries, shown.before, shown.after), output / "before-after.png")
    log(str(result))
    log(f"search with it: lookalike index FOLDER --model {output} -c {output.name}.lookalike")
    facts = {"model": str(output), "kept": result.selected, "before": result.before, "after": result.after}
    print_json(facts) if json else print_row(str(output))


def _train(
    function: Callable[..., _Result],
    split: Path,
    options: "TrainingConfig",
    output: Path,
    *,
    root: Path | None,
    overwrite: bool,
) -> _Result:
    """Train on a split with the progress on stderr; the two training functions share their arguments."""
    from lookalike.train.split_file import read_split

    with interrupt_text(_RESUMABLE), TrainingLine() as line:
        return function(
            read_split(split, root=root),
            options,
            output,
            overwrite=overwrite,
            on_progress=line,
            log=log,
            progress=line.pictures,
        )


def _needs_torch() -> None:
    """Raise LookalikeError before any work if the extra is not installed."""
    from importlib.util import find_spec

    packages = ("torch", "onnx", "onnxscript", "safetensors", "pytorch_metric_learning")
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise LookalikeError(f"training needs {', '.join(missing)}; install them with: pip install 'lookalike[train]'")


def _config(kind: "type[_Config]", file: Path | None, pairs: list[str] | None, flags: Mapping[str, Any]) -> "_Config":
    """The settings of the TOML file, overridden by --set, overridden by flags."""
    from lookalike.train.config import from_pairs, read_toml

    with usage_error_for("--config"):
        values = read_toml(file) if file else {}
        kind.of(values, where=str(file))
    with usage_error_for("--set"):
        changes = from_pairs(pairs or (), kind())
        kind.of(changes)
    flags = {name: value for name, value in flags.items() if value is not None}
    for name, value in flags.items():
        with usage_error_for("--from" if name == "source" else f"--{name}"):
            kind.of({name: value}, where="the flags")
    return kind.of({**values, **changes, **flags})


def _selection(result: "TrainingResult") -> dict[str, Any]:
    """The arguments with which `plot.curves` marks the saved model: base, an epoch, or an interpolation."""
    metric = f"{result.metric} {result.after[result.metric]:.3f}"
    if result.selected == "before":
        return {"caption": f"saved: the base model; best after training: {metric}"}
    if result.interpolation == 1:
        return {"epoch": result.best_epoch, "caption": f"saved: epoch {result.best_epoch}, {metric}"}
    share = f"{percent(result.interpolation, 0)} of the way from the base model to epoch {result.best_epoch}"
    return {"mixture": result.after[result.metric], "caption": f"saved (dotted): {metric}, {share}"}


def _draw(make: Any, target: Path) -> None:
    from lookalike import plot

    log(f"drawn: {plot.save(make(plot), target)}")
