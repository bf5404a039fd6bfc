"""The names that the package gives away."""

from __future__ import annotations

import subprocess
import sys

import edge_ad_metrics


def test_every_public_name_is_there() -> None:
    assert {name for name in edge_ad_metrics.__all__ if not hasattr(edge_ad_metrics, name)} == set()
    assert not hasattr(edge_ad_metrics, "surprise")


def test_an_import_pulls_in_nothing_heavy() -> None:
    code = "import edge_ad_metrics.ranking, edge_ad_metrics.pixels, sys; print({'scipy', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
