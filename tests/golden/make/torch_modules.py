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


MODELS = {"pt_around": around, "pt_min_gru": min_gru}


def make(case):
    torch.manual_seed(0)
    module, description = MODELS[case]()
    x = torch.from_numpy(numbers(ROWS, STEPS, WIDTH))
    with torch.inference_mode():
        outputs = [output.numpy() for output in module(x)]
    torch.save(module.state_dict(), FOLDER / f"{case}.pt")
    (FOLDER / f"{case}.description.yaml").write_text(description)
    write(case, {"pt": f"{case}.pt"}, [x.numpy()], outputs, framework="torch", version=torch.__version__.partition("+")[0])


if __name__ == "__main__":
    for name in sys.argv[1:] or MODELS:
        make(name)
