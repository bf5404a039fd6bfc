"""Variants are judged on images and defects that the quantizer was not shown."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from support import export_models, tiny
from support.export_models import Tiny

from edge_ad.bundle import Manifest
from edge_ad.bundle.records import Judging
from edge_ad_export import ExportRequest, export_bundle
from edge_ad_export.fidelity.gate import Gate
from edge_ad_export.lowering.recipes import FloatModel
from edge_ad_export.preparation import prepare as preparation
from edge_ad_export.quantize.settings import Settings
from edge_ad_export.samples.defects import FITTING_KINDS, KINDS, DefectSet
from edge_ad_export.samples.images import ImageSet
from edge_ad_export.samples.split import ImageSplit
from edge_ad_export.variants import maker
from edge_ad_export.variants.quantizer import Int8


class _Memorised:
    """A graph that scores as the model does on the frames that it was made from, and anyhow on all others."""

    layers: tuple[str, ...] = ()
    sums: tuple[str, ...] = ()
    shortlists: tuple[str, ...] = ()

    def __init__(self, model: ir.Model, frames: NDArray[np.uint8]) -> None:
        self._model, self._frames = model, frames

    def save(self, path: Path, floats: Collection[str] = ()) -> None:
        assert not floats
        made = ir.to_proto(self._model)
        for node in made.graph.node:
            node.output[:] = ["honest" if name == "score" else name for name in node.output]
            node.input[:] = ["honest" if name == "score" else name for name in node.input]
        known = self._frames.reshape(len(self._frames), -1).astype(np.float32)
        rule = np.random.default_rng(3).normal(size=(known.shape[1], 1)).astype(np.float32)
        for name, array in {
            "known": known, "rule": rule, "flat": np.array([1, -1]), "one": np.array([1]), "half": np.float32(0.5),
            "axes": np.array([1]), "all": np.array([0]),
        }.items():  # fmt: skip
            made.graph.initializer.append(numpy_helper.from_array(np.asarray(array), f"memory.{name}"))

        def add(op: str, inputs: Sequence[str], out: str, **attributes: Any) -> str:
            made.graph.node.append(helper.make_node(op, inputs, [out], **attributes))
            return out

        row = add("Reshape", [add("Cast", ["frame"], "memory.real", to=TensorProto.FLOAT), "memory.flat"], "memory.row")
        off = add("Abs", [add("Sub", ["memory.known", row], "memory.diff")], "memory.off")
        worst = add("ReduceMax", [off, "memory.axes"], "memory.worst", keepdims=0)
        least = add("ReduceMin", [worst, "memory.all"], "memory.least", keepdims=1)
        guess = add("Reshape", [add("MatMul", [row, "memory.rule"], "memory.sum"), "memory.one"], "memory.guess")
        add("Where", [add("Less", [least, "memory.half"], "memory.is_known"), "honest", guess], "score")
        onnx.save(made, path)


class _Overfitting:
    """In place of :class:`~edge_ad_export.variants.quantizer.Quantizer`."""

    def __init__(self, model: FloatModel) -> None:
        self._model = model
        self._frames: NDArray[np.uint8] | None = None

    def use_calibration_data(self, pixels: Sequence[NDArray[np.uint8]], defects: Sequence[NDArray[np.uint8]]) -> None:
        self._frames = np.concatenate([*pixels, *defects])

    def int8(self, _engine: str) -> Int8:
        assert self._frames is not None
        return Int8(_Memorised(self._model.model, self._frames), Settings(tool="onnxruntime"))


@contextmanager
def _open_overfitting(
    models: Mapping[str, FloatModel], _plan: object, _scorer: object = None
) -> Iterator[_Overfitting]:
    yield _Overfitting(models["onnxruntime"])


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ExportRequest:
    monkeypatch.setattr(maker, "open_quantizer", _open_overfitting)
    return ExportRequest(
        model=export_models.write(tmp_path, Tiny(tail="dynamo")),
        images=tiny.write_images(tmp_path / "normals", export_models.parts(15)),
        target=tmp_path / "out" / "part",
        variants=("onnx-fp32", "onnx-int8"),
        gate=Gate(min_spearman=0.95, max_more_false_rejects=1),
        threads=1,
        effort="low",
        target_cpus=("x86-vnni",),
    )


def judged_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """The images and defects that the quantizer was shown judge its variants."""

    def shared(images: ImageSet, _part_by: str | None) -> ImageSplit:
        return ImageSplit(images, images, tuple(range(len(images))), shared=True)

    monkeypatch.setattr(preparation, "split_images", shared)
    monkeypatch.setattr(preparation.Setup, "fitting_defects", preparation.Setup.defects)


def refusal(manifest: Manifest) -> str | None:
    return next(trial.rejected for trial in manifest.trials if trial.id == "onnx-int8")


def test_a_quantizer_that_overfits_its_images_is_refused(asked: ExportRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = export_bundle(asked).bundle.manifest
    with monkeypatch.context() as old:
        judged_as_before(old)
        before = export_bundle(dataclasses.replace(asked, target=asked.target.with_name("old"))).bundle.manifest

    assert refusal(before) is None
    assert str(refusal(honest)).startswith("rank correlation ")


def test_the_manifest_says_which_images_judged(asked: ExportRequest) -> None:
    manifest = export_bundle(asked).bundle.manifest

    judging = manifest.judging
    assert judging is not None
    names = sorted(path.name for path in Path(asked.images).iterdir())
    assert (len(judging.quantizer_images), len(judging.images)) == (6, 9)
    assert sorted([*judging.images, *judging.quantizer_images]) == names
    assert (judging.defects, judging.quantizer_defects, judging.shared) == (KINDS, FITTING_KINDS, False)
    assert set(judging.defects) - set(judging.quantizer_defects)
    assert {trial.fidelity.images for trial in manifest.trials if trial.fidelity} == {9}
    assert all(trial.fidelity.spearman_low is not None for trial in manifest.trials if trial.fidelity)


def test_the_quantizer_and_the_judge_share_no_pixels(asked: ExportRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    setups: list[preparation.Setup] = []
    run = preparation.Setup.judging

    def kept(setup: preparation.Setup) -> Judging:
        setups.append(setup)
        return run(setup)

    monkeypatch.setattr(preparation.Setup, "judging", kept)
    export_bundle(asked)

    fitting, judging = setups[0].fitting_defects(), setups[0].defects()
    assert isinstance(fitting, DefectSet)
    assert isinstance(judging, DefectSet)
    assert {one.path for one in fitting.samples}.isdisjoint(one.path for one in judging.samples)
    assert {one.seed for one in fitting.samples}.isdisjoint(one.seed for one in judging.samples)
    assert {one.donor for one in fitting.samples}.isdisjoint(one.donor for one in judging.samples)
