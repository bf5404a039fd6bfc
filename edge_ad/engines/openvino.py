"""OpenVINO behind the :class:`~edge_ad.engines.base.Engine` protocol."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ad.engines.base import Artefact, EngineInfo, EngineOptions, EngineOutput, choose_device
from edge_ad.engines.compiled import CompiledModels
from edge_ad.engines.contract import Shapes, check_contract, check_extractor
from edge_ad.engines.processor import describe_processor
from edge_ad.errors import EngineError, MissingExtraError, one_line

__all__ = [
    "OpenVinoEngine",
    "OpenVinoExtractor",
    "check_precision",
    "load_openvino",
    "openvino_config",
    "switch_off_telemetry",
]


_TELEMETRY = ("openvino_telemetry", "openvino_telemetry.backend")


def switch_off_telemetry() -> None:
    """Keeps OpenVINO's tools and NNCF from sending usage data. Imports no engine; may be called more than once.

    They send through the package ``openvino_telemetry`` and work without it: an entry of ``None`` in ``sys.modules``
    makes its import fail. :mod:`edge_ad.engines.onnxruntime` switches off the telemetry of ONNX Runtime.
    """
    modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]
    for name in _TELEMETRY:
        modules[name] = None


def load_openvino() -> Any:
    """The module ``openvino``, its telemetry off. Raises :class:`MissingExtraError`."""
    switch_off_telemetry()
    try:
        import openvino
    except ImportError as error:
        raise MissingExtraError("OpenVINO", "openvino") from error
    return openvino


def check_precision(precision: str, device: str, capabilities: Sequence[str]) -> None:
    """Whether a device with these ``OPTIMIZATION_CAPABILITIES`` calculates as a variant of this precision asks.

    Raises :class:`EngineError`: OpenVINO itself would calculate in another precision and say nothing.
    """
    if precision == "bf16" and "BF16" not in capabilities:
        raise EngineError(
            f"the variant calculates in bfloat16, and OpenVINO's {device} does not do that here: expected BF16 among "
            f"its capabilities, found {', '.join(capabilities)}; choose another --variant"
        )


class _OpenVinoGraph:
    """One OpenVINO IR, compiled for one device, with one inference request whose memory every run reuses."""

    def __init__(
        self, artefact: Artefact, precision: str, options: EngineOptions, check: Callable[..., Shapes]
    ) -> None:
        ov = load_openvino()
        core = ov.Core()
        device = _device(core, options)
        check_precision(precision, device, core.get_property(device, "OPTIMIZATION_CAPABILITIES"))
        try:
            config = openvino_config(options, precision, device)
            made = _compiled(core, artefact, device, config, options)
        except Exception as error:
            raise EngineError(f"OpenVINO cannot load the model: {one_line(error)}") from error
        compiled = made.model
        shapes = check(
            {_port_name(i): (list(i.shape), i.element_type.get_type_name()) for i in compiled.inputs},
            {_port_name(o): (list(o.shape), o.element_type.get_type_name()) for o in compiled.outputs},
            uint8="u8",
            float32="f32",
        )
        self.input: NDArray[Any] = np.zeros(shapes.input, shapes.dtype)
        self._request = compiled.create_infer_request()
        self._request.set_tensor(shapes.name, ov.Tensor(self.input, shared_memory=True))
        self._outputs = {name: self._request.get_tensor(name).data for name in shapes.outputs}
        threads = compiled.get_property("INFERENCE_NUM_THREADS") if device == "CPU" else options.threads
        self.info = EngineInfo("openvino", ov.__version__, device, precision, threads, made.used, made.notice)
        self._keep = made.keep

    def _run(self) -> None:
        try:
            self._request.infer()
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed on a frame: {one_line(error)}") from error

    def keep_compiled(self) -> None:
        """Keeps what was compiled when it was opened, if anything was; see :mod:`edge_ad.engines.compiled`."""
        keep, self._keep = self._keep, None
        not_kept = None if keep is None else keep()
        if not_kept is not None:
            self.info = replace(self.info, notice=self.info.notice or not_kept)

    def close(self) -> None:
        self._keep = None
        del self._outputs, self._request


class OpenVinoEngine(_OpenVinoGraph):
    """A graph that gives a score."""

    def __init__(self, artefact: Artefact, precision: str, options: EngineOptions) -> None:
        super().__init__(artefact, precision, options, check_contract)
        self._score, self._map = self._outputs["score"], self._outputs.get("map")

    def run(self) -> EngineOutput:
        self._run()
        return EngineOutput(float(self._score[0]), None if self._map is None else self._map[0])

    def close(self) -> None:
        del self._score, self._map
        super().close()


class OpenVinoExtractor(_OpenVinoGraph):
    """A graph that gives features."""

    def __init__(self, artefact: Artefact, precision: str, options: EngineOptions) -> None:
        super().__init__(artefact, precision, options, check_extractor)
        self.features: NDArray[np.float32] = self._outputs["features"][0]

    def run(self) -> None:
        self._run()

    def close(self) -> None:
        del self.features
        super().close()


_CONTRACT = ("score", "map", "features", "frame", "flow")


def _port_name(port: Any) -> str:
    """A port may have several names, those of operators that the compiler took away: the contract's own comes first."""
    return next((name for name in _CONTRACT if name in port.names), None) or str(port.any_name)


