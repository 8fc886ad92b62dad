"""What the service measures of itself: Prometheus figures, and spans where a tracer is configured."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import Any, TypeVar

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from lexwatt.service.settings import UnsafeSettings

T = TypeVar("T")

BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
"""Seconds. Among them the budgets: 10 ms for a look-ahead, 200 ms and 500 ms for services."""

STAGES = ("parse", "judge", "record", "seal", "total")
Mark = tuple[str, int, int]
"""A stage and when it began and ended, in ns of the performance counter."""


class Stopwatch:
    """Collects the stages of one request at a time; work inside a stage that has its own name does not count twice."""

    def __init__(self) -> None:
        self.marks: list[Mark] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measures what is done inside."""
        began = time.perf_counter_ns()
        try:
            yield
        finally:
            self.marks.append((name, began, time.perf_counter_ns()))


class Timed:
    """Stands before an object and measures some of its methods as stages of a stopwatch that may be exchanged."""

    def __init__(self, inner: Any, stages: dict[str, str]) -> None:
        self._inner = inner
        self.watch = Stopwatch()
        for method, stage in stages.items():
            setattr(self, method, self._measured(getattr(inner, method), stage))

    def _measured(self, method: Callable[..., T], stage: str) -> Callable[..., T]:
        def call(*args: Any, **named: Any) -> T:
            with self.watch.stage(stage):
                return method(*args, **named)

        return call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __len__(self) -> int:
        return len(self._inner)


class Measures:
    """The figures of one service, in a registry of its own."""

    def __init__(self, tracer: trace.Tracer | None = None) -> None:
        self.registry = CollectorRegistry()
        self._tracer = tracer
        stages = Histogram(
            "lexwatt_stage_seconds", "Time of a stage", ("operation", "stage"), buckets=BUCKETS, registry=self.registry
        )
        self._requests = Counter(
            "lexwatt_requests", "Requests answered", ("operation", "status"), registry=self.registry
        )
        self._decisions = Counter("lexwatt_decisions", "Decisions by outcome", ("outcome",), registry=self.registry)
        self.late = Counter(
            "lexwatt_late", "Admitted commands withheld since their deadline had passed", registry=self.registry
        )
        self.waiting = Gauge("lexwatt_waiting", "Admissions under way", registry=self.registry)
        self.records = Gauge("lexwatt_records", "Records in the ledger", registry=self.registry)
        self._stages = stages
        self._children: dict[tuple[str, str], Any] = {}

    def decided(self, outcome: str) -> None:
        """Counts a decision."""
        self._decisions.labels(outcome).inc()

    def answered(self, operation: str, status: int, began: int, marks: Sequence[Mark]) -> None:
        """Takes in one request: its stages, its status, and a span with one inside for each stage."""
        ended = time.perf_counter_ns()
        for name, start, end in (*marks, ("total", began, ended)):
            self._child(self._stages, operation, name).observe((end - start) / 1e9)
        self._child(self._requests, operation, str(status)).inc()
        if self._tracer is None:
            return
        wall = time.time_ns() - ended
        span = self._tracer.start_span(operation, start_time=wall + began, attributes={"http.status_code": status})
        context = trace.set_span_in_context(span)
        for name, start, end in marks:
            inner = self._tracer.start_span(f"{operation} {name}", context, start_time=wall + start)
            inner.end(wall + end)
        span.end(wall + ended)

    def _child(self, metric: Any, *labels: str) -> Any:
        key = (metric._name, *labels)
        found = self._children.get(key)
        if found is None:
            found = self._children[key] = metric.labels(*labels)
        return found

    def exposition(self) -> tuple[bytes, str]:
        """All figures in Prometheus' text form, and its media type."""
        return generate_latest(self.registry), CONTENT_TYPE_PLAIN_0_0_4


def tracer(exporter: str) -> trace.Tracer | None:
    """A tracer that exports by the installed exporter of a name (`console`, or that of another package).

    None for `none`. Raises `UnsafeSettings` for a name that is not installed.
    """
    if exporter == "none":
        return None
    found = list(entry_points(group="opentelemetry_traces_exporter", name=exporter))
    if not found:
        raise UnsafeSettings(f"trace_exporter: no exporter `{exporter}` is installed")
    provider = TracerProvider(resource=Resource.create({"service.name": "lexwatt"}))
    provider.add_span_processor(BatchSpanProcessor(found[0].load()()))
    return provider.get_tracer("lexwatt")
