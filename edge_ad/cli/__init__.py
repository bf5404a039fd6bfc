"""The command line of the device. Each command parses, calls one function of the library and prints."""

from __future__ import annotations

import click

from edge_ad.cli.group import CommandGroup

__all__ = ["main"]

EPILOG = (
    "Exit codes: 0 the command succeeded, 2 a wrong option or input, 3 the bundle was refused, 4 the device or a "
    "source failed, 5 a quality gate was not met. Set EDGE_AD_DEBUG=1 to see tracebacks."
)


@click.group(name="edge-ad", cls=CommandGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="edge-ad", prog_name="edge-ad")
def main() -> None:
    """Take a trained visual anomaly detection model to an inspection device.

    The usual order is: export a model as a bundle, calibrate the bundle with normal images, then score images on the
    device.
    """
