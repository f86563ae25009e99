"""FULLY_CONNECTED and BATCH_MATMUL, convolutions and poolings. Source: tensorflow/lite/kernels. Knows no layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from cellserve.models.importers.tflite.call import Call

SAME, VALID = 0, 1


def fully_connected(call: Call) -> list[str]:
    """Of weights [units, width]. Unless it keeps its axes, everything but the last is one."""
    if call.option("WeightsFormat"):
        raise call.refused("its weights are shuffled for one kind of processor; convert the model without that")
    weights, shape = call.array(1, "weights"), call.tensor(0).shape
    if weights.ndim != 2:
        raise call.refused(f"its weights have {weights.ndim} axes; the file is damaged")
    value = call.value(0)
    if not call.option("KeepNumDims") and (len(shape) != 2 or shape[-1] != weights.shape[1]):
        value = call.emit("Reshape", value, call.whole("shape", [-1, weights.shape[1]]))
    value = call.emit("MatMul", value, call.constant("kernel", np.ascontiguousarray(weights.T)))
    if (bias := call.optional(2, "bias")) is not None:
        value = call.emit("Add", value, call.constant("bias", bias))
    return [call.activated(value)]


def batch_matmul(call: Call) -> list[str]:
    sides = []
    for place, name in enumerate(("AdjX", "AdjY")):
        value, rank = call.value(place), len(call.tensor(place).shape)
        if call.option(name):
            value = call.transposed(value, *range(rank - 2), rank - 1, rank - 2)
        sides.append(value)
    return [call.emit("MatMul", *sides)]


def conv(call: Call) -> list[str]:
    """CONV_2D: kernel [out, height, width, in]."""
    return _conv(call, np.transpose(_kernel(call), (0, 3, 1, 2)), 1)


def depthwise_conv(call: Call) -> list[str]:
    """DEPTHWISE_CONV_2D: kernel [1, height, width, in times multiplier]."""
    kernel, channels = _kernel(call), call.tensor(0).shape[-1]
    return _conv(call, np.transpose(kernel, (3, 0, 1, 2)), channels)


def pool(call: Call) -> list[str]:
    kinds = {"MAX_POOL_2D": "MaxPool", "AVERAGE_POOL_2D": "AveragePool"}
    size = [int(call.option("FilterHeight")), int(call.option("FilterWidth"))]
    made = call.emit(kinds[call.operator.kind], _channels_first(call), kernel_shape=size, **_windows(call))
    return [call.activated(call.transposed(made, 0, 2, 3, 1))]


def _kernel(call: Call) -> Any:
    kernel = call.array(1, "kernel")
    if kernel.ndim != 4 or len(call.tensor(0).shape) != 4:
        raise call.refused("its input or its kernel does not have four axes; the file is damaged")
    return kernel


def _conv(call: Call, kernel: Any, groups: int) -> list[str]:
    dilations = [int(call.option("DilationHFactor", 1)), int(call.option("DilationWFactor", 1))]
    inputs = [_channels_first(call), call.constant("kernel", np.ascontiguousarray(kernel))]
    if (bias := call.optional(2, "bias")) is not None:
        inputs.append(call.constant("bias", bias))
    made = call.emit("Conv", *inputs, group=groups, dilations=dilations, **_windows(call))
    return [call.activated(call.transposed(made, 0, 2, 3, 1))]


def _channels_first(call: Call) -> str:
    return call.transposed(call.value(0), 0, 3, 1, 2)


def _windows(call: Call) -> dict[str, Any]:
    padding = int(call.option("Padding"))
    if padding not in (SAME, VALID):
        raise call.refused(f"its padding of number {padding} is not known; the file may be damaged")
    return {
        "strides": [int(call.option("StrideH", 1)), int(call.option("StrideW", 1))],
        "auto_pad": "SAME_UPPER" if padding == SAME else "VALID",
    }
