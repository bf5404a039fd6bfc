"""What an export keeps beside the best: variants that the gate rejected, and what the imported file itself costs."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import onnx_ir as ir
import pytest
from click.testing import CliRunner, Result
from support import export_models, tiny
from support.export_models import Tiny

from edge_ad.bundle import Bundle, Manifest
from edge_ad.bundle.seal import sealed_json
from edge_ad.cli import main
from edge_ad.engines import Artefact, EngineOptions
from edge_ad.engines.onnxruntime import OnnxRuntimeEngine
from edge_ad.errors import BundleFormatError, GateError
from edge_ad.scoring.verification import verify_bundle
from edge_ad_export import ExportRequest, Gate, export_bundle
from edge_ad_export.cli.export import _say
from edge_ad_export.reference.sessions import open_session
from edge_ad_export.variants import maker

# float32 is equal but for rounding; what int8 loses is more than nothing.
STRICT = Gate(1, 0.99999, max_roc_auc_lost=1, max_more_false_rejects=1, max_aupimo_lost=1)


@pytest.fixture
def request_for(tmp_path: Path) -> ExportRequest:
    return ExportRequest(
        model=export_models.write(tmp_path, Tiny(tail="dynamo")),
        images=tiny.write_images(tmp_path / "normals", export_models.parts(12)),
        target=tmp_path / "part",
        gate=STRICT,
        variants=("onnx-fp32", "onnx-int8"),
        threads=1,
        effort="low",
    )


def edge_ad(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_a_rejected_variant_is_left_out(request_for: ExportRequest) -> None:
    bundle = export_bundle(request_for).bundle
    assert [variant.id for variant in bundle.manifest.variants] == ["onnx-fp32"]
    assert not (bundle.path / "variants/onnx-int8").exists()


def test_a_refused_int8_says_what_more_effort_does(request_for: ExportRequest) -> None:
    told: list[str] = []
    export_bundle(request_for, told.append)
    (hint,) = (line for line in told if "--effort" in line)
    assert hint.startswith("not close enough at --effort low: onnx-int8; --effort normal also looks for ")


def test_an_int8_that_passes_needs_no_hint(request_for: ExportRequest) -> None:
    told: list[str] = []
    export_bundle(replace(request_for, gate=Gate(-1, -1, 1, 1, 1, 1)), told.append)
    assert not [line for line in told if "--effort" in line]


def test_a_rejected_variant_is_kept_marked_and_taken_only_by_name(request_for: ExportRequest) -> None:
    manifest = export_bundle(replace(request_for, keep_rejected=True)).bundle.manifest
    assert [variant.id for variant in manifest.variants] == ["onnx-fp32", "onnx-int8"]
    assert manifest.default_variant == "onnx-fp32"
    assert manifest.rejected("onnx-fp32") is None
    reason = manifest.rejected("onnx-int8")
    assert reason is not None
    assert [len(one.replays) for one in verify_bundle(request_for.target).variants] == [3, 3]
    assert f"rejected at export: {reason}" in edge_ad("info", request_for.target).stdout
    assert "rejected" not in edge_ad("score", request_for.target, request_for.images).stderr
    named = edge_ad("score", request_for.target, request_for.images, "--variant", "onnx-int8")
    assert named.exit_code == 0, named.output
    assert f"warning: export rejected onnx-int8 ({reason})" in named.stderr


def test_a_bundle_whose_default_was_rejected_is_refused(request_for: ExportRequest) -> None:
    export_bundle(replace(request_for, keep_rejected=True))
    path = request_for.target / "manifest.json"
    manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    path.write_bytes(sealed_json(msgspec.structs.replace(manifest, default_variant="onnx-int8")))
    with pytest.raises(BundleFormatError, match="the default variant onnx-int8 was rejected at export"):
        Bundle.open(request_for.target)


def test_with_nothing_to_ship_there_is_no_bundle(request_for: ExportRequest) -> None:
    with pytest.raises(GateError, match="no variant passes the gate"):
        export_bundle(replace(request_for, variants=("onnx-int8",), keep_rejected=True))
    assert not request_for.target.exists()


def test_the_imported_file_is_timed_in_turn_with_the_variants(
    request_for: ExportRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Timed apart, at another load of the machine, its latency could not be compared with theirs."""

    def measured(runs: Sequence[object], _: int) -> tuple[list[float], ...]:
        return tuple([float(place + 1)] for place in range(len(runs)))

    monkeypatch.setattr(maker, "measure_latency", measured)
    manifest = export_bundle(request_for).bundle.manifest
    assert manifest.provenance["source_latency_ms"] == 1.0
    assert [trial.fidelity.latency_ms for trial in manifest.trials if trial.fidelity] == [2.0, 3.0]


