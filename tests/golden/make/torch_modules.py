"""Writes golden cases with torch: modules as programs write them, by their equations. Arguments: cases; none: all of them.

`.venv/bin/python tests/golden/make/torch_modules.py pt_min_gru`
"""

import sys

import torch
from torch import nn
from writing import FOLDER, numbers, write

ROWS, STEPS, WIDTH = 4, 7, 3


class MinGRU(nn.Module):
    """Were RNNs all we needed? (Feng et al. 2024), section 3.1: neither the gate nor the candidate sees the state."""

    def __init__(self, inputs, units):
        super().__init__()
        self.linear_z, self.linear_h = nn.Linear(inputs, units), nn.Linear(inputs, units)

    def forward(self, x):
        z, candidate = torch.sigmoid(self.linear_z(x)), self.linear_h(x)
        h, steps = torch.zeros_like(z[:, 0]), []
        for t in range(x.shape[1]):
            h = (1 - z[:, t]) * h + z[:, t] * candidate[:, t]
            steps.append(h)
        return torch.stack(steps, dim=1)


class MinGRUModel(nn.Module):
    """Two on top of each other, and a head on the last step."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = MinGRU(WIDTH, 5), MinGRU(5, 4), nn.Linear(4, 2)

    def forward(self, x):
        steps = self.second(self.first(x))
        return self.head(steps[:, -1]), steps


def min_gru():
    return (
        MinGRUModel(),
        """inputs: [{name: x, width: 3}]
layout: torch
layers:
  - {kind: min_gru, name: first, units: 5, return_sequences: true,
     arrays: [first.linear_z.weight, first.linear_z.bias, first.linear_h.weight, first.linear_h.bias]}
  - {kind: min_gru, name: second, units: 4, return_sequences: true,
     arrays: [second.linear_z.weight, second.linear_z.bias, second.linear_h.weight, second.linear_h.bias]}
  - {kind: last_step}
  - {kind: dense, name: head, units: 2, arrays: [head.weight, head.bias]}
outputs: [head, second]
""",
    )


class MinLSTM(nn.Module):
    """The same paper, section 3.2, its gates divided by their sum; one Linear for all, the candidate first, as programs do."""

    def __init__(self, inputs, units):
        super().__init__()
        self.to_hidden_and_gates = nn.Linear(inputs, 3 * units, bias=False)

    def forward(self, x):
        candidate, f, i = self.to_hidden_and_gates(x).chunk(3, dim=-1)
        candidate, f, i = torch.where(candidate >= 0, candidate + 0.5, candidate.sigmoid()), f.sigmoid(), i.sigmoid()
        h, steps = torch.zeros_like(f[:, 0]), []
        for t in range(x.shape[1]):
            h = (f[:, t] * h + i[:, t] * candidate[:, t]) / (f[:, t] + i[:, t])
            steps.append(h)
        return torch.stack(steps, dim=1)


class SLSTM(nn.Module):
    """xLSTM (Beck et al. 2024), equations 8 to 17, in heads; arrays are named and laid out as in the package xlstm.

    There `fgate` is what the input gate sees, and `igate` the forget gate.
    """

    def __init__(self, units, heads):
        super().__init__()
        self.heads, self.size = heads, units // heads
        for gate in ("fgate", "igate", "zgate", "ogate"):
            self.register_parameter(gate, nn.Parameter(torch.randn(heads, self.size, self.size)))
        self.recurrent_kernel = nn.Parameter(torch.randn(heads, 4 * self.size, self.size) / 2)
        self.bias = nn.Parameter(torch.randn(4 * units))

    def forward(self, x):
        rows, steps, units = x.shape
        by_head = x.view(rows, steps, self.heads, self.size)
        over_x = [torch.einsum("bthi,hoi->btho", by_head, w) for w in (self.fgate, self.igate, self.zgate, self.ogate)]
        h = c = n = m = torch.zeros(rows, units)
        made = []
        for t in range(steps):
            over_h = torch.einsum("bhi,hoi->bho", h.view(rows, self.heads, self.size), self.recurrent_kernel)
            over_h = over_h.view(rows, self.heads, 4, self.size).unbind(2)
            sums = [(a[:, t] + b).reshape(rows, units) for a, b in zip(over_x, over_h)]
            i, f, z, o = (total + bias for total, bias in zip(sums, self.bias.chunk(4)))
            past = nn.functional.logsigmoid(f) + m
            largest = torch.maximum(past, i) if t else i
            c = torch.exp(past - largest) * c + torch.exp(i - largest) * torch.tanh(z)
            n = torch.exp(past - largest) * n + torch.exp(i - largest)
            h, m = torch.sigmoid(o) * c / n, largest
            made.append(h)
        return torch.stack(made, dim=1)


class Cells(nn.Module):
    """Both on top of each other."""

    def __init__(self):
        super().__init__()
        self.first, self.second = MinLSTM(WIDTH, 6), SLSTM(6, 2)

    def forward(self, x):
        return (self.second(self.first(x)),)


def cells():
    return (
        Cells(),
        """inputs: [{name: x, width: 3}]
