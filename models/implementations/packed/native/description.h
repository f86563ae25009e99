// What Python tells of a layer: the same structures as in library.py, field by field. Knows no instruction set.
#pragma once

#include <stdint.h>

enum FunctionName : int32_t {  // in the order of FUNCTIONS in description.py
    LINEAR, TANH, SIGMOID, HARD_SIGMOID, HARD_SIGMOID_RELU6, RELU, RELU6, LEAKY_RELU, THRESHOLDED_RELU, ELU, SELU, CELU, SOFTMAX,
    SOFTPLUS, SOFTSIGN, EXPONENTIAL, GELU, GELU_TANH, SILU, MISH, LOG_SIGMOID, HARD_TANH, HARD_SILU, TANH_SHRINK, SOFT_SHRINK,
    HARD_SHRINK, SQUAREPLUS
};

struct Function {
    int32_t name;
    float alpha;
};

enum CellKind : int32_t {  // in the order of CELLS in description.py
    LSTM, GRU_RESET_AFTER, GRU_RESET_BEFORE, SIMPLE_RNN, SIMPLE_RNN_MULTIPLIED, MIN_GRU
};

// Arrays are contiguous float32, in the canonical order of gates; null where the layer has none.
struct CellDescription {
    int32_t kind;
    int32_t inputs;
    int32_t units;
    int32_t projection_units;  // 0: no projection
    Function activation;
    Function recurrent_activation;
    float cell_clip;        // 0: none
    float projection_clip;  // 0: none
    const float* kernel;            // [inputs, gates * units]
    const float* recurrent_kernel;  // [output units, gates * units]
    const float* bias;              // [gates * units]
    const float* recurrent_bias;    // [gates * units]
    const float* peepholes;         // [3, units]: of i, f and o
    const float* projection;        // [units, projection_units]
};

enum OperationKind : int32_t {  // in the order of OPERATIONS in operations.py
    RECURRENT, DENSE, ACTIVATION, AFFINE, EMBEDDING, CONCATENATION, MERGE, LAST, STATE
};

enum MergeMode : int32_t { SUM, DIFFERENCE, PRODUCT, MAXIMUM, MINIMUM };  // in the order of MERGES in operations.py

struct TensorDescription {
    int32_t width;
    int32_t sequence;  // 1: one vector for each time step; 0: one for each row
};

// Tensors by number; 0 is what the chunk is fed, as `output` it means that nobody reads it.
struct OperationDescription {
    int32_t kind;
    int32_t over_time;  // 1: of the time steps; 0: of the rows that end
    int32_t input;
    int32_t second;  // of a merge
    int32_t output;
    int32_t mode;     // of a merge
    int32_t h;        // columns of the state: of a recurrent layer; where a STATE begins
    int32_t c;
    int32_t seen;
    int32_t count;     // rows of `array`
    Function function;
    const void* layer;   // of a recurrent layer: what packed_new_layer made
    const float* array;  // [count, width]: a kernel, a table, or what is subtracted, multiplied by and added
    const float* bias;   // [width]; null: none
};

struct ChunkDescription {
    int32_t operations;
    int32_t tensors;
    int32_t outputs;
    int32_t state_width;
    const OperationDescription* operation;
    const TensorDescription* tensor;
    const int32_t* output;  // a tensor for each
};

// A call of a chunk.
struct ChunkCall {
    int32_t rows;
    int32_t ending;
    int64_t steps;           // of `inputs`
    const int32_t* lengths;  // [rows], each 1 … steps
    const void* inputs;      // [rows, steps, features] float32, or ids [rows, steps] int64
    float* state;            // [rows, state width], advanced in place
    const int64_t* ending_rows;
    float* const* outputs;  // of a sequence [rows, steps, width], of a vector [ending, width]
};
