"""Which function turns which operator of TFLite into ONNX's. What is not listed here is refused by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from cellserve.models.importers.tflite.call import Call
from cellserve.models.importers.tflite.operators import arithmetic, movement, products, recurrent

Turn = Callable[[Call], list[str]]

RECURRENT: Final[Mapping[str, Turn]] = {
    "UNIDIRECTIONAL_SEQUENCE_LSTM": recurrent.lstm,
    "BIDIRECTIONAL_SEQUENCE_LSTM": recurrent.bidirectional_lstm,
    "UNIDIRECTIONAL_SEQUENCE_RNN": recurrent.rnn,
    "BIDIRECTIONAL_SEQUENCE_RNN": recurrent.bidirectional_rnn,
}

MOVING: Final[Mapping[str, Turn]] = {
    "RESHAPE": movement.reshape,
    "SQUEEZE": movement.squeeze,
    "EXPAND_DIMS": movement.expand_dims,
    "TRANSPOSE": movement.transpose,
    "STRIDED_SLICE": movement.strided_slice,
    "SLICE": movement.slice_,
    "GATHER": movement.gather,
    "EMBEDDING_LOOKUP": movement.lookup,
    "SPLIT": movement.split,
    "SPLIT_V": movement.split_v,
    "UNPACK": movement.unpack,
    "PACK": movement.pack,
    "CONCATENATION": movement.concatenation,
    "REVERSE_V2": movement.reverse,
    "TILE": movement.tile,
    "BROADCAST_TO": movement.broadcast,
    "DEQUANTIZE": movement.same,
    "SHAPE": movement.shape,
}
"""Those that compute nothing: of quantised numbers they make the same quantised numbers."""

TURNS: Final[Mapping[str, Turn]] = {
    **RECURRENT,
    **MOVING,
    **dict.fromkeys(("LSTM", "RNN", "SVDF"), recurrent.one_step),
    "QUANTIZE": movement.same,
    "PAD": movement.pad,
    "PADV2": movement.pad,
    "CAST": movement.cast,
    "FILL": movement.fill,
    "ZEROS_LIKE": movement.zeros_like,
    "FULLY_CONNECTED": products.fully_connected,
    "BATCH_MATMUL": products.batch_matmul,
    "CONV_2D": products.conv,
    "DEPTHWISE_CONV_2D": products.depthwise_conv,
    "MAX_POOL_2D": products.pool,
    "AVERAGE_POOL_2D": products.pool,
    **dict.fromkeys(arithmetic.PLAIN, arithmetic.plain),
    **dict.fromkeys(arithmetic.TWO, arithmetic.combine),
    **dict.fromkeys(arithmetic.REDUCING, arithmetic.reduce),
    "ADD_N": arithmetic.add_n,
    "RELU6": arithmetic.bounded(0.0, 6.0),
    "RELU_N1_TO_1": arithmetic.bounded(-1.0, 1.0),
    "RELU_0_TO_1": arithmetic.bounded(0.0, 1.0),
    "ELU": arithmetic.elu,
    "LEAKY_RELU": arithmetic.leaky_relu,
    "GELU": arithmetic.gelu,
    "HARD_SWISH": arithmetic.hard_swish,
    "RSQRT": arithmetic.rsqrt,
    "SQUARE": arithmetic.square,
    "SQUARED_DIFFERENCE": arithmetic.squared_difference,
    "NOT_EQUAL": arithmetic.not_equal,
    "SOFTMAX": arithmetic.softmax,
    "L2_NORMALIZATION": arithmetic.l2_normalization,
}
