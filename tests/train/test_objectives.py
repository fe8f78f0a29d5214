"""Objectives: a good arrangement costs less than a bad one, the sums are right by plain loops, gradients reach all."""

import math

import pytest

from lookalike.errors import BadQuery

torch = pytest.importorskip("torch", reason="needs the extra: pip install 'lookalike[train]'")
pytest.importorskip("pytorch_metric_learning", reason="needs the extra: pip install 'lookalike[train]'")

from lookalike.train.models.autoencoder import Autoencoder, scale_pixels  # noqa: E402
from lookalike.train.objectives import RECONSTRUCTION, SIMILARITY, make_objective  # noqa: E402
from lookalike.train.objectives.denoising import corrupt  # noqa: E402
from lookalike.train.objectives.ms_ssim import ms_ssim  # noqa: E402
from lookalike.train.objectives.nt_xent import NTXent  # noqa: E402
from lookalike.train.objectives.sscd import ENTROPY, TEMPERATURE, differential_entropy  # noqa: E402

LABELS = torch.tensor([0, 0, 1, 1, 2, 2])
AXES = torch.eye(8)
GOOD = AXES[LABELS] + 0.05 * torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
BAD = GOOD[[0, 2, 4, 1, 3, 5]]


@pytest.mark.parametrize("name", SIMILARITY)
def test_a_good_arrangement_costs_less_than_a_bad_one(name):
    torch.manual_seed(0)
    objective = make_objective(name, dim=8, classes=3)
    learnt = list(objective.parameters())
    if learnt:  # the labels' own vectors: where they should be
        with torch.no_grad():
            shape = learnt[0].shape
            learnt[0].copy_(AXES[:3] if shape == (3, 8) else AXES[:3].T)
    assert objective(GOOD, LABELS) < objective(BAD, LABELS)


@pytest.mark.parametrize("name", SIMILARITY)
def test_gradients_reach_the_vectors_and_do_not_see_their_length(name):
    torch.manual_seed(0)
    objective = make_objective(name, dim=8, classes=3)
    vectors = torch.randn(6, 8, generator=torch.Generator().manual_seed(1)).requires_grad_()
    loss = objective(vectors, LABELS)
    loss.backward()
    assert vectors.grad.abs().sum() > 0
    assert objective(vectors.detach() * 3, LABELS).item() == pytest.approx(loss.item(), rel=1e-4)


def test_nt_xent_and_entropy_by_loops():
    unit = torch.nn.functional.normalize(BAD, dim=1)
    total, pairs = 0.0, 0
    for i in range(6):
        for j in range(6):
            if i != j and LABELS[i] == LABELS[j]:
                others = [k for k in range(6) if LABELS[k] != LABELS[i]]
                exps = [math.exp(float(unit[i] @ unit[k]) / TEMPERATURE) for k in (j, *others)]
                total, pairs = total - math.log(exps[0] / sum(exps)), pairs + 1
    entropy = 0.0
    for i in range(6):
        entropy -= math.log(min(float((unit[i] - unit[k]).norm()) for k in range(6) if LABELS[k] != LABELS[i])) / 6
    assert differential_entropy(unit, LABELS).item() == pytest.approx(entropy, rel=1e-4)
    found = make_objective("sscd", dim=8, classes=3)(BAD, LABELS).item()
    assert found == pytest.approx(total / pairs + ENTROPY * entropy, rel=1e-3)


def test_nt_xent_is_that_of_the_library():
    from pytorch_metric_learning.losses import NTXentLoss

    vectors = torch.randn(24, 8, generator=torch.Generator().manual_seed(2))
    labels = torch.arange(24) // 3
    mine, theirs = (vectors.clone().requires_grad_() for _ in range(2))
    found, wanted = NTXent(0.2)(mine, labels), NTXentLoss(0.2)(theirs, labels)
    found.backward()
    wanted.backward()
    assert found.item() == pytest.approx(wanted.item(), rel=1e-5)
    assert torch.allclose(mine.grad, theirs.grad, atol=1e-6)


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2]])
def test_nt_xent_without_a_stranger_or_without_a_pair_is_nothing(labels):
    vectors = torch.randn(3, 8, generator=torch.Generator().manual_seed(3)).requires_grad_()
    loss = NTXent()(vectors, torch.tensor(labels))
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert torch.isfinite(vectors.grad).all()


def test_entropy_of_one_picture_alone_is_nothing():
    assert differential_entropy(AXES[:2], torch.zeros(2)).item() == 0


@pytest.mark.parametrize("name", RECONSTRUCTION)
@pytest.mark.parametrize(("side", "channels"), [(28, 1), (32, 3)])
def test_restoring_gets_better(name, side, channels):
    torch.manual_seed(0)
    network = Autoencoder(side, channels=channels, code=8, width=8)
    objective = make_objective(name, **({"dim": 8} if name == "variational" else {}))
    pictures = torch.rand(4, channels, 4, 4).repeat_interleave(side // 4, 2).repeat_interleave(side // 4, 3)
    optimiser = torch.optim.Adam([*network.parameters(), *objective.parameters()], 0.01)
    losses = []
    for _ in range(4):
        optimiser.zero_grad()
        losses.append(objective(network, pictures))
        losses[-1].backward()
        optimiser.step()
    assert losses[-1] < losses[0]


def test_ms_ssim_is_one_for_the_same_and_less_for_noise():
    pictures = torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    assert ms_ssim(pictures, pictures).item() == pytest.approx(1, abs=1e-5)
    little, much = (
        ms_ssim((pictures + s * torch.randn_like(pictures)).clamp(0, 1), pictures).item() for s in (0.05, 0.4)
    )
    assert 0 < much < little < 1


def test_spoiling_wipes_a_rectangle_of_each_picture():
    torch.manual_seed(0)
    spoilt = corrupt(torch.full((3, 1, 20, 20), 5.0))
    for picture in spoilt:
        assert int((picture == 0).sum()) == pytest.approx(64, abs=17)  # .4 of 20, squared
    assert float(spoilt[spoilt != 0].std()) == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize("side", [28, 33, 64, 100, 256])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_autoencoder_of_any_side(side, channels):
    network = Autoencoder(side, channels=channels, code=5, width=4).eval()
    pictures = torch.rand(1, channels, side, side)
    with torch.no_grad():
        assert network.encode(pictures).shape == (1, 5)
        restored = network(pictures)
    assert restored.shape == pictures.shape
    assert 0 <= restored.min() <= restored.max() <= 1


def test_grey_is_the_luma():
    pixels = torch.tensor([255.0, 0, 0]).reshape(1, 3, 1, 1)
    assert scale_pixels(pixels, 1).item() == pytest.approx(0.299)
    assert scale_pixels(pixels, 3).flatten().tolist() == [1, 0, 0]


def test_unknown_objectives_are_answered_by_the_nearest():
    with pytest.raises(BadQuery, match="nearest: triplet"):
        make_objective("tripplet")
