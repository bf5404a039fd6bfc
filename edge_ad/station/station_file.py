"""The station file: everything that a station is, read and checked whole before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import msgspec

from edge_ad.bundle.fields import Identifier, Record
from edge_ad.cameras import CameraSettings
from edge_ad.cameras.settings import source_kind
from edge_ad.errors import InputError
from edge_ad.station.digital_input import InputSettings
from edge_ad.station.evidence_writer import EvidenceChoice
from edge_ad.station.kept_counts import CounterSettings
from edge_ad.station.metrics import MetricsSettings
from edge_ad.station.output_settings import OutputSettings, check_output
from edge_ad.station.preview_writer import PreviewChoice
from edge_ad.station.proofs import ProofSettings
from edge_ad.station.scorer_drift import DriftChoice
from edge_ad.station.station_log import AuditSettings, LogSettings
from edge_ad.station.stop_rules import StopRule
from edge_ad.station.strict import convert, no_toml
from edge_ad.teaching.session import TeachingSettings
from edge_ad.update.challenge import ChallengeSettings, check_challenges
from edge_ad.update.slots import UpdateSettings

if TYPE_CHECKING:
    from edge_ad.station.video_writer import VideoChoice

__all__ = [
    "DEFAULT_RECIPE",
    "InspectionSettings",
    "LinkSettings",
    "RecipeSettings",
    "StationFile",
    "StationSettings",
    "read_station_file",
    "station_schema",
]

T = TypeVar("T")
I = TypeVar("I", "InspectionSettings", "RecipeInspection")  # noqa: E741

DEFAULT_RECIPE = "default"
"""The name of the recipe of a file that names none."""

Milliseconds = Annotated[int, msgspec.Meta(ge=1, le=600_000)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
Small = Annotated[int, msgspec.Meta(ge=1, le=1_000)]


class StationSettings(Record, frozen=True, kw_only=True):
    """``[station]``. What a part is, what begins it, and how long it may take.

    ``trigger``: what begins a part: every frame of ``trigger_camera`` (``camera``), a client of the link (``link``), a
    timer every ``timer_ms`` (``timer``), or a pulse of the digital input ``[input]`` (``input``).
    ``deadline_ms``: from the trigger to the verdict; a later one is INVALID.
    ``max_open_parts``: triggers beyond are refused, and frames that would be parts are INVALID.
    ``reject_from``: how many of a part's frames must be rejected to reject the part.
    ``recipe``: the one to begin with.
    """

    name: Identifier
    trigger: Literal["camera", "link", "timer", "input"] = "camera"
    trigger_camera: str | None = None
    timer_ms: Milliseconds | None = None
    deadline_ms: Milliseconds = 1_000
    max_open_parts: Small = 8
    reject_from: Small = 1
    recipe: Identifier | None = None


class InspectionSettings(Record, frozen=True, kw_only=True):
    """``[inspect.NAME]``: a bundle that scores the frames of a camera, in a process of its own.

    ``calibration``: the name of the calibrated station in the bundle. ``frames``: how many frames of the camera belong
    to a part.
    ``memory_mb``: a scorer that takes more is started again. ``hang_ms``: so is one that does not answer for so long.
    ``open_s``: and one that has not opened and verified its bundle within that time, which is a FAULT.
    ``challenge``: what a deployed bundle has to tell apart before it is taken.
    """

    camera: str
    bundle: str
    variant: str | None = None
    calibration: str | None = None
    device: str = "CPU"
    threads: Small | None = 1
    frames: Small = 1
    memory_mb: Annotated[int, msgspec.Meta(ge=64, le=1_048_576)] = 1_024
    hang_ms: Milliseconds = 10_000
    open_s: Annotated[float, msgspec.Meta(ge=0.1, le=3_600)] = 120.0
    challenge: ChallengeSettings | None = None


class RecipeInspection(Record, frozen=True, kw_only=True):
    """``[recipe.NAME.inspect.NAME]``: what this recipe changes of an inspection."""

    bundle: str | None = None
    variant: str | None = None
    calibration: str | None = None
    challenge: ChallengeSettings | None = None


class RecipeCamera(Record, frozen=True, kw_only=True):
    """``[recipe.NAME.camera.NAME]``: what this recipe changes of a camera; ``features`` are added to the camera's."""

    exposure_us: Annotated[float, msgspec.Meta(gt=0)] | None = None
    gain: float | None = None
    features: dict[str, str | int | float | bool] = msgspec.field(default_factory=dict)


