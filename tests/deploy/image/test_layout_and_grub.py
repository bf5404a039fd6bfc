"""The partition table, GRUB's script and the environment that it shares with RAUC."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edge_ad.errors import InputError
from edge_ad_deploy.image.grub import FRESH, environment_block, grub_config
from edge_ad_deploy.image.layout import MIB, DiskLayout
from edge_ad_deploy.image.root import FILES, system_config


def test_partitions_touch_and_the_slots_have_one_size() -> None:
    layout = DiskLayout(esp_mib=64, slot_mib=300, data_mib=128)
    esp, a, b, data = layout.partitions
    assert esp.start == MIB
    assert [one.start for one in (a, b, data)] == [one.start + one.size for one in (esp, a, b)]
    assert a.size == b.size == 300 * MIB
    assert layout.size == data.start + data.size + MIB


def test_the_table_names_each_partition_with_an_identity_that_stays() -> None:
    options = DiskLayout().sgdisk_options()
    assert "--change-name=2:root-a" in options
    assert "--new=1:2048:133119" in options
    assert options == DiskLayout().sgdisk_options()
    assert len({one.identity for one in DiskLayout().partitions}) == 4


def test_a_root_that_does_not_fit_is_refused() -> None:
    DiskLayout(slot_mib=300).check_slot(300 * MIB)
    with pytest.raises(InputError, match=r"--slot-mb 300: the root needs 301 MiB"):
        DiskLayout(slot_mib=300).check_slot(300 * MIB + 1)


def test_what_grows_on_the_device_are_the_partitions_of_the_image() -> None:
    files = sorted((FILES / "root/usr/lib/edge-ad/repart.d").iterdir())
    assert [file.stem.partition("-")[2] for file in files] == [one.label for one in DiskLayout().partitions]
    assert ["Weight=0" in file.read_text() for file in files] == [True, True, True, False]


def test_rauc_names_the_slots_as_the_table_and_grub_do() -> None:
    config = system_config("line-box")
    assert re.findall(r"by-partlabel/(\S+)", config) == [one.label for one in DiskLayout().partitions[1:3]]
    assert re.findall(r"bootname=(\w)", config) == ["A", "B"]
    assert "compatible=line-box\n" in config
    assert "grubenv=/boot/efi/EFI/edge-ad/grubenv\n" in config


def test_an_environment_is_one_block_of_grub() -> None:
    block = environment_block(FRESH)
    assert len(block) == 1024
    assert block.startswith(b"# GRUB Environment Block\nORDER=A B\nA_OK=1\n")
    assert block.endswith(b"#")


# GRUB's own commands, for a shell that runs the script: what load_env sets, what save_env saves, what is started.
_SHELL = """\
regexp() { :; }
load_env() { %s; }
save_env() { printf 'saved %%s %%s %%s %%s %%s\\n' "$ORDER" "$A_OK" "$A_TRY" "$B_OK" "$B_TRY"; }
linux() { printf 'linux %%s\\n' "$3"; case "%s" in *"$slot"*) return 1;; esac; }
initrd() { :; }
boot() { exit 0; }
sleep() { :; }
reboot() { echo reboot; exit 0; }
disk=hd0; esp=hd0,gpt1; cmdpath=x
"""


def starts(environment: str, damaged: str = "") -> list[str]:
    """What the script does with an environment, run by a shell: GRUB's language is a part of the shell's."""
    values = environment.split()
    order, (a_ok, a_try, b_ok, b_try) = values[0].replace(",", " "), values[1:]
    loaded = f'ORDER="{order}"; A_OK={a_ok}; A_TRY={a_try}; B_OK={b_ok}; B_TRY={b_try}'
    script = _SHELL % (loaded, damaged) + grub_config(DiskLayout())
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)  # noqa: S607
    return [line for line in done.stdout.splitlines() if not line.startswith("edge-ad:")]


@pytest.mark.parametrize(
    ("environment", "saved", "slot"),
    [
        ("A,B 1 0 0 0", "A B 1 1 0 0", "A"),
        ("A,B 1 1 0 0", "A B 1 2 0 0", "A"),
        ("B,A 1 0 1 0", "B A 1 0 1 1", "B"),
        ("B,A 1 0 1 2", "B A 1 0 1 3", "B"),
        ("B,A 1 0 1 3", "B A 1 1 1 3", "A"),
        ("B,A 1 0 0 0", "B A 1 1 0 0", "A"),
        ("A,B 1 3 0 0", "A B 1 1 0 0", "A"),
        ("A,B 0 3 1 3", "A B 0 0 1 1", "B"),
        ("A,B 0 0 0 0", "A B 0 1 0 0", "A"),
    ],
    ids=["fresh", "again", "update", "last try", "fallback", "bad", "nothing left", "only B", "none is good"],
)
def test_grub_counts_its_tries_and_goes_back(environment: str, saved: str, slot: str) -> None:
    assert starts(environment) == [f"saved {saved}", f"linux rauc.slot={slot}"]


def test_a_slot_without_a_kernel_starts_again_with_its_try_counted() -> None:
    assert starts("B,A 1 0 1 1", damaged="B") == ["saved B A 1 0 1 2", "linux rauc.slot=B", "reboot"]


@pytest.mark.skipif(shutil.which("grub-script-check") is None, reason="grub-common is not on this machine")
def test_grub_reads_the_script(tmp_path: Path) -> None:
    file = tmp_path / "grub.cfg"
    file.write_text(grub_config(DiskLayout(), ["quiet"]))
    subprocess.run(["grub-script-check", str(file)], check=True)  # noqa: S607
