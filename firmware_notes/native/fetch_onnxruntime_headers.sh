#!/bin/sh
# Fetches the C headers of ONNX Runtime (MIT licence) into a folder. They are in no wheel, and on npm only in a package
# that somebody made for Unity: 150 MB, of which 1 MB is kept.
#
#     fetch_onnxruntime_headers.sh FOLDER
set -eu
FOLDER=${1:?name the folder for the headers}
PACKAGE=com.github.asus4.onnxruntime@0.4.9
SHA256=e59788788818fdde1b2e522e766a21ba0f7d8391de55737abf81e32cc801785d
INSIDE='package/Plugins/iOS~/onnxruntime.xcframework/ios-arm64/onnxruntime.framework/Headers'

fail() { echo "error: $2" >&2; exit "$1"; }
command -v npm >/dev/null ||
  fail 2 "npm is missing: install it, or copy the headers of a release of ONNX Runtime to $FOLDER"
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
npm pack "$PACKAGE" --silent --fetch-retries=1 --cache "$WORK/cache" --pack-destination "$WORK" >"$WORK/log" 2>&1 ||
  fail 4 "npm cannot fetch $PACKAGE: $(grep -m 1 . "$WORK/log")"
echo "$SHA256  $(echo "$WORK"/*.tgz)" | sha256sum --check --status - ||
  fail 3 "$PACKAGE is not the file that was checked"
tar -xzf "$WORK"/*.tgz -C "$WORK" "$INSIDE"
mkdir -p "$FOLDER"
cp "$WORK/$INSIDE"/onnxruntime_*.h "$FOLDER"
echo "the headers are in $FOLDER"
