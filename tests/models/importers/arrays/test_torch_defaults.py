"""Described layers of torch: where nothing is said, or a name is, they are what torch means, not what the description does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from cellserve.models import reference
from cellserve.models.errors import ImportRefused
from cellserve.models.importers import ImportedModel, load

X = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(1))


def imported(folder: Path, module: nn.Module, *layers: dict[str, Any]) -> ImportedModel:
    torch.save(module.state_dict(), folder / "model.pt")
    text = {"inputs": [{"name": "x", "width": 4}], "layout": "torch", "layers": list(layers)}
    (folder / "description.yaml").write_text(yaml.safe_dump(text))
    return load(folder / "model.pt", description=folder / "description.yaml")


def answer(model: ImportedModel) -> np.ndarray:
    return reference.run(model.spec, model.weights.arrays, (X.numpy(),), (5, 5))[0][0]


def layer(kind: str, *arrays: str, **options: Any) -> dict[str, Any]:
    return {"kind": kind, **({"arrays": [f"0.{name}" for name in arrays]} if arrays else {}), **options}


def trained(module: nn.BatchNorm1d) -> nn.BatchNorm1d:
    module.running_mean.normal_()
    module.running_var.uniform_(1e-4, 1e-3)  # so small that epsilon matters
    return module


@pytest.mark.parametrize(
    ("module", "described"),
    [
        (nn.LayerNorm(4), layer("layer_normalization", "weight", "bias")),
        (nn.PReLU(), layer("prelu", "weight")),
        (nn.Sequential(nn.Linear(4, 3), nn.LeakyReLU()), layer("dense", "weight", "bias", units=3, activation="leaky_relu")),
    ],
)
def test_step_by_step(tmp_path: Path, module: nn.Module, described: dict[str, Any]) -> None:
    torch.manual_seed(0)
    whole = module if isinstance(module, nn.Sequential) else nn.Sequential(module)
    with torch.no_grad():
        for parameter in whole.parameters():
            parameter.normal_()
        expected = whole(X * 0.01)
    model = imported(tmp_path, whole, described)
    (found,), _ = reference.run(model.spec, model.weights.arrays, (X.numpy() * 0.01,), (5, 5))
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-6)


def test_a_batch_normalization_has_torchs_epsilon(tmp_path: Path) -> None:
    module = nn.Sequential(trained(nn.BatchNorm1d(4))).eval()
    model = imported(tmp_path, module, layer("batch_normalization", "weight", "bias", "running_mean", "running_var"))
    with torch.no_grad():
        expected = module(X.transpose(1, 2)).transpose(1, 2)
    np.testing.assert_allclose(answer(model), expected.numpy(), rtol=1e-4, atol=1e-4)
    assert model.notes == ("batch_normalization_0: torch's default epsilon was taken, 1e-05.",)


def test_a_slope_for_each_feature(tmp_path: Path) -> None:
    module = nn.Sequential(nn.PReLU(4))
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([0.1, 0.2, 0.3, 0.4]))
        expected = module(X.transpose(1, 2)).transpose(1, 2)
    np.testing.assert_allclose(answer(imported(tmp_path, module, layer("prelu", "weight"))), expected.numpy(), atol=1e-6)


@pytest.mark.parametrize("options", [{"groups": 2}, {"groups": 4, "bias": False}, {"dilation": 2, "stride": 2}])
def test_convolutions(tmp_path: Path, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv1d(4, 8, 2, **options))
    described = {"units": 8, "kernel_size": 2, "strides": options.get("stride", 1), "dilation": options.get("dilation", 1)}
    arrays = ["weight", "bias"] if options.get("bias", True) else ["weight"]
    described |= {"use_bias": options.get("bias", True), **({"groups": options["groups"]} if "groups" in options else {})}
    model = imported(tmp_path, module, layer("conv1d", *arrays, **described))
    with torch.no_grad():
        expected = module(X.transpose(1, 2)).transpose(1, 2)
    np.testing.assert_allclose(answer(model), expected.numpy(), atol=1e-6)


def test_a_convolution_over_time_and_bands(tmp_path: Path) -> None:
    """torch has [batch, channels, time, bands], the description [batch, time, bands, channels], flattened as the program does."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(2, 4, (3, 2), stride=(1, 2), padding=(1, 0), groups=2))
    plane = {"kind": "reshape", "features": [2, 2]}
    options = {"units": 4, "kernel_size": [3, 2], "strides": [1, 2], "padding": "same", "groups": 2}
    flat = {"kind": "reshape", "features": [4], "axes": 2, "permutation": [1, 0]}
    model = imported(tmp_path, module, plane, layer("conv2d", "weight", "bias", **options), flat)
    with torch.no_grad():
        made = module(X.reshape(2, 5, 2, 2).permute(0, 3, 1, 2))
        expected = made.permute(0, 2, 1, 3).reshape(2, 5, 4)
    np.testing.assert_allclose(answer(model), expected.numpy(), atol=1e-6)


def test_a_convolution_over_the_bands_of_each_step(tmp_path: Path) -> None:
    """Programs run a Conv1d over the features of one step by making every step a row; its weight has one axis the less."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv1d(1, 2, 3))
    plane, flat = {"kind": "reshape", "features": [4, 1]}, {"kind": "reshape", "features": [4], "axes": 2, "permutation": [1, 0]}
    model = imported(tmp_path, module, plane, layer("conv2d", "weight", "bias", units=2, kernel_size=[1, 3]), flat)
    with torch.no_grad():
        expected = module(X.reshape(10, 1, 4)).reshape(2, 5, 4)
    np.testing.assert_allclose(answer(model), expected.numpy(), atol=1e-6)


def test_a_convolution_over_the_steps_of_each_band(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv1d(1, 2, 3))
    plane, flat = {"kind": "reshape", "features": [4, 1]}, {"kind": "reshape", "features": [8], "axes": 2}
    model = imported(tmp_path, module, plane, layer("conv2d", "weight", "bias", units=2, kernel_size=[3, 1]), flat)
    with torch.no_grad():
        bands = [module(X[:, :, band : band + 1].transpose(1, 2)).transpose(1, 2) for band in range(4)]
    np.testing.assert_allclose(answer(model), torch.cat(bands, -1).numpy(), atol=1e-6)


def test_a_convolution_that_sees_one_step_is_a_dense_layer_too(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv1d(4, 3, 1))
    model = imported(tmp_path, module, layer("dense", "weight", "bias", units=3))
    with torch.no_grad():
        expected = module(X.transpose(1, 2)).transpose(1, 2)
    np.testing.assert_allclose(answer(model), expected.numpy(), atol=1e-6)


@pytest.mark.parametrize(
    ("described", "said"),
    [
        (layer("activation", activation="hard_sigmoid"), "torch's is called hard_sigmoid_relu6"),
        (layer("dense", "weight", "bias", units=3, groups=2), "only a convolution has groups"),
        (layer("conv1d", "weight", "bias", units=3, kernel_size=1, groups=2), "are not of 2 groups"),
    ],
)
def test_what_torch_does_not_mean(tmp_path: Path, described: dict[str, Any], said: str) -> None:
    with pytest.raises(ImportRefused, match=said):
        imported(tmp_path, nn.Sequential(nn.Conv1d(4, 3, 1)), described)
