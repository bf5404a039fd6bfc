"""The records a bundle is made of, as they stand in its JSON files. Strict: an unknown field is refused."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from edge_ad.bundle.calibrations import (
    CALIBRATION_FORMAT,
    DEFAULT_STATION,
    AnyCalibration,
    Calibration,
    CalibrationRecord,
    EngineRecord,
    Exclusion,
    FixedCalibration,
    FixedThreshold,
    FrameReference,
    MadCalibration,
    MadThreshold,
    OrderStatistic,
    RankCalibration,
    TailCalibration,
    TailThreshold,
    Threshold,
)
from edge_ad.bundle.clip import Clip, Smoothing
from edge_ad.bundle.fields import Identifier, Offset, Pixels, Record, Sha256

__all__ = [
    "CALIBRATION_FORMAT",
    "DEFAULT_STATION",
    "FORMAT",
    "AnyCalibration",
    "Calibration",
    "CalibrationRecord",
    "Clip",
    "EngineRecord",
    "Exclusion",
    "Fidelity",
    "FileEntry",
    "FixedCalibration",
    "FixedThreshold",
    "FrameReference",
    "FrameSize",
    "Geometry",
    "Golden",
    "Identifier",
    "Judging",
    "LabelledFidelity",
    "MadCalibration",
    "MadThreshold",
    "Manifest",
    "MapSize",
    "ModelInput",
    "OrderStatistic",
    "RankCalibration",
    "Resize",
    "Roi",
    "Sha256",
    "Smoothing",
    "TailCalibration",
    "TailThreshold",
    "Threshold",
    "Tiles",
    "Trial",
    "Variant",
]

FORMAT: Final = "edge-ad/1"


class ModelInput(Record, frozen=True, kw_only=True):
    """The graph's input ``frame``: uint8 ``[1, height, width, channels]``, BGR (3) or gray (1)."""

    width: Pixels
    height: Pixels
    channels: Literal[1, 3]


class FrameSize(Record, frozen=True, kw_only=True):
    """The camera's frame, in pixels."""

    width: Pixels
    height: Pixels


class Roi(Record, frozen=True, kw_only=True):
    """Region of interest, in camera pixels."""

    x: Offset
    y: Offset
    width: Pixels
    height: Pixels


class Resize(Record, frozen=True, kw_only=True):
    """How the region of interest becomes the canvas of ``width`` x ``height`` pixels.

    ``mode``: ``stretch`` ignores the aspect ratio; ``letterbox`` keeps it and pads with ``fill``;
    ``center_crop`` keeps it, covers the canvas and cuts off what sticks out.
    ``kernel``: ``area`` is antialiasing (see ``edge_ad.geometry``); ``linear``, ``cubic`` and ``nearest`` are OpenCV's;
    ``antialiased-linear`` and ``antialiased-cubic`` are ``bilinear`` and ``bicubic`` of Pillow and torchvision.
    """

    width: Pixels
    height: Pixels
    mode: Literal["stretch", "letterbox", "center_crop"] = "stretch"
    kernel: Literal["area", "linear", "cubic", "nearest", "antialiased-linear", "antialiased-cubic"] = "area"
    fill: Annotated[int, msgspec.Meta(ge=0, le=255)] = 0


class Tiles(Record, frozen=True, kw_only=True):
    """The canvas is cut into tiles of the model's input size that overlap by at least ``overlap`` pixels."""

    overlap: Offset = 0


class Geometry(Record, frozen=True, kw_only=True):
    """From the camera's frame to the model's input. ``frame`` is ``None`` where any frame size is taken.

    Order: region of interest, resize to the canvas (``None``: the region itself is the canvas), tiles.
    ``ignore`` names a mask in the bundle, 8-bit PNG of the frame's size, above 127 = not inspected.
    ``level``: what is scored: the frame, or each of the objects whose boxes come with a frame. An object is then what
    resize and tiles begin with, and there is nothing in the geometry that is fixed in camera pixels.
    """

    frame: FrameSize | None = None
    roi: Roi | None = None
    resize: Resize | None
    tiles: Tiles | None = None
    ignore: str | None = None
    level: Literal["frame", "object"] = "frame"

    def __post_init__(self) -> None:
        if self.level == "object" and (self.frame or self.roi or self.ignore or self.resize is None):
            raise ValueError("objects come in any size and place: expected a resize, and no frame size, roi or mask")


class MapSize(Record, frozen=True, kw_only=True):
    """The anomaly map as the graph gives it: float32 ``[1, height, width]``."""

    width: Pixels
    height: Pixels


class LabelledFidelity(Record, frozen=True, kw_only=True):
    """How a variant does on labelled images. ``roc_auc_lost``: against the imported model; negative: better.

    ``pixel_roc_auc`` and ``aupimo``: ``None`` without maps or masks.
    """

    images: int
    roc_auc: float
    roc_auc_lost: float
    average_precision: float
    pixel_roc_auc: float | None
    aupimo: float | None = None
    aupimo_lost: float | None = None


