"""A network that was translated from an ONNX graph beside the same one imported from PyTorch: CPU of the engine for one sequence.

Both hold the same numbers: a stack of LSTMs with a matrix on its last step, and the traffic of the workload it is named like.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from onnx import ModelProto, TensorProto
from torch import nn

from cellserve.models import importers
from cellserve.models.importers import ImportedModel
from cellserve.models.network import Network
from tests.bench import table
from tests.bench.engine import COUNTS, KERNELS, Engines
from tests.bench.measure import interleaved_cpu_seconds
from tests.bench.workloads import STACK_A as WORKLOAD
from tests.models.importers.onnx.onnx_graphs import OnnxGraph, saved

Array = npt.NDArray[Any]
ROUNDS = 9
ORDER = (0, 3, 1, 2)  # of torch's gates i f g o, as ONNX has them: i o f g


def run() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(1)
    with TemporaryDirectory() as folder:
        module = _Stack()
        torch.save(module.state_dict(), Path(folder) / "stack.pt")
        files = {"translated": saved(Path(folder) / "stack.onnx", _graph(module)), "imported": Path(folder) / "stack.pt"}
        networks = {name: _network(path) for name, path in files.items()}
    sequences = WORKLOAD.sequences(COUNTS[WORKLOAD.name])
    for label in KERNELS:
        with Engines(networks["translated"]) as translated, Engines(networks["imported"]) as imported:
            seconds = interleaved_cpu_seconds(
                {
                    "translated from ONNX": partial(translated.answer_all, sequences, label),
                    "imported from PyTorch": partial(imported.answer_all, sequences, label),
                },
                ROUNDS,
            )
        title = f"the same network from two kinds of files, {WORKLOAD.name}, {label}, {len(sequences)} sequences preloaded"
        table.ratios(title, seconds, len(sequences), "imported from PyTorch")


class _Stack(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(WORKLOAD.features, WORKLOAD.units[0], num_layers=len(WORKLOAD.units), batch_first=True)
        self.head = nn.Linear(WORKLOAD.units[-1], WORKLOAD.classes)


def _graph(module: _Stack) -> ModelProto:
    arrays = {name: array.numpy() for name, array in module.state_dict().items()}
    graph = OnnxGraph()
    x = graph.add("Transpose", ["x"], perm=[1, 0, 2])
    for layer, units in enumerate(WORKLOAD.units):
        kernels = [_as_onnx(arrays[f"rnn.weight_{part}_l{layer}"], units) for part in ("ih", "hh")]
        bias = np.concatenate([_as_onnx(arrays[f"rnn.bias_{part}_l{layer}"], units) for part in ("ih", "hh")], axis=1)
        x = graph.squeeze(graph.add("LSTM", [x, *map(graph.constant, (*kernels, bias))], hidden_size=units), [1])
    last = graph.add("Gather", [x, graph.constant(np.array(-1, np.int64))], axis=0)
    y = graph.add("Gemm", [last, graph.constant(arrays["head.weight"]), graph.constant(arrays["head.bias"])], transB=1)
    return graph.model({"x": (TensorProto.FLOAT, ["batch", "time", WORKLOAD.features])}, [y])


def _as_onnx(array: Array, units: int) -> Array:
    """[1, gates × units, …], of one direction."""
    gates = array.reshape(len(ORDER), units, *array.shape[1:])[list(ORDER)]
    return np.asarray(gates.reshape(1, *array.shape))


def _network(path: Path) -> Network:
    imported = importers.load(path)
    assert isinstance(imported, ImportedModel)
    network = Network(imported.spec, imported.weights)
    for label in KERNELS:
        network.warm_up(label)
    return network
