"""Writes golden cases with torch's exporter to ONNX, answered by onnxruntime. Arguments: cases; none: all of them.

`.venv/bin/python tests/golden/make/torch_onnx.py onnx_legacy_attention`
"""

import os
import sys

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the first import
import onnxruntime
import torch
from torch import nn
from writing import FOLDER, numbers, write

ROWS, STEPS, WIDTH = 3, 6, 4


class Attention(nn.Module):
    """Over the steps of an LSTM: once asked by its final state, once with two trained queries."""

    def __init__(self):
        super().__init__()
        self.rnn, self.queries, self.head = nn.LSTM(WIDTH, 6, batch_first=True), nn.Linear(6, 2), nn.Linear(18, 3)

    def forward(self, x):
        steps, (h, _) = self.rnn(x)
        asked = torch.softmax(torch.bmm(steps, h[-1].unsqueeze(2)).squeeze(2), 1)
        trained = torch.softmax(self.queries(torch.tanh(steps)), 1)
        contexts = torch.bmm(asked.unsqueeze(1), steps), torch.bmm(trained.transpose(1, 2), steps)
        return self.head(torch.cat(contexts, 1).flatten(1))


class Carried(nn.Module):
    """With what no layer does: sines before an LSTM, attention between its steps behind it."""

    def __init__(self):
        super().__init__()
        self.rnn, self.queries, self.head = nn.LSTM(WIDTH, 6, batch_first=True), nn.Linear(6, 20), nn.LSTM(6, 3, batch_first=True)

    def forward(self, x):
        steps, _ = self.rnn(torch.sin(3 * x))
        queries = self.queries(steps)
        shares = torch.softmax(torch.bmm(queries, queries.transpose(1, 2)), 2)
        return self.head(torch.bmm(shares, steps))[0]


MODELS = {"onnx_legacy_attention": Attention, "onnx_legacy_carried": Carried}


def make(case):
    torch.manual_seed(0)
    x, path = numbers(ROWS, STEPS, WIDTH), FOLDER / f"{case}.onnx"
    torch.onnx.export(
        MODELS[case]().eval(), (torch.from_numpy(x),), str(path), dynamo=False, opset_version=17, input_names=["x"],
        output_names=["y"], dynamic_axes={"x": {0: "batch", 1: "time"}},
    )  # fmt: skip
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    version = torch.__version__.partition("+")[0]
    write(
        case, {"onnx": path.name}, [x], session.run(None, {"x": x}), framework="onnx", version=onnxruntime.__version__,
        notes=f"torch {version}, legacy exporter, opset 17",
    )  # fmt: skip


if __name__ == "__main__":
    for name in sys.argv[1:] or MODELS:
        make(name)
