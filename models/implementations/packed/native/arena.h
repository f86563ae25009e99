// Memory of one call: taken piece by piece, given back all at once, and kept by the thread for its next call.
#pragma once

#include <stdlib.h>

enum : long { KEPT_BYTES = 64L << 20 };  // more is returned to the system after a call

struct Arena {
    struct Block {
        Block* before;
        char* memory;
        long size, used;
    };
    Block* last;
    bool failed;  // memory ran out: what was taken since must not be used

    void* bytes(long count) {
        count = (count + 63) & ~63L;
        if (failed) return nullptr;
        if (!last || last->size - last->used < count) {
            long size = last ? 2 * last->size : 1L << 16;
            if (size < count) size = count;
            Block* block = (Block*)malloc(sizeof(Block));
            void* memory = nullptr;
            if (!block || posix_memalign(&memory, 64, size) != 0) {
                free(block);
                failed = true;
                return nullptr;
            }
            *block = Block{last, (char*)memory, size, 0};
            last = block;
        }
        void* made = last->memory + last->used;
        last->used += count;
        return made;
    }

    template <class T>
    T* take(long count) { return (T*)bytes(count * (long)sizeof(T)); }

    struct Mark {
        Block* last;
        long used;
    };
    Mark mark() const { return Mark{last, last ? last->used : 0}; }

    // What was taken since the mark is free again, unless it went into a new block.
    void rewind(Mark mark) {
        if (mark.last && mark.last == last) last->used = mark.used;
    }

    // All is free again. Of several blocks only the largest, the last, is kept: the next call of that size fits into it sooner.
    void reset() {
        failed = false;
        if (!last) return;
        release(last->before);
        last->before = nullptr;
        last->used = 0;
        if (last->size > KEPT_BYTES) {
            release(last);
            last = nullptr;
        }
    }

    static void release(Block* block) {
        while (block) {
            Block* before = block->before;
            free(block->memory);
            free(block);
            block = before;
        }
    }
};
