"""The command line of the device. Each command parses, calls one function of the library and prints."""

from __future__ import annotations

import click

from edge_ad.cli.group import CommandGroup

__all__ = ["main"]

EPILOG = (
    "Exit codes: 0 done, 2 usage or input, 3 bundle refused, 4 device or source failed, 5 gate not met. "
    "EDGE_AD_DEBUG=1 shows tracebacks."
)


@click.group(name="edge-ad", cls=CommandGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="edge-ad", prog_name="edge-ad")
def main() -> None:
    """Visual anomaly detection on the edge: trained model, bundle, calibration, verdict."""
