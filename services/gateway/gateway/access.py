"""What is told of every request at the edge: a line, a figure of its time, for some a span.

A span costs more than all else that the edge does, hence only so many are begun in a second. The
others pass a trace id on all the same, marked as not sampled: lines and problems are found by it.
"""

import re
import sys
import time
from asyncio import TimerHandle, get_running_loop
from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from random import getrandbits
from typing import Protocol

import orjson
from prometheus_client import REGISTRY, Metric
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString
from svckit.clock import now

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
# W3C Trace Context s3.2, without its ids of zeros
_PARENT = re.compile(rb"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_BURST_S = 10
_LINES = 64
_LINE = b'%b,"ms":%.1f,"timestamp":%b,"trace_id":"%b"}\n'
_KINDS = 4096
_Kind = tuple[str, str, str, int, str]
_FLUSH_S = 0.05
_QUIET = frozenset({"warning", "error", "critical"})


class Sampler:
    """Says yes so many times a second; what is not used is kept for a burst."""

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._left = self._most = float(per_second * _BURST_S)
        self._at = time.monotonic()

    def __call__(self) -> bool:
        at = time.monotonic()
        left = self._left + (at - self._at) * self._per_second
        self._at = at
        if left < 1:
            self._left = left
            return False
        self._left = min(left, self._most) - 1
        return True


def unsampled(parent: bytes) -> bytes:
    """Return the traceparent of a request without a span, in the caller's trace if it names one."""
    # one bit set in each: ids of zeros are none
    if parent and (found := _PARENT.fullmatch(parent)):
        return b"00-%b-%016x-00" % (found[1], getrandbits(64) | 1)
    return b"00-%032x-%016x-00" % (getrandbits(128) | 1, getrandbits(64) | 1)


class Done(Protocol):
    """A request that was answered, or not: then its status is 0."""

    @property
    def method(self) -> str: ...
    @property
    def resource(self) -> str: ...
    @property
    def service(self) -> str: ...
    @property
    def status(self) -> int: ...
    @property
    def organisation_id(self) -> str: ...
    @property
    def started(self) -> float: ...
    @property
    def trace(self) -> bytes: ...


class Lines:
    """The access log: as structlog's lines elsewhere, gathered for one write."""

    def __init__(self, log_level: str) -> None:
        self._on = log_level.lower() not in _QUIET
        self._lines: list[bytes] = []
        # what lines of the same kind begin with, and where their times are counted; looked up once
        self._begun: dict[_Kind, tuple[bytes, list[float]]] = {}
        self._timer: TimerHandle | None = None

    def of(self, done: Done) -> None:
        """Tell of a request that is answered."""
        took_s = time.perf_counter() - done.started
        kind = (done.method, done.resource, done.service, done.status, done.organisation_id)
        begun, taken = self._begun.get(kind) or self._begin(kind)
        taken[bisect_left(_BUCKETS, took_s)] += 1
        taken[-1] += took_s
        if not self._on:
            return
        at = orjson.dumps(now(), option=orjson.OPT_UTC_Z)
        self._lines.append(_LINE % (begun, took_s * 1000, at, done.trace[3:35]))
        if len(self._lines) >= _LINES:
            self.flush()
        elif self._timer is None:
            self._timer = get_running_loop().call_later(_FLUSH_S, self.flush)

    def _begin(self, kind: _Kind) -> tuple[bytes, list[float]]:
        names = ("method", "resource", "upstream", "status", "organisation_id")
        said: dict[str, object] = {"event": "request", "service": "gateway", "level": "info"}
        said |= dict(zip(names, kind, strict=True))
        if len(self._begun) >= _KINDS:
            self._begun.clear()
        found = self._begun[kind] = orjson.dumps(said)[:-1], SECONDS.taken(*kind[:4])
        return found

    def flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._lines:
            text = b"".join(self._lines).decode()
            self._lines.clear()
            sys.stderr.write(text)
            sys.stderr.flush()


class Seconds(Collector):
    """How long requests took, as a histogram: the client library's own locks for each figure."""

    def __init__(self) -> None:
        # by labels: how many took up to each bound, how many longer, and all their seconds
        self._taken: dict[tuple[str, str, str, int], list[float]] = {}

    def observe(self, method: str, resource: str, service: str, status: int, took_s: float) -> None:
        taken = self.taken(method, resource, service, status)
        taken[bisect_left(_BUCKETS, took_s)] += 1
        taken[-1] += took_s

    def taken(self, method: str, resource: str, service: str, status: int) -> list[float]:
        """Return where `observe` counts what has these labels."""
        nothing = [0.0] * (len(_BUCKETS) + 2)
        return self._taken.setdefault((service, resource, method, status), nothing)

    def collect(self) -> Iterator[Metric]:
        found = HistogramMetricFamily(
            "careloop_gateway_request_seconds",
            "Time of a request at the edge, by resource and service",
            labels=("service", "resource", "method", "status"),
        )
        bounds = (*map(floatToGoString, _BUCKETS), "+Inf")
        for labels, taken in list(self._taken.items()):
            counts = zip(bounds, accumulate(taken[:-1]), strict=True)
            found.add_metric([str(each) for each in labels], list(counts), taken[-1])
        yield found


SECONDS = Seconds()
REGISTRY.register(SECONDS)