def test_the_imported_file_is_a_row_of_the_table(request_for: ExportRequest) -> None:
    options = ("--variants", "onnx-fp32", "--report", request_for.target.parent / "page.html")
    done = edge_ad("export", request_for.model, "--images", request_for.images, "-o", request_for.target, *options)
    assert done.exit_code == 0, done.output
    (row,) = (line for line in done.stdout.splitlines() if line.startswith("as imported "))
    assert row.split()[-1] == "model.onnx"
    provenance = Bundle.open(request_for.target).manifest.provenance
    assert provenance["source_bytes"] == request_for.model.stat().st_size
    assert isinstance(provenance["source_latency_ms"], float)
    assert f"{provenance['source_latency_ms']:.2f} ms" in row
    page = (request_for.target.parent / "page.html").read_text()
    assert "as imported: model.onnx" in page
    assert "not shipped" in page
    assert json.loads(edge_ad("info", request_for.target, "--json").stdout)["manifest"]["provenance"] == provenance


def test_the_steps_are_counted_and_the_frames_watched(request_for: ExportRequest) -> None:
    said: list[str] = []
    shown: list[tuple[str, int]] = []
    done: list[int] = []

    class Progress:
        def __init__(self, label: str, total: int) -> None:
            shown.append((label, total))

        def __enter__(self):  # type: ignore[no-untyped-def]
            return done.append

        def __exit__(self, *_: object) -> None: ...

    export_bundle(replace(request_for, gate=Gate(-1, -1, 1, 1, 1, 1)), said.append, Progress)
    assert [line for line in said if line.startswith("making")] == [
        "making onnx-fp32 (1 of 2)",
        "making onnx-int8 (2 of 2)",
    ]
    assert "timing onnx-fp32, onnx-int8 in turn" in said
    assert [label for label, _ in shown] == [
        "scoring with the imported model",
        "scoring with onnx-fp32",
        "scoring with onnx-int8",
    ]
    assert sum(done) == sum(total for _, total in shown)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("file", "expected"),
    [pytest.param(io.StringIO(), "x\n", id="a file"), pytest.param(Terminal(), "\r\033[Kx\n", id="a terminal")],
)
def test_a_line_takes_the_place_of_a_progress_bar(
    monkeypatch: pytest.MonkeyPatch, file: io.StringIO, expected: str
) -> None:
    monkeypatch.setattr(sys, "stderr", file)
    _say("x")
    assert file.getvalue() == expected


def test_the_imported_graph_is_timed_with_the_settings_of_the_variants() -> None:
    graph = tiny.model()
    reference: Any = open_session(ir.from_proto(graph), ["score"], 1)
    variant = OnnxRuntimeEngine(Artefact(graph.SerializeToString()), "fp32", EngineOptions(threads=1))

    for settings in (one._session.get_session_options() for one in (reference, variant)):
        assert (settings.intra_op_num_threads, settings.inter_op_num_threads) == (1, 1)
        with pytest.raises(RuntimeError, match="does not have configuration"):  # both spin, as by default
            settings.get_session_config_entry("session.intra_op.allow_spinning")
