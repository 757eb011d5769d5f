"""What Prometheus reads of the server, beside what KServe's own metrics say."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_LABELS = ("model", "version")
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

REQUEST_SECONDS = Histogram(
    "arenaut_request_seconds", "From a request that is read to its results.", _LABELS, buckets=_SECONDS
)
RUN_SECONDS = Histogram(
    "arenaut_run_seconds", "Of a batch, from when it is handed to the processes to its results.", _LABELS,
    buckets=_SECONDS,
)  # fmt: skip
BATCH_ROWS = Histogram("arenaut_batch_rows", "Rows of a run.", _LABELS, buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512))
REQUESTS = Counter("arenaut_requests", "Requests by the status of HTTP that they end with.", (*_LABELS, "status"))
QUEUE = Gauge("arenaut_queue_requests", "Requests that wait or run now.")
ARENA_BYTES = Gauge("arenaut_arena_bytes", "The largest arena that a run has needed.", _LABELS)
WEIGHT_BYTES = Gauge("arenaut_weight_bytes", "Weights, mapped once for all processes.", _LABELS)
WORKERS = Gauge("arenaut_workers", "Processes that run models now.")
RESTARTS = Gauge("arenaut_worker_restarts", "Processes that were started in place of ones that ended.")


def forget(model: str, version: str) -> None:
    """A version that is gone is not shown any more; counters stay."""
    for gauge in (ARENA_BYTES, WEIGHT_BYTES):
        gauge.remove(model, version)
