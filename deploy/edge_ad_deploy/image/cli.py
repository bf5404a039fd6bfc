"""``edge-ad image`` and ``edge-ad image-update``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from edge_ad.cli.option_groups import COMMON, OTHER, OptionGroup, command, option
from edge_ad.cli.options import FILE, FOLDER
from edge_ad_deploy.image.layout import KERNELS


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOptions:
    """What goes into an image."""

    package: Path
    keyring: Path
    output: Path
    image_version: str
    provision: Path | None = None
    compatible: str = "edge-ad-amd64"
    kernel: str = "generic"
    kernel_option: tuple[str, ...] = ()
    slot_mb: int = 640
    data_mb: int = 128
    mirror: str | None = None


IMAGE = OptionGroup(
    COMMON,
    ImageOptions,
    (
        option("--package", required=True, type=FILE, metavar="FILE.deb", help="What edge-ad package has written."),
        option(
            "--keyring",
            required=True,
            type=FILE,
            metavar="FILE.pem",
            help="The certificate of who signs updates of the system. Devices take updates of nobody else.",
        ),
        option("-o", "--output", required=True, type=FILE, metavar="OUT.img", help="Where the image is written."),
        option(
            "--image-version",
            required=True,
            metavar="VERSION",
            help="The version of the system. Devices refuse an update that is older than what they have run.",
        ),
        option(
            "--provision",
            type=FOLDER,
            metavar="FOLDER",
            help="Stations that the first boot takes: stations/NAME/station.toml and all that it names, root.json, "
            "hostname, ntp. Without this option they come on a USB stick.",
        ),
        option(
            "--compatible",
            metavar="NAME",
            heading=OTHER,
            help="The kind of device. An update for another kind is refused.",
        ),
        option(
            "--kernel",
            type=click.Choice(list(KERNELS)),
            heading=OTHER,
            help="Debian's kernel for any board, or its small one for virtual machines.",
        ),
        option(
            "--kernel-option",
            multiple=True,
            metavar="WORD",
            heading=OTHER,
            help="One more option for the kernel. Can be given several times.",
        ),
        option(
            "--slot-mb",
            type=click.IntRange(64, 16_384),
            metavar="MIB",
            heading=OTHER,
            help="The size of each of the two slots. It cannot change on the device.",
        ),
        option(
            "--data-mb",
            type=click.IntRange(64, 1_048_576),
            metavar="MIB",
            heading=OTHER,
            help="The size of the data partition in the image. It grows on the device.",
        ),
        option(
            "--mirror",
            metavar="URL",
            heading=OTHER,
            help="Fetch Debian from this mirror. It does not get into the image.",
        ),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateOptions:
    """Who signs an update, and where it goes."""

    certificate: Path
    key: Path
    output: Path
    replaces: str | None = None


UPDATE = OptionGroup(
    COMMON,
    UpdateOptions,
    (
        option("--certificate", required=True, type=FILE, metavar="FILE.pem", help="The certificate of who signs."),
        option("--key", required=True, type=FILE, metavar="FILE.key", help="The private key of this certificate."),
        option("-o", "--output", required=True, type=FILE, metavar="OUT.raucb", help="Where the update is written."),
        option(
            "--replaces",
            metavar="VERSION",
            help="Allow devices that have run versions up to this one to go back to this update.",
        ),
    ),
)


@command(options=IMAGE)
def image(options: ImageOptions) -> None:
    """Make a disk image that a device boots from (UEFI, amd64).

    Debian 12, the package, two slots for the system and a partition for data. It needs root, such as in a container,
    and a mirror of Debian. Beside the image its compressed form (.zst) is written.
    """
    from edge_ad_deploy.image.build import ImageRequest, build_image
    from edge_ad_deploy.image.layout import DiskLayout

    built = build_image(
        ImageRequest(
            package=options.package,
            keyring=options.keyring,
            output=options.output,
            version=options.image_version,
            compatible=options.compatible,
            kernel=options.kernel,
            mirror=options.mirror,
            provision=options.provision,
            layout=DiskLayout(slot_mib=options.slot_mb, data_mib=options.data_mb),
            options=options.kernel_option,
        ),
        lambda step: click.echo(f"{options.output}: {step}", err=True),
    )
    click.echo(
        f"{built.image}: {built.disk_bytes / 1e6:.0f} MB on a disk, the system {built.root_bytes / 1e6:.0f} MB\n"
        f"{built.compressed}: {built.compressed_bytes / 1e6:.0f} MB"
    )


@command(options=UPDATE)
@click.argument("source", metavar="IMAGE", type=FILE)
def image_update(source: Path, options: UpdateOptions) -> None:
    """Make a signed update of the system from IMAGE.

    IMAGE is what edge-ad image has written. Devices with the certificate in their keyring take the update, start
    it, and go back by themselves when it is not good.
    """
    from edge_ad_deploy.image.update import SystemUpdateRequest, build_update

    built = build_update(
        SystemUpdateRequest(
            image=source,
            certificate=options.certificate,
            key=options.key,
            output=options.output,
            replaces=options.replaces,
        )
    )
    click.echo(f"{built.update}: {built.compatible} {built.version}, {built.update_bytes / 1e6:.0f} MB")
