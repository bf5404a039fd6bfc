"""GRUB: which slot it starts, how often it tries, and the environment that it shares with RAUC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edge_ad_deploy.image.layout import DiskLayout

__all__ = ["ENVIRONMENT", "FRESH", "MODULES", "TRIES", "environment_block", "grub_config", "kernel_options"]

ENVIRONMENT = "/EFI/edge-ad/grubenv"
FRESH = {"ORDER": "A B", "A_OK": "1", "A_TRY": "0", "B_OK": "0", "B_TRY": "0"}
"""A new device: A holds a system, B nothing yet."""
TRIES = 3
"""How often a slot is started without being marked as good, before the other one is."""
MODULES = (
    "part_gpt",
    "fat",
    "squash4",
    "efi_gop",
    "efi_uga",
    "loadenv",
    "regexp",
    "test",
    "echo",
    "linux",
    "normal",
    "reboot",
    "sleep",
)
_BLOCK = 1024
_HEAD = "# GRUB Environment Block\n"

_CONFIG = """\
# Made by edge-ad image. The slots and their tries stand in {environment} on the ESP, which RAUC changes, too:
# ORDER names the preferred slot first; NAME_OK is 1 for a slot that holds a system; NAME_TRY counts the starts since it
# was last marked as good. The count is saved before a system starts, so that one that hangs is counted as well.
regexp --set=1:esp '^\\(([^)]*)\\)' "$cmdpath"
regexp --set=1:disk '^([^,]*),' "$esp"
env="($esp){environment}"
ORDER="A B"
A_OK=1
B_OK=1
A_TRY=0
B_TRY=0
load_env --file "$env" ORDER A_OK A_TRY B_OK B_TRY

slot=""
for name in $ORDER; do
  if [ "$name" = "A" ]; then ok="$A_OK"; try="$A_TRY"; else ok="$B_OK"; try="$B_TRY"; fi
  if [ -z "$slot" -a "$ok" = "1" -a "$try" != "{tries}" ]; then slot="$name"; fi
done
if [ -z "$slot" ]; then
  # Nothing is left to try: begin anew with the slot that comes first and holds a system.
  A_TRY=0
  B_TRY=0
  for name in $ORDER; do
    if [ "$name" = "A" ]; then ok="$A_OK"; else ok="$B_OK"; fi
    if [ -z "$slot" -a "$ok" = "1" ]; then slot="$name"; fi
  done
  if [ -z "$slot" ]; then slot="A"; fi
fi

if [ "$slot" = "A" ]; then
{count_a}
  number="{number_a}"
  identity="{identity_a}"
else
{count_b}
  number="{number_b}"
  identity="{identity_b}"
fi
save_env --file "$env" ORDER A_OK A_TRY B_OK B_TRY

echo "edge-ad: starting slot $slot"
if linux "($disk,gpt$number)/vmlinuz" root=PARTUUID=$identity rauc.slot=$slot {options}; then
  if initrd "($disk,gpt$number)/initrd.img"; then
    boot
  fi
fi
echo "edge-ad: slot $slot does not start; the next try begins in 5 s"
sleep 5
reboot
"""


def grub_config(layout: DiskLayout, extra: Sequence[str] = ()) -> str:
    """The script that starts a slot. ``extra``: options for the kernel."""
    _, a, b, _ = layout.partitions
    return _CONFIG.format(
        environment=ENVIRONMENT,
        tries=TRIES,
        count_a=_count("A"),
        count_b=_count("B"),
        number_a=a.number,
        number_b=b.number,
        identity_a=a.identity,
        identity_b=b.identity,
        options=" ".join(kernel_options(extra)),
    )


def kernel_options(extra: Sequence[str] = ()) -> list[str]:
    """The kernel's options: a root that is never written to, and a new try after a panic."""
    fixed = ["rootfstype=squashfs", "ro", "panic=10", "console=tty0", "console=ttyS0,115200"]
    return [*fixed, "systemd.gpt_auto=0", *extra]


def _count(name: str) -> str:
    """GRUB's shell cannot add."""
    lines = [f'  if [ "${name}_TRY" = "{now}" ]; then next="{now + 1}"; fi' for now in range(TRIES)]
    return "\n".join(['  next="1"', *lines, f'  {name}_TRY="$next"'])


def environment_block(values: Mapping[str, str]) -> bytes:
    """GRUB's environment: text in a block of 1024 bytes, filled up with ``#``."""
    text = _HEAD + "".join(f"{name}={value}\n" for name, value in values.items())
    return text.encode("ascii").ljust(_BLOCK, b"#")
