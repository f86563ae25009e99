"""`make demo`: a trained Keras file becomes a gRPC endpoint, and every answer is held against Keras's own.

Imports digits.keras through the command line, serves it on free ports, sends the held-out sequences of different lengths
(one by one and in ragged batches, in mixed order) under each implementation, and reads the latencies off the metrics
page. Exit code 1 if an answer differs from Keras's by more than 1e-5, or the metrics miscount. Everything it starts or
writes is gone when it ends, however it ends. The model and the sequences come from train.py.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from types import FrameType

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from scrape import Latency, latencies
from server import Server, ServerFailed, run_cli

from cellserve.service.client import Client, ServiceError

HERE = Path(__file__).parent
MODEL = "digits"
IMPLEMENTATIONS = ("0", "1", "2", "fused")
TOLERANCE = 1e-5
BATCH_ROWS = (1, 1, 1, 1, 12)  # of consecutive requests: four single sequences, then a ragged batch
CLIENT_THREADS = 4
SAMPLES_SHOWN = 4  # of whole images, and as many of cut ones
SEED = 7
SCRAPE_SECONDS = 30.0


class DemoFailed(Exception):
    """What was promised did not hold; the message says which."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Sequences Keras has never seen, in the order in which they are sent, with Keras's own answers."""

    inputs: list[np.ndarray]  # each [T, 8], T from 3 to 8
    labels: np.ndarray  # [N]
    expected: np.ndarray  # [N, 10]
    whole: np.ndarray  # [N] bool: not cut short

    @classmethod
    def load(cls, path: Path) -> HeldOut:
        with np.load(path) as file:
            cut = [row[:length] for row, length in zip(file["cut_inputs"], file["cut_lengths"], strict=True)]
            inputs = [*file["inputs"], *cut]
            labels = np.concatenate([file["labels"], file["cut_labels"]])
            expected = np.concatenate([file["outputs"], file["cut_outputs"]])
            whole = np.arange(len(inputs)) < len(file["inputs"])
        order = np.random.default_rng(SEED).permutation(len(inputs))
        return cls([inputs[i] for i in order], labels[order], expected[order], whole[order])

    def requests(self) -> Iterator[slice]:
        """The consecutive rows of each request."""
        start = 0
        for rows in cycle(BATCH_ROWS):
            if start >= len(self.inputs):
                return
            yield slice(start, min(start + rows, len(self.inputs)))
            start += rows


def ask_everything(client: Client, held_out: HeldOut, implementation: str, progress: Progress) -> tuple[np.ndarray, int]:
    """Every sequence once: the answers [N, 10] in order, and the number of requests they took."""
    requests = list(held_out.requests())
    task = progress.add_task(f"implementation {implementation}", total=len(requests))

    def ask(rows: slice) -> list[np.ndarray]:
        inputs = held_out.inputs[rows]
        question = inputs[0] if len(inputs) == 1 else inputs
        answer = client.predict(MODEL, question, implementation=implementation)
        progress.advance(task)
        return [answer] if len(inputs) == 1 else answer

    with ThreadPoolExecutor(CLIENT_THREADS) as pool:
        answers = [row for rows in pool.map(ask, requests) for row in rows]
    return np.stack(answers), len(requests)


def score(answers: np.ndarray, held_out: HeldOut, rows: np.ndarray) -> str:
    """correct/total among `rows` [N] bool."""
    right = answers.argmax(1) == held_out.labels
    return f"{(right & rows).sum()}/{rows.sum()}"


def table(title: str, *headings: str) -> Table:
    made = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for heading in headings:
        made.add_column(heading, justify="right")
    return made


def samples_table(answers: np.ndarray, held_out: HeldOut) -> Table:
    shown = table("A few answers beside Keras's own", "rows of image", "true digit", "cellserve", "Keras", "difference")
    for i in (*np.flatnonzero(held_out.whole)[:SAMPLES_SHOWN], *np.flatnonzero(~held_out.whole)[:SAMPLES_SHOWN]):
        ours, theirs = answers[i], held_out.expected[i]
        shown.add_row(
            f"{len(held_out.inputs[i])} of 8",
            str(held_out.labels[i]),
            f"{ours.argmax()} ({ours.max():.6f})",
            f"{theirs.argmax()} ({theirs.max():.6f})",
            f"{np.abs(ours - theirs).max():.1e}",
        )
    return shown


