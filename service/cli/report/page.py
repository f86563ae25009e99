"""The page of `cellserve load --html` and `cellserve report`, from records as `--json` prints them. Knows no server."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any, Final

from cellserve.service.cli.report.plot import Point, plot
from cellserve.service.pages.document import document, key, table_of

_MEGABYTE: Final = 1e6
_TOP_PERCENT: Final = 99.99  # where the slowest is drawn

Record = dict[str, Any]


def page(records: Mapping[str, Record]) -> str:
    """records: by the name under which they are shown; the first is what the others are compared with."""
    runs = {_name(name, run, len(records) > 1): run for name, record in records.items() for run in record["runs"]}
    title = "cellserve load: " + ", ".join(dict.fromkeys(record["scenario"]["name"] for record in records.values()))
    shown = _shown(records)
    sections = [
        *(_verdict(name, record) for name, record in records.items()),
        _comparison(records) if len(records) > 1 else "",
        _percentiles(records, shown),
        _by_rate(records),
        *(_course(name, run) for name, run in shown.items()),
        _runs_table(runs),
        _traffic_table(shown),
        *(_settings(name, record) for name, record in records.items()),
    ]
    return document(title, filter(None, sections))


def _name(record: str, run: Record, several: bool) -> str:
    parts = [record if several else "", run["label"], f"{run['summary']['offered_per_second']:.0f}/s"]
    return " · ".join(part for part in parts if part)


def _shown(records: Mapping[str, Record]) -> dict[str, Record]:
    """The run of each implementation that is looked at closely: of a search, the highest rate that met the target."""
    shown = {}
    for name, record in records.items():
        for label in dict.fromkeys(run["label"] for run in record["runs"]):
            those = [run for run in record["runs"] if run["label"] == label]
            scales = {found["scale"] for found in record["found"] if found["label"] == label}
            (run, *_) = [run for run in those if run["scale"] in scales] or those
            shown[_name(name, run, len(records) > 1)] = run
    return shown


def _verdict(name: str, record: Record) -> str:
    wrong = sum(run["summary"]["wrong"] for run in record["runs"])
    answered = sum(run["summary"]["answered"] for run in record["runs"])
    refused = sum(count for run in record["runs"] for count in run["summary"]["errors"].values())
    lines = [
        f"<b>{escape(name)}</b>, {escape(record['began'])}: {answered} answers, "
        f'<span class="{"bad" if wrong else "good"}">{wrong} wrong</span>, {refused} refused or failed.'
    ]
    for found in record["found"]:
        rate, label = found["rate_per_second"], escape(found["label"] or "the server")
        if rate is None:
            lines.append(f"{label} met {escape(record['target']['text'])} at no rate that was tried.")
        else:
            lines.append(f'<span class="good">{label} met {escape(record["target"]["text"])} up to {rate:.1f} per second.</span>')
        if found["limited_by_generator"]:
            lines.append('<span class="bad">Beyond it the generator was the limit: the server may do more.</span>')
    complaints = [words for run in record["runs"] for words in run["complaints"]]
    if complaints:
        lines.append(
            f'<span class="bad">In {len(complaints)} cases the generator itself was the limit</span>: {escape(complaints[0])}'
        )
    else:
        lines.append("The generator kept up in every run.")
    return "<p>" + "<br>".join(lines) + "</p>"


def _comparison(records: Mapping[str, Record]) -> str:
    """Each record's runs beside those of the first, by implementation."""
    (first, before), *others = records.items()
    rows = []
    for name, after in others:
        pairs = zip(_shown({first: before}).values(), _shown({name: after}).values())
        for old, new in pairs:
            for index, percent in enumerate(before["percents"]):
                if not (old["percentiles_seconds"] and new["percentiles_seconds"]):
                    continue
                was, now = old["percentiles_seconds"][index] * 1e3, new["percentiles_seconds"][index] * 1e3
                label = f"{old['label']} → {new['label']}" if old["label"] != new["label"] else old["label"]
                rows.append((f"{first} → {name}", label, f"p{percent:g} ms", f"{was:.2f}", f"{now:.2f}", f"{now / was:.2f}"))
            was, now = (run["summary"]["sequences_per_second"] for run in (old, new))
            rows.append(
                (f"{first} → {name}", old["label"], "answers/s", f"{was:.1f}", f"{now:.1f}", f"{now / was:.2f}" if was else "–")
            )
    return table_of("Comparison", ("records", "implementation", "what", "#before", "#after", "#ratio"), rows)


