#!/bin/bash
# Installs the device package on an emulated arm64 Debian, verifies a bundle there, and compares its scores with this
# machine's. As root on Debian, in the folder of the repository, with edge-ad installed here too:
#
#   apt-get install debootstrap qemu-user-static
#   firmware_notes/arm64/check.sh BUNDLE FRAMES [WORK]
#
# BUNDLE: a calibrated bundle; FRAMES: a folder of images; WORK: a folder of some 2 GB that may be kept for another run.
# EDGE_AD and PYTHON name the programs of this machine, VARIANT another variant than onnx-fp32, EXTRA further wheels
# (for openvino-fp32: EXTRA="openvino==2026.4.1 openvino-telemetry==2025.2.0"). The kernel is not changed: qemu is called by name.
set -euo pipefail

BUNDLE=$(realpath "${1:?name a calibrated bundle}")
FRAMES=$(realpath "${2:?name a folder of images}")
WORK=$(realpath -m "${3:-/var/tmp/edge-ad-arm64}")
PYTHON=${PYTHON:-python3}
EDGE_AD=${EDGE_AD:-edge-ad}
TOLERANCE=${TOLERANCE:-1e-4} # of the score, relative: what docs/bundle.md promises of float variants
SUITE=bookworm
MIRROR=${MIRROR:-http://deb.debian.org/debian}
QEMU=$(command -v qemu-aarch64-static) || { echo "qemu-aarch64-static is missing: apt-get install qemu-user-static"; exit 2; }
command -v debootstrap >/dev/null || { echo "debootstrap is missing: apt-get install debootstrap"; exit 2; }
[ "$(id -u)" = 0 ] || { echo "debootstrap needs root"; exit 2; }

# pip takes an old version silently where a tag is not listed. glibc of Debian 12 is 2.36.
PLATFORMS=(--platform manylinux2014_aarch64)
for minor in $(seq 17 36); do PLATFORMS+=(--platform "manylinux_2_${minor}_aarch64"); done
# Pinned: these were checked together. The headless OpenCV needs no libGL.
# shellcheck disable=SC2206  # EXTRA is a list of words
PINNED=(numpy==2.4.6 opencv-python-headless==5.0.0.93 onnxruntime==1.32.0 msgspec==0.22.0 click==8.5.1 natsort==8.4.0 ${EXTRA:-})

step() { printf '\n== %s\n' "$*"; }
mkdir -p "$WORK"
ROOT=$WORK/root

step "an arm64 root of Debian $SUITE"
if [ ! -e "$ROOT/.complete" ]; then
  rm -rf "$ROOT"
  debootstrap --arch=arm64 --foreign --variant=minbase --include=python3,python3-pip "$SUITE" "$ROOT" "$MIRROR" >"$WORK/debootstrap.log" 2>&1 ||
    { tail -5 "$WORK/debootstrap.log"; exit 4; }
  # Unpacked, not configured: nothing of what follows needs the maintainers' scripts, which would want an arm64 kernel.
  for package in "$ROOT"/var/cache/apt/archives/*.deb; do dpkg-deb --extract "$package" "$ROOT"; done
  install -D "$QEMU" "$ROOT/usr/bin/qemu-aarch64-static"
  touch "$ROOT/.complete"
fi
arm64() { env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 chroot "$ROOT" /usr/bin/qemu-aarch64-static "$@"; }
arm64 /usr/bin/python3 -c 'import platform; print(platform.machine(), platform.libc_ver(), "Python", platform.python_version())'

step "wheels for arm64"
WHEELS=$ROOT/wheels
rm -rf "$WHEELS" && mkdir -p "$WHEELS"
"$PYTHON" -m pip wheel --quiet --no-deps --wheel-dir "$WHEELS" .
"$PYTHON" -m pip download --quiet --only-binary=:all: --no-deps "${PLATFORMS[@]}" --platform any \
  --implementation cp --python-version 3.11 --abi cp311 --abi abi3 --abi none --dest "$WHEELS" "${PINNED[@]}"
(cd "$WHEELS" && ls -1)

step "installed from the wheels alone"
arm64 /usr/bin/python3 -m pip install --quiet --no-index --no-deps --no-compile --no-warn-script-location --break-system-packages --root-user-action=ignore \
  --force-reinstall --find-links /wheels $(cd "$WHEELS" && printf '/wheels/%s ' *.whl)
rm -rf "$ROOT/trial" && mkdir "$ROOT/trial"
cp -r "$BUNDLE" "$ROOT/trial/bundle"
cp -r "$FRAMES" "$ROOT/trial/frames"
EDGE='from edge_ad.cli import main; main()'
arm64 /usr/bin/python3 -c "$EDGE" --version

step "golden frames on arm64"
time arm64 /usr/bin/python3 -c "$EDGE" verify /trial/bundle --variant "${VARIANT:-onnx-fp32}"

step "scores here and there"
"$EDGE_AD" score "$BUNDLE" "$FRAMES" --variant "${VARIANT:-onnx-fp32}" --no-drift --json >"$WORK/here.jsonl"
arm64 /usr/bin/python3 -c "$EDGE" score /trial/bundle /trial/frames --variant "${VARIANT:-onnx-fp32}" --no-drift --json >"$WORK/arm64.jsonl"
"$PYTHON" - "$WORK/here.jsonl" "$WORK/arm64.jsonl" "$TOLERANCE" <<'PYTHON'
import json, platform, sys

here, there = ([json.loads(line) for line in open(name)] for name in sys.argv[1:3])
tolerance = float(sys.argv[3])
pairs = [(a, b) for a, b in zip(here, there, strict=True)]
scored = [(a["score"], b["score"]) for a, b in pairs if a.get("score") is not None]
if not scored:
    sys.exit("no frame has a score: give images that the bundle can score")
worst = max(abs(a - b) / max(abs(a), 1e-12) for a, b in scored)
changed = sum(a.get("state") != b.get("state") for a, b in pairs)
print(f"{len(scored)} frames, {platform.machine()} against aarch64: largest relative difference {worst:.3g}, "
      f"tolerance {tolerance:g}; {changed} verdicts differ")
sys.exit(0 if worst <= tolerance and not changed else 3)
PYTHON
step "arm64 gives the scores of this machine"
