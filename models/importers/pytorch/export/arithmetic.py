"""Operations of torch that compute with features, as nodes of ONNX. Source: native_functions.yaml, torch.nn.functional 2.x."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from cellserve.models.importers.pytorch.export.movement import Draw
from cellserve.models.importers.pytorch.export.site import NotDrawn, Site


def _combine(operator: str) -> Draw:
    def draw(site: Site) -> list[str]:
        other = site.tensor("other")
        if (alpha := site.number("alpha", 1)) != 1:
            other = site.drawing.one("Mul", [other, site.drawing.constant(np.float32(alpha))])
        if site.value("rounding_mode") is not None:
            raise NotDrawn("a division that rounds is no layer")
        return [site.drawing.one(operator, [site.tensor("self"), other])]

    return draw


def _quotient(site: Site) -> list[str]:
    """x / (1 + |x|), as torch.nn.functional writes a softsign, as one operator."""
    other = site.drawing.maker(site.tensor("other"))
    absolute = site.drawing.maker(other.input[0]) if other is not None and other.op_type == "Add" else None
    if absolute is not None and absolute.op_type == "Abs" and absolute.input[0] == site.tensor("self"):
        one = site.drawing.constants.get(other.input[1]) if other is not None else None
        if one is not None and one.size == 1 and one.item() == 1:
            return [site.drawing.one("Softsign", [site.tensor("self")])]
    return _combine("Div")(site)


def _rsub(site: Site) -> list[str]:
    if site.number("alpha", 1) != 1:
        raise NotDrawn("a difference with a factor is no layer")
    return [site.drawing.one("Sub", [site.tensor("other"), site.tensor("self")])]


def _power(site: Site) -> list[str]:
    return [site.drawing.one("Pow", [site.tensor("self"), site.tensor("exponent")])]


def _plain(operator: str, **attributes: Any) -> Draw:
    return lambda site: [site.drawing.one(operator, [site.tensor("self")], **attributes)]


def _numbered(operator: str, **arguments: tuple[str, float]) -> Draw:
    """`arguments`: of each attribute the argument of torch that gives it, and torch's default."""

    def draw(site: Site) -> list[str]:
        numbers = {attribute: float(site.number(name, default)) for attribute, (name, default) in arguments.items()}
        return [site.drawing.one(operator, [site.tensor("self")], **numbers)]

    return draw


def _elu(site: Site) -> list[str]:
    if site.number("scale", 1) != 1 or site.number("input_scale", 1) != 1:
        raise NotDrawn("an elu with scales is no layer")
    return [site.drawing.one("Elu", [site.tensor("self")], alpha=float(site.number("alpha", 1)))]


def _gelu(site: Site) -> list[str]:
    return [site.drawing.one("Gelu", [site.tensor("self")], approximate=str(site.value("approximate", "none")))]


def _silu(site: Site) -> list[str]:
    x = site.tensor("self")
    return [site.drawing.one("Mul", [x, site.drawing.one("Sigmoid", [x])])]


def _softplus(site: Site) -> list[str]:
    if site.number("beta", 1) != 1:
        raise NotDrawn("a softplus with a beta is no layer")
    return [site.drawing.one("Softplus", [site.tensor("self")])]


def _log_sigmoid(site: Site) -> list[str]:
    """-softplus(-x)."""
    drawing = site.drawing
    return [drawing.one("Neg", [drawing.one("Softplus", [drawing.one("Neg", [site.tensor("self")])])])]


def _clip(low: float | None, high: float | None) -> Draw:
    def draw(site: Site) -> list[str]:
        ends = []
        for names, default in ((("min_val", "min"), low), (("max_val", "max"), high)):
            name = next((one for one in names if site.call.given.get(one) is not None), None)
            end = default if name is None else site.number(name)
            ends.append("" if end is None else site.drawing.constant(np.float32(end)))
        return [site.drawing.one("Clip", [site.tensor("self"), *ends])]

    return draw


def _softmax(operator: str) -> Draw:
    return lambda site: [site.drawing.one(operator, [site.tensor("self")], axis=site.axis("dim"))]


def _prelu(site: Site) -> list[str]:
    """One number, or one for each channel, which torch has on axis 1."""
    slope = site.constant("weight")
    if slope is None:
        raise NotDrawn("it has no weight")
    shape = [1] * site.rank("self")
    if slope.size > 1:
        shape[1] = -1
    return [site.drawing.one("PRelu", [site.tensor("self"), site.drawing.constant(slope.reshape(shape))])]


def _linear(site: Site) -> list[str]:
    return _affine(site, site.tensor("input"), site.call.given["weight"], "bias", turned=True)


