"""The papers of a package: licences, a software bill of materials, and a statement on known vulnerabilities (VEX).

Bill and statement are CycloneDX 1.6, written by its own library. A statement says only what was looked at, and where.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import Distribution, distributions
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.bom_ref import BomRef
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.contact import OrganizationalEntity
from cyclonedx.model.impact_analysis import (
    ImpactAnalysisJustification,
    ImpactAnalysisState,
)
from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
from cyclonedx.model.vulnerability import (
    BomTarget,
    Vulnerability,
    VulnerabilityAnalysis,
    VulnerabilitySource,
)
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL
from packaging.utils import canonicalize_name

from edge_ad.bundle import MANIFEST, Bundle
from edge_ad_deploy.package.lock import Pin
from edge_ad_deploy.package.target import PackageTarget

__all__ = ["Papers", "collect_licences", "make_papers"]

_LICENCE = re.compile(r"(?i)^(licen[cs]e|copying|notice|copyright|authors|third.?party)[^/]*$")
_NAMESPACE = uuid.UUID("b6a1f3f2-5d0c-5c1e-9a55-5f0f3f1d9a11")


@dataclass(frozen=True, slots=True)
class _Statement:
    """What was looked at, in which components, and what came out."""

    vulnerability: str
    components: tuple[str, ...]
    state: ImpactAnalysisState
    justification: ImpactAnalysisJustification | None
    detail: str
    source: str | None = None


_NVD = "https://nvd.nist.gov/vuln/detail/{}"
_STATEMENTS = (
    _Statement(
        "EDGE-AD-TELEMETRY",
        ("onnxruntime", "openvino", "openvino-telemetry"),
        ImpactAnalysisState.NOT_AFFECTED,
        ImpactAnalysisJustification.REQUIRES_CONFIGURATION,
        "Both engines can report how they are used. edge-ad switches this off in each process before it uses one. The "
        "unit of its stations has no network. Looked at: the calls in edge_ad.engines and their tests.",
    ),
    _Statement(
        "CVE-2025-4565",
        ("protobuf",),
        ImpactAnalysisState.NOT_AFFECTED,
        ImpactAnalysisJustification.CODE_NOT_REACHABLE,
        "Unbounded recursion in the parser of protobuf that is written in Python. It is installed because the wheel of "
        "ONNX Runtime asks for it; scoring does not import it. Looked at: the modules that are loaded when a bundle is "
        "scored, in a test.",
        _NVD,
    ),
)


@dataclass(frozen=True, slots=True)
class Papers:
    """Both files as JSON text."""

    bill: str
    statement: str


def make_papers(
    libraries: Path,
    target: PackageTarget,
    version: str,
    pins: Sequence[Pin],
    bundles: Mapping[str, Bundle],
    made: datetime,
) -> Papers:
    """The bill of materials of ``libraries``, and the statement on it. ``made``: the time that both carry."""
    found = _distributions(libraries)
    package = _package(target, version)
    bill = Bom(metadata=BomMetaData(component=package, timestamp=made))
    identity = [f"{target.architecture} {target.python} {version}"]
    parts = {pin.name: _wheel(pin, found.get(canonicalize_name(pin.name))) for pin in pins}
    models = [_model(name, bundle) for name, bundle in sorted(bundles.items())]
    for component in (*parts.values(), *models):
        bill.components.add(component)
        identity += [str(component.bom_ref), *(one.content for one in component.hashes)]
    bill.register_dependency(package, [*parts.values(), *models])
    bill.serial_number = uuid.uuid5(_NAMESPACE, "\n".join(identity))
    return Papers(_json(bill), _json(_vex(bill, parts, made)))


def collect_licences(libraries: Path, folder: Path) -> str:
    """Copies every licence text of every wheel to a folder for each. Returns the list of them, a table in text."""
    lines = ["Name | Version | Licence as its author states it | Texts", "---|---|---|---"]
    for name, one in sorted(_distributions(libraries).items()):
        texts = [file for file in one.files or () if _LICENCE.match(file.name)]
        own = [file for file in _info(libraries, name, one).rglob("*") if _LICENCE.match(file.name) and file.is_file()]
        wanted = sorted({Path(str(file.locate())) for file in texts} | set(own))
        copied = 0
        for text in wanted:
            if text.is_file() and text.suffix not in {".py", ".pyi", ".so"}:
                place = folder / f"{name}-{one.version}" / text.relative_to(libraries)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(text, place)
                copied += 1
        said = _licence_text(one) or "not stated"
        lines.append(f"{name} | {one.version} | {said} | {copied or 'none in the wheel'}")
    return "\n".join(lines) + "\n"


def _distributions(libraries: Path) -> dict[str, Distribution]:
    return {canonicalize_name(one.name): one for one in distributions(path=[str(libraries)])}


def _info(libraries: Path, name: str, one: Distribution) -> Path:
    return libraries / f"{name.replace('-', '_')}-{one.version}.dist-info"


def _licence_text(one: Distribution) -> str:
    """The expression or the first line of what the wheel says; some put the whole text there."""
    stated = _field(one, "License-Expression") or _field(one, "License")
    classified = [line.rpartition(" :: ")[2] for line in one.metadata.get_all("Classifier", []) if "License ::" in line]
    first = next((line.strip() for line in stated.splitlines() if line.strip()), "")
    return first or ", ".join(classified)


def _field(one: Distribution, name: str) -> str:
    return next(iter(one.metadata.get_all(name) or ()), "")


def _package(target: PackageTarget, version: str) -> Component:
    purl = PackageURL("deb", "edge-ad", "edge-ad", version, {"arch": target.architecture})
    return Component(
        name="edge-ad",
        version=version,
        type=ComponentType.APPLICATION,
        bom_ref=BomRef(purl.to_string()),
        purl=purl,
        supplier=OrganizationalEntity(name="The edge-ad developers"),
        licenses=[LicenseExpression("Apache-2.0")],
        properties=[Property(name="edge-ad:python", value=target.python)],
    )


def _wheel(pin: Pin, one: Distribution | None) -> Component:
    purl = PackageURL("pypi", None, pin.name, pin.version)
    said = _licence_text(one) if one else ""
    return Component(
        name=pin.name,
        version=pin.version,
        type=ComponentType.LIBRARY,
        bom_ref=BomRef(purl.to_string()),
        purl=purl,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=pin.sha256)],
        licenses=[DisjunctiveLicense(name=said)] if said else [],
    )


def _model(name: str, bundle: Bundle) -> Component:
    data = bundle.manifest_bytes
    return Component(
        name=name,
        version=bundle.manifest.version,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=BomRef(f"bundle:{name}"),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=hashlib.sha256(data).hexdigest())],
        properties=[
            Property(name="edge-ad:file", value=MANIFEST),
            Property(name="edge-ad:family", value=bundle.manifest.family),
        ],
    )


def _vex(bill: Bom, parts: Mapping[str, Component], made: datetime) -> Bom:
    """Statements about the components of the bill, which are named by links to it."""
    statement = Bom(metadata=BomMetaData(component=bill.metadata.component, timestamp=made))
    statement.serial_number = uuid.uuid5(_NAMESPACE, f"vex {bill.serial_number}")
    for one in _STATEMENTS:
        touched = [parts[name] for name in one.components if name in parts]
        if touched:
            statement.vulnerabilities.add(
                Vulnerability(
                    id=one.vulnerability,
                    bom_ref=BomRef(one.vulnerability),
                    source=VulnerabilitySource(
                        name="NVD" if one.source else "edge-ad",
                        url=XsUri(one.source.format(one.vulnerability)) if one.source else None,
                    ),
                    analysis=VulnerabilityAnalysis(state=one.state, justification=one.justification, detail=one.detail),
                    affects=[BomTarget(ref=f"urn:cdx:{bill.serial_number}/1#{part.bom_ref}") for part in touched],
                )
            )
    return statement


def _json(bom: Bom) -> str:
    return make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2) + "\n"
