// The C ABI that library.py loads. PACKED_VERSION changes with it, so that a library of other sources is recognised.
#pragma once

#include <stdint.h>

#include "description.h"

#define PACKED_VERSION 3

extern "C" {
#define PACKED_API __attribute__((visibility("default")))
PACKED_API int packed_version();
PACKED_API const char* packed_path(int index);
PACKED_API const char* packed_bfloat16_path();  // null: this processor does not multiply in bfloat16
PACKED_API void* packed_new_layer(const char* path, const CellDescription* description);
PACKED_API void packed_free_layer(void* handle);
PACKED_API int packed_run_layer(
    const void* handle, int rows, const int32_t* lengths, const float* x, long x_step, long x_row, float* h, long h_row, float* c,
    long c_row, float* out, long out_step, long out_row);

// operations: those of the description, whose handles of layers are replaced; the layers must outlive the chunk.
PACKED_API void* packed_new_chunk(const char* path, ChunkDescription* description, OperationDescription* operations);
PACKED_API void packed_free_chunk(void* handle);
PACKED_API int packed_run_chunk(const void* handle, const ChunkCall* call);
}
