/* What the parts of the program have in common: the frame on its way to the engine, and the engine itself.
 * edge_ad_native.c decides, native_geometry.c resizes; native_openvino.c or native_onnxruntime.c runs the graph. */
#ifndef EDGE_AD_NATIVE_H
#define EDGE_AD_NATIVE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 8 bits a channel, rows without gaps; 3 channels are blue, green, red. */
typedef struct {
    int width, height, channels;
    uint8_t *pixels;
} edge_ad_frame;

/* A graph that follows the contract of docs/bundle.md. `input` is the engine's own memory: fill it, then run.
 * `score` is one number; `map` has `cells` numbers, and none where the graph has no map. */
typedef struct {
    edge_ad_frame input;
    const float *score, *map;
    size_t cells;
} edge_ad_engine;

/* All return 0, or -1 with one line in `error`. `threads` 0: as many as the engine likes. */
int engine_open(edge_ad_engine *engine, const char *model, int threads, char error[512]);
int engine_run(edge_ad_engine *engine, char error[512]);
void engine_close(edge_ad_engine *engine);

/* Resizes the region x, y, width, height of the frame to `to`, which has the same channels. The frame's pixels are
 * used up. `linear`: OpenCV's INTER_LINEAR; otherwise the kernel `area`. Returns -1 without memory. */
int geometry_fit(edge_ad_frame *frame, const int region[4], bool linear, edge_ad_frame *to);
#endif
