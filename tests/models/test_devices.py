import pytest
import torch

from cellserve.models.devices import Device, resolve_device
from cellserve.models.errors import Unsupported


def test_the_processor_is_always_there() -> None:
    assert resolve_device("cpu") == "cpu"
    assert (resolve_device("cpu").type, Device("cuda:1").type) == ("cpu", "cuda")
    assert torch.zeros(1, device=Device("cpu")).device == torch.device(Device("cpu"))


def test_auto_is_a_device_that_works() -> None:
    assert torch.zeros(1, device=resolve_device("auto")).item() == 0.0


def test_a_missing_cuda_device_is_told() -> None:
    with pytest.raises(Unsupported, match=r"cuda:99.*use cpu or auto"):
        resolve_device("cuda:99")
