"""A package of a device: what is in it, that it is made again byte by byte, and what is refused before it is made."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result
from support import tiny_calibration
from support.debian_packages import (
    LIBRARIES,
    control,
    needs_dpkg,
    read_package,
    text_in,
    write_wheel,
    write_wheels,
)
from support.paths import ROOT

from edge_ad.cli import main
from edge_ad.errors import InputError
from edge_ad.station import read_station_file
from edge_ad_deploy.keys import KeyFolder
from edge_ad_deploy.package import EXTRAS, PYTHONS, Lock, PackageTarget
from edge_ad_deploy.package.debian import debian_version
from edge_ad_deploy.package.environment import OWN_PACKAGES
from edge_ad_deploy.package.lock import device_requirements
from edge_ad_deploy.package.target import ARCHITECTURES
from edge_ad_deploy.signing import sign_bundle

SCRIPTS = ROOT / "deploy/edge_ad_deploy/package/scripts"
SHELLCHECK = shutil.which("shellcheck") or ""
SITE = "opt/edge-ad/lib/python3.11/site-packages"
UNITS = {
    "usr/lib/systemd/system/edge-ad@.service": "edge-ad@.service",
    "usr/lib/sysusers.d/edge-ad.conf": "edge-ad.sysusers.conf",
    "usr/lib/tmpfiles.d/edge-ad.conf": "edge-ad.tmpfiles.conf",
    "usr/lib/udev/rules.d/60-edge-ad.rules": "60-edge-ad.rules",
}


@dataclass(frozen=True)
class Workshop:
    """A folder with wheels and a lock, in which packages are made without a registry."""

    folder: Path

    @property
    def package(self) -> Path:
        return self.folder / "out.deb"

    def run(self, *arguments: str | Path, target: str = "amd64") -> Result:
        ours = {"--wheels": self.folder / "wheels", "--lock": self.folder / "lock.txt", "-o": self.package}
        given = [word for pair in ours.items() if pair[0] not in arguments for word in pair]
        return CliRunner().invoke(main, ["package", "--target", target, *map(str, (*given, *arguments))])

    def make(self, *arguments: str | Path, target: str = "amd64") -> Path:
        result = self.run(*arguments, target=target)
        assert result.exit_code == 0, result.output
        return self.package

    def refusal(self, *arguments: str | Path, code: int = 2) -> str:
        """The one line of a refusal, which leaves nothing behind."""
        result = self.run(*arguments)
        assert result.exit_code == code, result.output
        assert not list(self.folder.glob("*.deb"))
        assert not list(self.folder.glob("*.json"))
        (line,) = result.stderr.splitlines()
        return line


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    folder = tmp_path / "workshop"
    folder.mkdir()
    write_wheels(folder / "wheels", PackageTarget("amd64"), folder / "lock.txt")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return Workshop(folder)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """One package without bundles, for the tests that only look into it."""
    folder = tmp_path_factory.mktemp("made")
    write_wheels(folder / "wheels", PackageTarget("amd64"), folder / "lock.txt")
    workshop = Workshop(folder)
    workshop.make()
    return workshop


@pytest.fixture
def signed(tiny_bundle: Path, tmp_path: Path) -> Callable[[], tuple[Path, Path]]:
    """Signs the calibrated tiny bundle; returns it and the root to trust."""

    def sign() -> tuple[Path, Path]:
        tiny_calibration.calibrate(tiny_bundle, 0.5)
        keys = KeyFolder.create(tmp_path / "keys")
        sign_bundle(tiny_bundle, keys)
        return tiny_bundle, keys.folder / "root.json"

    return sign


@needs_dpkg
class TestContents:
    def test_the_environment_is_ready_to_run(self, made: Workshop) -> None:
        with read_package(made.package) as tree:
            names = set(tree.getnames())
            assert {f"./{SITE}/{package}/__init__.py" for package in OWN_PACKAGES} <= names
            assert {f"./{SITE}/numpy/__init__.py", f"./{SITE}/onnxruntime/__init__.py"} <= names
            assert tree.getmember("./opt/edge-ad/bin/python").linkname == "/usr/bin/python3.11"
            assert tree.getmember("./usr/bin/edge-ad").linkname == "/opt/edge-ad/bin/edge-ad"
            assert tree.getmember("./opt/edge-ad/bin/edge-ad").mode == 0o755
            assert not [name for name in names if "__pycache__" in name or f"{SITE}/bin" in name]
            assert {member.uname for member in tree.getmembers()} == {"root"}
        assert "home = /usr/bin\n" in text_in(made.package, "opt/edge-ad/pyvenv.cfg")
        assert text_in(made.package, "opt/edge-ad/bin/edge-ad").startswith("#!/opt/edge-ad/bin/python\n")

    def test_an_extra_that_was_not_asked_for_stays_out(self, made: Workshop) -> None:
        with read_package(made.package) as tree:
            assert f"./{SITE}/protobuf/__init__.py" not in tree.getnames()

    @pytest.mark.parametrize(("place", "source"), UNITS.items(), ids=UNITS.values())
    def test_the_service_is_the_one_of_the_notes(self, made: Workshop, place: str, source: str) -> None:
        assert text_in(made.package, place) == (ROOT / "firmware_notes/systemd" / source).read_text()

    def test_the_unit_starts_what_the_package_brings(self, made: Workshop) -> None:
        unit = text_in(made.package, "usr/lib/systemd/system/edge-ad@.service")
        assert "ExecStart=/opt/edge-ad/bin/edge-ad run station.toml\n" in unit

    def test_the_example_of_a_station_is_the_users_own(self, made: Workshop, tmp_path: Path) -> None:
        files = control(made.package, tmp_path / "control")
        assert files["conffiles"].split() == ["/etc/edge-ad/station.toml"]
        assert "Depends: python3.11, systemd\n" in files["control"]
        assert "Architecture: amd64\n" in files["control"]
        assert {name: files[name] for name in ("postinst", "prerm", "postrm")} == {
            path.name: path.read_text() for path in SCRIPTS.iterdir()
        }

    def test_the_licence_of_every_wheel_is_there(self, made: Workshop) -> None:
        place = "usr/share/doc/edge-ad/licences/numpy-2.0/numpy-2.0.dist-info/licenses/LICENSE"
        assert text_in(made.package, place) == "The licence of numpy.\n"
        assert "\nnumpy | 2.0 | MIT | 1\n" in text_in(made.package, "usr/share/doc/edge-ad/copyright")

    def test_the_bill_names_every_wheel_with_its_hash(self, made: Workshop) -> None:
        bill = json.loads((made.folder / "out.cdx.json").read_text())
        pins = Lock.read(made.folder / "lock.txt").chosen(())
        assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
        assert {one["purl"]: one["hashes"][0]["content"] for one in bill["components"]} == {
            f"pkg:pypi/{pin.name}@{pin.version}": pin.sha256 for pin in pins
        }
        assert text_in(made.package, "usr/share/doc/edge-ad/edge-ad.cdx.json") == json.dumps(bill, indent=2) + "\n"

    def test_statements_speak_only_of_what_is_inside(self, made: Workshop) -> None:
        bill = json.loads((made.folder / "out.cdx.json").read_text())
        statement = json.loads((made.folder / "out.vex.json").read_text())
        serial = bill["serialNumber"].removeprefix("urn:uuid:")
        assert {one["id"]: [touched["ref"] for touched in one["affects"]] for one in statement["vulnerabilities"]} == {
            "EDGE-AD-TELEMETRY": [f"urn:cdx:{serial}/1#pkg:pypi/onnxruntime@1.20"]
        }

    def test_bundles_and_trust(self, workshop: Workshop, signed: Callable[[], tuple[Path, Path]]) -> None:
        bundle, root = signed()
        (bundle / "stray.txt").write_text("no file of the bundle")
        package = workshop.make("--trust", root, bundle)
        place = "opt/edge-ad/bundles/tiny"
        with read_package(package) as tree:
            names = set(tree.getnames())
        assert f"./{place}/signature/targets.json" in names
        assert f"./{SITE}/protobuf/__init__.py" in names, "--trust brings the extra trust"
        assert f"./{place}/stray.txt" not in names
        assert text_in(package, f"{place}/manifest.json") == (bundle / "manifest.json").read_text()
        assert text_in(package, "opt/edge-ad/trust/root.json") == root.read_text()
        assert "C /var/lib/edge-ad/trust/root.json " in text_in(package, "usr/lib/tmpfiles.d/edge-ad-trust.conf")
        example = msgspec.toml.decode(text_in(package, "etc/edge-ad/station.toml"))
        assert example["inspect"]["main"]["bundle"] == "/opt/edge-ad/bundles/tiny"
        assert example["trust"] == {"store": "/var/lib/edge-ad/trust"}
        bill = json.loads((workshop.folder / "out.cdx.json").read_text())
        assert [one["name"] for one in bill["components"] if one["type"] == "machine-learning-model"] == ["tiny"]

    def test_the_example_is_a_station_file(self, made: Workshop, tmp_path: Path) -> None:
        file = tmp_path / "station.toml"
        file.write_text(text_in(made.package, "etc/edge-ad/station.toml"))
        assert read_station_file(file).station.name == "line1"


@needs_dpkg
class TestAgain:
    def test_equal_input_gives_equal_bytes(self, workshop: Workshop, signed: Callable[[], tuple[Path, Path]]) -> None:
        bundle, root = signed()
        first = workshop.make("--trust", root, bundle).read_bytes()
        papers = {path.name: path.read_bytes() for path in workshop.folder.glob("*.json")}
        shutil.move(workshop.folder / "wheels", workshop.folder / "elsewhere")
        again = workshop.make("--trust", root, bundle, "--wheels", workshop.folder / "elsewhere").read_bytes()
        assert again == first
        assert {path.name: path.read_bytes() for path in workshop.folder.glob("*.json")} == papers

    def test_another_architecture(self, workshop: Workshop, tmp_path: Path) -> None:
        write_wheels(workshop.folder / "wheels", PackageTarget("arm64"), workshop.folder / "lock.txt")
        package = workshop.make(target="arm64")
        assert "Architecture: arm64\n" in control(package, tmp_path / "control")["control"]
        assert "manylinux_2_28_aarch64" in text_in(package, f"{SITE}/numpy-2.0.dist-info/WHEEL")


class TestRefused:
    def test_a_wheel_that_differs(self, workshop: Workshop) -> None:
        tag = "cp311-abi3-manylinux_2_28_x86_64"
        write_wheel(workshop.folder / "wheels", "numpy", LIBRARIES["numpy"], tag=tag, text="import this\n")
        line = workshop.refusal()
        assert line.startswith(f"edge-ad: numpy-2.0-{tag}.whl is another wheel than the lock names: expected sha256 ")

    def test_a_wheel_that_is_missing(self, workshop: Workshop) -> None:
        shutil.rmtree(workshop.folder / "wheels")
        (workshop.folder / "wheels").mkdir()
        assert "holds no wheel of numpy==2.0 for amd64 with Python 3.11" in workshop.refusal()

    def test_no_registry(self, workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
        monkeypatch.setenv("PIP_RETRIES", "0")
        arguments = ["--target", "amd64", "--lock", str(workshop.folder / "lock.txt"), "-o", str(workshop.package)]
        result = CliRunner().invoke(main, ["package", *arguments])
        assert (result.exit_code, result.stderr) == (
            4,
            "edge-ad: no package registry can be reached: connect to one, or give a folder of wheels with --wheels\n",
        )
        assert not workshop.package.exists()

    def test_an_unsigned_bundle_before_anything_is_downloaded(
        self, workshop: Workshop, tiny_bundle: Path, tmp_path: Path
    ) -> None:
        root = KeyFolder.create(tmp_path / "keys").folder / "root.json"
        shutil.rmtree(workshop.folder / "wheels")
        (workshop.folder / "wheels").mkdir()
        assert "is not signed" in workshop.refusal("--trust", root, tiny_bundle, code=3)

    def test_a_damaged_bundle(self, workshop: Workshop, tiny_bundle: Path) -> None:
        with (tiny_bundle / "golden/0.png").open("ab") as file:
            file.write(b"x")
        assert "golden/0.png" in workshop.refusal(tiny_bundle, code=3)

    def test_two_bundles_of_one_name(self, workshop: Workshop, tiny_bundle: Path) -> None:
        assert "expected bundles with different names" in workshop.refusal(tiny_bundle, tiny_bundle)

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            pytest.param(["-o", "out.rpm"], "-o out.rpm: expected a name that ends with .deb", id="no-deb"),
            pytest.param(["-o", "none/out.deb"], "-o none/out.deb: its folder does not exist", id="no-folder"),
            pytest.param(["--extra", "trsut"], "--extra trsut: the lock has no wheels for it", id="no-such-extra"),
            pytest.param(["--package-version", "v1"], "--package-version v1: expected a digit first", id="version"),
            pytest.param(["--maintainer", "a@b.c"], "--maintainer a@b.c: expected 'NAME <MAIL>'", id="maintainer"),
            pytest.param(["--lock", "none.txt"], "the lock none.txt cannot be read", id="no-lock"),
            pytest.param(["--trust", "none.json"], "none.json", id="no-root"),
        ],
    )
    def test_what_cannot_be_used(self, workshop: Workshop, arguments: list[str], said: str) -> None:
        assert said in workshop.refusal(*arguments)

    def test_no_output(self) -> None:
        result = CliRunner().invoke(main, ["package", "--target", "amd64"])
        assert (result.exit_code, "expected -o OUT.deb" in result.stderr) == (2, True)

    def test_a_clock_that_is_none(self, workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
        assert "SOURCE_DATE_EPOCH=yesterday: expected the seconds since 1970" in workshop.refusal()

    def test_a_pipe_as_a_lock(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "lock")
        with pytest.raises(InputError, match=r"cannot be read .*a pipe"):
            Lock.read(tmp_path / "lock")

    def test_a_damaged_lock(self, workshop: Workshop) -> None:
        with (workshop.folder / "lock.txt").open("a") as file:
            file.write("click>=8\n")
        assert "found 'click>=8'" in workshop.refusal()


def test_a_bundle_that_is_not_calibrated_is_a_warning(workshop: Workshop, tiny_bundle: Path) -> None:
    result = workshop.run(tiny_bundle)
    assert (result.exit_code, "is not calibrated" in result.stderr) == (0, True)


@needs_dpkg
def test_who_answers_for_a_package(workshop: Workshop, tmp_path: Path) -> None:
    result = workshop.run()
    assert "the package names nobody <nobody@localhost> as its maintainer" in result.stderr
    assert "Maintainer: nobody <nobody@localhost>\n" in control(workshop.package, tmp_path / "nobody")["control"]
    named = "Linienbau Süd <line@example.com>"
    result = workshop.run("--maintainer", named)
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"Maintainer: {named}\n" in control(workshop.package, tmp_path / "named")["control"]


@needs_dpkg
def test_a_package_for_another_debian_depends_on_its_python(workshop: Workshop, tmp_path: Path) -> None:
    target = PackageTarget("amd64", "3.13")
    write_wheels(workshop.folder / "wheels", target, workshop.folder / "lock.txt")
    package = workshop.make("--python", "3.13")
    assert "Depends: python3.13, systemd\n" in control(package, tmp_path / "control")["control"]
    with read_package(package) as tree:
        assert tree.getmember("./opt/edge-ad/bin/python").linkname == "/usr/bin/python3.13"
        assert "./opt/edge-ad/lib/python3.13/site-packages/numpy/__init__.py" in tree.getnames()


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_locks_that_come_with_edge_ad_have_all_that_it_asks_for(architecture: str, python: str) -> None:
    target = PackageTarget(architecture, python)
    lock = Lock.read(target.lock)
    names = {pin.name for pin in lock.chosen(())}
    assert {"numpy", "onnxruntime", "opencv-python-headless", "msgspec", "click", "natsort"} <= names
    assert {one for pin in lock.pins for one in pin.wanted} == {"edge-ad", *EXTRAS}
    assert lock.text(target) == target.lock.read_text()


def test_a_device_gets_the_opencv_without_a_screen() -> None:
    names = {line.partition(">")[0] for line in device_requirements(PackageTarget("arm64"))}
    assert names == {"numpy", "opencv-python-headless", "onnxruntime", "msgspec", "click", "natsort"}


def test_every_package_of_the_wheel_goes_to_the_device() -> None:
    settings = msgspec.toml.decode((ROOT / "pyproject.toml").read_text())
    wheel = settings["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert [name.rpartition("/")[2] for name in wheel["packages"]] == list(OWN_PACKAGES)
    assert wheel["force-include"] == {"firmware_notes/systemd": "edge_ad_deploy/package/systemd"}


def test_the_choices_are_those_of_the_packages() -> None:
    package = main.get_command(None, "package")  # type: ignore[arg-type]
    assert package is not None
    choices = {one.name: getattr(one.type, "choices", None) for one in package.params}
    assert list(choices["options_python"] or ()) == list(PYTHONS)


@pytest.mark.parametrize(
    ("python", "debian"),
    [("0.1.0", "0.1.0"), ("1.0rc2", "1.0~rc2"), ("1.0.dev3", "1.0~dev3"), ("1.0+local", "1.0+git.local")],
)
def test_versions_sort_as_debian_sorts(python: str, debian: str) -> None:
    assert debian_version(python) == debian


@pytest.mark.skipif(not SHELLCHECK, reason="shellcheck is not on this machine")
@pytest.mark.parametrize("script", sorted(SCRIPTS.iterdir()), ids=lambda one: one.name)
def test_the_scripts_of_the_package_are_clean(script: Path) -> None:
    done = subprocess.run([SHELLCHECK, str(script)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_help_works_where_nothing_of_the_workstation_is_installed() -> None:
    code = (
        "import sys; sys.modules |= dict.fromkeys(('cryptography', 'tuf', 'securesystemslib', 'cyclonedx'))\n"
        "from edge_ad.cli import main; main(['--help'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, "package" in done.stdout) == (0, True), done.stderr


def test_scoring_loads_no_protobuf(tiny_bundle: Path) -> None:
    """What the package's statement on CVE-2025-4565 says."""
    code = (
        "import sys; from edge_ad.scoring.verification import verify_bundle\n"
        f"verify_bundle({str(tiny_bundle)!r}, 'onnx-fp32')\n"
        "print('onnxruntime' in sys.modules, [one for one in sys.modules if one.startswith('google.protobuf')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "True []\n", done.stderr
