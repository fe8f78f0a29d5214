"""Published models known by name: where they lie, what they are for, how large they are, under which license.

Every row was looked up on public pages. None of these downloads has been tried yet, which is what `tried` says; what is
downloaded is tried on the spot (install_model.py). A revision is a commit where a public page shows one, so that the
files cannot change; else "main".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

ENGLISH, MULTILINGUAL = "English", "many languages"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A published model. `megabytes`: of a download, by precision, in millions of bytes; 0 where no page shows it.

    `words`: the languages of texts, "" for a model of images alone. `dim` and `side`: of a vector, and of an image in
    pixels. `scale` and `bias`: of the logit of a text and an image, where they are published and its files lack them.
    `sha256`: by the path of a file in the repository. `tried`: whether this very download was tried.
    """

    name: str
    repository: str
    license: str
    dim: int
    side: int
    megabytes: Mapping[str, float]
    revision: str = "main"
    words: str = ""
    scale: float | None = None
    bias: float | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)
    tried: bool = False

    @property
    def precisions(self) -> tuple[str, ...]:
        """The precisions of the weights that the repository has."""
        return tuple(self.megabytes)

    @property
    def purpose(self) -> str:
        """What the model is for, in a few words."""
        return f"words in {self.words}" if self.words else "images alone"


_OPENAI = "MIT"  # of OpenAI's CLIP; the repositories of the ONNX files state none
_APPLE = "Apple (apple-ascl; since 2025 apple-amlr, for research)"
_DINOV3 = "DINOv3 License"

_ROWS = (
    Preset(
        name="clip",
        repository="Xenova/clip-vit-base-patch32",
        revision="4c1807b705b1d015fb032789cc4d221b23025a6f",
        license=_OPENAI,
        dim=512,
        side=224,
        megabytes={"fp32": 608, "fp16": 305, "int8": 156},
        words=ENGLISH,
        sha256={"onnx/vision_model.onnx": "fd6e1402a588279d1723c7534d4bcba5bc0b14b47dfab0e46f8c47b8270d7d40"},
    ),
    Preset(
        name="clip-b16",
        repository="Xenova/clip-vit-base-patch16",
        license=_OPENAI,
        dim=512,
        side=224,
        megabytes={"fp32": 601, "fp16": 302, "int8": 154},
        words=ENGLISH,
    ),
    Preset(
        name="clip-large",
        repository="Xenova/clip-vit-large-patch14",
        license=_OPENAI,
        dim=768,
        side=224,
        megabytes={"fp32": 1717, "fp16": 859, "int8": 434},
        words=ENGLISH,
    ),
    Preset(
        name="siglip",
        repository="Xenova/siglip-base-patch16-224",
        revision="294847d6b5fe86c91330269da98ce112d6c75e7e",
        license="Apache-2.0",
        dim=768,
        side=224,
        megabytes={"fp32": 815, "fp16": 409, "int8": 213},
        words=ENGLISH,
    ),
    Preset(
        name="siglip-384",
        repository="Xenova/siglip-base-patch16-384",
        license="Apache-2.0",
        dim=768,
        side=384,
        megabytes={"fp32": 816, "fp16": 410, "int8": 213},
        words=ENGLISH,
    ),
    Preset(
        name="siglip2",
        repository="onnx-community/siglip2-base-patch16-224-ONNX",
        revision="ba1f3b0843f24bc5417d38e19c37b287d719b2f4",
        license="Apache-2.0",
        dim=768,
        side=224,
        megabytes={"fp32": 1536, "fp16": 785, "int8": 412},
        words=MULTILINGUAL,
        scale=112.67,  # exp(4.724453)
        bias=-16.7717,
        sha256={
            "onnx/vision_model.onnx": "c0573e3f4140c3a7c4e9cc5912bd6b26a033b46a6a8e8af26cbea262b163bcad",
            "onnx/text_model.onnx": "baf12d941beabafafb14f7b4adb38dc15be18681b964a84410ec53d9d65e6293",
            "onnx/vision_model_fp16.onnx": "a1959f7bd3993a607e48839f6d01e25b876fe76afda301b028b78eef68aabd95",
            "onnx/text_model_fp16.onnx": "711da56ada0a4aa11c7dd3320df741081a3cae4f0ae1b5e5c6d5b294738d0eb0",
            "onnx/vision_model_int8.onnx": "0dd31785a2713f1113ef2272472165c69d580473dae38d7b47568ac587795e70",
            "onnx/text_model_int8.onnx": "3a0603d3a00c05a80a6ded4743c16aaac7b1e62cdcc7e362e7ce418659b96400",
        },
    ),
    Preset(
        name="mobileclip-s0",
        repository="Xenova/mobileclip_s0",
        revision="757d59c9c6870a76a4b0306f05f5061bca15c39f",
        license=_APPLE,
        dim=512,
        side=256,
        megabytes={"fp32": 218, "fp16": 0},  # its int8 weights are said to lose most of what they know
        words=ENGLISH,
        sha256={"onnx/vision_model.onnx": "17d3c037b1d488c10c50e09f6009ea5a198caef4e0e8f4ea5617b7cb2d067ac0"},
    ),
    Preset(
        name="mobileclip-s1",
        repository="Xenova/mobileclip_s1",
        license=_APPLE,
        dim=512,
        side=256,
        megabytes={"fp32": 342, "fp16": 172},
        words=ENGLISH,
    ),
    Preset(
        name="mobileclip-s2",
        repository="Xenova/mobileclip_s2",
        revision="6c0ff980baa330799da275a8e6cc29539fe90837",
        license=_APPLE,
        dim=512,
        side=256,
        megabytes={"fp32": 399, "fp16": 201},
        words=ENGLISH,
    ),
    Preset(
        name="mobileclip-b",
        repository="Xenova/mobileclip_b",
        revision="27bd167c78ccd90aaf16c56b2fcd4046831810ee",
        license=_APPLE,
        dim=512,
        side=224,
        megabytes={"fp32": 602, "fp16": 302, "int8": 154},
        words=ENGLISH,
    ),
    Preset(
        name="siglip-multilingual",
        repository="immich-app/ViT-B-16-SigLIP-i18n-256__webli",
        license="Apache-2.0",
        dim=768,
        side=256,
        megabytes={"fp32": 0},
        words=MULTILINGUAL,
    ),
    Preset(
        name="clip-multilingual",
        repository="immich-app/XLM-Roberta-Large-Vit-B-32",
        license="unknown (M-CLIP states none)",
        dim=512,
        side=224,
        megabytes={"fp32": 2610},
        words="48 languages",
    ),
    Preset(
        name="dinov2-small",
        repository="Xenova/dinov2-small",
        revision="bd222e886723524568931e43031f6d9327896fac",
        license="Apache-2.0",
        dim=384,
        side=224,
        megabytes={"fp32": 89, "fp16": 44, "int8": 25},
    ),
    Preset(
        name="dinov2-base",
        repository="Xenova/dinov2-base",
        revision="fef96735014749b0e195358c3fc42cc00b08378e",
        license="Apache-2.0",
        dim=768,
        side=224,
        megabytes={"fp32": 347, "fp16": 173, "int8": 91},
    ),
    Preset(
        name="dinov3-small",
        repository="onnx-community/dinov3-vits16-pretrain-lvd1689m-ONNX",
        revision="48988dfe73065df8d6f5ccc0edc7c8bcf307de41",
        license=_DINOV3,
        dim=384,
        side=224,
        megabytes={"fp32": 87},
    ),
)

PRESETS: Mapping[str, Preset] = {row.name: row for row in _ROWS}
"""The presets by name."""
