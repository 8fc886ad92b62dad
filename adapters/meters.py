"""The meters of delivery as Prometheus metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from guardrails.meters import Meters

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
"""Both latency budgets, 0.2 s and 0.5 s, and the acknowledgement's 5 s are bounds of buckets."""


def prometheus_meters(registry: CollectorRegistry) -> Meters:
    """Meters that a registry exports; raises `ValueError` where it has them already."""
    return Meters(
        Counter("lexwatt_delivery_attempts", "Attempts to deliver a command.", ("result",), registry=registry),
        Counter("lexwatt_deliveries", "Deliveries that ended.", ("outcome", "tier"), registry=registry),
        Gauge("lexwatt_breakers", "Devices by the state of their circuit breaker.", ("state",), registry=registry),
        Histogram(
            "lexwatt_delivery_seconds", "Time by stage of delivery.", ("stage",), registry=registry, buckets=SECONDS
        ),
    )
