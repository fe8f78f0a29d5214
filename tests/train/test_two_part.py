"""Learning copies: views of several images, their objective, and the network with two heads."""

import math
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra: pip install 'lookalike[train]'")
pytest.importorskip("onnx", reason="needs the extra: pip install 'lookalike[train]'")

from scripts.train_copy_head import HeadConfig, PooledViews, train_head  # noqa: E402

from lookalike.embed import BASE_MODEL, get_embedder, model_folder  # noqa: E402
from lookalike.parts import part_of  # noqa: E402
from lookalike.train.data.copy_views import MAX_SHOWN, copy_views, plan_epoch  # noqa: E402
from lookalike.train.export import export  # noqa: E402
from lookalike.train.models.folded_lite import read_weights  # noqa: E402
from lookalike.train.models.two_part import TwoPart, folded  # noqa: E402
from lookalike.train.objectives.sscd import ENTROPY, SSCD, TEMPERATURE  # noqa: E402
from lookalike.train.objectives.sscd_mixed import mixed_loss  # noqa: E402
from lookalike.types import RGB, Card, Part, Preprocessing  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

# Two views of each of three images, a collage of the first two, and one of the last two.
SHOWN = torch.tensor([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1], [1, 1, 0], [0, 1, 1]]).float()
VECTORS = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))


def test_the_mixed_objective_by_loops():
    unit = torch.nn.functional.normalize(VECTORS, dim=1)
    scores = unit @ unit.T
    positives = {
        0: [1, 6],
        1: [0, 6],
        2: [3, 6, 7],
        3: [2, 6, 7],
        4: [5, 7],
        5: [4, 7],
        6: [0, 1, 2, 3],
        7: [2, 3, 4, 5],
    }
    negatives = {i: [j for j in range(8) if not (SHOWN[i] * SHOWN[j]).any()] for i in range(8)}
    total = entropy = 0.0
    for i in range(8):
        costs = []
        for j in positives[i]:
            exps = [math.exp(float(scores[i, k]) / TEMPERATURE) for k in (j, *negatives[i])]
            costs.append(-math.log(exps[0] / sum(exps)))
        total += sum(costs) / len(costs) / 8
        entropy -= math.log(min(float((unit[i] - unit[k]).norm()) for k in negatives[i])) / 8
    assert mixed_loss(VECTORS, SHOWN).item() == pytest.approx(total + ENTROPY * entropy, rel=1e-4)


def test_with_one_image_a_view_it_is_sscd():
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    assert mixed_loss(VECTORS[:6], SHOWN[:6]).item() == pytest.approx(SSCD()(VECTORS[:6], labels).item(), rel=1e-4)


def test_a_collage_near_its_images_costs_less():
    axes = torch.eye(5)[:3]
    single = axes.repeat_interleave(2, 0)
    near, far = axes[0] + axes[1], axes[2] + axes[1]
    good, bad = (torch.cat((single, mixed[None])) for mixed in (near, far))
    assert mixed_loss(good, SHOWN[:7], entropy=0) < mixed_loss(bad, SHOWN[:7], entropy=0)


def test_a_plan_shows_each_image_twice_and_mixes_within_the_batch():
    batches = plan_epoch(np.arange(20), 8, [0, 0])
    assert [batch.shape for batch in batches] == [(20, MAX_SHOWN)] * 2
    for batch in batches:
        assert (batch[0:16:2, 0] == batch[1:16:2, 0]).all()
        assert (batch[:16, 1:] == -1).all()
        for row in batch[16:]:
            assert len(set(row[row >= 0])) == (row >= 0).sum() >= 2
            assert set(row[row >= 0]) <= set(batch[:16, 0])
    assert len(np.unique(np.concatenate([batch[:16, 0] for batch in batches]))) == 16


def test_equal_seeds_give_equal_views_of_the_side_of_the_epoch():
    images = [np.random.default_rng(n).integers(0, 256, (40 + n, 60, 3), dtype=np.uint8) for n in range(8)]
    views = copy_views(images.__getitem__, lambda epoch: 32 + 16 * epoch)
    (batch,) = plan_epoch(np.arange(8), 8, [0, 0])
    first = views(batch, [0, 1, 0])
    assert first.shape == (20, 48, 48, 3)
    assert np.array_equal(first, views(batch, [0, 1, 0]))
    assert not np.array_equal(first, views(batch, [0, 1, 1]))
    assert views(batch, [0, 0, 0]).shape == (20, 32, 32, 3)


@pytest.fixture(scope="module")
def network() -> TwoPart:
    torch.manual_seed(0)
    return TwoPart(read_weights(model_folder(BASE_MODEL) / "model.onnx"), width=96, dim=24).eval()


