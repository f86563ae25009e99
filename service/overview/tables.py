"""An overview as tables of words, in the order in which a person asks. The status page and the terminal show the same ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from cellserve.service.overview.facts import LiveSequences, Overview, Refusal, Run, Version
from cellserve.service.overview.words import NOTHING, duration, memory, milliseconds, number, percent

MOST_ROWS: Final = 50  # of a table
_NO_ALIAS: Final = "(no alias)"


class Figure(NamedTuple):
    """bad: somebody should look."""

    label: str
    value: str
    bad: bool = False


class Table(NamedTuple):
    """Headings that start with `#` are numbers. nothing: what is said in place of no rows."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    nothing: str


def title(seen: Overview) -> str:
    """Of which time it is."""
    return f"the last {duration(seen.seconds)}"


def figures(seen: Overview, now_unix_seconds: float) -> Iterator[Figure]:
    traffic, process = seen.traffic, seen.process
    yield Figure("state", seen.readiness or NOTHING, bad=seen.readiness != "ready")
    yield Figure("requests/s", number(traffic.requests))
    yield Figure("answered/s", number(traffic.answered))
    yield Figure("refused/s", number(traffic.refused), bad=traffic.refused > 0)
    yield Figure("failed/s", number(traffic.failed), bad=traffic.failed > 0)
    yield Figure("cancelled/s", number(traffic.cancelled))
    yield Figure("feeds/s", number(traffic.feeds))
    yield Figure("time steps/s", number(traffic.timesteps))
    yield Figure("waiting steps", number(sum(version.waiting_timesteps for version in seen.versions)))
    yield Figure("rows an iteration", number(traffic.mean_rows))
    yield Figure("padding", percent(traffic.mean_padding_ratio))
    yield Figure("live sequences", number(sum(each.active + each.idle + each.parked for each in seen.live_sequences)))
    yield Figure("processor, cores", number(process.cpu_cores))
    yield Figure("memory", memory(process.resident_bytes))
    yield Figure("event loop late by, p99", f"{milliseconds(process.loop_lag_p99_seconds)} ms")
    yield Figure("calls under way", number(process.calls_under_way))
    yield Figure("connections", number(process.connections))
    yield Figure("descriptors", f"{number(process.descriptors)} of {number(process.max_descriptors)}")
    yield Figure("threads", number(process.threads))
    if process.session_store_available is not None:
        away = not process.session_store_available
        yield Figure("session store", "away" if away else "there", bad=away)
    if process.certificate_expiry_unix_seconds is not None:
        left = process.certificate_expiry_unix_seconds - now_unix_seconds
        yield Figure("certificate", f"for {duration(left)}" if left > 0 else "expired", bad=left <= 0)
    if process.start_unix_seconds is not None:
        yield Figure("up for", duration(max(0.0, now_unix_seconds - process.start_unix_seconds)))
    yield Figure("cellserve", f"{process.version} ({process.front})" if process.front else process.version)


def tables(seen: Overview) -> tuple[Table, ...]:
    more = f"; {seen.not_loaded:,} more on disk" if seen.not_loaded else ""
    return (
        _table(
            "Latency by implementation",
            "version implementation #answers/s #p50_ms #p99_ms #queue_ms #compute_ms",
            [_run(run) for run in seen.runs],
            "Nothing was answered.",
        ),
        _table(
            "Refusals",
            "by what #a_second #in_all",
            [_refusal(refusal) for refusal in seen.refusals],
            "None since the start.",
        ),
        _table(
            f"Versions and their queues{more}",
            "version state answers #waiting_steps #running #rows_of_state #weights #states",
            [_version(version) for version in seen.versions],
            "None is loaded.",
        ),
        _table(
            "Live sequences",
            "version #active #idle #parked #memory #feeds/s #p50_ms #p99_ms",
            [_live(each) for each in seen.live_sequences],
            "None.",
        ),
    )


def _table(name: str, headings: str, rows: list[tuple[str, ...]], nothing: str) -> Table:
    more = f" (the first {MOST_ROWS} of {len(rows):,})" if len(rows) > MOST_ROWS else ""
    words = tuple(heading.replace("_", " ") for heading in headings.split())
    return Table(f"{name}{more}", words, tuple(rows[:MOST_ROWS]), nothing)


def _key(of: Run | Version | LiveSequences) -> str:
    """As commands name a version; nothing where none was found."""
    return f"{of.model}/{of.version}" if of.model else NOTHING


def _run(run: Run) -> tuple[str, ...]:
    parts = (run.p50_seconds, run.p99_seconds, run.queue_seconds, run.compute_seconds)
    return (_key(run), run.implementation, number(run.answered_per_second), *map(milliseconds, parts))


def _refusal(refusal: Refusal) -> tuple[str, ...]:
    name = refusal.name or "(none that is known)"
    return (refusal.by, name, number(refusal.per_second), number(refusal.total))


def _version(version: Version) -> tuple[str, ...]:
    rows = version.rows_used + version.rows_free
    return (
        _key(version),
        version.state.lower(),
        ", ".join(_alias(version, alias, share) for alias, share in sorted(version.answers.items())),
        number(version.waiting_timesteps),
        number(version.active_sequences),
        f"{number(version.rows_used)} of {number(rows)}",
        memory(version.weights_bytes),
        memory(version.states_bytes),
    )


def _alias(version: Version, alias: str, share: float) -> str:
    name = alias or _NO_ALIAS
    words = name if share == 1 else f"{name} {percent(share)}"
    return f"{words}, standing in" if alias in version.standing_in else words


def _live(each: LiveSequences) -> tuple[str, ...]:
    counts = (each.active, each.idle, each.parked)
    times = (each.p50_seconds, each.p99_seconds)
    rate = number(each.feeds_per_second)
    return (_key(each), *map(number, counts), memory(each.states_bytes), rate, *map(milliseconds, times))
