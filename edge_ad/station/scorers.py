"""What the core knows of its scorers: who is ready, what each is doing, and what waits for it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from edge_ad.station.actions import Action, CameraFrame, HandedIn, KillScorer, ReturnFrame, ScoreFrame

__all__ = ["FrameLease", "Job", "JobBoard", "RecipeRun", "ScorerSlot"]

_DEATHS = 3
_DEATHS_WITHIN_NS = 60_000_000_000


@dataclass(slots=True, eq=False)
class FrameLease:
    """A frame, and how many jobs still read it. ``frame_id``: as the verdict shall name it."""

    frame: CameraFrame | HandedIn
    frame_id: int
    captured_at: float
    readers: int = 0


@dataclass(slots=True, eq=False)
class ScorerSlot:
    """One scorer of one inspection; it outlives its process, which may be started again."""

    number: int
    inspection: str
    camera: str
    hang_ns: int
    is_ready: bool = False
    running: Job | None = None
    waiting: deque[Job] = field(default_factory=deque)
    deaths_ns: deque[int] = field(default_factory=lambda: deque(maxlen=_DEATHS))

    def died_too_often(self, now_ns: int) -> bool:
        """Notes a death; whether there were so many of late that it is a fault."""
        self.deaths_ns.append(now_ns)
        return len(self.deaths_ns) == _DEATHS and now_ns - self.deaths_ns[0] < _DEATHS_WITHIN_NS


@dataclass(slots=True, eq=False)
class Job:
    """One frame to be scored by one scorer for one part. ``sent_ns``: when it was lent."""

    number: int
    trigger: int
    part_id: str
    scorer: ScorerSlot
    lease: FrameLease
    is_challenge: bool = False
    sent_ns: int = 0
    is_killed: bool = False


@dataclass(slots=True)
class RecipeRun:
    """A recipe that is active, or that is being made ready."""

    name: str
    scorers: dict[str, ScorerSlot]

    @property
    def is_ready(self) -> bool:
        """Whether every scorer has verified its bundle."""
        return all(one.is_ready for one in self.scorers.values())


@dataclass(slots=True)
class JobBoard:
    """Jobs on their way: each scorer has one at a time, the others wait in order."""

    out: list[Action]
    jobs: dict[int, Job] = field(default_factory=dict)
    next_number: int = 1

    def add(
        self,
        scorer: ScorerSlot,
        lease: FrameLease,
        trigger: int,
        part_id: str,
        now_ns: int,
        *,
        is_challenge: bool = False,
    ) -> Job:
        """A new job; it is sent at once where the scorer is free. ``is_challenge``: its part is no production."""
        job = Job(self.next_number, trigger, part_id, scorer, lease, is_challenge)
        self.next_number += 1
        lease.readers += 1
        self.jobs[job.number] = job
        scorer.waiting.append(job)
        self.send(scorer, now_ns)
        return job

    def send(self, scorer: ScorerSlot, now_ns: int) -> None:
        """Lends the next frame to a scorer that is ready and free."""
        if not scorer.is_ready or scorer.running is not None or not scorer.waiting:
            return
        job = scorer.waiting.popleft()
        scorer.running, job.sent_ns = job, now_ns
        given, at = job.lease, job.lease.captured_at
        self.out.append(
            ScoreFrame(scorer.number, job.number, given.frame, job.part_id, given.frame_id, at, job.is_challenge)
        )

    def answered(self, number: int) -> Job | None:
        """The job that a scorer has answered; its frame is free again. ``None``: nobody asked for it."""
        job = self.jobs.get(number)
        if job is None or job.scorer.running is not job:
            return None
        job.scorer.running = None
        self._end(job)
        return job

    def lost(self, scorer: ScorerSlot) -> Job | None:
        """The scorer's process is gone: the job that it was doing, which has no answer."""
        scorer.is_ready = False
        job, scorer.running = scorer.running, None
        if job is not None:
            self._end(job)
        return job

    def forget(self, trigger: int) -> None:
        """Nobody waits for this part any more: what no scorer has begun is not begun."""
        for job in [one for one in self.jobs.values() if one.trigger == trigger and one.scorer.running is not one]:
            job.scorer.waiting.remove(job)
            self._end(job)

    def kill_hung(self, now_ns: int) -> None:
        """Ends the scorers that have not answered for too long."""
        for job in list(self.jobs.values()):
            scorer = job.scorer
            if scorer.running is job and not job.is_killed and now_ns - job.sent_ns >= scorer.hang_ns:
                job.is_killed = True
                self.out.append(KillScorer(scorer.number, f"no answer for {scorer.hang_ns / 1e9:g} s"))

    def next_hang_ns(self) -> int | None:
        """When the first scorer will have taken too long."""
        running = (one for one in self.jobs.values() if one.scorer.running is one and not one.is_killed)
        return min((one.sent_ns + one.scorer.hang_ns for one in running), default=None)

    def _end(self, job: Job) -> None:
        del self.jobs[job.number]
        job.lease.readers -= 1
        if job.lease.readers == 0:
            self.out.append(ReturnFrame(job.lease.frame))
