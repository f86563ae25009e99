"""A whole load test against a fake client: learning at rest, sending, counting, telling."""

import json
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from cellserve.service.errors import InvalidInput, Overloaded
from cellserve.service.loadgen.drivers import Asking
from cellserve.service.loadgen.load_test import Plan, learn, run
from cellserve.service.loadgen.outcomes import Verdict
from cellserve.service.loadgen.rendering import as_data, as_text
from cellserve.service.loadgen.samples import Sample
from tests.service.loadgen.fakes import FakeClient


def no_progress(share: float) -> None:
    assert 0 <= share <= 1


def asking(client: FakeClient) -> Asking:
    return Asking(client, "m", clock=client.clock, sleep=client.clock.sleep)


def samples(*steps: int) -> list[Sample]:
    return [Sample(np.ones((count, 2), np.float32)) for count in steps]


async def test_learning_asks_one_at_a_time_and_only_what_is_not_known() -> None:
    client = FakeClient(version=4)
    known = Sample(np.ones((2, 1)), expected=np.array([9.0]))
    learned = await learn(asking(client), [*samples(3, 5), known], no_progress)
    assert client.most_under_way == 1
    assert [sample.expected.tolist() for sample in learned if sample.expected is not None] == [[3, 3], [5, 5], [9]]
    assert [sample.version for sample in learned] == [4, 4, None]


async def test_learning_fails_with_the_servers_refusal() -> None:
    with pytest.raises(InvalidInput, match="width"):
        await learn(asking(FakeClient(refusals={0: InvalidInput("width 2")})), samples(3), no_progress)


@pytest.mark.parametrize("plan", [Plan(rate_per_second=100.0, requests=200, seed=5), Plan(concurrency=4, requests=200, seed=5)])
async def test_every_request_is_accounted_for(plan: Plan) -> None:
    client = FakeClient()
    pool = await learn(asking(client), samples(3, 20, 300), no_progress)
    client.refusals, client.offsets = {100: Overloaded("full")}, {7: 1.0, 50: 1.0}
    report = await run(plan, asking(client), pool, no_progress)
    summary = report.summary
    assert (summary.requests, summary.answered, summary.right, summary.wrong) == (200, 199, 197, 2)
    assert summary.errors == {"OVERLOADED": 1}
    assert not summary.clean
    assert [row.lengths for row in summary.latencies] == ["all", "1-16", "17-64", "257-1024"]


async def test_the_same_seed_asks_the_same_questions() -> None:
    asked = []
    for _ in range(2):
        client = FakeClient()
        await run(Plan(rate_per_second=50.0, duration_seconds=2.0, seed=3), asking(client), samples(*range(1, 20)), no_progress)
        asked.append([len(request["x"]) for request in client.asked])
    assert asked[0] == asked[1]
    assert len(set(asked[0])) > 5


async def test_answers_of_another_version_are_not_judged() -> None:
    client = FakeClient()
    pool = await learn(asking(client), samples(3), no_progress)
    client.version, client.offsets = 2, {1: 5.0, 2: 5.0}
    summary = (await run(Plan(requests=2), asking(client), pool, no_progress)).summary
    assert (summary.wrong, summary.unchecked, summary.answered_by) == (0, 2, {"m/2 fused": 2})
    assert Verdict.UNCHECKED.value == "unchecked"


async def test_the_report_is_told_to_people_and_to_scripts() -> None:
    client = FakeClient(refusals={3: Overloaded("full")}, offsets={4: 1.0})
    pool = [Sample(np.ones((3, 1)), expected=np.array([3.0]))]
    report = await run(Plan(requests=10), asking(client), pool, no_progress)
    page = StringIO()
    Console(width=120, file=page).print(*as_text(report))
    told = page.getvalue()
    data = json.loads(json.dumps(as_data(report)))
    assert data["summary"]["errors"] == {"OVERLOADED": 1}
    assert data["clean"] is False
    assert data["generator_was_the_limit"] == (data["complaint"] is not None)
    assert "8 right, 1 wrong" in told
    assert "1 OVERLOADED" in told
