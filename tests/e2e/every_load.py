"""A load with something of everything in it, so that every series of a server has something to tell. Knows its models."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from functools import partial

import numpy as np

from cellserve.service.client import Client, RetryPolicy, ServiceError
from tests.e2e.models import DIGITS, STEPS_WIDTH

SHOP, OPERATOR = "shop-0123456789abcdef", "operator-0123456789abcdef"
TOKENS = f"infer {SHOP} the web shop\nadmin {OPERATOR} the operators\n"
ONCE = RetryPolicy(attempts=1)


class Load:
    """Requests of every kind, good and bad, from a thread, until it is ended."""

    def __init__(self, url: str, digits: np.ndarray) -> None:
        self._url = url
        self._digits = digits
        self._ended = threading.Event()
        self.refused = 0
        self._threads = [
            threading.Thread(target=work, args=(self._client(SHOP),)) for work in (self._ask, self._feed, self._long)
        ]
        self._threads += [threading.Thread(target=self._intrude, args=(self._client("guessed-0123456789"),))]
        self._threads += [threading.Thread(target=self._hurry, args=(self._client(SHOP),)) for _ in range(4)]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *raised: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _client(self, token: str) -> Client:
        return Client(self._url, token=token, retry=ONCE)

    def _ask(self, client: Client) -> None:
        number = 0
        with client:
            while not self._ended.wait(0.002):
                number += 1
                implementation = ("0", "onnxruntime", None)[number % 3]
                rows = list(self._digits[number % 50 : number % 50 + 3])
                self._attempt(partial(client.predict, DIGITS, rows, implementation=implementation))
                if number % 5 == 0:
                    self._attempt(lambda: client.predict(DIGITS, self._digits[0][:, :7]))

    def _feed(self, client: Client) -> None:
        steps = np.zeros((2, STEPS_WIDTH), np.float32)
        with client:
            while not self._ended.wait(0.05):
                with client.sequence("steps") as sequence:
                    for _ in range(5):
                        self._attempt(partial(sequence.feed, steps))

    def _long(self, client: Client) -> None:
        steps = np.zeros((400_000, STEPS_WIDTH), np.float32)
        with client:
            while not self._ended.wait(0.01):
                self._attempt(lambda: client.predict("steps", [steps, steps[:2000]], timeout_seconds=60))

    def _hurry(self, client: Client) -> None:
        """There is no time for this: it is refused for its deadline."""
        steps = np.zeros((200_000, STEPS_WIDTH), np.float32)
        with client:
            while not self._ended.wait(0.2):
                self._attempt(lambda: client.predict("steps", steps, timeout_seconds=0.03))

    def _intrude(self, client: Client) -> None:
        """Without a good token, and by connections that say nothing and end."""
        host, _, port = self._url.rpartition(":")
        with client:
            while not self._ended.wait(0.1):
                socket.create_connection((host, int(port))).close()
                self._attempt(lambda: client.predict(DIGITS, self._digits[0]))

    def _attempt(self, call: Callable[[], object]) -> None:
        """Which may be refused: that is what is looked at."""
        try:
            call()
        except ServiceError:
            self.refused += 1