def _addmm(site: Site) -> list[str]:
    if site.number("alpha", 1) != 1 or site.number("beta", 1) != 1:
        raise NotDrawn("a product with factors is no layer")
    return _affine(site, site.tensor("mat1"), site.call.given["mat2"], "self", turned=False)


def _affine(site: Site, x: str, weight: Any, bias: str, *, turned: bool) -> list[str]:
    matrix = site.drawn(weight)
    if turned:
        stored = site.drawing.constants.get(matrix)
        matrix = site.drawing.one("Transpose", [matrix]) if stored is None else site.drawing.constant(stored.T)
    made = site.drawing.one("MatMul", [x, matrix])
    return [made] if site.value(bias) is None else [site.drawing.one("Add", [made, site.tensor(bias)])]


def _product(site: Site) -> list[str]:
    return [site.drawing.one("MatMul", [site.tensor("self"), site.tensor("mat2" if "mat2" in site.call.given else "other")])]


def _layer_norm(site: Site) -> list[str]:
    axes = len(site.wholes("normalized_shape"))
    shape = site.wholes("normalized_shape")
    scale = site.value("weight")
    inputs = [site.tensor("input"), site.drawing.constant(np.ones(shape, np.float32)) if scale is None else site.tensor("weight")]
    if site.value("bias") is not None:
        inputs.append(site.tensor("bias"))
    return [site.drawing.one("LayerNormalization", inputs, axis=-axes, epsilon=float(site.number("eps", 1e-5)))]


def _batch_norm(site: Site) -> list[str]:
    mean, variance = site.constant("running_mean"), site.constant("running_var")
    if mean is None or variance is None:
        raise NotDrawn("it normalizes by the batch that it is given, so that a row's answer depends on those beside it")
    scale = site.tensor("weight") if site.value("weight") is not None else site.drawing.constant(np.ones_like(mean))
    shift = site.tensor("bias") if site.value("bias") is not None else site.drawing.constant(np.zeros_like(mean))
    inputs = [site.tensor("input"), scale, shift, site.drawing.constant(mean), site.drawing.constant(variance)]
    return [site.drawing.one("BatchNormalization", inputs, epsilon=float(site.number("eps", 1e-5)))]


def _reduced(operator: str) -> Draw:
    def draw(site: Site) -> list[str]:
        rank = site.rank("self")
        axes = [axis % rank for axis in site.wholes("dim", range(rank))]
        keep = int(bool(site.value("keepdim", False)))
        if site.number("ord", site.number("p", 2)) != 2:
            raise NotDrawn("a norm other than the square root of the sum of squares is no layer")
        return [site.drawing.one(operator, [site.tensor("self"), site.drawing.whole(list(axes))], keepdims=keep)]

    return draw


def _embedding(site: Site) -> list[str]:
    return [site.drawing.one("Gather", [site.tensor("weight"), site.tensor("indices")], axis=0)]


def _attention(site: Site) -> list[str]:
    """softmax(q kᵀ · scale) v, over the last two axes."""
    if site.value("attn_mask") is not None or site.value("is_causal", False):
        raise NotDrawn("attention with a mask is no layer")
    query, key, value = (site.tensor(name) for name in ("query", "key", "value"))
    width = site.shape("query")[-1]
    if width is None:
        raise NotDrawn("the width of what it asks with depends on what the program is given")
    rank = site.rank("key")
    turned = site.drawing.transposed(key, [*range(rank - 2), rank - 1, rank - 2])
    scores = site.drawing.one("MatMul", [query, turned])
    scaled = site.drawing.one("Mul", [scores, site.drawing.constant(np.float32(site.number("scale", width**-0.5)))])
    return [site.drawing.one("MatMul", [site.drawing.one("Softmax", [scaled], axis=-1), value])]


