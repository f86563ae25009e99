"""The layers that random stacks are made of: each kind of layer stands in one of these lists, in some company.

Knows no weights and not how stacks are put together (networks.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, Literal, get_args

from hypothesis import strategies as st

from cellserve.models.description.layers.activation import Activation
from cellserve.models.description.layers.attention import AttentionLayer
from cellserve.models.description.layers.cells import (
    GruLayer,
    JzsLayer,
    LstmLayer,
    MinGruLayer,
    MinLstmLayer,
    SimpleDeepRnnLayer,
    SimpleRnnLayer,
    SLstmLayer,
)
from cellserve.models.description.layers.layer import Layer
from cellserve.models.description.layers.merge import MergeLayer
from cellserve.models.description.layers.planes import Conv2dLayer, Pooling2dLayer
from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.description.layers.rows import (
    AttentionPooling1dLayer,
    FlattenLayer,
    GlobalPooling1dLayer,
    LastStepLayer,
    RepeatVectorLayer,
    ReverseLayer,
    UnflattenLayer,
)
from cellserve.models.description.layers.spectral import BandPaddingLayer, MagnitudeLayer
from cellserve.models.description.layers.stepwise import (
    ActivationLayer,
    BatchNormalizationLayer,
    DenseLayer,
    DropoutLayer,
    EmbeddingLayer,
    LayerNormalizationLayer,
    MaskingLayer,
    PReluLayer,
    ReshapeLayer,
    UnitNormalizationLayer,
)
from cellserve.models.description.layers.windowed import Conv1dLayer, Cropping1dLayer, Padding1dLayer, Pooling1dLayer
from cellserve.models.description.layers.within import WithinStepLayer
from cellserve.models.description.step_counts import Fill
from cellserve.models.implementations.library_kernels import TORCH
from tests.models.carried_parts import centred, every_other, norm, stepwise

Options = list[list[Layer]]
VOCABULARY = 7
MASK_VALUE = -1.0
BOUNDED = (
    *("tanh", "sigmoid", "hard_sigmoid", "hard_sigmoid_relu6", "softsign", "hard_tanh", "softmax"),
    Activation(name="scaled_tanh", alpha=0.8, beta=1.3),
    Activation(name="clipped_affine", alpha=0.3, beta=0.4),
)
RULES = ("repeat", "repeat_from_state", "zero")
ALL_RULES = (*RULES, "zero_or_empty", "reset", "ignore")
ATTENTION = ("dot", "additive", "concat")
FILLS = get_args(Fill)
MERGES = ("concat", "sum", "multiply", "average", "subtract", "maximum", "minimum")

Draw = st.DrawFn
Common = dict[str, Any]


def _lstm(draw: Draw, common: Common, fusable: bool) -> RecurrentLayer:
    common["projection_units"] = draw(st.none() | st.integers(1, common["units"] - 1))
    if not fusable and draw(st.booleans()):
        common |= {"peepholes": draw(st.booleans()), "cell_clip": draw(st.sampled_from((None, 0.3)))}
        common["projection_clip"] = draw(st.sampled_from((None, 0.2))) if common["projection_units"] else None
        common["output_activation"] = draw(st.sampled_from((None, None, *BOUNDED)))
    return LstmLayer(**common, **_activations(draw, fusable), gate_clip=_gate_clip(draw, fusable))


def _gru(draw: Draw, common: Common, fusable: bool) -> RecurrentLayer:
    return GruLayer(
        **common, **_activations(draw, fusable), reset_after=fusable or draw(st.booleans()), gate_clip=_gate_clip(draw, fusable)
    )


def _min_gru(draw: Draw, common: Common, fusable: bool) -> RecurrentLayer:
    return MinGruLayer(**common, **_activations(draw, fusable))


def _min_lstm(draw: Draw, common: Common, fusable: bool) -> RecurrentLayer:
    return MinLstmLayer(**common, activation=draw(st.sampled_from((*BOUNDED, "min_gru_g"))))


def _slstm(draw: Draw, common: Common, fusable: bool) -> RecurrentLayer:
    return SLstmLayer(**common, **_activations(draw, fusable), forget_gate=draw(st.sampled_from(("sigmoid", "exponential"))))


def _simple_rnn(draw: Draw, common: Common, fusable: bool) -> RecurrentLayer:
    common["activation"] = draw(st.sampled_from(("tanh", "relu") if fusable else BOUNDED))
    combine = "add" if fusable else draw(st.sampled_from(("add", "multiply")))
    return SimpleRnnLayer(**common, combine=combine, gate_clip=_gate_clip(draw, fusable))


def _jzs(draw: Draw, common: Common, fusable: bool) -> RecurrentLayer:
    return JzsLayer(**common, **_activations(draw, fusable), variant=draw(st.integers(1, 3)))


def _simple_deep_rnn(draw: Draw, common: Common, fusable: bool) -> RecurrentLayer:
    missing = draw(st.sampled_from(("absent", "zero")))
    return SimpleDeepRnnLayer(**common, **_activations(draw, fusable), depth=draw(st.integers(1, 3)), missing_steps=missing)


def _gate_clip(draw: Draw, fusable: bool) -> float | None:
    return None if fusable else draw(st.sampled_from((None, None, 0.4)))


def _activations(draw: Draw, fusable: bool) -> dict[str, Any]:
    names = ("tanh", "sigmoid") if fusable else (draw(st.sampled_from(BOUNDED)), draw(st.sampled_from(BOUNDED)))
    return dict(zip(("activation", "recurrent_activation"), names))


RECURRENT: Mapping[type[RecurrentLayer], Callable[[Draw, Common, bool], RecurrentLayer]] = {
    LstmLayer: _lstm,
    SLstmLayer: _slstm,
    GruLayer: _gru,
    MinGruLayer: _min_gru,
    MinLstmLayer: _min_lstm,
    SimpleRnnLayer: _simple_rnn,
    JzsLayer: _jzs,
    SimpleDeepRnnLayer: _simple_deep_rnn,
}


@st.composite
def recurrent_layers(draw: Draw, name: str, source: str, *, fusable: bool, causal: bool) -> RecurrentLayer:
    """fusable: one that torch has a kernel of."""
    common: Common = {
        "name": name,
        "inputs": (source,),
        "units": draw(st.integers(2, 5)),
        "use_bias": draw(st.booleans()),
        "mask_rule": draw(st.sampled_from((*RULES, "zero_or_empty") if fusable else ALL_RULES)),
        "go_backwards": not causal and draw(st.booleans()),
    }
    kinds = [kind for kind in RECURRENT if not fusable or kind in TORCH]
    return RECURRENT[draw(st.sampled_from(kinds))](draw, common, fusable)


def of_ids(source: str) -> Options:
    return [
        [EmbeddingLayer(name="embedding", inputs=(source,), vocabulary=VOCABULARY, units=3, mask_zero=masks)]
        for masks in (False, True)
    ]


def of_features(source: str) -> Options:
    return [[], [MaskingLayer(name="masking", inputs=(source,), mask_value=MASK_VALUE)]]


def front_ends(source: str) -> Options:
    """What sensor and speech models have before the recurrence."""

    def conv(**options: object) -> Conv1dLayer:
        return Conv1dLayer.model_validate({"name": "conv", "inputs": (source,), "units": 3, "kernel_size": 3, **options})

    return [
        [conv()],
        [conv(padding="same", strides=2, activation="relu"), Pooling1dLayer(name="pool", inputs=("conv",), mode="average")],
        [conv(padding="causal", dilation=2, use_bias=False)],
        [conv(kernel_size=2, padding="same"), Pooling1dLayer(name="pool", inputs=("conv",), mode="max", padding="same")],
        [Padding1dLayer(name="pad", inputs=(source,), after=2), Conv1dLayer(name="c", inputs=("pad",), units=2, kernel_size=4)],
        [Cropping1dLayer(name="crop", inputs=(source,), before=2), conv(kernel_size=2, inputs=("crop",))],
        *([Padding1dLayer(name="pad", inputs=(source,), after=2, fill=fill), conv(inputs=("pad",))] for fill in FILLS),
        [Padding1dLayer(name="pad", inputs=(source,)), Cropping1dLayer(name="crop", inputs=("pad",), before=0, after=3)],
        [Pooling1dLayer(name="pool", inputs=(source,), mode="average", pool_size=3, strides=2, padding="same")],
        [every_other("thinned", source)],
        [centred("centred", source), conv(kernel_size=2, inputs=("centred",))],
        *(planes(source, mode, padding) for mode in ("max", "average") for padding in ("same", "valid", "causal")),
    ]


def planes(source: str, mode: Literal["max", "average"], padding: Literal["same", "valid", "causal"]) -> list[Layer]:
    """A convolution over time and bands, and pooling of both."""
    return [
        DenseLayer(name="bands", inputs=(source,), units=8),
        ReshapeLayer(name="plane", inputs=("bands",), features=(4, 2)),
        Conv2dLayer(
            name="conv", inputs=("plane",), units=3, kernel_size=(2, 3), padding=padding, band_margin=(1, 0), dilation=(2, 1)
        ),
        Pooling2dLayer(
            name="pool", inputs=("conv",), mode=mode, pool_size=(2, 2), strides=(1, 2), padding="same", band_margin=(0, 1)
        ),
        ReshapeLayer(name="planes", inputs=("pool",), features=(6,), axes=2),
    ]


def between(name: str, source: str) -> Options:
    return [
        [],
        [DropoutLayer(name=name, inputs=(source,), rate=0.5)],
        [DenseLayer(name=name, inputs=(source,), units=3, activation="tanh")],
        [ActivationLayer(name=name, inputs=(source,), activation="softsign")],
        [BatchNormalizationLayer(name=name, inputs=(source,))],
        [PReluLayer(name=name, inputs=(source,))],
        [UnitNormalizationLayer(name=name, inputs=(source,), epsilon=0.1)],
        [LayerNormalizationLayer(name=name, inputs=(source,), epsilon=0.1)],
        [
            DenseLayer(name=f"{name}_wide", inputs=(source,), units=6),
            ReshapeLayer(name=f"{name}_axes", inputs=(f"{name}_wide",), features=(2, 3)),
            DenseLayer(name=f"{name}_deep", inputs=(f"{name}_axes",), units=4, activation="tanh"),
            ReshapeLayer(name=name, inputs=(f"{name}_deep",), features=(8,), axes=2, permutation=(1, 0)),
        ],
        [
            DenseLayer(name=f"{name}_wide", inputs=(source,), units=6),
            ReshapeLayer(name=f"{name}_axes", inputs=(f"{name}_wide",), features=(3, 2)),
            *(
                WithinStepLayer(name=own, inputs=(read,), cell=cell, turned_back=cell.go_backwards)
                for own, read, cell in _within(name)
            ),
        ],
        [stepwise(name, source)],
        *(_spectrum(name, source, *how) for how in ((FILLS[0], 1, 0.0), (FILLS[1], 1, 0.1), (FILLS[2], 2, 0.0))),
    ]


def _spectrum(name: str, source: str, fill: Fill, power: Literal[1, 2], epsilon: float) -> list[Layer]:
    """As of audio: bands around those of each step, complex numbers, and how large they are."""
    return [
        DenseLayer(name=f"{name}_samples", inputs=(source,), units=6),
        ReshapeLayer(name=f"{name}_row", inputs=(f"{name}_samples",), features=(3, 2)),
        BandPaddingLayer(name=f"{name}_padded", inputs=(f"{name}_row",), before=1, after=2, fill=fill),
        DenseLayer(name=f"{name}_complex", inputs=(f"{name}_padded",), units=4),
        MagnitudeLayer(name=f"{name}_spectrum", inputs=(f"{name}_complex",), power=power, epsilon=epsilon),
        ReshapeLayer(name=name, inputs=(f"{name}_spectrum",), features=(12,), axes=2),
    ]


def _within(name: str) -> list[tuple[str, str, RecurrentLayer]]:
    common: Common = {"name": "cell", "inputs": ("x",), "units": 2}
    backwards = GruLayer(**common, reset_after=True, return_sequences=True, go_backwards=True)
    return [(f"{name}_each", f"{name}_axes", backwards), (name, f"{name}_each", LstmLayer(**common))]


def ends(source: str, *, causal: bool, fixed: bool) -> Options:
    """Of a sequence. fixed: every row has as many steps as the input says."""
    last = LastStepLayer(name="last", inputs=(source,))
    if causal:
        return [[], [last]]
    laid_out = DenseLayer(name="numbers", inputs=("last",), units=6)
    decoder = SimpleRnnLayer(name="decoder", inputs=("repeated",), units=2, return_sequences=True)
    return [
        [],
        [last],
        [GlobalPooling1dLayer(name="last", inputs=(source,), mode="max")],
        [GlobalPooling1dLayer(name="last", inputs=(source,), mode="average")],
        [GlobalPooling1dLayer(name="last", inputs=(source,), mode="sum")],
        [
            DenseLayer(name="scored", inputs=(source,), units=5),
            AttentionPooling1dLayer(name="last", inputs=("scored",), heads=2),
        ],
        [
            GlobalPooling1dLayer(name="query", inputs=(source,), mode="max"),
            RepeatVectorLayer(name="asked", inputs=("query", source)),
            MergeLayer(name="product", inputs=(source, "asked"), mode="multiply"),
        ],
        *([AttentionLayer(name="last", inputs=(source, source), score=score, use_scale=True)] for score in ATTENTION),
        [DenseLayer(name="q", inputs=(source,), units=2), AttentionLayer(name="last", inputs=("q", source, "q"))],
        [last, RepeatVectorLayer(name="repeated", inputs=("last",), count=3), decoder],
        *(
            [last, laid_out, UnflattenLayer(name="repeated", inputs=("numbers",), steps=3, time_last=time_last), decoder]
            for time_last in (False, True)
        ),
        [norm("last", source)],
        [centred("last", source, together=False)],
        [centred("less", source), every_other("half", "less"), norm("last", "half")],
        *([[FlattenLayer(name="flat", inputs=(source,))]] if fixed else []),
    ]


def other_direction(layer: RecurrentLayer, mode: str) -> list[Layer]:
    backward = layer.model_copy(update={"name": f"{layer.name}_back", "go_backwards": not layer.go_backwards})
    turned = [ReverseLayer(name=f"{layer.name}_turned", inputs=(backward.name,))] if layer.return_sequences else []
    other = turned[-1].name if turned else backward.name
    return [backward, *turned, MergeLayer(name=f"{layer.name}_both", inputs=(layer.name, other), mode=mode)]


def skip(name: str, below: str, above: str, mode: str, counts_where: Literal["all", "any", "always"]) -> list[Layer]:
    """The sequence before a level, joined with the one after it."""
    if mode == "concat":
        return [MergeLayer(name=name, inputs=(below, above), mode="concat", counts_where=counts_where)]
    widened = [DenseLayer(name=f"{name}_{side}", inputs=(source,), units=3) for side, source in (("b", below), ("a", above))]
    return [*widened, MergeLayer(name=name, inputs=(f"{name}_b", f"{name}_a"), mode=mode, counts_where=counts_where)]


def drawn() -> Iterable[Sequence[Layer]]:
    """Every list of layers other than recurrent ones that stacks draw from, each a chain that begins at "x"."""
    both = other_direction(SimpleRnnLayer(name="x", inputs=("x",), units=3, return_sequences=True), "sum")
    return chain(
        of_ids("x"), of_features("x"), front_ends("x"), between("between", "x"), ends("x", causal=False, fixed=True), [both]
    )
