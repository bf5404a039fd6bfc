"""Kept compiled models: bound to what made them, proven by golden frames, whole or not used."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from support import tiny
from support.changed_bundle import change, spoil_golden
from support.tiny_calibration import calibrate

from edge_ad import Detector, EngineOptions
from edge_ad.bundle import Bundle
from edge_ad.engines import open_engine
from edge_ad.engines.base import CompilingEngine
from edge_ad.engines.compiled import CompiledModels
from edge_ad.engines.processor import describe_processor
from edge_ad.errors import GoldenError
from edge_ad.scoring.verification import verify_bundle
from edge_ad.update import open_for_station

VARIANT = "openvino-fp32"


def keeping(folder: Path) -> EngineOptions:
    return EngineOptions(threads=1, cache_dir=folder)


def first_start(bundle: Path, folder: Path) -> Path:
    """Compiles and keeps the model; returns its file."""
    with Detector.open(bundle, VARIANT, engine=keeping(folder)) as detector:
        assert detector.engine.compiled is None
        assert detector.notices == ()
    (file,) = folder.iterdir()
    return file


def test_the_second_start_uses_what_the_first_one_compiled(tiny_bundle: Path, tmp_path: Path) -> None:
    frame = tiny.frames(1, shape=(32, 32, 3))[0]
    file = first_start(tiny_bundle, tmp_path / "kept")
    with Detector.open(tiny_bundle, VARIANT, engine=keeping(tmp_path / "kept")) as detector:
        assert detector.engine.compiled == file
        found = detector.score(frame).score
    with Detector.open(tiny_bundle, VARIANT) as detector:
        assert detector.score(frame).score == found


def test_a_damaged_one_is_compiled_again_and_one_line_says_so(tiny_bundle: Path, tmp_path: Path) -> None:
    file = first_start(tiny_bundle, tmp_path / "kept")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)

    with Detector.open(tiny_bundle, VARIANT, engine=keeping(tmp_path / "kept")) as detector:
        assert detector.engine.compiled is None
        assert len(detector.notices) == 1
        assert "is damaged: the model is compiled again" in detector.notices[0]
    with Detector.open(tiny_bundle, VARIANT, engine=keeping(tmp_path / "kept")) as detector:
        assert (detector.engine.compiled, detector.notices) == (file, ())


@pytest.mark.parametrize("length", [0, 10, 64])
def test_a_torn_file_is_damaged(tiny_bundle: Path, tmp_path: Path, length: int) -> None:
    file = first_start(tiny_bundle, tmp_path / "kept")
    file.write_bytes(file.read_bytes()[:length])

    assert CompiledModels(file.parent).load(file)[0] is None


def test_one_that_gives_other_scores_takes_no_room_of_the_one_that_scores(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder has room for one model, and the first choice gives other scores."""
    folder = tmp_path / "kept"
    file = first_start(tiny_bundle, folder)
    monkeypatch.setattr(CompiledModels.__init__, "__defaults__", (file.stat().st_size * 3 // 2,))
    bundle = Bundle.open(tiny.write_bundle(tmp_path / "other-scores", graph=tiny.model(scale=1 / 100)))
    spoil_golden(bundle.path, VARIANT)
    with pytest.raises(GoldenError):
        Detector.open(bundle.path, VARIANT, engine=keeping(folder))

    assert list(folder.iterdir()) == [file]
    with Detector.open(tiny_bundle, VARIANT, engine=keeping(folder)) as detector:
        assert detector.engine.compiled == file


def kept_of_another_model(bundle: Path, folder: Path) -> Path:
    """The kept file is whole, but holds the compiled form of another model of the same shapes."""
    file = first_start(bundle, folder / "kept")
    other = file.with_name("other")
    CompiledModels(file.parent).store(other, _compiled(tiny.model(scale=1 / 100), folder))
    other.replace(file)
    return file


def test_a_kept_model_that_cannot_be_deleted_is_not_used(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = kept_of_another_model(tiny_bundle, tmp_path)

    def refuse(_: Path, missing_ok: bool = False) -> None:
        raise PermissionError(f"missing_ok={missing_ok}")

    monkeypatch.setattr(Path, "unlink", refuse)
    with Detector.open(tiny_bundle, VARIANT, engine=keeping(tmp_path / "kept")) as detector:
        assert detector.engine.compiled is None
    assert file.is_file()


def test_a_kept_model_that_gives_other_scores_makes_room_for_the_right_one(tiny_bundle: Path, tmp_path: Path) -> None:
    file = kept_of_another_model(tiny_bundle, tmp_path)
    wrong = file.read_bytes()

    with Detector.open(tiny_bundle, VARIANT, engine=keeping(tmp_path / "kept")) as detector:
        assert detector.engine.compiled is None
    assert file.read_bytes() != wrong
    assert verify_bundle(tiny_bundle, VARIANT, keeping(tmp_path / "kept")).problem is None


def _compiled(model: onnx.ModelProto, folder: Path) -> bytes:
    engine_folder = folder / "other"
    source = Bundle.open(tiny.write_bundle(folder / "other-bundle", graph=model))
    artefact = source.artefact(source.variant(VARIANT))
    engine = open_engine("openvino", artefact, keeping(engine_folder))
    assert isinstance(engine, CompilingEngine)
    engine.keep_compiled()
    engine.close()
    (file,) = engine_folder.iterdir()
    found, notice = CompiledModels(engine_folder).load(file)
    assert found is not None
    assert notice is None
    return found.tobytes()


@pytest.mark.parametrize(("variant", "kept"), [(VARIANT, 1), ("onnx-fp32", 0)])
def test_a_station_keeps_those_of_engines_that_keep_any(
    tiny_bundle: Path, tmp_path: Path, variant: str, kept: int
) -> None:
    calibrate(tiny_bundle, 0.5, variant=variant)
    bundle, folder = Bundle.open(tiny_bundle), tmp_path / "kept"
    with ThreadPoolExecutor(1) as apart:  # a station's engines change how their thread rounds
        apart.submit(lambda: open_for_station(bundle, variant, None, "CPU", 1, cache=str(folder)).close()).result()

    assert len(list(folder.glob("*"))) == kept


@pytest.mark.parametrize(
    ("first", "scores", "kept"),
    [
        pytest.param("onnx-fp32", VARIANT, 1, id="it-keeps-some"),
        pytest.param(VARIANT, "onnx-fp32", 0, id="the-first-choice-alone-does"),
    ],
)
def test_a_station_keeps_that_of_the_variant_that_scores_here(
    tiny_bundle: Path, tmp_path: Path, first: str, scores: str, kept: int
) -> None:
    """The golden frames of the first choice differ, so the other one takes its place."""
    spoil_golden(tiny_bundle, first)
    change(tiny_bundle, default_variant=first)
    for variant in (first, scores):
        calibrate(tiny_bundle, 0.5, variant=variant)
    bundle, folder = Bundle.open(tiny_bundle), tmp_path / "kept"

    def start() -> tuple[str, Path | None]:
        with open_for_station(bundle, None, None, "CPU", 1, cache=str(folder)) as detector:
            return detector.variant.id, detector.engine.compiled

    with ThreadPoolExecutor(1) as apart:
        starts = [apart.submit(start).result() for _ in range(2)]

    files = list(folder.glob("*"))
    assert len(files) == kept
    assert starts == [(scores, None), (scores, next(iter(files), None))]


def test_without_golden_frames_no_kept_model_is_used(tiny_bundle: Path, tmp_path: Path) -> None:
    first_start(tiny_bundle, tmp_path / "kept")
    with Detector.open(tiny_bundle, VARIANT, engine=keeping(tmp_path / "kept"), self_test=False) as detector:
        assert detector.engine.compiled is None


def test_a_kept_model_is_bound_to_its_settings(tiny_bundle: Path, tmp_path: Path) -> None:
    first_start(tiny_bundle, tmp_path / "kept")
    for options in (replace(keeping(tmp_path / "kept"), threads=2), keeping(tmp_path / "kept")):
        Detector.open(tiny_bundle, VARIANT, engine=options).close()

    assert len(list((tmp_path / "kept").iterdir())) == 2


@pytest.mark.parametrize("changed", ["artefact", "engine", "processor"])
def test_a_file_is_named_after_what_it_is_bound_to(tmp_path: Path, changed: str) -> None:
    bound_to = {"artefact": "a", "engine": "b", "processor": describe_processor()}
    models = CompiledModels(tmp_path)

    assert models.file(bound_to) == models.file(dict(reversed(bound_to.items())))
    assert models.file(bound_to) != models.file(bound_to | {changed: "other"})


def test_those_that_were_used_longest_ago_give_way(tmp_path: Path) -> None:
    models = CompiledModels(tmp_path, most_bytes=3_000)
    files = [models.file({"artefact": str(number)}) for number in range(4)]
    for age, file in enumerate(files[:3]):
        models.store(file, bytes(900))
        os.utime(file, (1_000 + age, 1_000 + age))
    models.load(files[0])
    models.store(files[3], bytes(900))

    assert set(tmp_path.iterdir()) == {files[0], files[2], files[3]}


def test_one_that_is_too_large_is_not_kept(tmp_path: Path) -> None:
    models = CompiledModels(tmp_path, most_bytes=1_000)
    file = models.file({"artefact": "large"})

    assert "larger" in str(models.store(file, bytes(1_000)))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_costs_only_a_line(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with Detector.open(tiny_bundle, VARIANT, engine=keeping(tmp_path / "file")) as detector:
        assert "not kept" in detector.notices[0]


def test_a_folder_that_everyone_may_write_to_is_not_used(tmp_path: Path) -> None:
    models = CompiledModels(tmp_path)
    file = models.file({"artefact": "a"})
    models.store(file, b"compiled")
    tmp_path.chmod(0o777)
    found, notice = models.load(file)
    tmp_path.chmod(0o700)

    assert found is None
    assert "everyone" in str(notice)
    mended = models.load(file)[0]
    assert mended is not None
    assert mended.tobytes() == b"compiled"