class RecipeSettings(Record, frozen=True, kw_only=True):
    """``[recipe.NAME]``: what changes for one kind of part."""

    inspect: dict[Identifier, RecipeInspection] = msgspec.field(default_factory=dict)
    camera: dict[Identifier, RecipeCamera] = msgspec.field(default_factory=dict)


class LinkSettings(Record, frozen=True, kw_only=True):
    """``[link]``: the Unix socket by which other programs trigger and listen; ``mode``: its permissions, octal."""

    socket: str | None = None
    mode: Annotated[str, msgspec.Meta(pattern="^0?[0-7]{3}$")] = "0660"


class TrustSettings(Record, frozen=True, kw_only=True):
    """``[trust]``: only bundles that the trust store ``store`` (``edge-ad trust``) vouches for are inspected with."""

    store: str


class CacheSettings(Record, frozen=True, kw_only=True):
    """``[cache]``: scorers keep compiled models in ``folder``, from which they start sooner."""

    folder: str


_OF_CAMERAS = ("exposure_us", "gain")


class StationFile(Record, frozen=True, kw_only=True):
    """A whole station file. Paths in it are relative to the folder of the file.

    ``controller``: a table for each; what it may say depends on its protocol (:mod:`edge_ad.controllers`).
    """

    station: StationSettings
    camera: dict[Identifier, CameraSettings]
    inspect: dict[Identifier, InspectionSettings]
    recipe: dict[Identifier, RecipeSettings] = msgspec.field(default_factory=dict)
    stop: dict[Identifier, StopRule] = msgspec.field(default_factory=dict)
    output: dict[Identifier, OutputSettings] = msgspec.field(default_factory=dict)
    input: InputSettings | None = None
    link: LinkSettings | None = None
    evidence: EvidenceChoice | None = None
    drift: DriftChoice | None = None
    preview: PreviewChoice | None = None
    counters: CounterSettings | None = None
    metrics: MetricsSettings | None = None
    log: LogSettings | None = None
    audit: AuditSettings | None = None
    trust: TrustSettings | None = None
    cache: CacheSettings | None = None
    update: UpdateSettings | None = None
    teaching: TeachingSettings | None = None
    proof: ProofSettings | None = None
    controller: dict[Identifier, dict[str, Any]] = msgspec.field(default_factory=dict)

    @property
    def first_recipe(self) -> str:
        """The recipe that the station begins with."""
        return self.station.recipe or next(iter(self.recipe), DEFAULT_RECIPE)

    @property
    def recipes(self) -> tuple[str, ...]:
        """The names of all recipes."""
        return tuple(self.recipe) or (DEFAULT_RECIPE,)

    def inspections(self, recipe: str) -> dict[str, InspectionSettings]:
        """The inspections of a recipe, by name."""
        changed = self.recipe[recipe].inspect if self.recipe else {}
        return {name: _changed(one, changed.get(name)) for name, one in self.inspect.items()}

    def cameras(self, recipe: str) -> dict[str, CameraSettings]:
        """The cameras as a recipe wants them, by name."""
        changed = self.recipe[recipe].camera if self.recipe else {}
        return {name: _set_otherwise(one, changed.get(name)) for name, one in self.camera.items()}

    def trigger_camera(self) -> str:
        """The camera whose frames are parts, where ``trigger`` is ``camera``."""
        return self.station.trigger_camera or next(iter(self.camera))

    def evidence_bytes(self) -> int:
        """What the evidence of one inspection may take of the disk."""
        return 0 if self.evidence is None else self.evidence.limit_mb * 1_000_000 // len(self.inspect)

    def videos(self) -> tuple[VideoChoice, ...]:
        """The video outputs, as each inspection writes them."""
        given = ((name, one) for name, one in self.output.items() if one.kind == "video")
        return tuple(one.video(name, len(self.inspect)) for name, one in given)

    def is_patient(self, camera: str) -> bool:
        """Whether a camera waits until its frames are taken: files do that come as fast as possible."""
        one = self.camera[camera]
        return one.is_files and one.pace == "fast" and one.trigger == "free"

    def only_link_camera(self) -> str | None:
        """The camera whose frames are handed in, where there is just one."""
        handed = [name for name, one in self.camera.items() if one.source == "link"]
        return handed[0] if len(handed) == 1 else None

    def frames_wanted(self) -> dict[str, int]:
        """How many frames of each camera belong to a part."""
        return {one.camera: one.frames for one in self.inspect.values()}


