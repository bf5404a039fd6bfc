"""On a Dask cluster: the same outcomes, whatever becomes of the workers. Loopback only."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import distributed
import msgspec
import numpy as np
import pytest
from distributed import Client, LocalCluster
from numpy.typing import NDArray
from support import fifo, tiny

from edge_ad.bundle import Bundle
from edge_ad.engines import EngineOptions
from edge_ad.errors import (
    BundleIntegrityError,
    EdgeAdError,
    FrameError,
    InputError,
    MissingExtraError,
    NotEnoughNormalsError,
)
from edge_ad_calibration.scoring import ScoredImage, ScoreJob, ScorePlan, UnscoredImage, score_images
from edge_ad_calibration.scoring.journal import MapJournal
from edge_ad_calibration.scoring.opened import open_job
from edge_ad_calibration.scoring.worker import Chunk, SealedJob, describe, score_chunk

ONE_THREAD = EngineOptions(threads=1)


@contextmanager
def dask(workers: int) -> Iterator[Any]:
    with LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        worker_dashboard_address="127.0.0.1:0",
        memory_limit=None,
        silence_logs=logging.CRITICAL,
    ) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with dask(1) as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def images(tmp_path: Path, frames: list[NDArray[np.uint8]]) -> list[Path]:
    return sorted(tiny.write_images(tmp_path / "images", frames).iterdir())


@pytest.fixture
def job(tiny_bundle: Path) -> ScoreJob:
    return ScoreJob(bundle=tiny_bundle, engine=ONE_THREAD)


def test_the_outcomes_are_those_of_one_machine(address: str, images: list[Path], job: ScoreJob) -> None:
    images[3].write_bytes(images[3].read_bytes()[:60])
    images[40].unlink()
    here = list(score_images(images, job))
    assert list(score_images(images, job, ScorePlan(cluster=address))) == here
    assert [place for place, one in enumerate(here) if isinstance(one, UnscoredImage)] == [3, 40]


@pytest.mark.parametrize(
    ("cluster", "error", "failures"),
    [
        pytest.param("address", AssertionError, 2, id="a race lost by Dask"),
        pytest.param("local", TimeoutError, 2, id="a cluster that is slow to answer", marks=pytest.mark.slow),
    ],
)
def test_a_busy_machine_is_asked_again(
    address: str,
    images: list[Path],
    job: ScoreJob,
    monkeypatch: pytest.MonkeyPatch,
    cluster: str,
    error: type[Exception],
    failures: int,
) -> None:
    left = iter([error] * failures)

    class Busy(Client):  # type: ignore[misc]  # Dask has no types
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            super().__init__(*arguments, **settings)
            for failure in left:
                raise failure

    monkeypatch.setattr(distributed, "Client", Busy)
    plan = ScorePlan(cluster={"address": address, "local": "local"}[cluster], workers=1)
    assert len(list(score_images(images[:3], job, plan))) == 3
    left = iter([error] * 3)
    with pytest.raises(InputError, match="no Dask scheduler answers"):
        list(score_images(images[:3], job, plan))


def test_relative_paths_come_back_as_they_were_given(
    address: str, images: list[Path], job: ScoreJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(images[0].parent)
    relative = [Path(image.name) for image in images]
    job = replace(job, bundle=Path(os.path.relpath(job.bundle)))
    found = score_images(relative, job, ScorePlan(cluster=address))
    assert [one.path for one in found] == relative


def test_maps_travel(address: str, images: list[Path], job: ScoreJob) -> None:
    job = replace(job, maps=True)
    here = score_images(images, job)
    there = score_images(images, job, ScorePlan(cluster=address))
    for one, other in zip(here, there, strict=True):
        assert isinstance(one, ScoredImage)
        assert isinstance(other, ScoredImage)
        np.testing.assert_array_equal(one.map, other.map)


def test_a_cluster_and_one_machine_share_a_cache(
    address: str, images: list[Path], job: ScoreJob, tmp_path: Path
) -> None:
    here, there = ScorePlan(cache=tmp_path), ScorePlan(cache=tmp_path, cluster=address)
    list(score_images(images[:25], job, here))
    second = list(score_images(images, job, there))
    assert [isinstance(one, ScoredImage) and one.cached for one in second] == [place < 25 for place in range(60)]
    assert {isinstance(one, ScoredImage) and one.cached for one in score_images(images, job, here)} == {True}
    # A chunk of which all is known does not travel.
    assert {isinstance(one, ScoredImage) and one.cached for one in score_images(images, job, there)} == {True}


def test_a_cluster_goes_on_from_the_maps_of_one_machine(
    address: str, images: list[Path], job: ScoreJob, tmp_path: Path
) -> None:
    job = replace(job, maps=True)
    with suppress(KeyboardInterrupt), MapJournal(tmp_path / "cache") as journal:
        for one in score_images(images[:25], job, journal=journal):
            assert isinstance(one, ScoredImage)
            journal.add(one)
        raise KeyboardInterrupt
    with MapJournal(tmp_path / "cache") as journal:
        found = list(score_images(images, job, ScorePlan(cluster=address), journal=journal))
    assert [isinstance(one, ScoredImage) and one.cached for one in found] == [place < 25 for place in range(60)]
    for one, expected in zip(found, score_images(images, job), strict=True):
        assert isinstance(one, ScoredImage)
        assert isinstance(expected, ScoredImage)
        assert replace(one, map=None, cached=False) == replace(expected, map=None)
        np.testing.assert_array_equal(one.map, expected.map)


def test_a_cluster_of_its_own_is_started_and_stopped(images: list[Path], job: ScoreJob) -> None:
    found = list(score_images(images, job, ScorePlan(cluster="local", workers=1)))
    assert found == list(score_images(images, job))


def test_workers_may_die_in_the_middle_of_an_image(images: list[Path], job: ScoreJob) -> None:
    expected = list(score_images(images, job))
    pipe = fifo.SlowImage(images[20])
    with dask(1) as cluster, ThreadPoolExecutor() as pool:
        pids = _pids(cluster)
        plan = ScorePlan(cluster=cluster.scheduler_address)
        running = pool.submit(lambda: list(score_images(images, job, plan)))
        with pipe.being_read():
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
        with pipe.being_held():
            pass
        assert running.result(timeout=600) == expected
        assert set(pids) & set(_pids(cluster)) == set()


def _pids(cluster: Any) -> list[int]:
    with Client(cluster.scheduler_address, set_as_default=False) as client:
        return sorted(client.run(os.getpid).values())


def test_closing_early_leaves_the_cluster_at_work(address: str, images: list[Path], job: ScoreJob) -> None:
    plan = ScorePlan(cluster=address)
    outcomes = score_images(images * 5, job, plan)
    next(outcomes)
    outcomes.close()
    assert len(list(score_images(images, job, plan))) == 60


def test_an_error_on_a_worker_arrives_as_itself(address: str, images: list[Path], job: ScoreJob) -> None:
    (job.bundle / "variants/onnx-fp32/model.onnx").write_bytes(b"")
    with pytest.raises(BundleIntegrityError, match=r"model\.onnx of .* was changed"):
        next(score_images(images, job, ScorePlan(cluster=address)))


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Bound but not listening: nobody else takes it, nobody answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        yield free.getsockname()[1]


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:{port}", "nonsense://x", "127.0.0.1"])
def test_a_cluster_that_does_not_answer_is_named(
    images: list[Path], job: ScoreJob, address: str, silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_ad_calibration.scoring.cluster._CONNECT_S", 0.5)
    address = address.format(port=silent_port)
    with pytest.raises(InputError, match=f"{address}: no Dask scheduler answers"):
        next(score_images(images, job, ScorePlan(cluster=address)))


def test_no_client_that_reached_nothing_is_left_to_the_garbage_collection(
    images: list[Path], job: ScoreJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would close when memory is next tidied: within the start of another client, that waits for itself."""
    made: list[Client] = []

    class Kept(Client):  # type: ignore[misc]  # Dask has no types
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            made.append(self)
            super().__init__(*arguments, **settings)

    monkeypatch.setattr(distributed, "Client", Kept)
    with pytest.raises(InputError, match="no Dask scheduler answers"):
        next(score_images(images, job, ScorePlan(cluster="nonsense://x")))
    assert [client.status for client in made] == ["closed"]


