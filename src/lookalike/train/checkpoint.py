"""All that a run needs to go on, in one safetensors file that is there whole or not at all.

Random numbers are not kept: every batch draws its own from (seed, epoch, batch), so a resumed run draws the same.
"""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from lookalike.errors import BrokenModel

LAST, BEST = "last.safetensors", "best.safetensors"


@dataclass(slots=True, kw_only=True)
class Place:
    """Where a run stands: `step` batches of `epoch` are done. `best` is the highest validation so far, of `best_epoch`;
    `stale` epochs have passed since. `history`: one row of figures an epoch."""

    epoch: int = 0
    step: int = 0
    steps_done: int = 0
    loss_sum: float = 0.0
    best: float | None = None
    best_epoch: int = 0
    stale: int = 0
    finished: bool = False
    history: list[dict[str, float]] = field(default_factory=list)


def save_checkpoint(file: Path, place: Place, modules: dict[str, nn.Module], optimiser: torch.optim.Optimizer) -> None:
    """Write the state of all modules and of the optimiser. A kill at any moment leaves the file of before."""
    tensors = {f"{name}.{key}": value for name, module in modules.items() for key, value in module.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{key}": torch.as_tensor(value) for key, value in state.items()}
    write_tensors(file, tensors, {"place": json.dumps(asdict(place))})


def load_checkpoint(file: Path, modules: dict[str, nn.Module], optimiser: torch.optim.Optimizer) -> Place:
    """Put the state back where `save_checkpoint` took it from. Raises BrokenModel."""
    tensors, metadata = read_tensors(file)
    try:
        if unknown := {name.split(".")[0] for name in tensors} - {*modules, "optimiser"}:
            raise KeyError(f"it also holds {', '.join(unknown)}")
        for name, module in modules.items():
            module.load_state_dict(_below(tensors, f"{name}."))
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in _below(tensors, "optimiser.").items():
            index, key = name.split(".", 1)
            state.setdefault(int(index), {})[key] = value
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
        return Place(**json.loads(metadata["place"]))
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise BrokenModel(f"{file} is of another run ({reason}); begin anew with --overwrite") from None


def write_tensors(file: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Under another name, on the disk, then renamed."""
    file.parent.mkdir(parents=True, exist_ok=True)
    data = save({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, metadata)
    scratch = file.with_name(f".{file.name}.part")  # one name: what a killed run left is written over
    with scratch.open("wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    scratch.replace(file)


def read_tensors(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """A file's tensors and texts. Raises BrokenModel."""
    try:
        with safe_open(file, "pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}, dict(opened.metadata() or {})  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BrokenModel(f"{file} cannot be read ({reason}); begin anew with --overwrite") from None


def _below(tensors: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
