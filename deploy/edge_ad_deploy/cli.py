"""``edge-ad keys`` and ``edge-ad sign``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_ad.cli.option_groups import COMMON, OptionGroup, command, option
from edge_ad.cli.options import FOLDER, bundle_argument
from edge_ad.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from edge_ad_deploy.keys import KeyFolder


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
        option("--days", type=click.IntRange(min=1), metavar="DAYS", help="How long the keys are good."),
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
        option("--days", type=click.IntRange(min=1), metavar="DAYS", help="How long the signature is good."),
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


@command(options=KEYS)
@click.argument("folder", type=FOLDER)
def keys(folder: Path, options: KeysOptions) -> None:
    """Make the keys that sign bundles, or change them.

    FOLDER gets root.json, which devices are to trust (edge-ad trust), and the private keys. Keep the folder in a safe
    place with a copy. With the environment variable EDGE_AD_KEY_PASSPHRASE the private keys are encrypted.
    """
    _need_tuf()
    from edge_ad_deploy.keys import KeyFolder

    changes = [options.renew, options.add, options.revoke is not None, options.replace_root]
    if sum(changes) > 1:
        raise InputError("expected one of --renew, --add, --revoke and --replace-root, found several")
    found = _changed(KeyFolder(folder), options) if any(changes) else KeyFolder.create(folder, options.days)
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
    """
    _need_tuf()
    from edge_ad_deploy.keys import KeyFolder
    from edge_ad_deploy.signing import sign_bundle

    serial = sign_bundle(
        bundle, KeyFolder(options.keys), days=options.days, serial=options.serial, replaces=options.replaces
    )
    click.echo(f"{bundle}: signed with the serial {serial}")


def _need_tuf() -> None:
    try:
        import tuf  # noqa: F401
    except ImportError:
        raise MissingExtraError("tuf", "trust") from None