def _conv(axes: int | None) -> Draw:
    def draw(site: Site) -> list[str]:
        if site.value("transposed", False):
            raise NotDrawn("a transposed convolution is no layer")
        spatial = axes or site.rank("input") - 2
        inputs = [site.tensor("input"), site.tensor("weight")]
        if site.value("bias") is not None:
            inputs.append(site.tensor("bias"))
        padding = site.value("padding", 0)
        stride, dilation = site.wholes("stride", [1], spatial), site.wholes("dilation", [1], spatial)
        if padding == "same":
            weight = site.constant("weight")
            kernel = [] if weight is None else weight.shape[2:]
            total = [step * (size - 1) for step, size in zip(dilation, kernel)]
            pads = [one // 2 for one in total] + [one - one // 2 for one in total]
        else:
            pads = [0] * 2 * spatial if padding == "valid" else site.wholes("padding", [0], spatial) * 2
        options = {"strides": stride, "dilations": dilation, "pads": pads, "group": site.whole("groups", 1)}
        return [site.drawing.one("Conv", inputs, **options)]

    return draw


def _pool(operator: str, axes: int) -> Draw:
    def draw(site: Site) -> list[str]:
        kernel = site.wholes("kernel_size", count=axes)
        options: dict[str, Any] = {
            "kernel_shape": kernel,
            "strides": site.wholes("stride", kernel, axes) or kernel,
            "pads": site.wholes("padding", [0], axes) * 2,
            "ceil_mode": int(bool(site.value("ceil_mode", False))),
        }
        if operator == "AveragePool":
            if site.value("divisor_override") is not None:
                raise NotDrawn("an average with a divisor of its own is no layer")
            options["count_include_pad"] = int(bool(site.value("count_include_pad", True)))
        else:
            options["dilations"] = site.wholes("dilation", [1], axes)
        return [site.drawing.one(operator, [site.tensor("self")], **options)]

    return draw


def _global_pool(operator: str, axes: int) -> Draw:
    def draw(site: Site) -> list[str]:
        if any(size != 1 for size in site.wholes("output_size", count=axes)):
            raise NotDrawn("a pooling whose windows depend on the length is a layer only where it makes one step of all")
        return [site.drawing.one(operator, [site.tensor("self")])]

    return draw


COMPUTING: Final[Mapping[str, Draw]] = {
    **{
        name + end: _combine(operator) for name, operator in (("add", "Add"), ("sub", "Sub"), ("mul", "Mul")) for end in ("", "_")
    },
    **dict.fromkeys(("div", "div_"), _quotient),
    "maximum": _combine("Max"),
    "minimum": _combine("Min"),
    "rsub": _rsub,
    "pow": _power,
    **{
        name + end: _plain(operator)
        for name, operator in (
            ("relu", "Relu"),
            ("tanh", "Tanh"),
            ("sigmoid", "Sigmoid"),
            ("exp", "Exp"),
            ("neg", "Neg"),
            ("mish", "Mish"),
            ("selu", "Selu"),
            ("hardswish", "HardSwish"),
            ("sqrt", "Sqrt"),
            ("abs", "Abs"),
            ("log", "Log"),
        )
        for end in ("", "_")
    },
    **dict.fromkeys(("relu6", "relu6_"), _clip(0.0, 6.0)),
    **dict.fromkeys(("hardtanh", "hardtanh_"), _clip(-1.0, 1.0)),
    **dict.fromkeys(("clamp", "clamp_", "clamp_min", "clamp_max"), _clip(None, None)),
    **dict.fromkeys(("hardsigmoid", "hardsigmoid_"), _plain("HardSigmoid", alpha=1 / 6, beta=0.5)),
    **dict.fromkeys(("leaky_relu", "leaky_relu_"), _numbered("LeakyRelu", alpha=("negative_slope", 0.01))),
    **dict.fromkeys(("celu", "celu_"), _numbered("Celu", alpha=("alpha", 1.0))),
    **dict.fromkeys(("elu", "elu_"), _elu),
    **dict.fromkeys(("gelu", "gelu_"), _gelu),
    **dict.fromkeys(("silu", "silu_"), _silu),
    "softplus": _softplus,
    "log_sigmoid": _log_sigmoid,
    **dict.fromkeys(("softmax", "_softmax", "_safe_softmax"), _softmax("Softmax")),
    **dict.fromkeys(("log_softmax", "_log_softmax"), _softmax("LogSoftmax")),
    **dict.fromkeys(("prelu", "_prelu_kernel"), _prelu),
    "linear": _linear,
    "addmm": _addmm,
    **dict.fromkeys(("matmul", "mm", "bmm"), _product),
    **dict.fromkeys(("layer_norm", "native_layer_norm"), _layer_norm),
    **dict.fromkeys(("batch_norm", "_native_batch_norm_legit_no_training"), _batch_norm),
    **dict.fromkeys(("linalg_vector_norm", "norm"), _reduced("ReduceL2")),
    "mean": _reduced("ReduceMean"),
    "sum": _reduced("ReduceSum"),
    **dict.fromkeys(("amax", "max"), _reduced("ReduceMax")),
    "embedding": _embedding,
    "scaled_dot_product_attention": _attention,
    "conv1d": _conv(1),
    "conv2d": _conv(2),
    **dict.fromkeys(("convolution", "_convolution"), _conv(None)),
    **{f"max_pool{axes}d": _pool("MaxPool", axes) for axes in (1, 2)},
    **{f"avg_pool{axes}d": _pool("AveragePool", axes) for axes in (1, 2)},
    **{f"adaptive_avg_pool{axes}d": _global_pool("GlobalAveragePool", axes) for axes in (1, 2)},
    "adaptive_max_pool1d": _global_pool("GlobalMaxPool", 1),
}
