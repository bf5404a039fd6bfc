"""What the trial brings to a device: tiny bundles, good and broken ones; sticks; keys and certificates."""

from __future__ import annotations

import datetime as dt
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper
from support import tiny, tiny_bundle, tiny_calibration

from edge_ad.bundle import Bundle, BundleWriter, pack
from edge_ad.bundle.records import Geometry, Resize
from edge_ad.detector import Detector
from edge_ad.engines import Artefact, open_engine
from edge_ad.geometry import Preprocessor
from edge_ad.scoring.golden import Expectation
from edge_ad.scoring.scorer import Scorer
from edge_ad_deploy.keys import KeyFolder
from edge_ad_deploy.signing import sign_bundle

__all__ = ["VERSIONS", "Material", "broken_update", "make_certificate", "make_stick"]

_STATION = """\
[station]
name = "line1"
trigger = "timer"
timer_ms = {timer}
deadline_ms = 60000

[camera.main]
source = "{source}"
{more}
[inspect.main]
camera = "main"
bundle = "bundles/first.zip"
hang_ms = 120000

[output.results]
kind = "jsonl"
path = "results.jsonl"

[trust]
store = "/var/lib/edge-ad/trust"

[audit]
file = "audit.jsonl"

[link]

[update]
folder = "updates"
watch_parts = 3
latency_ms = {latency}

[controller.web]
protocol = "http"
host = "0.0.0.0"
port = 8443
certificate = "server.pem"
key = "server.key"
tokens = "tokens.toml"
"""
LATENCY_MS = 500
VERSIONS = {"first": "1", "second": "2", "golden": "3", "crash": "4", "slow": "5"}
_FOLDER_CAMERA = 'pace = "fast"\nloop = true\nallow_repeats = true\n'
_NO_CAMERA = ""


@dataclass(frozen=True)
class Material:
    """Files that the trial made. ``folder``: of all of them; ``keys``: those of the image's own package."""

    folder: Path
    keys: Path

    def bundle(self, kind: str) -> Path:
        """A signed bundle: ``first``, ``second``, ``golden`` (frames differ), ``crash`` (at load), ``slow``."""
        place = self.folder / "bundles" / kind
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            _write_bundle(place, kind)
            tiny_calibration.calibrate(place, 0.5)
            sign_bundle(place, KeyFolder(self.keys))
        return place

    def station(self, source: str = "images") -> Path:
        """The folder ``edge-ad`` of a stick, with one station."""
        place = self.folder / f"stick-{Path(source).name}" / "edge-ad"
        station = place / "stations/line1"
        if not station.exists():
            (station / "bundles").mkdir(parents=True)
            pack(Bundle.open(self.bundle("first")), station / "bundles/first.zip")
            tiny.write_images(station / "images", list(pictures().values()))
            for name in ("server.pem", "server.key", "tokens.toml"):
                shutil.copyfile(self.folder / name, station / name)
            more = _FOLDER_CAMERA if source == "images" else _NO_CAMERA
            (station / "station.toml").write_text(
                _STATION.format(source=source, more=more, timer=2000, latency=LATENCY_MS)
            )
        return place

    def empty(self) -> Path:
        """The folder ``edge-ad`` of a stick without a station."""
        place = self.folder / "stick-empty/edge-ad"
        place.mkdir(parents=True, exist_ok=True)
        return place

    def expected(self) -> dict[str, list[tuple[float, str]]]:
        """The score and the state of each picture, by bundle; scored here, with the pictures' labels."""
        found = {}
        for kind in ("first", "second"):
            with Detector.open(self.bundle(kind)) as detector:
                scores = [(detector.score(frame).score, label) for label, frame in pictures().items()]
            found[f"tiny@{VERSIONS[kind]}"] = [
                (score, "ACCEPT" if label.startswith("good") else "REJECT") for score, label in scores if score
            ]
        return found

    def prepare(self) -> None:
        """The certificate of the station, and a token for the fleet's owner."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        make_certificate(self.folder / "server", "localhost")
        command = ["edge-ad", "token", "--file", str(self.folder / "tokens.toml"), "add", "fleet", "--role", "engineer"]
        token = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        (self.folder / "token").write_text(token)


def pictures() -> dict[str, NDArray[np.uint8]]:
    """What the station's camera sees, by label: two good parts and two with a defect."""
    one, two, three = tiny.frames(3)
    return {
        "good-1": one,
        "good-2": two,
        "defect-1": tiny.spotted(three, 10, 10, 20),
        "defect-2": tiny.spotted(one, 30, 20, 22),
    }


