"""Writes golden cases of TFLite, answered by its interpreter: what its converter writes, and what it no longer does.

`python tests/golden/make/tflite_models.py tfl_bidirectional`, where TensorFlow is installed. Arguments: cases; none: all of them.
"""

import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import tensorflow as tf
import tf_keras as keras
from tensorflow.lite.python import schema_py_generated as schema
from writing import FOLDER, numbers, write

STEPS, WIDTH, UNITS = 7, 4, 5
TANH, RELU = 4, 1


class Program:
    """A graph that is written operator by operator."""

    def __init__(self):
        self.tensors, self.buffers, self.operators, self.codes = [], [schema.BufferT()], [], []

    def tensor(self, shape, array=None, kept=False):
        made = schema.TensorT()
        made.name, made.shape, made.type, made.isVariable, made.buffer = f"t{len(self.tensors)}", list(shape), 0, kept, 0
        if array is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(array.astype(np.float32).tobytes(), np.uint8)
            made.buffer = len(self.buffers)
            self.buffers.append(buffer)
        self.tensors.append(made)
        return len(self.tensors) - 1

    def constant(self, *shape, seed, scale=0.6):
        return self.tensor(shape, numbers(*shape, seed=seed, scale=scale))

    def add(self, kind, inputs, outputs, options=None, options_kind=0):
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode, code.version = kind, 1
        code.deprecatedBuiltinCode = min(kind, 127)
        operator.opcodeIndex, operator.inputs, operator.outputs = len(self.codes), list(inputs), list(outputs)
        operator.builtinOptions, operator.builtinOptionsType = options, options_kind
        self.codes.append(code)
        self.operators.append(operator)

    def content(self, inputs, outputs):
        import flatbuffers

        graph, model = schema.SubGraphT(), schema.ModelT()
        graph.tensors, graph.operators, graph.inputs, graph.outputs = self.tensors, self.operators, inputs, outputs
        model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, self.codes, [graph], self.buffers
        model.description = "by hand"
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def lstm_options(kind, *, time_major=False, clip=0.0, merge=None):
    made = kind()
    made.fusedActivationFunction, made.cellClip, made.projClip, made.timeMajor = TANH, clip, 0.0, time_major
    if merge is not None:
        made.mergeOutputs = merge
    return made


def lstm_weights(program, width, seed, *, coupled=False, peepholes=False, scale=0.6):
    """The 17 inputs of one direction."""
    gates = range(1 if coupled else 0, 4)
    kernels = [-1] * coupled + [program.constant(UNITS, width, seed=seed + g, scale=scale) for g in gates]
    recurrent = [-1] * coupled + [program.constant(UNITS, UNITS, seed=seed + 10 + g) for g in gates]
    looking = [-1] * 3
    if peepholes:
        looking = [-1 if coupled else program.constant(UNITS, seed=seed + 20)]
        looking += [program.constant(UNITS, seed=seed + 20 + g) for g in (1, 2)]
    biases = [-1] * coupled + [program.constant(UNITS, seed=seed + 30 + g) for g in gates]
    return [*kernels, *recurrent, *looking, *biases, -1, -1]


def coupled():
    """Input and forget gate coupled, peepholes, time before rows."""
    program = Program()
    x, y = program.tensor((STEPS, 1, WIDTH)), program.tensor((STEPS, 1, UNITS))
    weights = lstm_weights(program, WIDTH, 1, coupled=True, peepholes=True)
    states = [program.tensor((1, UNITS), kept=True) for _ in range(2)]
    options = lstm_options(schema.UnidirectionalSequenceLSTMOptionsT, time_major=True)
    program.add(44, [x, *weights, *states, -1, -1, -1, -1], [y], options, schema.BuiltinOptions.UnidirectionalSequenceLSTMOptions)
    return program.content([x], [y]), numbers(1, STEPS, WIDTH), True