def _offered(available: Sequence[str]) -> dict[str, str]:
    """The devices by name; ``GPU`` where there are ``GPU.0`` and ``GPU.1`` stands for the first."""
    return {name.partition(".")[0]: name.partition(".")[0] for name in available} | {name: name for name in available}


def _device(core: Any, options: EngineOptions) -> str:
    wanted = options.device_of("openvino")
    # Asking which devices there are loads the drivers of all of them.
    offered = {"CPU": "CPU"} if wanted.upper() == "CPU" else _offered(core.available_devices)
    return choose_device("openvino", wanted, offered)


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A compiled model. ``used``: the kept file that it was read from; ``notice``: a sentence if one could not be used.
    ``keep``: keeps it, and returns a sentence if it cannot; ``None`` where nothing is to be kept."""

    model: Any
    used: Path | None = None
    notice: str | None = None
    keep: Callable[[], str | None] | None = None


def _compiled(core: Any, artefact: Artefact, device: str, config: dict[str, Any], options: EngineOptions) -> _Compiled:
    if options.cache_dir is None or artefact.digest is None or device != "CPU":
        return _Compiled(core.compile_model(_read(core, artefact), device, config))
    models = CompiledModels(options.cache_dir)
    import openvino as ov

    bound_to = {"artefact": artefact.digest, "engine": ov.get_version(), "processor": describe_processor()}
    file = models.file(bound_to | {name: str(value) for name, value in config.items()})
    kept, notice = models.load(file)
    if kept is not None:
        try:
            return _Compiled(core.import_model(ov.Tensor(kept), device, config), used=file)
        except RuntimeError as error:
            notice = f"the compiled model {file} is not used: {one_line(error)}; the model is compiled again"
    compiled = core.compile_model(_read(core, artefact), device, config)
    return _Compiled(compiled, notice=notice, keep=lambda: _store(models, file, compiled))


def _store(models: CompiledModels, file: Path, compiled: Any) -> str | None:
    stream = io.BytesIO()
    try:
        compiled.export_model(stream)
    except RuntimeError as error:
        return f"the compiled model is not kept: {one_line(error)}"
    return models.store(file, stream.getvalue())


def _read(core: Any, artefact: Artefact) -> Any:
    import openvino as ov

    if isinstance(artefact.model, bytes):
        weights = np.frombuffer(artefact.weights or b"", np.uint8)
        return core.read_model(artefact.model, ov.Tensor(weights))
    return core.read_model(artefact.model)


def openvino_config(options: EngineOptions, precision: str, device: str) -> dict[str, str | int | bool]:
    """With which properties OpenVINO compiles a graph, so that it runs as these options want it."""
    # OpenVINO's default precision depends on the CPU (bf16 where there is AMX): scores would change with the
    # machine. It is pinned; int8 models carry their own quantization and are not touched by it.
    config: dict[str, str | int | bool] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        "NUM_STREAMS": 1,
    }
    if options.threads is not None:
        config["INFERENCE_NUM_THREADS"] = options.threads
    if options.flush_denormals and device == "CPU":
        config["CPU_DENORMALS_OPTIMIZATION"] = True
    if options.cache_dir is not None and device != "CPU":
        config["CACHE_DIR"] = str(options.cache_dir)
    return config
