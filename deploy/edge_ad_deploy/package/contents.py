"""What a package brings beside the environment: service, bundles, what they trust, and an example of a station."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from edge_ad.bundle import Bundle, TrustStore, pack, unpack
from edge_ad.engines.processor import Processor
from edge_ad.errors import InputError
from edge_ad.station.template import station_template

__all__ = ["STATION_FILE", "checked_bundles", "lay_out_bundles", "lay_out_service", "lay_out_trust", "station_example"]

STATION_FILE = "/etc/edge-ad/station.toml"
_STORE = "/var/lib/edge-ad/trust"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")

# The files of firmware_notes/systemd, and where a package puts them.
_SERVICE = {
    "edge-ad@.service": "usr/lib/systemd/system/edge-ad@.service",
    "edge-ad.sysusers.conf": "usr/lib/sysusers.d/edge-ad.conf",
    "edge-ad.tmpfiles.conf": "usr/lib/tmpfiles.d/edge-ad.conf",
    "60-edge-ad.rules": "usr/lib/udev/rules.d/60-edge-ad.rules",
    "network-camera.conf": "usr/share/doc/edge-ad/examples/network-camera.conf",
}

_TRUST = f"""\
# A station's trust store begins with the root that came with the package, and belongs to the stations from then on.
d {_STORE} 0750 edge-ad edge-ad -
C {_STORE}/root.json 0640 edge-ad edge-ad - /opt/edge-ad/trust/root.json
"""


def checked_bundles(
    paths: Sequence[Path], root: Path | None, extras: Sequence[str], machine: str
) -> tuple[dict[str, Bundle], list[str]]:
    """The bundles by the name that they get on the device, and what a builder should know about them.

    ``machine``: the device's architecture, as wheels name it. Nothing else is known of its CPU.

    Raises:
        BundleError: one is damaged, or ``root`` is given and does not vouch for it.
        InputError: two have one name, or one needs an engine that the package does not bring.
    """
    found: dict[str, Bundle] = {}
    warnings = []
    with _trusting(root) as store:
        for path in paths:
            bundle, name = Bundle.open(path, Processor(machine)), path.resolve().name.removesuffix(".zip")
            if not _NAME.fullmatch(name) or name in found:
                raise InputError(f"{path}: expected bundles with different names of letters, digits and . _ + -")
            for file in bundle.manifest.files:
                bundle.check_file(file)
            if store is not None:
                store.check(bundle)
            variant = bundle.variant()
            if variant.engine == "openvino" and "openvino" not in extras:
                raise InputError(
                    f"{path}: its default variant {variant.id} runs on OpenVINO, which the package would not bring: "
                    "add --extra openvino"
                )
            if bundle.calibration(variant) is None:
                warnings.append(f"{path} is not calibrated: a station does not open it before edge-ad calibrate")
            found[name] = bundle
    return found, warnings


@contextlib.contextmanager
def _trusting(root: Path | None) -> Iterator[TrustStore | None]:
    """A device that trusts ``root`` and has not taken any bundle yet."""
    if root is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        yield TrustStore.create(Path(folder), root)


def lay_out_service(stage: Path) -> None:
    """The unit, its users, folders and devices."""
    for name, place in _SERVICE.items():
        _copy(_service_files() / name, stage / place)


def lay_out_bundles(stage: Path, bundles: dict[str, Bundle]) -> None:
    """The bundles as folders that nobody but the package changes, with nothing in them but what they name."""
    for name, bundle in bundles.items():
        target = stage / "opt/edge-ad/bundles" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as work:
            is_folder = bundle.path.is_dir()
            unpack(Bundle.open(pack(bundle, Path(work) / "bundle.zip")) if is_folder else bundle, target)


def lay_out_trust(stage: Path, root: Path) -> None:
    """The root that stations trust from the beginning."""
    _copy(root, stage / "opt/edge-ad/trust/root.json")
    rules = stage / "usr/lib/tmpfiles.d/edge-ad-trust.conf"
    rules.parent.mkdir(parents=True, exist_ok=True)
    rules.write_text(_TRUST, encoding="utf-8")


def station_example(bundles: Mapping[str, Bundle], trust: bool) -> str:
    """A station file to copy to ``/var/lib/edge-ad/NAME/station.toml``."""
    place, title = "bundles/part", "a bundle"
    for name, bundle in list(bundles.items())[:1]:
        place, title = f"/opt/edge-ad/bundles/{name}", f"{bundle.manifest.name}@{bundle.manifest.version}"
    text = station_template("line1", "/dev/video0", place, title)
    head = "# An example: copy it to /var/lib/edge-ad/line1/station.toml, and change it there.\n"
    store = (
        f'\n[trust]                # only bundles that this store vouches for\nstore = "{_STORE}"\n' if trust else ""
    )
    return head + text + store


def _service_files() -> Path:
    """``firmware_notes/systemd``: a wheel of edge-ad carries a copy of it."""
    carried = Path(__file__).with_name("systemd")
    return carried if carried.is_dir() else Path(__file__).parents[3] / "firmware_notes/systemd"


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise InputError(f"{source} cannot be read: {error.strerror}") from None