def make_stick(folder: Path, place: Path, update: Path | None = None) -> Path:
    """A FAT stick with the folder ``edge-ad``, and an update of the system where there is one."""
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) + 80_000_000
    size += update.stat().st_size if update else 0
    place.unlink(missing_ok=True)
    subprocess.run(["mkfs.vfat", "-C", place, str(size // 1024), "-F", "32"], check=True, capture_output=True)
    subprocess.run(["mcopy", "-s", "-i", place, folder, "::/edge-ad"], check=True)
    if update is not None:
        subprocess.run(["mcopy", "-i", place, update, "::/edge-ad/update.raucb"], check=True)
    return place


def make_certificate(place: Path, host: str, *, expired_by: Path | None = None) -> None:
    """A key and a certificate: ``place.key``, ``place.pem``. ``expired_by``: who has signed it, and it has expired."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    end = dt.datetime.now(dt.timezone.utc) + dt.timedelta(days=-1 if expired_by else 365)
    issuer, signing = name, key  # type: x509.Name, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    if expired_by is not None:
        issuer = x509.load_pem_x509_certificate(expired_by.with_suffix(".pem").read_bytes()).subject
        loaded = serialization.load_pem_private_key(expired_by.with_suffix(".key").read_bytes(), None)
        assert isinstance(loaded, rsa.RSAPrivateKey)
        signing = loaded
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - dt.timedelta(days=800))
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(signing, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    place.with_suffix(".key").write_bytes(private)
    place.with_suffix(".key").chmod(0o600)
    place.with_suffix(".pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))


def broken_update(update: Path, place: Path) -> Path:
    """The update with some bytes of its payload changed; its signature is as it was."""
    data = bytearray(update.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4096] = bytes(4096)
    place.write_bytes(data)
    return place


def _write_bundle(target: Path, kind: str) -> None:
    """As ``tiny.write_bundle``, with another graph, or with golden frames that do not fit it."""
    geometry = Geometry(resize=Resize(width=tiny.SIZE, height=tiny.SIZE))
    graph = tiny.model(scale=1 / 255 if kind == "first" else 1 / 250)
    honest = graph.SerializeToString()
    if kind in {"crash", "slow"}:
        _burden(graph, side=320 if kind == "slow" else 0)
    with BundleWriter(target) as writer:
        variants = tiny_bundle.write_variants(writer, onnx.load_from_string(honest), tiny.MAP)
        if kind in {"crash", "slow"}:
            onnx.save(graph, writer.root / "variants/onnx-fp32/model.onnx")
        shown = tiny.frames(2, seed=7)
        names = [f"golden/{index}.png" for index in range(len(shown))]
        for name, frame in zip(names, shown, strict=True):
            assert cv2.imwrite(str(writer.root / name), frame)
        (writer.root / "honest.onnx").write_bytes(honest)
        scorer = Scorer(
            Preprocessor(geometry, tiny.INPUT, map_size=tiny.MAP),
            open_engine("onnxruntime", Artefact(writer.root / "honest.onnx")),
        )
        off, scores, maps = 0.1 if kind == "golden" else 0.0, [], []
        for frame in shown:
            measured = scorer.measure(frame)
            assert measured.map is not None
            scores.append(measured.score + off)
            maps.append(measured.map.copy())
        scorer.close()
        (writer.root / "honest.onnx").unlink()
        expected = Expectation(np.array(scores, np.float32), np.stack(maps)).dump()
        for variant in variants:
            (writer.root / f"golden/{variant.id}.npz").write_bytes(expected)
        tiny_bundle.commit(writer, variants, tiny.INPUT, geometry, names, version=VERSIONS[kind])


def _burden(graph: onnx.ModelProto, side: int) -> None:
    """Makes a graph take long for a frame; with ``side`` 0 the kernel kills whoever opens it, for taking all memory."""
    nodes, names = graph.graph.node, graph.graph.initializer
    peak = next(node for node in nodes if node.output[0] == "score")
    peak.output[0] = "plain"
    shape = np.array([side, side] if side else [20_000, 20_000], np.int64)
    names.append(onnx.numpy_helper.from_array(shape, "burden_shape"))
    names.append(onnx.numpy_helper.from_array(np.float32(0), "burden_zero"))
    nodes.append(helper.make_node("ConstantOfShape", ["burden_shape"], ["block"]))
    last = "block"
    if side:
        nodes.append(helper.make_node("Add", ["block", "plain"], ["loaded"]))
        last = "loaded"
        for step in range(4):
            nodes.append(helper.make_node("MatMul", [last, "loaded"], [f"step{step}"]))
            nodes.append(helper.make_node("Tanh", [f"step{step}"], [f"flat{step}"]))
            last = f"flat{step}"
    nodes.append(helper.make_node("ReduceMax", [last], ["burden"], keepdims=0))
    nodes.append(helper.make_node("Mul", ["burden", "burden_zero"], ["nothing"]))
    nodes.append(helper.make_node("Add", ["plain", "nothing"], ["score"]))
