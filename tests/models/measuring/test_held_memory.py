import numpy as np
import pytest

from cellserve.models.description.layers.cells import LstmLayer
from cellserve.models.implementations.onnxruntime.graph import model_of
from cellserve.models.implementations.onnxruntime.session import new_session
from cellserve.models.measuring.held_memory import held_bytes
from cellserve.models.network import Network
from tests.service.registry.fakes import SPEC, weights


def test_arrays_count_once_however_often_they_are_reached() -> None:
    array = np.zeros(1000, np.float32)
    assert held_bytes({"one": array, "two": [array, array[:10]], "three": lambda: array}) == 4000


def test_a_network_holds_its_weights_and_each_way_to_run_it_adds_its_copies() -> None:
    network = Network(SPEC, weights())
    assert held_bytes(network) == network.weights_bytes
    before = network.weights_bytes
    for label in ("packed", "onnxruntime"):
        if network.implementations[label] is not None or network.chunk_call(label) is None:
            continue
        now = held_bytes(network)
        assert now >= before + network.weights_bytes * 0.5, label
        assert now <= before + network.weights_bytes * 4 + 20_000, label  # the graph around the numbers
        before = now
    network.warm_up("2")
    assert held_bytes(network) >= before + network.weights_bytes


def test_of_a_session_the_numbers_count_that_it_was_given_beside_its_model() -> None:
    layer = LstmLayer(name="lstm", inputs=("x",), units=64)
    arrays = {"kernel": np.zeros((3, 256), np.float32), "recurrent_kernel": np.zeros((64, 256), np.float32)}
    model = model_of(layer, arrays | {"bias": np.zeros(256, np.float32)})
    numbers = 4 * (3 * 256 + 64 * 256 + 2 * 256)  # the operator has two biases
    assert len(model.content) < 2000
    assert numbers <= held_bytes(new_session(model)) <= numbers + 4000


def test_only_what_is_in_main_memory_counts() -> None:
    torch = pytest.importorskip("torch")
    held = torch.zeros(1000)
    assert held_bytes([held, held.view(10, 100), torch.zeros(1000, device="meta")]) == 4000
