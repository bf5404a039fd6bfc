"""The real package in clean roots of Debian without a network: installed, verified, upgraded, removed, purged."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from support import tiny, tiny_calibration
from support.debian_roots import clean_root, run_in_root

from edge_ad.cli import main
from edge_ad_deploy.keys import KeyFolder
from edge_ad_deploy.signing import sign_bundle

pytestmark = pytest.mark.slow

MOST_BYTES = 120e6
DEVICES = [("amd64", "3.11"), ("arm64", "3.11"), ("amd64", "3.13")]
"""Architectures, and the Python of their Debian."""

_INSTALL = """\
dpkg -i /packages/1.deb
edge-ad --version
edge-ad --help >/dev/null
edge-ad verify /opt/edge-ad/bundles/part --trust /var/lib/edge-ad/trust
dpkg --verify edge-ad
stat -c '%U %a' /var/lib/edge-ad /var/lib/edge-ad/trust/root.json
test "$(find /opt/edge-ad -name '*.pyc' | wc -l)" -gt 1000
"""

_UPGRADE = """\
echo '# changed here' >>/etc/edge-ad/station.toml
install -d -o edge-ad /var/lib/edge-ad/line1
echo results >/var/lib/edge-ad/line1/results.jsonl
touch /var/lib/edge-ad/trust/seen.json
dpkg -i /packages/2.deb
dpkg-query --show --showformat '${Version}\\n' edge-ad
tail -n 1 /etc/edge-ad/station.toml
cat /var/lib/edge-ad/line1/results.jsonl
ls /var/lib/edge-ad/trust
rm /var/lib/edge-ad/trust/seen.json
edge-ad verify /opt/edge-ad/bundles/part --trust /var/lib/edge-ad/trust >/dev/null
"""

_REMOVE = """\
dpkg --remove edge-ad
test ! -e /opt/edge-ad -a ! -e /usr/bin/edge-ad -a ! -e /usr/lib/systemd/system/edge-ad@.service
tail -n 1 /etc/edge-ad/station.toml
cat /var/lib/edge-ad/line1/results.jsonl
dpkg --purge edge-ad
find / -xdev -name '*edge-ad*' -not -path '/proc/*' -not -path '/packages*'
getent passwd edge-ad || getent group edge-ad || echo nobody
"""


@pytest.fixture
def packages(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Two versions of the real package of one device, with a calibrated and signed bundle."""
    architecture, python = request.param
    bundle = tiny.write_bundle(tmp_path / "part")
    tiny_calibration.calibrate(bundle, 0.5)
    keys = KeyFolder.create(tmp_path / "keys")
    sign_bundle(bundle, keys)
    folder = tmp_path / "packages"
    folder.mkdir()
    for version in ("1", "2"):
        given = [
            "--target",
            architecture,
            "--python",
            python,
            "--trust",
            str(keys.folder / "root.json"),
            "--package-version",
            version,
        ]
        result = CliRunner().invoke(main, ["package", *given, "-o", str(folder / f"{version}.deb"), str(bundle)])
        if result.exit_code == 4:
            pytest.skip(result.stderr.strip())
        assert result.exit_code == 0, result.output
        print(result.stdout)  # noqa: T201
    return folder


@pytest.mark.parametrize(
    ("packages", "device"),
    [(one, one) for one in DEVICES],
    ids=["-".join(one) for one in DEVICES],
    indirect=["packages"],
)
def test_install_verify_upgrade_remove_purge(packages: Path, device: tuple[str, str], tmp_path: Path) -> None:
    architecture = device[0]
    assert (packages / "1.deb").stat().st_size < MOST_BYTES
    root = clean_root(*device, tmp_path / "root")
    shutil.copytree(packages, root / "packages")
    said = [_said(root, architecture, commands) for commands in (_INSTALL, _UPGRADE, _REMOVE)]
    assert re.search(r"edge-ad, version \S+\n", said[0])
    assert "2 golden frames replayed, all equal; calibrated for default" in said[0]
    assert "signed with the serial 1 by " in said[0]
    assert said[0].endswith("edge-ad 750\nedge-ad 640\n")
    assert said[1].endswith("2\n# changed here\nresults\nroot.json\nseen.json\n")
    assert "# changed here\nresults\n" in said[2]
    assert said[2].endswith("(2) ...\nnobody\n")


def _said(root: Path, architecture: str, commands: str) -> str:
    began = time.monotonic()
    done = run_in_root(root, architecture, commands)
    print(f"{architecture}: {time.monotonic() - began:.0f} s\n{done.stdout}{done.stderr}")  # noqa: T201
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
