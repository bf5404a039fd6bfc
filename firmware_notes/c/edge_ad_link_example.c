/* Asks a station about parts, one a line of the standard input:
 *
 *     cc -Wall -Wextra -o example edge_ad_link_example.c edge_ad_link.c
 *     printf 'A-17\nA-18\n' | ./example /run/edge-ad/line1.sock
 *
 * A line "PART HEIGHT WIDTH CHANNELS FILE" hands in a picture: a file of raw bytes, rows without gaps.
 * Prints one line a part: PASS or REJECT, the part, the score, and for a REJECT what was said instead of ACCEPT. */
#include "edge_ad_link.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { CONNECT_MS = 5000, ANSWER_MS = 1000, VERDICT_MS = 5000 };

static edge_ad_link station = {.fd = -1}; /* 64 KiB: not on a small stack */

static uint8_t *read_file(const char *name, size_t size) {
    FILE *file = fopen(name, "rb");
    uint8_t *bytes = file ? malloc(size) : NULL;
    if (bytes && fread(bytes, 1, size, file) != size) {
        free(bytes);
        bytes = NULL;
    }
    if (file) fclose(file);
    return bytes;
}

/* 1: the part may pass. Whatever fails on the way leaves it at 0. */
static int inspect(const char *path, const char *part, const uint8_t *pixels, int height, int width, int channels) {
    if (station.fd < 0 && edge_ad_link_open(&station, path, "c-example", CONNECT_MS) != 0) return 0;
    if (edge_ad_link_ask(&station, part, pixels, height, width, channels, ANSWER_MS) != 0) return 0;
    return edge_ad_link_accepts(&station, VERDICT_MS);
}

int main(int count, char **arguments) {
    char line[1024], part[129], name[512];
    if (count != 2) return fprintf(stderr, "usage: %s SOCKET < parts\n", arguments[0]), 2;
    while (fgets(line, sizeof line, stdin)) {
        int height = 0, width = 0, channels = 0;
        int fields = sscanf(line, "%128s %d %d %d %511s", part, &height, &width, &channels, name);
        int has_picture = fields == 5 && height > 0 && width > 0 && channels > 0;
        uint8_t *pixels = has_picture ? read_file(name, (size_t)height * (size_t)width * (size_t)channels) : NULL;
        int readable = fields == 1 || pixels;
        int passes = readable && inspect(arguments[1], part, pixels, height, width, channels);
        const char *said = readable ? station.error : "the line or its file cannot be read";
        printf("%s %s %.17g %s\n", passes ? "PASS" : "REJECT", fields > 0 ? part : "?", readable ? station.score : NAN,
               passes ? "" : said);
        fflush(stdout); /* the gate waits for this line */
        free(pixels);
    }
    edge_ad_link_close(&station);
    return 0;
}
