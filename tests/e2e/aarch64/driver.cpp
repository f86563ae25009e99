// Runs one layer of the packed kernel on a machine without Python: what to run comes on the standard input, answers go out the same way.
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "packed.h"

static void take(void* into, size_t bytes) {
    if (fread(into, 1, bytes, stdin) != bytes) exit(2);
}

static int32_t number() {
    int32_t made;
    take(&made, sizeof made);
    return made;
}

static float* array() {  // its size, then its numbers; null where there are none
    int32_t count = number();
    if (!count) return nullptr;
    float* made = (float*)malloc(count * sizeof(float));
    take(made, count * sizeof(float));
    return made;
}

int main() {
    CellDescription cell;
    memset(&cell, 0, sizeof cell);
    take(&cell, offsetof(CellDescription, kernel));
    const float** arrays[] = {&cell.kernel, &cell.recurrent_kernel, &cell.bias, &cell.recurrent_bias, &cell.peepholes, &cell.projection};
    for (const float** each : arrays) *each = array();
    int rows = number(), steps = number(), width = number(), c_width = number();
    int32_t* lengths = (int32_t*)malloc(rows * sizeof(int32_t));
    take(lengths, rows * sizeof(int32_t));
    float *x = array(), *h = array(), *c = array();
    float* out = (float*)calloc((size_t)steps * rows * width, sizeof(float));
    void* layer = packed_new_layer(packed_path(0), &cell);
    if (!layer) return 3;
    if (packed_run_layer(layer, rows, lengths, x, (long)rows * cell.inputs, cell.inputs, h, width, c, c_width, out, (long)rows * width, width))
        return 4;
    packed_free_layer(layer);
    fwrite(out, sizeof(float), (size_t)steps * rows * width, stdout);
    fwrite(h, sizeof(float), (size_t)rows * width, stdout);
    fwrite(c, sizeof(float), (size_t)rows * c_width, stdout);
    return 0;
}