layout: torch
layers:
  - {kind: min_lstm, name: first, units: 6, return_sequences: true, activation: min_gru_g, use_bias: false,
     gate_order: [h, f, i], arrays: [first.to_hidden_and_gates.weight]}
  - {kind: slstm, name: second, units: 6, return_sequences: true,
     arrays: [second.fgate, second.igate, second.zgate, second.ogate, second.recurrent_kernel, second.bias]}
""",
    )


class StepModel(nn.Module):
    """What stands around a cell that the program itself steps through: a convolution in groups, norms, gelu, log_softmax."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv1d(WIDTH, 6, 3, padding=1, groups=3), nn.BatchNorm1d(6)
        self.cell, self.ln, self.out = nn.LSTMCell(6, 5), nn.LayerNorm(5), nn.Linear(5, 3)
        with torch.no_grad():
            self.bn.running_mean.normal_()
            self.bn.running_var.uniform_(0.5, 2.0)
        self.eval()

    def forward(self, x):
        x = torch.relu(self.bn(self.conv(x.transpose(1, 2)))).transpose(1, 2)
        state, steps = None, []
        for t in range(x.shape[1]):
            state = self.cell(x[:, t], state)
            steps.append(nn.functional.gelu(self.ln(state[0])))
        return (torch.log_softmax(self.out(torch.stack(steps, dim=1)), dim=-1),)


def around():
    return (
        StepModel(),
        """inputs: [{name: x, width: 3}]
layout: torch
layers:
  - {kind: conv1d, name: conv, units: 6, kernel_size: 3, padding: same, groups: 3, arrays: [conv.weight, conv.bias]}
  - {kind: batch_normalization, name: bn, arrays: [bn.weight, bn.bias, bn.running_mean, bn.running_var]}
  - {kind: activation, activation: relu}
  - {kind: lstm, name: cell, units: 5, return_sequences: true,
     arrays: [cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh]}
  - {kind: layer_normalization, name: ln, arrays: [ln.weight, ln.bias]}
  - {kind: activation, activation: gelu}
  - {kind: dense, name: out, units: 3, activation: log_softmax, arrays: [out.weight, out.bias]}
""",
    )


class Frames(nn.Module):
    """Frames of samples: their spectrum by a convolution with real and imaginary parts, then steps mirrored at both ends."""

    def __init__(self):
        super().__init__()
        self.stft, self.conv = nn.Conv1d(1, 6, 4, stride=2, bias=False), nn.Conv1d(12, 5, 3, padding=1, padding_mode="reflect")
        self.smooth, self.rnn = nn.Conv1d(5, 4, 2, padding=1, padding_mode="replicate"), nn.GRU(4, 5, batch_first=True)
        self.last = nn.Conv1d(5, 2, 1)

    def forward(self, x):
        rows, steps, _ = x.shape
        complex_ = self.stft(nn.functional.pad(x.reshape(rows * steps, 1, -1), (0, 4), mode="reflect"))
        spectrum = torch.sqrt(complex_[:, :3] ** 2 + complex_[:, 3:] ** 2).reshape(rows, steps, -1)
        x = self.smooth(torch.relu(self.conv(spectrum.transpose(1, 2)))).transpose(1, 2)
        return (torch.sigmoid(self.last(self.rnn(x)[0].transpose(1, 2))).transpose(1, 2),)


def spectra():
    return (
        Frames(),
        """inputs: [{name: frames, width: 6}]
layout: torch
layers:
  - {kind: reshape, features: [6, 1]}
  - {kind: band_padding, after: 4, fill: reflect}
  - {kind: conv2d, name: stft, units: 6, kernel_size: [1, 4], strides: [1, 2], use_bias: false, arrays: [stft.weight]}
  - {kind: magnitude, name: spectrum}
  - {kind: reshape, axes: 2, permutation: [1, 0], features: [12]}
  - {kind: padding_1d, fill: reflect}
  - {kind: conv1d, name: conv, units: 5, kernel_size: 3, activation: relu, arrays: [conv.weight, conv.bias]}
  - {kind: padding_1d, fill: edge}
  - {kind: conv1d, name: smooth, units: 4, kernel_size: 2, arrays: [smooth.weight, smooth.bias]}
  - {kind: gru, name: rnn, units: 5, return_sequences: true, reset_after: true,
     arrays: [rnn.weight_ih_l0, rnn.weight_hh_l0, rnn.bias_ih_l0, rnn.bias_hh_l0]}
  - {kind: conv1d, name: last, units: 2, kernel_size: 1, activation: sigmoid, arrays: [last.weight, last.bias]}
""",
        6,
    )


MODELS = {"pt_around": around, "pt_cells": cells, "pt_min_gru": min_gru, "pt_spectra": spectra}


def make(case):
    torch.manual_seed(0)
    module, description, *width = MODELS[case]()
    x = torch.from_numpy(numbers(ROWS, STEPS, *(width or [WIDTH])))
    with torch.inference_mode():
        outputs = [output.numpy() for output in module(x)]
    torch.save(module.state_dict(), FOLDER / f"{case}.pt")
    (FOLDER / f"{case}.description.yaml").write_text(description)
    write(case, {"pt": f"{case}.pt"}, [x.numpy()], outputs, framework="torch", version=torch.__version__.partition("+")[0])


if __name__ == "__main__":
    for name in sys.argv[1:] or MODELS:
        make(name)