class Fidelity(Record, frozen=True, kw_only=True):
    """How a variant scored the images given to export, against the imported model.

    ``defects``: copies of images with a synthetic defect, which ``score_max_*``, ``spearman`` and
    ``map_correlation_min`` are over too. ``more_false_rejects``: of the ``images``, after each was calibrated anew.
    ``aupimo``: of the defects' maps, ``None`` without. ``spearman_low``: with 95 % confidence the rank correlation is
    at least this, see :mod:`edge_ad_metrics.rank_correlation`, that of a mixed variant corrected for the forms that may
    have been tried; ``None`` in a bundle that an earlier version wrote.
    """

    images: int
    defects: int = 0
    spearman_low: float | None = None
    spearman_normals: float | None = None
    roc_auc_lost: float | None = None
    aupimo: float | None = None
    aupimo_lost: float | None = None
    more_false_rejects: int | None = None
    labelled: LabelledFidelity | None = None
    score_max_abs: float
    score_max_rel: float
    spearman: float
    map_correlation_min: float | None
    latency_ms: float
    size_bytes: int


class Judging(Record, frozen=True, kw_only=True):
    """Which images judged the variants, by name, and which kinds of synthetic defects were drawn into copies of them.

    ``quantizer_images`` and ``quantizer_defects``: what the quantizer was shown. ``shared``: there were too few images
    to split, so that the quantizer was shown those that judged.
    """

    images: tuple[str, ...]
    defects: tuple[str, ...]
    quantizer_images: tuple[str, ...]
    quantizer_defects: tuple[str, ...]
    shared: bool = False


class Variant(Record, frozen=True, kw_only=True):
    """One artefact that an engine can run. ``golden_tolerance`` is absolute, in score units.

    ``precision``: what it calculates in, but for ``fp16``, which is float32 with weights stored in 16 bits.
    ``extractor``: of a two-stage variant, the graph that makes a vector of each frame; ``model`` takes these.
    ``min_runtime``: the version of the engine that the file was made for, ``None`` for the oldest supported one.
    """

    id: Identifier
    engine: Literal["onnxruntime", "openvino"]
    precision: Literal["fp32", "fp16", "bf16", "int8"]
    model: str
    map: MapSize | None
    fidelity: Fidelity
    golden_tolerance: Annotated[float, msgspec.Meta(gt=0)]
    extractor: str | None = None
    min_runtime: str | None = None


class Trial(Record, frozen=True, kw_only=True):
    """A variant that export tried, shipped or not. ``rejected`` says why it was not, ``made`` how it was quantized."""

    id: Identifier
    fidelity: Fidelity | None
    rejected: str | None = None
    made: str | None = None


class Golden(Record, frozen=True, kw_only=True):
    """Real frames (PNG) and, per variant, an ``.npz`` with ``scores`` ``[k]`` and ``maps`` ``[k, h', w']``."""

    frames: tuple[str, ...]
    expected: dict[str, str]


class FileEntry(Record, frozen=True, kw_only=True):
    """One file of the bundle."""

    sha256: Sha256
    bytes: int


class Manifest(Record, frozen=True, kw_only=True):
    """``manifest.json``. ``seal`` is the SHA-256 of the file itself with the seal's 64 digits set to zero.

    ``clip``: ``None`` where the model scores single frames. With it, :attr:`Clip.golden_frames` golden frames in a row
    make one golden clip. ``input``: of a two-stage bundle that of the extractor. ``judging``: ``None`` in a bundle that
    an earlier version wrote, whose quantizer was shown the images that judged. ``targets``: for each kind of CPU that
    the bundle was made for, the ids of its variants, the fastest first; absent where it was made for one kind.
    """

    format: Literal["edge-ad/1"]
    seal: Sha256
    name: Identifier
    version: str
    producer: str
    created: str
    family: str
    input: ModelInput
    geometry: Geometry
    clip: Clip | None = None
    variants: tuple[Variant, ...]
    default_variant: Identifier
    trials: tuple[Trial, ...] = ()
    golden: Golden
    judging: Judging | None = None
    targets: dict[Identifier, tuple[Identifier, ...]] | msgspec.UnsetType = msgspec.UNSET
    files: dict[str, FileEntry]
    provenance: dict[str, str | int | float | bool | None] = msgspec.field(default_factory=dict)

    def rejected(self, variant_id: str) -> str | None:
        """Why export rejected a variant that is here all the same; ``None`` of one that it shipped."""
        return next((trial.rejected for trial in self.trials if trial.id == variant_id), None)

    @property
    def orders(self) -> dict[str, tuple[str, ...]]:
        """:attr:`targets`; empty where the bundle was made for one kind of CPU."""
        return {} if isinstance(self.targets, msgspec.UnsetType) else self.targets

    def made_for(self, variant_id: str) -> tuple[str, ...]:
        """The kinds of CPU that a variant is meant for; empty where the bundle was made for one kind."""
        return tuple(kind for kind, order in self.orders.items() if variant_id in order)

    def needed_for(self, kind: str) -> tuple[Variant, ...]:
        """What has to be calibrated for devices with this kind of CPU: their first choice, and their first choice in
        float, which every CPU calculates alike."""
        order = [one for name in self.orders[kind] for one in self.variants if one.id == name]
        others = [one for one in order[1:] if one.precision in ("fp32", "fp16")]
        return (order[0],) if order[0].precision in ("fp32", "fp16") else (order[0], *others[:1])

    @property
    def takes_vectors(self) -> bool:
        """Whether the caller gives feature vectors instead of pictures."""
        return self.clip is not None and self.clip.input == "features" and not self.variants[0].extractor
