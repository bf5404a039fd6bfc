"""``edge-ad keys``, ``edge-ad sign`` and ``edge-ad package``."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from edge_ad.cli.option_groups import COMMON, OTHER, OptionGroup, command, option
from edge_ad.cli.options import FILE, FOLDER, PATH, bundle_argument
from edge_ad.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from edge_ad_deploy.keys import KeyFolder
    from edge_ad_deploy.package import PackageTarget


_DAYS = click.IntRange(1, 36_500)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysOptions:
    """What is done with the keys."""

    days: int = 3650
    renew: bool = False
    add: bool = False
    revoke: str | None = None
    replace_root: bool = False


KEYS = OptionGroup(
    COMMON,
    KeysOptions,
    (
        option("--days", type=_DAYS, metavar="DAYS", help="How long the keys are good."),
        option("--renew", is_flag=True, help="Make the keys that are there good for longer."),
        option("--add", is_flag=True, help="Add a signing key. Bundles are signed with all of them."),
        option("--revoke", metavar="ID", help="Trust this signing key no more. The beginning of its id is enough."),
        option("--replace-root", is_flag=True, help="Replace the root key. The old one signs this change."),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignOptions:
    """How a bundle is signed."""

    keys: Path
    days: int = 730
    serial: int | None = None
    replaces: int | None = None


SIGN = OptionGroup(
    COMMON,
    SignOptions,
    (
        option("--keys", required=True, type=FOLDER, metavar="FOLDER", help="The folder that edge-ad keys has made."),
        option("--days", type=_DAYS, metavar="DAYS", help="How long the signature is good."),
        option(
            "--serial",
            type=click.IntRange(min=1),
            metavar="N",
            help="The number of this bundle, which devices compare. Without it, one more than the last of its name.",
        ),
        option(
            "--replaces",
            type=click.IntRange(min=1),
            metavar="N",
            help="Allow devices that have taken numbers up to N to go back to this bundle.",
        ),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageOptions:
    """What goes into a package, and where it comes from."""

    target: str
    output: Path | None = None
    trust: Path | None = None
    extra: tuple[str, ...] = ()
    python: str = "3.11"
    package_version: str | None = None
    maintainer: str | None = None
    wheels: Path | None = None
    lock: Path | None = None
    update_lock: bool = False


PACKAGE = OptionGroup(
    COMMON,
    PackageOptions,
    (
        option("--target", required=True, type=click.Choice(["amd64", "arm64"]), help="The device's processor."),
        option("-o", "--output", type=FILE, metavar="OUT.deb", help="Where the package is written."),
        option(
            "--trust",
            type=FILE,
            metavar="ROOT.json",
            help="The root.json of edge-ad keys that the device's stations trust. Each BUNDLE has to be signed then.",
        ),
        option(
            "--extra",
            multiple=True,
            metavar="NAME",
            help="Bring an extra of edge-ad, such as openvino, metrics or modbus. Can be given several times.",
        ),
        option(
            "--python",
            type=click.Choice(["3.11", "3.13"]),
            heading=OTHER,
            help="The Python of the device: 3.11 for Debian 12, 3.13 for Debian 13.",
        ),
        option(
            "--package-version",
            metavar="VERSION",
            heading=OTHER,
            help="The version of the package. Without this option it is edge-ad's own.",
        ),
        option(
            "--maintainer",
            metavar="'NAME <MAIL>'",
            help="Who answers for this package: it stands in the package. Without this option nobody is named.",
        ),
        option(
            "--wheels",
            type=click.Path(path_type=Path, exists=True, file_okay=False),
            metavar="FOLDER",
            heading=OTHER,
            help="Take the wheels from this folder instead of a package registry.",
        ),
        option(
            "--lock",
            type=FILE,
            metavar="FILE",
            heading=OTHER,
            help="Your own list of wheels with their hashes. Without it, the one that comes with edge-ad.",
        ),
        option(
            "--update-lock",
            is_flag=True,
            heading=OTHER,
            help="Write the list with the newest releases for this target, and make no package.",
        ),
    ),
)


@command(options=KEYS)
@click.argument("folder", type=FOLDER)
def keys(folder: Path, options: KeysOptions) -> None:
    """Make the keys that sign bundles, or change them.

    FOLDER gets root.json, which devices are to trust (edge-ad trust), and the private keys. Keep the folder in a safe
    place with a copy. With the environment variable EDGE_AD_KEY_PASSPHRASE the private keys are encrypted.
    """
    _need_tuf()
    from edge_ad_deploy.keys import KeyFolder, changing

    changes = [options.renew, options.add, options.revoke is not None, options.replace_root]
    if sum(changes) > 1:
        raise InputError("expected one of --renew, --add, --revoke and --replace-root, found several")
    if any(changes):
        with changing(folder):
            found = _changed(KeyFolder(folder), options)
    else:
        found = KeyFolder.create(folder, options.days)
    click.echo(f"{folder / 'root.json'}: version {found.root.version}, good until {found.root.expires:%Y-%m-%d}")
    for keyid in found.signing_keys:
        click.echo(f"signing key {keyid}")


def _changed(folder: KeyFolder, options: KeysOptions) -> KeyFolder:
    if options.renew:
        return folder.renew(options.days)
    if options.add:
        return folder.add_key(options.days)
    if options.revoke is not None:
        return folder.revoke(options.revoke, options.days)
    return folder.replace_root_key(options.days)


@command(options=SIGN)
@bundle_argument
def sign(bundle: Path, options: SignOptions) -> None:
    """Sign BUNDLE, so that devices know who made it.

    The manifest is signed, and through its hashes every other file. A device that trusts the root.json of these keys
    (edge-ad trust) takes only bundles with such a signature.

    BUNDLE may be a package of edge-ad package, too (.deb): each signing key signs its bytes in a file beside it, and
    its public key is written to the folder of the keys. Such a signature has no serial and does not expire.
    """
    _need_tuf()
    from edge_ad_deploy.keys import KeyFolder
    from edge_ad_deploy.signing import sign_bundle

    if bundle.suffix == ".deb":
        _sign_package(bundle, options)
        return
    serial = sign_bundle(
        bundle, KeyFolder(options.keys), days=options.days, serial=options.serial, replaces=options.replaces
    )
    click.echo(f"{bundle}: signed with the serial {serial}")


def _sign_package(package: Path, options: SignOptions) -> None:
    from edge_ad_deploy.keys import KeyFolder
    from edge_ad_deploy.signing import sign_package

    context = click.get_current_context()
    for name in ("days", "serial", "replaces"):
        if context.get_parameter_source(f"options_{name}") is ParameterSource.COMMANDLINE:
            raise InputError(f"--{name}: the signature of a package has neither a serial nor an end; leave it out")
    for one in sign_package(package, KeyFolder(options.keys)):
        click.echo(f"{one.signature}: to be checked with {one.public_key}")


@command(options=PACKAGE)
@click.argument("bundles", metavar="[BUNDLE]...", nargs=-1, type=PATH)
def package(bundles: tuple[Path, ...], options: PackageOptions) -> None:
    """Make a Debian package for a device, with each BUNDLE.

    It installs without a network. Beside it are written its software bill of materials (.cdx.json) and what is known
    about vulnerabilities (.vex.json). With SOURCE_DATE_EPOCH in the environment, equal input gives equal bytes.
    """
    _need_deploy()
    from edge_ad_deploy.package import PackageRequest, PackageTarget, build_package

    target = PackageTarget(options.target, options.python)
    if options.update_lock:
        _update_lock(target, options.lock or target.lock)
        return
    if options.output is None:
        raise InputError("expected -o OUT.deb, the place for the package, found nothing")
    built = build_package(
        PackageRequest(
            target=target,
            output=options.output,
            bundles=bundles,
            trust=options.trust,
            extras=options.extra,
            lock=options.lock,
            wheels=options.wheels,
            version=options.package_version,
            maintainer=options.maintainer,
        )
    )
    for line in built.warnings:
        click.echo(f"edge-ad: {line}", err=True)
    click.echo(
        f"{built.package}: {built.package_bytes / 1e6:.1f} MB, {built.installed_bytes / 1e6:.0f} MB when installed\n"
        f"{built.bill}\n{built.statement}"
    )


def _update_lock(target: PackageTarget, place: Path) -> None:
    from edge_ad.files import atomic_write, check_output
    from edge_ad_deploy.package import make_lock

    check_output(place, "--lock")
    lock = make_lock(target)
    atomic_write(place, lock.text(target).encode())
    click.echo(f"{place}: {len(lock.pins)} wheels")


def _need_deploy() -> None:
    for module in ("cyclonedx", "packaging", "pip", "tuf"):
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError(module, "deploy")


def _need_tuf() -> None:
    try:
        import tuf  # noqa: F401
    except ImportError:
        raise MissingExtraError("tuf", "trust") from None