def _percentiles(records: Mapping[str, Record], shown: Mapping[str, Record]) -> str:
    percents = next(iter(records.values()))["percents"]
    places = {_place(percent): f"{percent:g}" for percent in percents if percent in (50, 90, 99, 99.9, 100)}
    lines: dict[str, Sequence[Point]] = {
        name: [(_place(percent), seconds * 1e3) for percent, seconds in zip(percents, run["percentiles_seconds"])]
        for name, run in shown.items()
    }
    drawn = plot("Latency by percentile", "percent of the answers", "ms", lines, logarithmic=True, x_labels=places)
    return _group("Percentiles", [drawn], list(lines))


def _place(percent: float) -> float:
    """Nines stand at equal distances."""
    return -math.log10(1 - min(percent, _TOP_PERCENT) / 100)


def _by_rate(records: Mapping[str, Record]) -> str:
    """Where several rates were run."""
    p50: dict[str, list[Point]] = {}
    p99: dict[str, list[Point]] = {}
    answered: dict[str, list[Point]] = {}
    for name, record in records.items():
        for label in dict.fromkeys(run["label"] for run in record["runs"]):
            those = [run for run in record["runs"] if run["label"] == label and run["percentiles_seconds"]]
            if len(those) < 2:
                continue
            those.sort(key=lambda run: run["summary"]["offered_per_second"])
            line = " · ".join(part for part in (name if len(records) > 1 else "", label) if part) or name
            rates = [run["summary"]["offered_per_second"] for run in those]
            p50[line] = [(rate, run["summary"]["latencies"][0]["p50_seconds"] * 1e3) for rate, run in zip(rates, those)]
            p99[line] = [(rate, run["summary"]["latencies"][0]["p99_seconds"] * 1e3) for rate, run in zip(rates, those)]
            answered[line] = [(rate, run["summary"]["sequences_per_second"]) for rate, run in zip(rates, those)]
    drawn = [
        plot("Median latency", "requests due per second", "ms", p50, logarithmic=True),
        plot("Latency p99", "requests due per second", "ms", p99, logarithmic=True),
        plot("Answered", "requests due per second", "per second", answered),
    ]
    return _group("Against the rate", drawn, list(p99))


def _course(name: str, run: Record) -> str:
    """One run over time."""
    marks = [(swap["seconds"], swap["answered_by"]) for swap in run["swaps"]]
    reasons = sorted({reason for piece in run["slices"] for reason in piece["errors"]})

    def over(title: str, unit: str, **lines: tuple[list[Record], str, Callable[[Record], float | None]]) -> str:
        points = {
            words.replace("_", " "): [(each[at], value(each)) for each in those] for words, (those, at, value) in lines.items()
        }
        drawn = plot(title, "seconds", unit, points, logarithmic=title == "Latency", marks=marks)
        return f"<div>{drawn}{key(list(points))}</div>" if drawn else ""

    def sent(value: Callable[[Record], float | None]) -> tuple[list[Record], str, Callable[[Record], float | None]]:
        return run["slices"], "from_seconds", value

    def seen(value: Callable[[Record], float | None]) -> tuple[list[Record], str, Callable[[Record], float | None]]:
        return run["server"], "seconds", value

    failures = {reason: sent(_refused(reason)) for reason in reasons}
    drawn = [
        over("Latency", "ms", p50=sent(_ms("p50_seconds")), p99=sent(_ms("p99_seconds"))),
        over("Requests", "per second", due=sent(_of("due_per_second")), answered=sent(_of("answered_per_second"))),
        over("Refused, failed and wrong", "in a slice", **failures, wrong_answers=sent(_of("wrong"))),
        over("Queue and compute", "ms, mean", queue=sent(_ms("queue_seconds")), compute=sent(_ms("compute_seconds"))),
        over("Rows of an iteration", "rows", rows=seen(_of("rows"))),
        over("Padding", "share", padding=seen(_of("padding_ratio"))),
        over("Server: processor", "cores", cores=seen(_of("cpu_cores"))),
        over("Server: memory", "MB", resident=seen(lambda at: _scaled(at["resident_bytes"], 1 / _MEGABYTE))),
    ]
    return f'<h2>{escape(f"Over time: {name}")}</h2>\n<div class="charts">\n' + "\n".join(filter(None, drawn)) + "\n</div>"


