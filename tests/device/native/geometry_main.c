/* Resizes one frame with native_geometry.c: WIDTH HEIGHT CHANNELS X Y W H KERNEL TO_WIDTH TO_HEIGHT, raw pixels in and out. */
#include "edge_ad_native.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int count, char **a) {
    if (count != 11) return 2;
    edge_ad_frame frame = {atoi(a[1]), atoi(a[2]), atoi(a[3]), NULL}, to = {atoi(a[9]), atoi(a[10]), atoi(a[3]), NULL};
    int region[4] = {atoi(a[4]), atoi(a[5]), atoi(a[6]), atoi(a[7])};
    size_t size = (size_t)frame.width * (size_t)frame.height * (size_t)frame.channels;
    size_t made = (size_t)to.width * (size_t)to.height * (size_t)to.channels;
    frame.pixels = malloc(size), to.pixels = malloc(made);
    if (fread(frame.pixels, 1, size, stdin) != size) return 3;
    if (geometry_fit(&frame, region, strcmp(a[8], "linear") == 0, &to)) return 4;
    if (fwrite(to.pixels, 1, made, stdout) != made) return 5;
    free(frame.pixels), free(to.pixels);
    return 0;
}
