"""What scenario files may say."""

from pathlib import Path

import pytest

from cellserve.service.errors import InvalidInput
from cellserve.service.loadgen.scenarios.scenario import Callers, Recorded, read

WHOLE = """
name: evening
traffic:
  - {name: a, model: m, arrivals: {kind: callers, callers: 3}, feeds: {count: 4}}
  - {name: b, model: m@canary, arrivals: {kind: recorded, file: trace.csv}}
  - {name: c, model: m, arrivals: {rate_per_second: 3, kind: poisson}, lengths: "trace:sub/steps.csv", input: x.npz}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "s.yaml"
    path.write_text(text)
    return path


def test_files_are_looked_for_beside_the_scenario(tmp_path: Path) -> None:
    a, b, c = read(written(tmp_path, WHOLE)).traffic
    assert a.arrivals == Callers(kind="callers", callers=3)
    assert b.arrivals == Recorded(kind="recorded", file=tmp_path / "trace.csv")
    assert (c.lengths, c.input) == (f"trace:{tmp_path / 'sub/steps.csv'}", tmp_path / "x.npz")


def test_a_sweep_puts_everything_under_one_implementation(tmp_path: Path) -> None:
    assert {part.implementation for part in read(written(tmp_path, WHOLE)).under("packed").traffic} == {"packed"}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("callers: 3", "callers: 0", "traffic.0.arrivals.callers.callers"),
        ("kind: callers", "kind: crowd", "crowd"),
        ("name: evening", "name: evening\nproceses: 2", "proceses"),
        ("name: b", "name: a", "have one name"),
        ("file: trace.csv}", "file: trace.csv}, input: x.npz", "leave out feeds and input"),
        (
            "{rate_per_second: 3, kind: poisson}",
            "{kind: bursts, burst_per_second: 1, every_seconds: 1, burst_seconds: 2}",
            "every 1 s",
        ),
        ("traffic:", "traffic: [] #", "traffic"),
        ("name: evening", "name: [", "no YAML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, told: str) -> None:
    text = WHOLE.split("traffic:")[0] + new if new.startswith("traffic") else WHOLE.replace(old, new)
    with pytest.raises(InvalidInput, match=told):
        read(written(tmp_path, text))
