# Everything runs in .venv of this clone; each target sets up what it needs.
PYTHON ?= python3
BIN := .venv/bin
# Tests at once. More than there are cores does no harm: some tests wait for other processes.
JOBS ?= 3
# Each process takes a run of neighbouring tests, so that what the tests of a file share is made once.
SPREAD := -n $(JOBS) --dist worksteal

# The tests start hundreds of Python processes, which must not compile the same files anew each time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-slow test-explore test-telemetry onnxruntime-headers axe-core lint format bench bench-station bench-page soak fuzz advisories bench-controllers bench-fleet bench-peers training-pixels families zoo image update image-test clean

.venv/.installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

demo: .venv/.installed  ## render a product line, export, calibrate, inspect; pictures in edge-ad-demo/
	$(BIN)/edge-ad demo --force

# 400 sets the clock of the tests, and of all that they start, as many days ahead.
DAYS_AHEAD ?=
AHEAD := $(if $(DAYS_AHEAD),EDGE_AD_TEST_DAYS_AHEAD=$(DAYS_AHEAD) PYTHONPATH=$(CURDIR)/tests/support/clock_ahead)

test: .venv/.installed  ## in random order; SEED=N repeats one, DAYS_AHEAD=400 runs it on a later day
	$(AHEAD) $(BIN)/python -m pytest -m 'not slow' $(SPREAD) $(if $(SEED),--randomly-seed=$(SEED))

test-slow: .venv/.installed
	$(BIN)/python -m pytest -m slow

test-explore: .venv/.installed  ## the tests of rules, with examples that were never tried before
	$(BIN)/python -m pytest -m 'not slow' $(SPREAD) --hypothesis-profile=explore

test-telemetry: .venv/.installed  ## the whole road without a network: nothing may reach for one
	$(BIN)/python -m pytest tests/test_no_telemetry.py

onnxruntime-headers: build/onnxruntime-headers/onnxruntime_c_api.h  ## from npm, for the tests of firmware_notes/native

build/onnxruntime-headers/onnxruntime_c_api.h:
	firmware_notes/native/fetch_onnxruntime_headers.sh $(@D)

axe-core: build/axe-core/axe.min.js  ## from npm, for the tests of the page

build/axe-core/axe.min.js:
	mkdir -p $(@D)
	cd $(@D) && npm pack --silent axe-core@4 && tar xzf axe-core-4*.tgz --strip-components=1 package/axe.min.js && rm axe-core-4*.tgz

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/.installed
	$(BIN)/python -m benchmarks

bench-station: .venv/.installed  ## a station beside the bare runtime; BUNDLE=, IMAGES= (the demo's, after make demo)
	$(BIN)/python -m benchmarks.station $(or $(BUNDLE),edge-ad-demo/bundle) $(or $(IMAGES),edge-ad-demo/images/test/good)

bench-page: .venv/.installed  ## what the page costs beside nobody looking, and its memory over 8 hours; BUNDLE=, IMAGES=
	$(BIN)/python -m benchmarks.page $(or $(BUNDLE),edge-ad-demo/bundle) $(or $(IMAGES),edge-ad-demo/images/test/good)

MINUTES ?= 60
soak: .venv/.installed  ## a station at full rate for MINUTES=60: nothing may grow, no part may be lost
	$(BIN)/python -m benchmarks.soak $(or $(BUNDLE),edge-ad-demo/bundle) $(or $(IMAGES),edge-ad-demo/images/test/good) --minutes $(MINUTES)

fuzz: .venv/.installed  ## noise for the link, for Modbus and for HTTP, MINUTES=60 of it altogether
	EDGE_AD_FUZZ_MINUTES=$(shell echo $$(( ($(MINUTES) + 2) / 3 ))) $(BIN)/python -m pytest -m slow -s -p no:logging \
		tests/device/link/test_link_fuzz.py tests/device/controllers/test_modbus_fuzz.py \
		tests/device/controllers/http/test_openapi.py

advisories: .venv/.installed  ## the locked wheels of devices against the advisory database; URL= another one than OSV's
	$(BIN)/python -m edge_ad_deploy.advisories $(if $(URL),--url $(URL))

bench-controllers: .venv/.installed  ## from a controller's trigger to its result, by protocol, beside the link
	$(BIN)/python -m benchmarks.controllers

bench-fleet: .venv/.installed  ## a staged roll-out to 10,000 devices, simulated: costs, what it finds, when it stops
	$(BIN)/python -m benchmarks.fleet

bench-peers: .venv/.installed  ## beside anomalib's inferencer; PEER=DIR holds it, MADE=DIR takes models that it makes there
	$(BIN)/python -m benchmarks.peers $(if $(PEER),--peer $(PEER)) $(if $(MADE),--made $(MADE))

training-pixels: .venv/.installed  ## what the resize costs a predictor trained on Pillow's pictures; PEER=a python with torch
	$(BIN)/python -m benchmarks.training_pixels --peer $(PEER)

families: .venv/.installed  ## a real model of every family through export, into docs/families.md; PEER=a python with torch
	$(BIN)/python -m benchmarks.families $(if $(PEER),--peer $(PEER))

zoo: .venv/.installed  ## anomalib's models through export, into docs/families.md; PEER=DIR is an environment that holds it
	$(BIN)/python -m benchmarks.zoo --peer $(PEER)

# BUNDLES="part other" go into the package, signed by KEYS; MIRROR= is a mirror of Debian. It needs root and a network.
IMAGE := build/image
KEYS ?= $(IMAGE)/keys
IMAGE_VERSION ?= 1
UPDATE_VERSION ?= 2
image: $(IMAGE)/edge-ad-$(IMAGE_VERSION).img  ## a disk image that a device boots from (UEFI, amd64)

update: $(IMAGE)/edge-ad-$(UPDATE_VERSION).img  ## a signed update of the system to UPDATE_VERSION=2
	$(BIN)/edge-ad image-update $< --certificate $(IMAGE)/update.pem --key $(IMAGE)/update.key -o $(<:.img=.raucb)

# TRIAL="--only models" tries one part, TRIAL=--resume goes on where a run has stopped.
image-test: image update  ## boots the image in QEMU, updates it, and injects faults; about an hour of two cores
	PATH=$(CURDIR)/$(BIN):$$PATH PYTHONPATH=$(CURDIR)/tests $(BIN)/python -m benchmarks.image_trial $(IMAGE) $(TRIAL)

$(KEYS)/root.json: | .venv/.installed
	mkdir -p $(dir $(KEYS))
	$(BIN)/edge-ad keys $(KEYS)

$(IMAGE)/update.pem:
	mkdir -p $(IMAGE)
	openssl req -x509 -newkey rsa:3072 -nodes -days 7300 -subj "/CN=edge-ad trial updates" -keyout $(@:.pem=.key) -out $@

$(IMAGE)/edge-ad.deb: $(KEYS)/root.json
	$(BIN)/edge-ad package --target amd64 --trust $(KEYS)/root.json --extra trust --extra serve -o $@ $(BUNDLES)

$(IMAGE)/edge-ad-%.img: $(IMAGE)/edge-ad.deb $(IMAGE)/update.pem
	$(BIN)/edge-ad image --package $< --keyring $(IMAGE)/update.pem --image-version $* $(if $(MIRROR),--mirror $(MIRROR)) -o $@

clean:
	rm -rf .venv edge-ad-demo dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
