/* A client of an edge-ad station, for C on Linux: docs/link.md. One part at a time, one thread, no allocation.
 * Everything but an ACCEPT of the part that was asked about, in time, is 0 or -1, and both mean: reject the part. */
#ifndef EDGE_AD_LINK_H
#define EDGE_AD_LINK_H
#include <stddef.h>
#include <stdint.h>

typedef struct {
    int fd;            /* -1: not connected. Some failures end the connection; then open it again. */
    double score;      /* of the last result's first frame; NaN where it has none */
    char error[256];   /* why the last call failed, or what the station said instead of ACCEPT */
    long long trigger; /* the station's number of the part that waits; 0: none */
    long id;           /* private, as is what follows */
    size_t start, used;
    char buffer[65536 + 1];
} edge_ad_link;

/* Both return 0, or -1 with the reason in error. Texts: UTF-8, at most 128 bytes, no quotes, backslashes, line ends.
 * part_id may be NULL. pixels NULL: the station takes its own picture. Else height * width * channels bytes, channels 1
 * (gray) or 3 (blue, green, red), rows without gaps; they are copied. Times are in milliseconds. */
int edge_ad_link_open(edge_ad_link *link, const char *path, const char *client, int timeout_ms);
int edge_ad_link_ask(edge_ad_link *link, const char *part_id, const uint8_t *pixels, int height, int width,
                     int channels, int timeout_ms);
/* Waits for the verdict on the part that was asked about last. 1: it may pass. 0: reject it. Only the first call counts. */
int edge_ad_link_accepts(edge_ad_link *link, int timeout_ms);
void edge_ad_link_close(edge_ad_link *link); /* may be called twice */
#endif
