"""Models that people trained, fed step by step through the clients: the answers of their own software for the whole input."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from cellserve.models import importers
from cellserve.service.app import serving
from cellserve.service.client import AsyncClient, Client
from cellserve.service.config import Settings
from cellserve.service.registry.repository.repository import Repository
from tests.models.test_real_models import REAL

TEXT, VOICE = "text", "voice"
TOLERANCE = {"rtol": 1e-5, "atol": 2e-5}  # as for the whole inputs: large trained weights
Pair = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("repository")
    repository = Repository(root)
    repository.publish(TEXT, importers.load(REAL / "textgenrnn_trunk_embedding_2lstm.h5"), alias="stable")
    encoder = importers.load(REAL / "resemblyzer_state_dict.pt", description=REAL / "resemblyzer.description.yaml")
    repository.publish(VOICE, encoder, alias="stable")
    return root


@pytest.fixture
async def url(root: Path) -> AsyncIterator[str]:
    async with serving(Settings(repository=root, host="127.0.0.1", port=0, metrics_port=0)) as running:
        yield f"127.0.0.1:{running.port}"


@pytest.fixture(scope="module")
def texts() -> Pair:
    """ids [2, 40] of characters, and what textgenrnn's second LSTM answers to them: [2, 40, 128]."""
    with np.load(REAL / "textgenrnn_io.npz") as stored:
        return stored["x"][:2], stored["rnn_2"]


async def test_characters_one_by_one(url: str, texts: Pair) -> None:
    def typed(row: np.ndarray) -> np.ndarray:
        with Client(url) as client, client.sequence(TEXT) as s:
            return np.stack([s.feed(character) for character in row])

    for row, expected in zip(*texts):
        np.testing.assert_allclose(await asyncio.to_thread(typed, row), expected, **TOLERANCE)


async def test_texts_typed_side_by_side_in_pieces_of_any_length(url: str, texts: Pair) -> None:
    """Both rows and their reversals on one stream: each is answered as in one request of its own."""
    rows = [*texts[0], *texts[0][:, ::-1]]

    async def typed(client: AsyncClient, row: np.ndarray, seed: int) -> np.ndarray:
        cuts = np.sort(np.random.default_rng(seed).choice(np.arange(1, len(row)), 9, replace=False))
        async with client.sequence(TEXT) as s:
            return np.concatenate([await s.feed(piece) for piece in np.split(row, cuts)])

    async with AsyncClient(url) as client:
        whole = await client.predict(TEXT, rows)
        fed = await asyncio.gather(*(typed(client, row, seed) for seed, row in enumerate(rows)))
    np.testing.assert_allclose(fed, whole, **TOLERANCE)
    np.testing.assert_allclose(fed[:2], texts[1], **TOLERANCE)


async def test_a_voice_as_it_is_spoken(url: str) -> None:
    """Resemblyzer's encoder answers with one vector: after each piece that of all heard so far, at the end the original's."""
    with np.load(REAL / "resemblyzer_io.npz") as stored:
        frames, expected, states = stored["x"][0], stored["y"][0], stored["h_n"][:, 0]
    async with AsyncClient(url) as client, client.sequence(VOICE) as s:
        for end in range(20, 160, 20):
            heard = await s.feed(frames[end - 20 : end])
            np.testing.assert_allclose(heard, await client.predict(VOICE, frames[:end]), **TOLERANCE)
        last = await s.feed(frames[140:], return_state=True)
    np.testing.assert_allclose(last.answer, expected, **TOLERANCE)
    for layer, state in enumerate(states):
        np.testing.assert_allclose(last.state[f"{layer}.h"][0], state, **TOLERANCE)
