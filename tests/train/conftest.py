"""Training in tests: one thread, for networks so small wait for each other more than they compute."""

from importlib.util import find_spec

import pytest


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    if find_spec("torch"):
        import torch

        torch.set_num_threads(1)