def test_a_cluster_without_workers_is_refused(images: list[Path], job: ScoreJob) -> None:
    with dask(0) as cluster, pytest.raises(InputError, match="has no workers: start some with  dask worker tcp://"):
        next(score_images(images, job, ScorePlan(cluster=cluster.scheduler_address)))


def test_a_worker_of_another_version_is_refused(images: list[Path], job: ScoreJob, tmp_path: Path) -> None:
    other = tmp_path / "site/edge_ad-9.9.dist-info/METADATA"
    other.parent.mkdir(parents=True)
    other.write_text("Metadata-Version: 2.1\nName: edge-ad\nVersion: 9.9\n")
    with dask(0) as cluster:
        command = [sys.executable, "-m", "distributed.cli.dask_worker", cluster.scheduler_address, "--no-dashboard"]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        worker = subprocess.Popen([*command, "--no-nanny"], env=environment, cwd=tmp_path, **quiet)  # type: ignore[call-overload]
        try:
            with Client(cluster.scheduler_address, set_as_default=False) as client:
                client.wait_for_workers(1, timeout=600)
            with pytest.raises(InputError, match=r"has edge-ad 9\.9, expected .*: run there  pip install"):
                next(score_images(images, job, ScorePlan(cluster=cluster.scheduler_address)))
        finally:
            worker.terminate()
            worker.wait()


def test_a_worker_that_does_not_see_the_images_refuses(job: ScoreJob, images: list[Path]) -> None:
    sealed = SealedJob(job, Bundle.open(job.bundle).manifest.seal)
    absent = images[1].with_name("absent.png")
    with pytest.raises(InputError, match=r"does not see .*absent\.png: workers must see .* under the same paths"):
        describe(sealed, [images[0], absent])


def test_a_worker_that_sees_another_bundle_refuses(job: ScoreJob) -> None:
    with pytest.raises(BundleIntegrityError, match=r"sees another bundle at .*: expected the seal 0000000000000000…"):
        describe(SealedJob(job, "0" * 64), [])


def test_a_worker_that_would_score_differently_refuses(job: ScoreJob, images: list[Path]) -> None:
    with closing(open_job(job)) as opened:
        expected = msgspec.structs.replace(opened.identity, opencv="1.0")
    sealed = SealedJob(job, Bundle.open(job.bundle).manifest.seal)
    with pytest.raises(BundleIntegrityError, match=r"would score differently: opencv: expected 1\.0, found"):
        score_chunk(Chunk(sealed, expected, tuple(images)))


def test_without_dask_the_extra_is_named(images: list[Path], job: ScoreJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"Dask is not installed: run  pip install 'edge-ad\[fleet\]'"):
        next(score_images(images, job, ScorePlan(cluster="local")))


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(InputError("a line"), id="plain"),
        pytest.param(FrameError("wrong_shape", "a line"), id="with a reason"),
        pytest.param(NotEnoughNormalsError(59, "a line"), id="with a number"),
        pytest.param(MissingExtraError("Dask", "fleet"), id="with a message of its own"),
    ],
)
def test_errors_survive_the_way_from_a_worker(error: EdgeAdError) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  our own bytes
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