def bidirectional():
    """Peepholes; two outputs, then one of both."""
    program = Program()
    x, z = program.tensor((1, STEPS, WIDTH)), program.tensor((1, STEPS, 2 * UNITS))
    sides = [program.tensor((1, STEPS, UNITS)) for _ in range(2)]
    joined = program.tensor((1, STEPS, 2 * UNITS))
    concat = schema.ConcatenationOptionsT()
    concat.axis = 2
    kind = schema.BidirectionalSequenceLSTMOptionsT
    for width, source, outputs, seed in ((WIDTH, x, sides, 1), (2 * UNITS, joined, [z], 100)):
        weights = [place for side in (0, 50) for place in lstm_weights(program, width, seed + side, peepholes=seed == 1)]
        states = [program.tensor((1, UNITS), kept=True) for _ in range(4)]
        options = lstm_options(kind, merge=len(outputs) == 1)
        given = [source, *weights, *states, *[-1] * 9]
        program.add(52, given, outputs, options, schema.BuiltinOptions.BidirectionalSequenceLSTMOptions)
        if seed == 1:
            program.add(2, sides, [joined], concat, schema.BuiltinOptions.ConcatenationOptions)
    return program.content([x], [z]), numbers(1, STEPS, WIDTH), False


def simple():
    """Two simple recurrent layers, the second in both directions."""
    program = Program()
    x, h, y = program.tensor((1, STEPS, WIDTH)), program.tensor((1, STEPS, UNITS)), program.tensor((1, STEPS, 2 * UNITS))

    def weights(width, seed):
        return [program.constant(*shape, seed=seed + n) for n, shape in enumerate(((UNITS, width), (UNITS, UNITS), (UNITS,)))]

    one, both = schema.SequenceRNNOptionsT(), schema.BidirectionalSequenceRNNOptionsT()
    one.timeMajor, one.fusedActivationFunction = False, RELU
    both.timeMajor, both.fusedActivationFunction, both.mergeOutputs = False, TANH, True
    state = [program.tensor((1, UNITS), kept=True) for _ in range(3)]
    program.add(35, [x, *weights(WIDTH, 1), state[0]], [h], one, schema.BuiltinOptions.SequenceRNNOptions)
    given = [h, *weights(UNITS, 10), state[1], *weights(UNITS, 20), state[2], -1, -1, -1]
    program.add(46, given, [y], both, schema.BuiltinOptions.BidirectionalSequenceRNNOptions)
    return program.content([x], [y]), numbers(1, STEPS, WIDTH), False


def clipped():
    """A cell that reaches its bound."""
    program = Program()
    x, y = program.tensor((1, STEPS, WIDTH)), program.tensor((1, STEPS, UNITS))
    states = [program.tensor((1, UNITS), kept=True) for _ in range(2)]
    options = lstm_options(schema.UnidirectionalSequenceLSTMOptionsT, clip=0.5)
    given = [x, *lstm_weights(program, WIDTH, 1, scale=2.0), *states, -1, -1, -1, -1]
    program.add(44, given, [y], options, schema.BuiltinOptions.UnidirectionalSequenceLSTMOptions)
    return program.content([x], [y]), numbers(1, STEPS, WIDTH), False


def converted():
    """Of tf-keras, by the converter, with weights in float16."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.InputLayer(batch_input_shape=(1, STEPS, WIDTH)),
            layers.Bidirectional(layers.LSTM(UNITS, return_sequences=True)),
            layers.LSTM(UNITS, go_backwards=True),
            layers.Dense(3, activation="softmax"),
        ]
    )
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    return converter.convert(), numbers(1, STEPS, WIDTH), False


MODELS = {
    "tfl_coupled_peepholes": coupled,
    "tfl_bidirectional": bidirectional,
    "tfl_simple": simple,
    "tfl_cell_clip": clipped,
    "tfl_keras": converted,
}


def make(case):
    content, x, time_major = MODELS[case]()
    path = FOLDER / f"{case}.tflite"
    path.write_bytes(content)
    resolver = tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = tf.lite.Interpreter(model_content=content, experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x.transpose(1, 0, 2) if time_major else x)
    interpreter.invoke()
    y = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    y = y.transpose(1, 0, 2) if time_major else y
    write(case, {"tflite": path.name}, [x], [y], framework="tflite", version=tf.__version__, notes=MODELS[case].__doc__)


if __name__ == "__main__":
    for name in sys.argv[1:] or MODELS:
        make(name)
