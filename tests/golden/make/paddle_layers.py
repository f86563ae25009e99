"""Writes state dicts of Paddle with what it answers, for tests/models/importers. Arguments: cases; none: all of them.

In an environment with paddlepaddle (3.3): `python tests/golden/make/paddle_layers.py words`.
"""

import sys
from pathlib import Path

import numpy as np
import paddle
from paddle import nn

FOLDER = Path(__file__).parents[2] / "models" / "importers" / "files"
ROWS, STEPS = 2, 6


class Words(nn.Layer):
    def __init__(self):
        super().__init__()
        self.words, self.rnn = nn.Embedding(9, 4), nn.LSTM(4, 3, 2, direction="bidirect")
        self.second, self.head = nn.GRU(6, 5), nn.Linear(5, 2)

    def forward(self, ids):
        steps, _ = self.rnn(self.words(ids))
        return self.head(self.second(steps)[0])


class Projected(nn.Layer):
    def __init__(self):
        super().__init__()
        self.rnn, self.second = nn.LSTM(3, 5, proj_size=2), nn.SimpleRNN(2, 4, activation="relu")
        self.head = nn.Linear(4, 4)

    def forward(self, x):
        steps, _ = self.second(self.rnn(x)[0])
        return self.head(steps)[:, -1]


class Around(nn.Layer):
    """What a state dict does not wire by itself, and a cell in a loop of Paddle's."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv1D(3, 4, 3), nn.BatchNorm1D(4)
        self.rnn, self.after, self.head = nn.RNN(nn.GRUCell(4, 5)), nn.LayerNorm(5), nn.Linear(5, 2)

    def forward(self, x):
        made = self.norm(self.conv(x.transpose([0, 2, 1]))).transpose([0, 2, 1])
        return self.head(self.after(self.rnn(made)[0]))


def numbers(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


CASES = {
    "words": (Words, np.arange(ROWS * STEPS).reshape(ROWS, STEPS) % 9),
    "projected": (Projected, numbers(ROWS, STEPS, 3)),
    "around": (Around, numbers(ROWS, STEPS, 3)),
}


def make(case):
    paddle.seed(0)
    kind, x = CASES[case]
    model = kind()
    if case == "around":
        model.norm._mean.set_value(numbers(4))
        model.norm._variance.set_value(np.abs(numbers(4)) + 0.5)
    model.eval()
    paddle.save(model.state_dict(), str(FOLDER / f"paddle_{case}.pdparams"))
    np.savez(FOLDER / f"paddle_{case}.npz", x0=x, y0=model(paddle.to_tensor(x)).numpy())
    print(case, paddle.__version__)


if __name__ == "__main__":
    for name in sys.argv[1:] or CASES:
        make(name)
