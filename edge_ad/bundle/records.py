"""The records a bundle is made of, as they stand in its JSON files. Strict: an unknown field is refused."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

__all__ = [
    "CALIBRATION_FORMAT",
    "DEFAULT_STATION",
    "FORMAT",
    "Calibration",
    "CalibrationRecord",
    "Fidelity",
    "FileEntry",
    "FrameSize",
    "Geometry",
    "Golden",
    "Identifier",
    "Manifest",
    "MapSize",
    "ModelInput",
    "OrderStatistic",
    "Resize",
    "Roi",
    "Tiles",
    "Trial",
    "Variant",
]

FORMAT: Final = "edge-ad/1"
CALIBRATION_FORMAT: Final = "edge-ad-calibration/1"
DEFAULT_STATION: Final = "default"

Pixels = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
Offset = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
Identifier = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
Probability = Annotated[float, msgspec.Meta(gt=0, lt=1)]


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Frozen; an unknown field is refused."""


class ModelInput(_Record, frozen=True, kw_only=True):
    """The graph's input ``frame``: uint8 ``[1, height, width, channels]``, BGR (3) or gray (1)."""

    width: Pixels
    height: Pixels
    channels: Literal[1, 3]


class FrameSize(_Record, frozen=True, kw_only=True):
    """The camera's frame, in pixels."""

    width: Pixels
    height: Pixels


class Roi(_Record, frozen=True, kw_only=True):
    """Region of interest, in camera pixels."""

    x: Offset
    y: Offset
    width: Pixels
    height: Pixels


class Resize(_Record, frozen=True, kw_only=True):
    """How the region of interest becomes the canvas of ``width`` x ``height`` pixels.

    ``mode``: ``stretch`` ignores the aspect ratio; ``letterbox`` keeps it and pads with ``fill``;
    ``center_crop`` keeps it, covers the canvas and cuts off what sticks out.
    ``kernel``: ``area`` is antialiasing (see ``edge_ad.geometry``); the others are OpenCV's.
    """

    width: Pixels
    height: Pixels
    mode: Literal["stretch", "letterbox", "center_crop"] = "stretch"
    kernel: Literal["area", "linear", "cubic", "nearest"] = "area"
    fill: Annotated[int, msgspec.Meta(ge=0, le=255)] = 0


class Tiles(_Record, frozen=True, kw_only=True):
    """The canvas is cut into tiles of the model's input size that overlap by at least ``overlap`` pixels."""

    overlap: Offset = 0


class Geometry(_Record, frozen=True, kw_only=True):
    """From the camera's frame to the model's input. ``frame`` is ``None`` where any frame size is taken.

    Order: region of interest, resize to the canvas (``None``: the region itself is the canvas), tiles.
    ``ignore`` names a mask in the bundle, 8-bit PNG of the frame's size, above 127 = not inspected.
    """

    frame: FrameSize | None = None
    roi: Roi | None = None
    resize: Resize | None
    tiles: Tiles | None = None
    ignore: str | None = None


class MapSize(_Record, frozen=True, kw_only=True):
    """The anomaly map as the graph gives it: float32 ``[1, height, width]``."""

    width: Pixels
    height: Pixels


class Fidelity(_Record, frozen=True, kw_only=True):
    """How a variant scored the images given to export, against the imported model."""

    images: int
    score_max_abs: float
    score_max_rel: float
    spearman: float
    map_correlation_min: float | None
    latency_ms: float
    size_bytes: int


class Variant(_Record, frozen=True, kw_only=True):
    """One artefact that an engine can run. ``golden_tolerance`` is absolute, in score units."""

    id: Identifier
    engine: Literal["onnxruntime", "openvino"]
    precision: Literal["fp32", "fp16", "int8"]
    model: str
    map: MapSize | None
    fidelity: Fidelity
    golden_tolerance: Annotated[float, msgspec.Meta(gt=0)]


class Trial(_Record, frozen=True, kw_only=True):
    """A variant that export tried, shipped or not. ``rejected`` says why it was not."""

    id: Identifier
    fidelity: Fidelity | None
    rejected: str | None = None


class Golden(_Record, frozen=True, kw_only=True):
    """Real frames (PNG) and, per variant, an ``.npz`` with ``scores`` ``[k]`` and ``maps`` ``[k, h', w']``."""

    frames: tuple[str, ...]
    expected: dict[str, str]


class FileEntry(_Record, frozen=True, kw_only=True):
    """One file of the bundle."""

    sha256: Sha256
    bytes: int


class Manifest(_Record, frozen=True, kw_only=True):
    """``manifest.json``. ``seal`` is the SHA-256 of the file itself with the seal's 64 digits set to zero."""

    format: Literal["edge-ad/1"]
    seal: Sha256
    name: Identifier
    version: str
    producer: str
    created: str
    family: str
    input: ModelInput
    geometry: Geometry
    variants: tuple[Variant, ...]
    default_variant: Identifier
    trials: tuple[Trial, ...] = ()
    golden: Golden
    files: dict[str, FileEntry]
    provenance: dict[str, str | int | float | bool | None] = {}


class OrderStatistic(_Record, frozen=True, kw_only=True):
    """A threshold that is the ``rank``-th largest of ``n`` held-out normal scores (1 = the largest).

    ``P(false-reject rate <= alpha) >= confidence`` for the rule ``score > threshold -> reject``.
    """

    threshold: float
    rank: Annotated[int, msgspec.Meta(ge=1)]
    n: Annotated[int, msgspec.Meta(ge=1)]


class Calibration(_Record, frozen=True, kw_only=True):
    """The thresholds of one station. ``scores`` are the normals' scores, ascending; one per observation."""

    method: Literal["order-statistic"]
    alpha: Probability
    confidence: Probability
    image: OrderStatistic
    pixel: OrderStatistic | None
    scores: tuple[float, ...]
    observation: Literal["frame", "part"]
    images_sha256: Sha256
    created: str
    producer: str


class CalibrationRecord(_Record, frozen=True, kw_only=True):
    """``variants/<id>/calibration.json``. Bound to the artefact and the geometry it was made through."""

    format: Literal["edge-ad-calibration/1"]
    seal: Sha256
    variant: Identifier
    artefact_sha256: Sha256
    geometry_sha256: Sha256
    stations: dict[Identifier, Calibration]
