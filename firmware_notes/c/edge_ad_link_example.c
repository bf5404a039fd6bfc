/* Asks a station about parts, one a line of the standard input:
 *
 *     cc -Wall -Wextra -o example edge_ad_link_example.c edge_ad_link.c
 *     printf 'A-17\nA-18\n' | ./example /run/edge-ad/line1.sock 500
 *
 * The number is the time in milliseconds within which a verdict has to come; 1000 without it.
 * A line "PART HEIGHT WIDTH CHANNELS FILE" hands in a picture: a file of raw bytes, rows without gaps.
 * Prints one line a part: PASS or REJECT, the part, the score, and for a REJECT what was said instead of ACCEPT. */
#include "edge_ad_link.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

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


int main(int count, char **arguments) {
    char line[1024], part[129], name[512];
    int limit_ms = count == 3 ? atoi(arguments[2]) : 1000;
    if (count < 2 || count > 3 || limit_ms < 1) {
        fprintf(stderr, "usage: %s SOCKET [MS] < parts\n", arguments[0]);
        return 2;
    }
    while (fgets(line, sizeof line, stdin)) {
        int height = 0, width = 0, channels = 0;
        int fields = sscanf(line, "%128s %d %d %d %511s", part, &height, &width, &channels, name);
        int has_picture = fields == 5 && height > 0 && width > 0 && channels > 0;
        uint8_t *pixels = has_picture ? read_file(name, (size_t)height * (size_t)width * (size_t)channels) : NULL;
        int readable = fields == 1 || pixels;
        /* Whatever fails on the way leaves the part rejected. */
        if (readable && station.fd < 0) edge_ad_link_open(&station, arguments[1], "c-example", limit_ms);
        int asked = readable && station.fd >= 0 &&
                    edge_ad_link_ask(&station, part, pixels, height, width, channels, limit_ms) == 0;
        int passes = asked && edge_ad_link_accepts(&station, limit_ms);
        const char *said = readable ? station.error : "the line or its file cannot be read";
        printf("%s %s %.17g %s\n", passes ? "PASS" : "REJECT", fields > 0 ? part : "?", readable ? station.score : NAN,
               passes ? "" : said);
        fflush(stdout); /* the gate waits for this line */
        free(pixels);
    }
    edge_ad_link_close(&station);
    return 0;
}