def read_station_file(path: Path) -> StationFile:
    """Reads a station file and checks all that can be checked without opening a camera or a bundle.

    Raises:
        InputError: it cannot be read, is no TOML, or something in it is unknown, missing, of the wrong kind, or
            contradicts another entry; the message names the entry.
    """
    try:
        data = msgspec.toml.decode(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: the station file cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {no_toml(path, str(error))}") from error
    try:
        file = convert(data, StationFile, "")
        _check_names(file)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return _below(file, path.absolute().parent)


def station_schema() -> dict[str, object]:
    """The JSON Schema of a station file, for editors."""
    return msgspec.json.schema(StationFile)


def _changed(base: InspectionSettings, change: RecipeInspection | None) -> InspectionSettings:
    if change is None:
        return base
    given = {name: value for name in change.__struct_fields__ if (value := getattr(change, name)) is not None}
    if change.bundle is not None:  # what was chosen of the other bundle says nothing of this one
        given = {"variant": None, "calibration": None, "challenge": None, **given}
    return msgspec.structs.replace(base, **given)


def _set_otherwise(base: CameraSettings, change: RecipeCamera | None) -> CameraSettings:
    if change is None:
        return base
    given = {name: value for name in _OF_CAMERAS if (value := getattr(change, name)) is not None}
    return msgspec.structs.replace(base, **given, features=base.features | change.features)


def _below(file: StationFile, folder: Path) -> StationFile:
    """The same with paths that do not depend on the working directory."""
    inspect = {k: _inspection_below(v, folder) for k, v in file.inspect.items()}
    output = {
        k: v if v.path is None else msgspec.structs.replace(v, path=str(folder / v.path))
        for k, v in file.output.items()
    }
    recipe = {}
    for name, one in file.recipe.items():
        changed = {k: _inspection_below(v, folder) for k, v in one.inspect.items()}
        recipe[name] = msgspec.structs.replace(one, inspect=changed)
    link = file.link
    if link is not None and link.socket is not None:
        link = msgspec.structs.replace(link, socket=str(folder / link.socket))
    camera = {k: _camera_below(v, folder) for k, v in file.camera.items()}
    others = {
        name: _kept_below(getattr(file, name), key, folder)
        for name, key in (
            ("evidence", "folder"),
            ("drift", "folder"),
            ("preview", "folder"),
            ("counters", "file"),
            ("metrics", "file"),
            ("log", "file"),
            ("audit", "file"),
            ("trust", "store"),
            ("cache", "folder"),
            ("update", "folder"),
            ("teaching", "folder"),
            ("proof", "file"),
        )
    }
    return msgspec.structs.replace(
        file, inspect=inspect, output=output, recipe=recipe, link=link, camera=camera, **others
    )


def _inspection_below(one: I, folder: Path) -> I:
    """An inspection, or what a recipe changes of it, with its bundle and challenge set."""
    challenge = one.challenge
    if challenge is not None:
        places = {"good": str(folder / challenge.good), "bad": str(folder / challenge.bad)}
        challenge = msgspec.structs.replace(challenge, **places)
    bundle = one.bundle and str(folder / one.bundle)
    return msgspec.structs.replace(one, bundle=bundle, challenge=challenge)


def _kept_below(table: T, key: str, folder: Path) -> T:
    """A table with a path under ``key``, or ``None``."""
    name = getattr(table, key, None)
    return table if name is None else msgspec.structs.replace(table, **{key: str(folder / name)})  # type: ignore[type-var]


def _camera_below(one: CameraSettings, folder: Path) -> CameraSettings:
    if source_kind(one.source) not in {"folder", "video"}:
        return one
    return msgspec.structs.replace(one, source=str(folder / one.source))


def _check_names(file: StationFile) -> None:
    if not file.camera:
        raise InputError("expected at least one camera: add a table [camera.NAME] with its source")
    if not file.inspect:
        raise InputError("expected at least one inspection: add a table [inspect.NAME] with camera and bundle")
    for name, one in file.inspect.items():
        _known(one.camera, file.camera, f"inspect.{name}.camera")
    used = {one.camera for one in file.inspect.values()}
    for name in file.camera:
        if name not in used:
            raise InputError(f"camera.{name} is inspected by nothing: add an [inspect.NAME] with camera = {name!r}")
        frames = {one.frames for one in file.inspect.values() if one.camera == name}
        if len(frames) > 1:
            raise InputError(
                f"inspections of camera {name!r} ask for {sorted(frames)} frames a part: give all the same"
            )
    for name, rule in file.stop.items():
        if rule.of is not None and rule.of < rule.count:
            raise InputError(f"stop.{name}: expected of >= count, found {rule.of} < {rule.count}")
    for name, output in file.output.items():
        check_output(f"output.{name}", output)
    _check_recipes(file)
    inspections = {recipe: file.inspections(recipe) for recipe in file.recipes}
    check_challenges(inspections, has_proof=file.proof is not None, has_counters=file.counters is not None)
    _check_trigger(file)


def _check_recipes(file: StationFile) -> None:
    if file.station.recipe is not None:
        _known(file.station.recipe, file.recipes, "station.recipe")
    for recipe, settings in file.recipe.items():
        for name in settings.inspect:
            _known(name, file.inspect, f"recipe.{recipe}.inspect")
        for name in settings.camera:
            _known(name, file.camera, f"recipe.{recipe}.camera")
            if file.camera[name].source == "link":
                raise InputError(f"recipe.{recipe}.camera.{name}: its frames are handed in: there is nothing to set")
    _check_recipe_cameras(file)


def _check_recipe_cameras(file: StationFile) -> None:
    """What a recipe does not set stays as the recipe before it left it: each has to say all of it."""
    for name in file.camera:
        known = {recipe: _settings_given(file.cameras(recipe)[name]) for recipe in file.recipes}
        for key in sorted(set[str]().union(*known.values())):
            lacking = [recipe for recipe, keys in known.items() if key not in keys]
            if lacking:
                raise InputError(
                    f"recipe.{lacking[0]}.camera.{name}.{key} is missing: another recipe sets it, and it would stay: "
                    f"give it here, or in [camera.{name}]"
                )


def _settings_given(camera: CameraSettings) -> set[str]:
    given = {name for name in _OF_CAMERAS if getattr(camera, name) is not None}
    return given | {f"features.{name}" for name in camera.features}


def _check_trigger(file: StationFile) -> None:
    settings = file.station
    if (settings.trigger == "timer") != (settings.timer_ms is not None):
        raise InputError('station: timer_ms and trigger = "timer" belong together: give both or neither')
    if (settings.trigger == "input") != (file.input is not None):
        raise InputError('station: a table [input] and trigger = "input" belong together: give both or neither')
    if settings.trigger == "link" and file.link is None:
        raise InputError('station.trigger = "link" needs a table [link]')
    if settings.trigger != "camera":
        if settings.trigger_camera is not None:
            raise InputError('station.trigger_camera only applies with trigger = "camera"')
        return
    if settings.trigger_camera is not None:
        _known(settings.trigger_camera, file.camera, "station.trigger_camera")
    elif len(file.camera) > 1:
        raise InputError("station.trigger_camera is missing: name the camera whose frames begin a part")


def _known(name: str, known: object, where: str) -> None:
    names = [str(one) for one in known]  # type: ignore[attr-defined]
    if name not in names:
        raise InputError(f"{where}: no {name!r} in this file: there are {', '.join(names)}")
