// What one instruction set offers: the same functions, compiled for it. Knows nothing of how they work.
#pragma once

#include "arena.h"
#include "description.h"

struct Path {
    const char* name;
    void* (*new_layer)(const CellDescription*);  // null: memory ran out
    void (*free_layer)(void*);
    // rows: any order. x [T, B, F] with its strides, h, c [B, …] in place, out [T, B, width]; strides in floats. -1: memory ran out.
    int (*run_layer)(
        const void* layer, int rows, const int32_t* lengths, const float* x, long x_step, long x_row, float* h, long h_row, float* c,
        long c_row, float* out, long out_step, long out_row, Arena* arena);
    void* (*new_chunk)(const ChunkDescription*);  // its layers stand for themselves, and must outlive it; null: memory ran out
    void (*free_chunk)(void*);
    int (*run_chunk)(const void* chunk, const ChunkCall*, Arena* arena);
};
