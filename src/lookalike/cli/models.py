"""lookalike models: list the models of the package."""

from dataclasses import asdict

from lookalike.cli.options import JsonOption
from lookalike.cli.output import log, print_json, print_row


def models(json: JsonOption = False) -> None:
    """List the models inside the package. A folder with model.onnx and card.json, or hub:owner/name, works as well."""
    from lookalike.embed import DEFAULT_MODEL, known_models

    for name, card in known_models().items():
        if json:
            print_json(asdict(card) | {"default": name == DEFAULT_MODEL})
        else:
            height, width = card.preprocessing.size
            default = "  (default)" if name == DEFAULT_MODEL else ""
            print_row(f"{name:<28} {card.dim:>5} numbers  {width} x {height} px  {card.license}{default}")
    log("also: --model FOLDER (model.onnx + card.json), --model hub:owner/name (needs: pip install 'lookalike[hub]')")