def some_images(side: int = 224) -> list[RGB]:
    random = np.random.default_rng(0)
    blocks = [random.integers(0, 256, (n, n, 3), dtype=np.uint8) for n in (4, 7, 14)]
    return [np.kron(block, np.ones((side // len(block), side // len(block), 1), np.uint8)) for block in blocks]


def test_the_alike_part_starts_as_the_base_model(network: TwoPart):
    pixels = torch.from_numpy(np.stack(some_images())).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        alike, copy = network.parts((pixels - 127) / 128)
    assert network.dims == (256, 24)
    assert copy.shape == (3, 24)
    assert np.allclose(alike.numpy(), get_embedder(BASE_MODEL).embed(some_images()), atol=2e-3)


def test_a_folded_batch_norm_gives_the_same():
    torch.manual_seed(1)
    conv, norm = torch.nn.Conv2d(4, 6, 1, bias=False), torch.nn.BatchNorm2d(6).eval()
    norm.load_state_dict({**norm.state_dict(), "running_mean": torch.randn(6), "running_var": torch.rand(6) + 0.1})
    weight, bias = folded(conv.weight, norm)
    x = torch.randn(2, 4, 3, 3)
    assert torch.allclose(torch.nn.functional.conv2d(x, weight, bias), norm(conv(x)), atol=1e-5)


def test_whitening_makes_the_copy_vectors_white(network: TwoPart):
    pooled = np.random.default_rng(0).gamma(2.0, 1.0, (4000, 96)).astype(np.float32)
    network.whiten_copy(pooled)
    with torch.no_grad():
        vectors = network.copy.project(torch.from_numpy(pooled)).numpy()
    assert np.abs(vectors.mean(0)).max() < 1e-2
    assert np.allclose(np.cov(vectors.T), np.eye(24) * np.cov(vectors.T)[0, 0], atol=0.05)


@pytest.mark.skipif(find_spec("onnxscript") is None, reason="needs the extra: pip install 'lookalike[train]'")
def test_an_exported_network_has_both_parts(network: TwoPart, tmp_path: Path):
    parts = (Part("alike", 256), Part("copy", 24))
    shape = Preprocessing(size=(224, 224), mean=(127.0,) * 3, std=(128.0,) * 3)
    card = Card(name="two", dim=0, preprocessing=shape, sha256="", license="Apache-2.0", source="", parts=parts)
    samples = np.stack(some_images())
    parity = export(network, tmp_path / "two", card, samples=samples)
    assert parity.worst_cosine > 0.9999
    embedder = get_embedder(tmp_path / "two")
    assert embedder.card.parts == parts
    vectors = embedder.embed(list(samples))
    with torch.no_grad():
        pixels = torch.from_numpy(samples).permute(0, 3, 1, 2).float()
        expected = network.parts((pixels - 127) / 128)
    for name, part in zip(("alike", "copy"), expected, strict=True):
        assert np.allclose(part_of(vectors, embedder.card, name), part.numpy(), atol=3e-3)


def test_a_batch_of_pooled_views_has_two_of_each_image_and_of_each_in_a_mixed_view():
    single = [[image, -1, -1, -1] for image in range(20) for _ in range(3)]
    mixed = [[image, (image + 7) % 20, -1, -1] for image in range(0, 20, 2)]
    rows = np.array(single + mixed, np.int64)
    views = PooledViews(torch.arange(len(rows)).float()[:, None], rows)
    pooled, drawn = views.draw(np.random.default_rng(0), HeadConfig(images=4, mixed=3))
    assert (rows[pooled[:, 0].long().numpy()] == drawn).all()
    assert len(set(pooled[:, 0].tolist())) == len(drawn)  # no view is drawn twice
    images, counts = np.unique(drawn[drawn[:, 1] < 0, 0], return_counts=True)
    assert (counts == 2).all()
    assert set(drawn[-3:][drawn[-3:] >= 0].tolist()) <= set(images.tolist())
    assert (drawn[-3:, 1] >= 0).all()


def test_the_head_learns_from_pooled_views(capsys):
    random = torch.Generator().manual_seed(0)
    images = torch.randn(40, 16, generator=random)
    rows = np.array([[n, -1, -1, -1] for n in range(40) for _ in range(4)] + [[0, 1, -1, -1]] * 4, np.int64)
    pooled = torch.cat((images.repeat_interleave(4, 0), (images[0] + images[1]).repeat(4, 1)))
    pooled[:, :4] += 20 * torch.randn(len(pooled), 4, generator=random)  # four numbers that say nothing
    head = torch.nn.Linear(16, 8)
    losses = []
    train_head(
        head,
        PooledViews(pooled, rows),
        HeadConfig(images=30, mixed=2, steps=100, rate=0.02),
        lambda _, x: losses.append(x),
    )
    assert losses[1] < losses[0]
    assert head.weight[:, :4].norm() < 0.3 * head.weight[:, 4:].norm()
