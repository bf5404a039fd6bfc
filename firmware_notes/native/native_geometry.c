/* The kernels `area` and `linear` of docs/bundle.md, calculated as OpenCV does: in the same order, in float. */
#include "edge_ad_native.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A source pixel's part in a target pixel, along one axis. */
typedef struct {
    int from, to;
    float weight;
} share;

/* The shares of INTER_AREA in the order of the target; the caller frees them. */
static share *area_shares(int from, int to, int *count) {
    share *made = malloc(sizeof *made * ((size_t)from + 2 * (size_t)to));
    double scale = 1.0 / ((double)to / from);
    *count = 0;
    for (int i = 0; made && i < to; i++) {
        double begin = i * scale, end = begin + scale, width = fmin(scale, from - begin);
        int last = (int)fmin(floor(end), from - 1), first = (int)fmin(ceil(begin), last);
        if (first - begin > 1e-3) made[(*count)++] = (share){first - 1, i, (float)((first - begin) / width)};
        for (int j = first; j < last; j++) made[(*count)++] = (share){j, i, (float)(1.0 / width)};
        if (end - last > 1e-3) made[(*count)++] = (share){last, i, (float)(fmin(fmin(end - last, 1), width) / width)};
    }
    return made;
}

/* Whole factors: plain means. `factor` 2 and 2 rounds half up, all others half to even, as OpenCV does. */
static void shrink_whole(const edge_ad_frame *from, edge_ad_frame *to) {
    int across = from->width / to->width, down = from->height / to->height, c = to->channels;
    size_t row = (size_t)from->width * (size_t)c;
    float scale = 1.0f / (float)(across * down);
    uint8_t *out = to->pixels;
    for (int y = 0; y < to->height; y++) {
        for (int x = 0; x < to->width * c; x++, out++) {
            const uint8_t *cell = from->pixels + (size_t)(y * down) * row + (size_t)(x / c * across * c + x % c);
            int sum = 0;
            for (int j = 0; j < down; j++)
                for (int i = 0; i < across; i++) sum += cell[(size_t)j * row + (size_t)(i * c)];
            *out = (uint8_t)(across == 2 && down == 2 ? (sum + 2) >> 2 : (int)rintf((float)sum * scale));
        }
    }
}

static int shrink(const edge_ad_frame *from, edge_ad_frame *to) {
    if (from->width % to->width == 0 && from->height % to->height == 0) {
        shrink_whole(from, to);
        return 0;
    }
    int columns, rows, c = to->channels, length = to->width * c;
    share *across = area_shares(from->width, to->width, &columns);
    share *down = area_shares(from->height, to->height, &rows);
    float *line = malloc(sizeof *line * (size_t)length * 2), *sum = line + length;
    for (int j = 0; across && down && line && j < rows; j++) {
        const uint8_t *source = from->pixels + (size_t)down[j].from * (size_t)from->width * (size_t)c;
        memset(line, 0, sizeof *line * (size_t)length);
        for (int i = 0; i < columns; i++)
            for (int k = 0; k < c; k++)
                line[across[i].to * c + k] += source[across[i].from * c + k] * across[i].weight;
        bool begins = j == 0 || down[j].to != down[j - 1].to, ends = j == rows - 1 || down[j].to != down[j + 1].to;
        uint8_t *out = to->pixels + (size_t)down[j].to * (size_t)length;
        for (int x = 0; x < length; x++) {
            sum[x] = (begins ? 0 : sum[x]) + down[j].weight * line[x];
            if (ends) out[x] = (uint8_t)fminf(rintf(sum[x]), 255);
        }
    }
    int done = across && down && line ? 0 : -1;
    free(across), free(down), free(line);
    return done;
}

/* Which two pixels a target pixel lies between, and their weights in 1/2048. */
typedef struct {
    int first, second, first_weight, second_weight;
} pair;

static pair between(int i, int from, int to) {
    float place = (float)((i + 0.5) * ((double)from / to) - 0.5), low = floorf(place), part = place - low;
    int first = (int)low, last = from - 1;
    return (pair){first < 0 ? 0 : first, first + 1 > last ? last : first + 1, (int)rintf((1 - part) * 2048),
                  (int)rintf(part * 2048)};
}

/* INTER_LINEAR in whole numbers. Copies where the sizes are equal. */
static void interpolate(const edge_ad_frame *from, edge_ad_frame *to) {
    size_t c = (size_t)to->channels, row = (size_t)from->width * c;
    uint8_t *out = to->pixels;
    for (int y = 0; y < to->height; y++) {
        pair v = between(y, from->height, to->height);
        for (int x = 0; x < to->width; x++) {
            pair h = between(x, from->width, to->width);
            const uint8_t *a = from->pixels + (size_t)v.first * row, *b = from->pixels + (size_t)v.second * row;
            for (size_t k = 0; k < c; k++) {
                size_t left = (size_t)h.first * c + k, right = (size_t)h.second * c + k;
                int above = (a[left] * h.first_weight + a[right] * h.second_weight) >> 4;
                int below = (b[left] * h.first_weight + b[right] * h.second_weight) >> 4;
                *out++ = (uint8_t)(((v.first_weight * above >> 16) + (v.second_weight * below >> 16) + 2) >> 2);
            }
        }
    }
}

/* The kernel `area` as far as it shrinks, in place: halves, then one step to the size that is left. */
static int shrink_in_place(edge_ad_frame *now, const edge_ad_frame *to) {
    edge_ad_frame next = *now;
    while (now->width % 2 == 0 && now->height % 2 == 0 && now->width >= 2 * to->width &&
           now->height >= 2 * to->height) {
        next.width = now->width / 2, next.height = now->height / 2;
        shrink_whole(now, &next); /* no pixel is written before it was read */
        *now = next;
    }
    if (next.width > to->width) next.width = to->width;
    if (next.height > to->height) next.height = to->height;
    if (next.width == now->width && next.height == now->height) return 0;
    size_t size = (size_t)next.width * (size_t)next.height * (size_t)next.channels;
    next.pixels = malloc(size);
    int done = next.pixels ? shrink(now, &next) : -1;
    if (done == 0) memcpy(now->pixels, next.pixels, size);
    now->width = next.width, now->height = next.height;
    free(next.pixels);
    return done;
}

int geometry_fit(edge_ad_frame *frame, const int region[4], bool linear, edge_ad_frame *to) {
    size_t c = (size_t)frame->channels, row = (size_t)region[2] * c;
    for (int y = 0; y < region[3]; y++)
        memmove(frame->pixels + (size_t)y * row,
                frame->pixels + ((size_t)(region[1] + y) * (size_t)frame->width + (size_t)region[0]) * c, row);
    frame->width = region[2], frame->height = region[3];
    if (!linear && shrink_in_place(frame, to)) return -1;
    interpolate(frame, to);
    return 0;
}
