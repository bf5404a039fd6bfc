"""The contract from outside: a controller runs the file with ONNX Runtime and nothing of ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support import export_models, tiny
from support.export_models import Tiny

from edge_ad import Detector
from edge_ad.sources import list_images, read_image
from edge_ad_export import ExportRequest, Gate, export_bundle

CONTROLLER = """
import sys
import numpy, onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1])
frame = numpy.load(sys.argv[2])
score, anomaly_map = session.run(["score", "map"], {"frame": frame})
assert not [name for name in sys.modules if name.startswith("edge_ad")]
assert frame.dtype == numpy.uint8 and score.dtype == anomaly_map.dtype == numpy.float32
assert score.shape == (1,) and anomaly_map.ndim == 3 and anomaly_map.shape[0] == 1
numpy.savez(sys.argv[3], score=score, anomaly_map=anomaly_map)
"""


@pytest.mark.parametrize("variant", ["onnx-fp32", "onnx-int8"])
def test_a_controller_gets_the_same_score_from_the_file_alone(tmp_path: Path, variant: str) -> None:
    images = tiny.write_images(tmp_path / "normals", export_models.parts(6))
    model = export_models.write(tmp_path, Tiny(tail="dynamo"))
    request = ExportRequest(
        model,
        images,
        tmp_path / "b",
        gate=Gate(0, 0, max_aupimo_lost=1),
        variants=(variant,),
        threads=1,
        effort="low",
        target_cpus=("x86-avx2",),  # for another CPU nothing is left out for being slow
    )
    bundle = export_bundle(request).bundle
    with Detector.open(bundle, variant) as detector:
        inspected = detector.score_with_map(read_image(list_images(images)[0]))
        expected_score, expected_map = inspected.verdict.score, np.array(inspected.map)
        np.save(tmp_path / "frame.npy", detector.scorer.engine.input)

    graph = request.target / bundle.variant(variant).model
    command = [sys.executable, "-c", CONTROLLER, str(graph), str(tmp_path / "frame.npy"), str(tmp_path / "found.npz")]
    subprocess.run(command, check=True, cwd=tmp_path)

    found = np.load(tmp_path / "found.npz")
    assert found["score"][0] == pytest.approx(expected_score, rel=1e-5)
    np.testing.assert_allclose(found["anomaly_map"][0], expected_map, rtol=1e-4, atol=1e-5)