def _of(field: str) -> Callable[[Record], float | None]:
    return lambda record: record[field]


def _refused(reason: str) -> Callable[[Record], float | None]:
    return lambda record: record["errors"].get(reason, 0)


def _ms(field: str) -> Callable[[Record], float | None]:
    return lambda record: _scaled(record[field], 1e3)


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _group(title: str, drawn: Sequence[str], labels: Sequence[str]) -> str:
    plots = "\n".join(filter(None, drawn))
    return f'<h2>{escape(title)}</h2>\n{key(labels)}\n<div class="charts">\n{plots}\n</div>' if plots else ""


def _runs_table(runs: Mapping[str, Record]) -> str:
    rows = []
    for name, run in runs.items():
        summary = run["summary"]
        latency = summary["latencies"][0] if summary["latencies"] else None
        times = [f"{latency[each] * 1e3:.2f}" if latency else "–" for each in ("p50_seconds", "p99_seconds", "max_seconds")]
        met = {None: "", True: "met", False: "not met"}[run["met"]]
        refused = ", ".join(f"{count} {reason}" for reason, count in summary["errors"].items()) or "0"
        kept_up = run["complaints"][0] if run["complaints"] else "kept up"
        counts = (summary["requests"], summary["right"], summary["wrong"], summary["unchecked"], refused)
        rows.append((name, *counts, f"{summary['sequences_per_second']:.1f}", *times, met, kept_up))
    counts = ("#requests", "#right", "#wrong", "#unchecked", "refused, failed")
    return table_of("Every run", ("run", *counts, "#answers/s", "#p50 ms", "#p99 ms", "#max ms", "target", "generator"), rows)


def _traffic_table(shown: Mapping[str, Record]) -> str:
    rows = [
        (
            name,
            kind,
            row["lengths"],
            row["count"],
            *(f"{row[each] * 1e3:.2f}" for each in ("p50_seconds", "p90_seconds", "p99_seconds", "max_seconds")),
        )
        for name, run in shown.items()
        for kind, summary in run["traffic"].items()
        for row in summary["latencies"]
    ]
    headings = ("run", "traffic", "time steps", "#answers", "#p50 ms", "#p90 ms", "#p99 ms", "#max ms")
    return table_of("By kind of traffic and length", headings, rows)


def _settings(name: str, record: Record) -> str:
    scenario = record["scenario"]
    common = ", ".join(f"{field} {value}" for field, value in scenario.items() if field not in ("traffic", "name"))
    parts = [
        (
            part["name"],
            part["model"],
            _words(part["arrivals"]),
            _words(part["feeds"]) if part["feeds"] else part["lengths"],
            part["implementation"],
        )
        for part in scenario["traffic"]
    ]
    return table_of(
        f"Scenario of {name}: {common}", ("traffic", "model", "arrivals", "lengths or feeds", "implementation"), parts
    )


def _words(part: Record) -> str:
    return ", ".join(f"{field} {value}" for field, value in part.items())
