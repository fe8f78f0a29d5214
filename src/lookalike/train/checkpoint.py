"""The checkpoint of a run: one safetensors file, written atomically.

It holds no random state: every batch draws from (seed, epoch, batch), so a resumed run draws the same numbers.
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
class RunState:
    """The progress of a run: `step` batches of `epoch` are done.

    `best`: the highest validation metric so far, reached in `best_epoch`, `stale` epochs ago. `history`: one row of
    metrics per epoch.
    """

    epoch: int = 0
    step: int = 0
    steps_done: int = 0
    loss_sum: float = 0.0
    best: float | None = None
    best_epoch: int = 0
    stale: int = 0
    finished: bool = False
    history: list[dict[str, float]] = field(default_factory=list)


def save_checkpoint(
    file: Path, state: RunState, modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer
) -> None:
    """Write the state of all modules and of the optimizer. A kill at any moment leaves the previous file."""
    tensors = {f"{name}.{key}": value for name, module in modules.items() for key, value in module.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{key}": torch.as_tensor(value) for key, value in moments.items()}
    write_tensors(file, tensors, {"place": json.dumps(asdict(state))})


def load_checkpoint(file: Path, modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer) -> RunState:
    """Load the state into the modules and the optimizer, and return the run's state. Raises BrokenModel."""
    tensors, metadata = read_tensors(file)
    try:
        if unknown := {name.split(".")[0] for name in tensors} - {*modules, "optimiser"}:
            raise KeyError(f"it also holds {', '.join(unknown)}")
        for name, module in modules.items():
            module.load_state_dict(_with_prefix(tensors, f"{name}."))
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in _with_prefix(tensors, "optimiser.").items():
            index, key = name.split(".", 1)
            moments.setdefault(int(index), {})[key] = value
        optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
        return RunState(**json.loads(metadata["place"]))
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise BrokenModel(f"{file} is of another run ({reason}); start again with --overwrite") from None


def write_tensors(file: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file under a temporary name, sync it to disk, then rename it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    data = save({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, metadata)
    temp = file.with_name(f".{file.name}.part")  # a fixed name, so the leftover of a killed run is overwritten
    with temp.open("wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    temp.replace(file)


def read_tensors(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and the text metadata of a file. Raises BrokenModel."""
    try:
        with safe_open(file, "pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}, dict(opened.metadata() or {})  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BrokenModel(f"{file} cannot be read ({reason}); start again with --overwrite") from None


def _with_prefix(tensors: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
