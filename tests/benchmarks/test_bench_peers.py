"""The comparison with peers: every program answers for itself, on the same frames."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from support import export_models, tiny
from support.export_models import Tiny

from benchmarks.peers.__main__ import AS_IT_IS, AVX2, AVX2_VNNI, Played, played_cpus
from benchmarks.peers.accuracy import measure_accuracy
from benchmarks.peers.comparison import Conditions, Entry, Result, run_comparison
from benchmarks.peers.images import MaskedImage
from edge_ad_export import ExportRequest, Gate, export_bundle

SIDE = 256


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, ...]:
    folder = tmp_path_factory.mktemp("comparison")
    model = export_models.write(folder, Tiny(size=SIDE, batch=1))
    images = tiny.write_images(folder / "parts", export_models.parts(4, shape=(SIDE, SIDE, 3)))
    request = ExportRequest(model, images, folder / "bundle", gate=Gate(0, 0), variants=("onnx-fp32",), threads=1)
    export_bundle(request)
    python = Path(sys.executable)
    entries = (
        Entry("edge-ad", "edge-ad", request.target, python, (request.target / "variants/onnx-fp32/model.onnx",)),
        Entry("bare onnxruntime", "onnxruntime", model, python, (model,)),
        Entry("bare openvino", "openvino", model, python, (model,)),
    )
    return run_comparison(entries, sorted(images.iterdir()), folder, runs=2, starts=1, conditions=Conditions(1, {}))


def test_all_score_the_same_frames_alike(results: tuple[Result, ...]) -> None:
    ours, *others = results

    assert [len(result.scores) for result in results] == [4, 4, 4]
    for other in others:
        np.testing.assert_allclose(other.scores, ours.scores, rtol=1e-3)
        for anomaly_map, expected in zip(other.maps, ours.maps, strict=True):
            np.testing.assert_allclose(anomaly_map, expected, rtol=1e-2, atol=1e-3)


def test_each_is_timed_and_weighed(results: tuple[Result, ...]) -> None:
    for result in results:
        assert len(result.start_s) == len(result.peak_mib) == 1
        assert len(result.total_ms) == len(result.engine_ms) == 2
        assert min(result.start_s) > min(result.total_ms) / 1e3 > 0
        assert min(result.peak_mib) > 20
        assert result.entry.size_mib > 0


def test_accuracy_tells_marked_defects_from_normal_parts(tmp_path: Path) -> None:
    mask = np.zeros((8, 8), np.uint8)
    mask[:4] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    images = [MaskedImage(Path("good.png"), None), MaskedImage(Path("bad.png"), tmp_path / "mask.png")]
    maps = [np.zeros((8, 8), np.float32), np.where(mask > 0, np.float32(1), np.float32(0))]
    entry = Entry("made up", "edge-ad", Path(), Path(), ())

    reference = Result(entry, scores=[0.2, 0.8], maps=maps)
    right = measure_accuracy(Result(entry, scores=[0.1, 0.9], maps=maps), images, reference)
    wrong = measure_accuracy(Result(entry, scores=[0.9, 0.1], maps=maps[::-1]), images, reference)

    assert (right.image, right.pixel) == (1.0, 1.0)
    assert [right.rank, wrong.rank] == pytest.approx([1.0, -1.0])
    assert right.aupimo is None, "two maps of 8x8 have too few normal pixels"
    assert wrong.image == 0.0
    assert wrong.pixel < 0.5


@pytest.mark.parametrize(
    ("instructions", "expected"),
    [
        pytest.param(("avx2",), (AS_IT_IS, AVX2), id="avx2"),
        pytest.param(("avx2", "avx512_vnni"), (AS_IT_IS, AVX2), id="vnni-of-avx512-only"),
        pytest.param(("avx2", "avx_vnni"), (AS_IT_IS, AVX2, AVX2_VNNI), id="avx-vnni"),
        pytest.param(("asimd",), (AS_IT_IS,), id="arm"),
    ],
)
def test_only_a_cpu_that_has_the_instructions_is_played(
    instructions: tuple[str, ...], expected: tuple[Played, ...]
) -> None:
    assert played_cpus(instructions) == expected
