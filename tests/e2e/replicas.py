"""Several servers in processes of their own over one store and one repository, each of which may be killed and started again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from cellserve.models import reference
from tests.service.processes import Process, scrape
from tests.service.served import ARRAYS, SPEC, publish
from tests.service.valkey_server import ValkeyServer, free_port

EVERY_STEP = SPEC.model_copy(update={"layers": [SPEC.layers[0].model_copy(update={"return_sequences": True})]})


class Replicas:
    """ports: where each listens, in all its lives. repeated: answers given again by those that were killed."""

    def __init__(self, folder: Path, store: ValkeyServer, number: int, **settings: object) -> None:
        self._repository = folder / "repository"
        publish(self._repository)
        self._settings = {"session_store": store.url, "request_ids_from": "127.0.0.0/8", "implementation": "2"} | settings
        self.ports = [free_port() for _ in range(number)]
        self._processes = [self._process(port) for port in self.ports]
        self._metrics_ports = [process.ready()[1] for process in self._processes]
        self.repeated = 0

    @property
    def addresses(self) -> list[str]:
        return [f"127.0.0.1:{port}" for port in self.ports]

    def kill(self, which: int) -> None:
        self.repeated += self._count(which, "repeated")
        self._processes[which].process.kill()
        self._processes[which].end()

    def start(self, which: int) -> None:
        """Returns when it serves."""
        self._processes[which] = self._process(self.ports[which])
        self._metrics_ports[which] = self._processes[which].ready()[1]

    def close(self) -> None:
        for process in self._processes:
            process.process.kill()
            process.end()

    def all_repeated(self) -> int:
        """Answers that were given again."""
        return self.repeated + self.counted("repeated")

    def counted(self, event: str) -> int:
        """Of what happens to sequences, at all that live."""
        return sum(self._count(which, event) for which in range(len(self.ports)))

    def _process(self, port: int) -> Process:
        return Process(self._repository, port=port, **self._settings)

    def _count(self, which: int, event: str) -> int:
        page = scrape(self._metrics_ports[which])
        found = re.findall(rf'cellserve_session_events_total\{{[^}}]*event="{event}"[^}}]*\}} (\S+)', page)
        return int(sum(map(float, found)))


@contextmanager
def replicas(folder: Path, store: ValkeyServer, number: int = 2, **settings: object) -> Iterator[Replicas]:
    made = Replicas(folder, store, number, **settings)
    try:
        yield made
    finally:
        made.close()


def require_right(answers: Sequence[Sequence[float]], steps: np.ndarray, firsts: Sequence[int] | None = None) -> None:
    """answers: to the feeds after which so many steps ([T, 3]) were consumed, one more each; firsts: how many, where not so."""
    lengths = list(firsts or range(1, len(answers) + 1))
    (after_each,), _ = reference.run(EVERY_STEP, ARRAYS, (steps[np.newaxis, : max(lengths)],), [max(lengths)])
    expected = after_each[0, np.asarray(lengths) - 1]
    np.testing.assert_allclose(np.asarray(answers), expected, rtol=1e-4, atol=1e-5)
