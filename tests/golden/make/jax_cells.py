"""Writes golden cases with Flax, Haiku and MLX: one recurrent layer each, its arrays by their names. Arguments: cases; none: all.

`.venv/bin/python -m tests.golden.make flax_linen_gru`
"""

import sys
from importlib.metadata import version

import haiku as hk
import jax
import jax.numpy as jnp
import mlx.core as mx
import mlx.nn
import numpy as np
from flax import linen, nnx
from mlx.utils import tree_flatten
from writing import FOLDER, numbers, write

ROWS, STEPS, WIDTH, UNITS = 3, 7, 4, 5
PACKAGES = {"flax": "flax", "haiku": "dm-haiku", "mlx": "mlx"}


def drawn(tree):
    random = np.random.default_rng(1)
    return jax.tree.map(lambda array: jnp.asarray(random.normal(scale=0.6, size=array.shape), jnp.float32), tree)


def of_linen(cell, x):
    module = linen.RNN(cell(UNITS))
    parameters = drawn(module.init(jax.random.key(0), x))
    leaves = jax.tree_util.tree_leaves_with_path(parameters["params"])
    return {".".join(part.key for part in path): array for path, array in leaves}, module.apply(parameters, x)


def of_nnx(cell, x):
    graph, state = nnx.split(cell(WIDTH, UNITS, rngs=nnx.Rngs(0)), nnx.Param)
    state = drawn(state)
    arrays = {".".join(map(str, path)): array.get_value() for path, array in nnx.to_flat_state(state)}
    return arrays, nnx.RNN(nnx.merge(graph, state))(x)


def of_haiku(core, x):
    def unrolled(x):
        made = core(UNITS)
        return hk.dynamic_unroll(made, x.transpose(1, 0, 2), made.initial_state(ROWS))[0].transpose(1, 0, 2)

    function = hk.without_apply_rng(hk.transform(unrolled))
    parameters = drawn(function.init(jax.random.key(0), x))
    arrays = {f"{module}.{name}": array for module, own in parameters.items() for name, array in own.items()}
    return arrays, function.apply(parameters, x)


def of_mlx(layer, x):
    mx.random.seed(0)
    module = layer(WIDTH, UNITS)
    answer = module(mx.array(x))
    return dict(tree_flatten(module.parameters())), answer[0] if isinstance(answer, tuple) else answer


LINEN_LSTM = [f"cell.{part}" for gate in "ifgo" for part in (f"i{gate}.kernel", f"h{gate}.kernel", f"h{gate}.bias")]
LINEN_GRU = [f"cell.{part}" for gate in "rzn" for part in (f"i{gate}.kernel", f"i{gate}.bias", f"h{gate}.kernel")]
MODELS = {
    "flax_linen_gru": (of_linen, linen.GRUCell, "gru, reset_after: true", [*LINEN_GRU, "cell.hn.bias"]),
    "flax_linen_lstm": (of_linen, linen.LSTMCell, "lstm", LINEN_LSTM),
    "flax_nnx_gru": (of_nnx, nnx.GRUCell, "gru, reset_after: true", ["dense_i.kernel", "dense_i.bias", "dense_h.kernel"]),
    "flax_nnx_lstm": (of_nnx, nnx.OptimizedLSTMCell, "lstm", ["dense_i.kernel", "dense_h.kernel", "dense_h.bias"]),
    "haiku_gru": (of_haiku, hk.GRU, "gru", ["gru.w_i", "gru.w_h", "gru.b"]),
    "haiku_lstm": (of_haiku, hk.LSTM, "lstm", ["lstm/linear.w", "lstm/linear.b"]),
    "mlx_gru": (of_mlx, mlx.nn.GRU, "gru, reset_after: true", ["Wx", "Wh", "b", "bhn"]),
    "mlx_lstm": (of_mlx, mlx.nn.LSTM, "lstm", ["Wx", "Wh", "bias"]),
    "mlx_rnn": (of_mlx, mlx.nn.RNN, "simple_rnn", ["Wxh", "Whh", "bias"]),
}


def make(case):
    answer, layer, described, names = MODELS[case]
    framework = case.partition("_")[0]
    x = numbers(ROWS, STEPS, WIDTH)
    arrays, y = answer(layer, x)
    np.savez(FOLDER / f"{case}.weights.npz", **{name: np.asarray(array) for name, array in arrays.items()})
    (FOLDER / f"{case}.description.yaml").write_text(f"""inputs: [{{name: x, width: {WIDTH}}}]
layout: {framework}
layers:
  - {{kind: {described}, units: {UNITS}, return_sequences: true,
     arrays: [{", ".join(names)}]}}
""")
    files = {"arrays": f"{case}.weights.npz"}
    write(case, files, [x], [np.asarray(y)], framework=framework, version=version(PACKAGES[framework]))


if __name__ == "__main__":
    for name in sys.argv[1:] or MODELS:
        make(name)
