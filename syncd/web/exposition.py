"""Prometheus's view: base units, ``_total`` for what only grows, and no file names anywhere."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder

from syncd import __version__
from syncd.status import State
from syncd.tallies import BOUNDS_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from prometheus_client.core import Metric

    from syncd.tallies import Tallies

    Encode = Callable[[CollectorRegistry], bytes]
    Samples = Iterable[tuple[Sequence[str], float]]  # values of the labels, and the number

EDGES = [*(str(bound) for bound in BOUNDS_S), "+Inf"]


def encoder(accept: str) -> tuple[Encode, str]:
    """Return what writes the format that was asked for, and its content type."""
    return choose_encoder(accept)


def registry(status: Mapping[str, Any], tallies: Tallies, *, now: datetime | None = None) -> CollectorRegistry:
    """Return everything there is to scrape at one moment.

    Args:
        status: How things stand, with the keys of ``syncd status --json``.
        tallies: What has been counted since the start.
        now: The time.
    """
    found = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=found)
    found.register(_Picture(status, tallies, now or datetime.now(UTC)))
    return found


class _Picture:
    def __init__(self, status: Mapping[str, Any], tallies: Tallies, now: datetime) -> None:
        self._status, self._tallies, self._now = status, tallies, now

    def collect(self) -> Iterator[Metric]:
        """Yield every metric; called by the encoder."""
        yield InfoMetricFamily("syncd_build", "The version that runs.", {"version": __version__})
        yield from _standing(self._status)
        yield from _waiting(self._status["pending"], self._now)
        yield from _newest_snapshot(self._status["snapshot"])
        yield from _sources(self._status["sources"], self._status["not_synced"])
        yield from _tables(self._status["tables"])
        yield from _counts(self._tallies)
        yield _requests(self._tallies)


def _standing(status: Mapping[str, Any]) -> Iterator[Metric]:
    states = [([state.value], float(status["state"] == state.value)) for state in State]
    yield _gauges("syncd_state", "1 for the state that the dataset is in.", ["state"], states)
    yield _gauge("syncd_state_since_timestamp_seconds", "Since when it is.", _timestamp(status["since"]))
    yield _gauge(
        "syncd_last_success_timestamp_seconds",
        "When the newest snapshot last held all that the source held; 0: not since the start.",
        _timestamp(status["in_step_at"]),
    )
    faults = len(status["retention"]["faults"]) + bool(status["retention"]["failure"])
    yield _gauge("syncd_retention_faults", "Faults in the keeping and removing of snapshots.", faults)
    fault = float(bool(status["configuration"]["fault"]))
    yield _gauge("syncd_configuration_fault", "1: the configuration has changed, is wrong, and was not adopted.", fault)


def _waiting(pending: Mapping[str, Any], now: datetime) -> Iterator[Metric]:
    kinds: Samples = [([kind], pending[kind]) for kind in ("upload", "delete")]
    yield _gauges("syncd_pending_changes", "Changes that the staging branch does not have yet.", ["change"], kinds)
    yield _gauge("syncd_pending_bytes", "Bytes that wait to be uploaded.", pending["upload_bytes"])
    yield _gauge("syncd_uncommitted_changes", "Changes that no snapshot has yet.", pending["uncommitted"])
    oldest = _timestamp(pending["since"])
    age_s = max(0.0, now.timestamp() - oldest) if oldest else 0.0
    yield _gauge("syncd_oldest_pending_age_seconds", "How long the oldest of all these has waited.", age_s)


def _newest_snapshot(snapshot: Mapping[str, Any] | None) -> Iterator[Metric]:
    found = snapshot or {"created_at": None, "images": 0, "bytes": 0}
    made_at = _timestamp(found["created_at"])
    yield _gauge("syncd_last_snapshot_timestamp_seconds", "When the newest snapshot was made; 0: none.", made_at)
    yield _gauge("syncd_snapshot_images", "Images in the newest snapshot.", found["images"])
    yield _gauge("syncd_snapshot_bytes", "Bytes of these images.", found["bytes"])


def _sources(sources: Sequence[Mapping[str, Any]], not_synced: Mapping[str, Mapping[str, int]]) -> Iterator[Metric]:
    for key, text in (
        ("available", "1: it can be read."),
        ("complete", "1: it was listed to the end since the start."),
        ("degraded", "1: events are wanted, but it is listed from time to time."),
    ):
        flags = [([source["name"]], float(bool(source[key]))) for source in sources]
        yield _gauges(f"syncd_source_{key}", text, ["source"], flags)
    settling: Samples = [([source["name"]], source["settling"]) for source in sources]
    yield _gauges("syncd_source_settling", "Paths that still change.", ["source"], settling)
    losses: Samples = [([source["name"]], source["losses"]) for source in sources]
    yield _counters("syncd_event_losses", "Losses of events; a full listing made up for each.", ["source"], losses)
    starts: Samples = [([source["name"]], source["watchers"]) for source in sources]
    yield _counters("syncd_watcher_starts", "Watchers started; all but the first replaced one.", ["source"], starts)
    reasons = [([source, code], float(count)) for source, codes in not_synced.items() for code, count in codes.items()]
    yield _gauges("syncd_not_synced", "Paths and rows that are not synced.", ["source", "reason"], reasons)


def _tables(tables: Sequence[Mapping[str, Any]]) -> Iterator[Metric]:
    for key, text in (
        ("rows", "Rows of the table."),
        ("missing", "Rows whose image is not there."),
        ("orphaned", "Images that no row names."),
    ):
        yield _gauges(f"syncd_table_{key}", text, ["table"], [([table["name"]], table[key] or 0) for table in tables])
    read_at = [([table["name"]], _timestamp(table["read_at"])) for table in tables]
    yield _gauges("syncd_table_read_timestamp_seconds", "When it was last read.", ["table"], read_at)


def _counts(tallies: Tallies) -> Iterator[Metric]:
    for name, text, label, counted in (
        ("syncd_objects", "Objects that lakeFS was asked to take or delete, by outcome.", "result", tallies.objects),
        ("syncd_snapshots", "Snapshots made.", "trigger", tallies.snapshots),
        ("syncd_failures", "Tries that failed, by kind of error.", "kind", tallies.failures),
        ("syncd_notifications", "Notifications and pings, by outcome.", "result", tallies.notifications),
    ):
        yield _counters(name, text, [label], [([value], count) for value, count in sorted(counted.items())])
    yield CounterMetricFamily("syncd_uploaded_bytes", "Bytes of the objects uploaded.", tallies.uploaded_bytes)
    yield CounterMetricFamily("syncd_retries", "Tries that followed one that failed.", tallies.retries)
    yield CounterMetricFamily("syncd_holds", "How often a decision began to wait for a person.", tallies.holds)


def _requests(tallies: Tallies) -> Metric:
    family = HistogramMetricFamily(
        "syncd_request_duration_seconds",
        "Requests to lakeFS, by how long they took.",
        labels=["interface", "operation", "result"],
    )
    for labels, durations in sorted(tallies.requests.items()):
        family.add_metric(labels, list(zip(EDGES, accumulate(durations.counts), strict=True)), durations.total_s)
    return family


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value)


def _gauges(name: str, text: str, labels: Sequence[str], samples: Samples) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, number in samples:
        family.add_metric(values, number)
    return family


def _counters(name: str, text: str, labels: Sequence[str], samples: Samples) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, number in samples:
        family.add_metric(values, number)
    return family


def _timestamp(moment: str | None) -> float:
    return datetime.fromisoformat(moment).timestamp() if moment else 0.0
