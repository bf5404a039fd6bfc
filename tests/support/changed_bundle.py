"""A bundle that was changed after it was written, as another export or another machine would have written it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import numpy as np

from edge_ad.bundle import MANIFEST, Bundle, Manifest
from edge_ad.bundle.records import FileEntry
from edge_ad.bundle.seal import sealed_json

__all__ = ["change", "spoil_golden"]


def change(bundle: Path, **fields: object) -> Path:
    """Writes other fields into the manifest; it is sealed again."""
    manifest = msgspec.json.decode((bundle / MANIFEST).read_bytes(), type=Manifest)
    (bundle / MANIFEST).write_bytes(sealed_json(msgspec.structs.replace(manifest, **fields)))
    return bundle


def spoil_golden(bundle: Path, variant: str) -> None:
    """Writes other golden scores for a variant, as if another CPU had made them."""
    expected = bundle / "golden" / f"{variant}.npz"
    with np.load(expected) as stored:
        arrays = {name: stored[name] * (2 if name == "scores" else 1) for name in stored.files}
    np.savez(expected, **arrays)
    data, files = expected.read_bytes(), Bundle.open(bundle).manifest.files
    entry = FileEntry(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
    change(bundle, files={**files, f"golden/{variant}.npz": entry})
