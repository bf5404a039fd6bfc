"""A model that takes long is measured on fewer images, and that is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from support import export_models, tiny
from support.export_models import Tiny

from edge_ad.bundle import Bundle
from edge_ad.cli import main
from edge_ad.errors import InputError
from edge_ad_export import ExportRequest, ModelFile, import_model
from edge_ad_export.lowering.recipes import chosen_recipes
from edge_ad_export.preparation.prepare import prepare
from edge_ad_export.preparation.time_budget import fit_into_minutes, most_images
from edge_ad_export.samples.images import select_images
from edge_ad_export.samples.split import split_images


@pytest.mark.parametrize(
    ("given", "budget_s", "expected"),
    [
        pytest.param(100, 1000.0, 100, id="all"),
        pytest.param(100, 999.9, 99, id="one-too-many"),
        pytest.param(100, 455.0, 45, id="as-many-as-fit"),
        pytest.param(100, 199.0, 20, id="never-fewer-than-20"),
        pytest.param(12, 1.0, 12, id="unless-fewer-are-given"),
    ],
)
def test_as_many_images_as_there_is_time_for(given: int, budget_s: float, expected: int) -> None:
    assert most_images(given, lambda count: 5 * count, 2.0, budget_s) == expected


def test_a_model_that_takes_seconds(tmp_path: Path) -> None:
    request = ExportRequest(
        model=export_models.write(tmp_path, Tiny()),
        images=tiny.write_images(tmp_path / "normals", export_models.parts(40)),
        target=tmp_path / "b",
        threads=1,
    )
    setup = prepare(
        request, import_model(ModelFile(request.model)), select_images(request.images, 40), lambda _line: None
    )
    assert setup.run_s > 0
    recipes = chosen_recipes(("onnx-fp32", "openvino-fp16", "onnx-int8"), bf16=False)

    fewer, line = fit_into_minutes(replace(setup, run_s=2.5), request, recipes, 5)

    # 28 images, of which 11 are for the quantizer: (1 + 3) x (2 x 17 + 5) runs to judge and 4 x 11 + 40 to quantize.
    assert line == (
        "one run of the model takes 2.5 s: 28 images of 40 are used, so that measuring takes about 10 minutes "
        "(--max-minutes)"
    )
    assert [len(fewer.images), len(fewer.split.fitting), len(fewer.split.judging)] == [28, 11, 17]
    assert fit_into_minutes(setup, request, recipes, 5) == (setup, None)


def test_parts_that_the_time_left_out_are_told(tmp_path: Path) -> None:
    folder = tiny.write_images(tmp_path, export_models.parts(40))
    for number, path in enumerate(sorted(folder.iterdir())):
        path.rename(folder / f"{'a' * (number < 20) or 'c' * (number == 39) or 'b'}_{path.name}")
    images = select_images(folder, 40)
    request = ExportRequest(model=tmp_path, images=folder, target=tmp_path / "b", part_by="^([abc])_")
    layout = SimpleNamespace(layout=lambda _image: SimpleNamespace(tiles=1))
    setup: Any = SimpleNamespace(images=images, run_s=1e9, clip=None, preprocessor=lambda: layout)

    assert len(set(split_images(images, request.part_by).groups)) == 2
    with pytest.raises(
        InputError, match=r"found 2 parts in 20 images.* the 20 of 40 images for which --max-minutes 10 "
    ):
        fit_into_minutes(setup, request, chosen_recipes(("onnx-int8",), bf16=False), 0)


def test_the_option_is_kept_and_said(tmp_path: Path) -> None:
    model = export_models.write(tmp_path, Tiny())
    images = tiny.write_images(tmp_path / "normals", export_models.parts(30))

    result = CliRunner().invoke(
        main,
        [
            "export",
            str(model),
            *("--images", str(images), "-o", str(tmp_path / "b")),
            *("--variants", "onnx-fp32", "--max-minutes", "1e-6"),
        ],
    )

    assert result.exit_code == 0, result.output
    assert "20 images of 30 are used, so that measuring takes about 1 minute (--max-minutes)" in result.stderr
    assert "one run of the model takes 0.0 s" not in result.stderr
    judging = Bundle.open(tmp_path / "b").manifest.judging
    assert judging is not None
    assert len(judging.images) == 20