def agreement_table(answers: dict[str, np.ndarray], held_out: HeldOut) -> Table:
    shown = table(
        f"All {len(held_out.inputs)} held-out sequences, correct/total",
        *("implementation", "whole images", "cut short", "largest difference"),
    )
    for implementation, ours in answers.items():
        difference = np.abs(ours - held_out.expected).max()
        whole, cut = score(ours, held_out, held_out.whole), score(ours, held_out, ~held_out.whole)
        shown.add_row(implementation, whole, cut, f"{difference:.1e}")
    return shown


def latency_table(found: dict[str, Latency]) -> Table:
    shown = table("From the metrics page", "implementation", "requests", "p50 ms", "p90 ms", "p99 ms")
    for implementation in IMPLEMENTATIONS:
        latency = found[implementation]
        quantiles = (f"{1000 * latency.quantile_seconds(q):.2f}" for q in (0.5, 0.9, 0.99))
        shown.add_row(implementation, str(latency.requests), *quantiles)
    return shown


def check_answers(answers: dict[str, np.ndarray], held_out: HeldOut) -> None:
    for implementation, ours in answers.items():
        difference = np.abs(ours - held_out.expected).max(axis=1)
        wrong = np.flatnonzero(~(difference <= TOLERANCE))  # nan too
        if wrong.size:
            row = wrong[0]
            raise DemoFailed(
                f"implementation {implementation}: {wrong.size} of {len(ours)} answers differ from Keras's; sequence {row} "
                f"({len(held_out.inputs[row])} steps) by {difference[row]:.3g}, where at most {TOLERANCE:g} was expected."
            )


def check_counts(found: dict[str, Latency], sent: dict[str, int]) -> None:
    counted = {implementation: found[implementation].requests if implementation in found else 0 for implementation in sent}
    if counted != sent:
        raise DemoFailed(f"the metrics page counts {counted} requests by implementation; {sent} were sent.")


def demo(console: Console, folder: Path) -> None:
    started = time.monotonic()
    held_out = HeldOut.load(HERE / "digits-heldout.npz")
    repository = folder / "model-repository"

    console.rule("1. import", align="left")
    console.print("$ cellserve import deploy/demo/digits.keras --alias stable")
    with console.status("importing, and checking every implementation against the float64 oracle"):
        printed = run_cli("import", str(HERE / "digits.keras"), "--alias", "stable", "--repository", str(repository))
    console.print(printed.strip(), highlight=False)

    console.rule("2. serve", align="left")
    console.print("$ cellserve serve --port 0 --metrics-port 0")
    with console.status("starting the server"):
        server = Server(repository, folder / "server.log")
    with server as address:
        console.print(f"ready: gRPC on {address.url}, metrics on {address.metrics_url}", highlight=False)

        console.rule("3. ask", align="left")
        answers: dict[str, np.ndarray] = {}
        sent: dict[str, int] = {}
        with Client(address.url) as client, Progress(console=console) as progress:
            for implementation in IMPLEMENTATIONS:
                answers[implementation], sent[implementation] = ask_everything(client, held_out, implementation, progress)
        console.print(samples_table(answers[IMPLEMENTATIONS[-1]], held_out))
        console.print(agreement_table(answers, held_out))
        check_answers(answers, held_out)

        console.rule("4. measure", align="left")
        with urllib.request.urlopen(address.metrics_url, timeout=SCRAPE_SECONDS) as page:
            found = latencies(page.read().decode(), MODEL)
        check_counts(found, sent)
        console.print(latency_table(found))

        console.rule("5. stop", align="left")
    seconds = time.monotonic() - started
    console.print(
        f"Every answer equals Keras's to {TOLERANCE:g}. Server stopped, files removed. ({seconds:.1f} s)", highlight=False
    )


def stop_in_order(number: int, frame: FrameType | None) -> None:
    """SIGTERM ends the demo as Ctrl-C does: through every `with` block."""
    raise KeyboardInterrupt


def main() -> int:
    console = Console()
    signal.signal(signal.SIGTERM, stop_in_order)
    try:
        with tempfile.TemporaryDirectory(prefix="cellserve-demo-") as folder:
            demo(console, Path(folder))
    except (DemoFailed, ServerFailed, ServiceError) as error:
        console.print(f"[bold red]The demo failed:[/] {error}", highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("Interrupted; the server is stopped and its files are removed.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
