"""Writes programs of torch.export with what torch answers, for tests/models/importers. Arguments: cases; none: all of them.

`.venv/bin/python tests/golden/make/torch_export.py bilstm`. Where a file was made (paths, lines of code) is left out of it.
"""

import json
import sys
import warnings
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.export import Dim, export, save
from torch.nn import functional
from torch.nn.utils import parametrizations

FOLDER = Path(__file__).parents[2] / "models" / "importers" / "files"
ROWS, STEPS = 2, 6
BATCH = Dim("batch")


class Bilstm(nn.Module):
    """Words, two layers in both directions, the last step."""

    def __init__(self):
        super().__init__()
        self.words, self.rnn = nn.Embedding(9, 4), nn.LSTM(4, 5, 2, batch_first=True, bidirectional=True)
        self.norm, self.head = nn.LayerNorm(10), nn.Linear(10, 3)

    def forward(self, ids):
        steps, _ = self.rnn(self.words(ids))
        return torch.log_softmax(self.head(self.norm(steps[:, -1])), -1)


class Streaming(nn.Module):
    """A causal convolution with a weight norm, and a GRU whose state comes in and goes out, time first; saved in training."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = parametrizations.weight_norm(nn.Conv1d(3, 4, 3)), nn.BatchNorm1d(4)
        self.rnn, self.head = nn.GRU(4, 5, dropout=0.2, num_layers=2), nn.Linear(5, 2)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x, h):
        made = self.conv(functional.pad(x.transpose(1, 2), (2, 0)))
        steps, h = self.rnn(self.relu(self.norm(made)).permute(2, 0, 1), h)
        return functional.gelu(self.head(steps)), h


class Projected(nn.Module):
    """A projection, a plain RNN with relu, and a vector of length 1."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(3, 5, proj_size=2, batch_first=True)
        self.second = nn.RNN(2, 4, nonlinearity="relu", bias=False, batch_first=True)

    def forward(self, x):
        _, h = self.second(self.rnn(x)[0])
        return functional.normalize(functional.silu(h[-1]), dim=1)


class Taken(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(2, 2, batch_first=True)

    def forward(self, x):
        return self.rnn(x)[0]


class Step(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.head = nn.GRUCell(2, 2), nn.Linear(2, 2)

    def forward(self, x, h):
        h = self.cell(x, h)
        return self.head(h), h


class Loop(Step):
    def forward(self, x, h):
        for step in x.unbind(1):
            h = self.cell(step, h)
        return self.head(h)


def numbers(*shape):
    return torch.from_numpy(np.random.default_rng(0).normal(size=shape).astype(np.float32))


CASES = {
    "bilstm": (Bilstm, (torch.arange(ROWS * STEPS).reshape(ROWS, STEPS) % 9,), ({0: BATCH},)),
    "streaming": (Streaming, (numbers(ROWS, STEPS, 3), numbers(2, ROWS, 5)), ({0: BATCH}, {1: BATCH})),
    "projected": (Projected, (numbers(ROWS, STEPS, 3),), ({0: BATCH},)),
    "decomposed": (Taken, (numbers(ROWS, 2, 2),), None),
    "step": (Step, (numbers(ROWS, 2), numbers(ROWS, 2)), None),
    "decomposed_step": (Step, (numbers(ROWS, 2), numbers(ROWS, 2)), None),
    "loop": (Loop, (numbers(ROWS, 2, 2), numbers(ROWS, 2)), None),
    "decomposed_loop": (Loop, (numbers(ROWS, 2, 2), numbers(ROWS, 2)), None),
}
REFUSED = ("decomposed", "step", "decomposed_step", "loop", "decomposed_loop")


def make(case):
    torch.manual_seed(0)
    kind, inputs, dynamic = CASES[case]
    module = kind()
    for one in module.modules():
        if isinstance(one, nn.BatchNorm1d):
            nn.init.uniform_(one.running_mean), nn.init.uniform_(one.running_var, 0.5, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = export(module.train(case == "streaming"), inputs, dynamic_shapes=dynamic)
        program = program.run_decompositions() if case.startswith("decomposed") else program
        whole = BytesIO()
        save(program, whole)
    with torch.no_grad():
        answers = module.eval()(*inputs)
    with zipfile.ZipFile(whole) as given, zipfile.ZipFile(FOLDER / f"export_{case}.pt2", "w", zipfile.ZIP_DEFLATED) as made:
        for name in given.namelist():
            content = given.read(name)
            if name.endswith("/models/model.json"):
                content = json.dumps(without_places(json.loads(content)), separators=(",", ":")).encode()
            if "/sample_inputs/" not in name and "/.data/" not in name:
                made.writestr(zipfile.ZipInfo(f"{case}/{name.partition('/')[2]}"), content, zipfile.ZIP_DEFLATED)
    if case in REFUSED:
        return
    answers = answers if isinstance(answers, tuple) else (answers,)
    arrays = {f"x{number}": array.numpy() for number, array in enumerate(inputs)}
    np.savez(FOLDER / f"export_{case}.npz", **arrays, **{f"y{number}": array.numpy() for number, array in enumerate(answers)})


def without_places(document):
    for node in document["graph_module"]["graph"]["nodes"]:
        node["metadata"].pop("stack_trace", None)
    return document


if __name__ == "__main__":
    for name in sys.argv[1:] or CASES:
        make(name)
