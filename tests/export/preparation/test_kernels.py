"""Export says what the resampling kernel does to the scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support import export_models, tiny
from support.export_models import Tiny

from edge_ad_export import ExportRequest, GeometryOptions, ModelFile, import_model
from edge_ad_export.model.input_spec import Kernel
from edge_ad_export.preparation.kernels import cost_of_kernel
from edge_ad_export.preparation.prepare import prepare
from edge_ad_export.samples.images import select_images


@pytest.mark.parametrize(
    ("trained", "asked", "expected"),
    [
        pytest.param(None, None, "frames are resized with area; with antialiased-linear, as Pillow", id="area"),
        pytest.param(
            "antialiased-linear",
            "area",
            "frames are resized with area; with antialiased-linear, with which the model",
            id="other",
        ),
        pytest.param("antialiased-linear", None, None, id="that-of-the-training"),
        pytest.param(None, "nearest", None, id="as-asked"),
    ],
)
def test_a_kernel_that_changes_the_scores_is_said(
    tmp_path: Path, trained: Kernel | None, asked: Kernel | None, expected: str | None
) -> None:
    model = export_models.write(tmp_path, Tiny())
    images = tiny.write_images(tmp_path / "normals", export_models.parts(6))
    request = ExportRequest(
        model=model, images=images, target=tmp_path / "b", geometry=GeometryOptions(kernel=asked), threads=1
    )
    imported = replace(import_model(ModelFile(model)), kernel=trained)
    setup = prepare(request, imported, select_images(images, 6), lambda _line: None)

    said = cost_of_kernel(setup, asked)

    assert (said or "None").startswith(str(expected))
