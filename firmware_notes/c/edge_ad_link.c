/* See edge_ad_link.h. Needs Linux and a C library with memfd_create (glibc 2.27, musl 1.1.20). */
#define _GNU_SOURCE
#include "edge_ad_link.h"
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* The few fields that are read are found without a JSON library: member walks over one object, steps over texts as a
 * whole, counts brackets, and takes a key of that object alone, never one inside a text or in a deeper object. A key
 * that stands there twice, or an object that does not end, gives nothing. Words are compared as they stand: a station
 * writes no escapes in them. Whatever is not found is not ACCEPT. */
static const char *space(const char *p) { return p + strspn(p, " \t\r"); }
static int is(const char *value, const char *text) { return value && strncmp(value, text, strlen(text)) == 0; }

static const char *text_end(const char *p) {
    for (p++; *p && *p != '"'; p++)
        if (*p == '\\' && !*++p) return NULL;
    return *p ? p + 1 : NULL;
}

static const char *member(const char *p, const char *name) {
    const char *found = NULL, *end = NULL;
    if (!p || *p != '{') return NULL;
    for (int depth = 0; p && *p; p = end) {
        end = *p == '"' ? text_end(p) : p + 1;
        int key = depth == 1 && *p == '"' && end && *space(end) == ':';
        if (key && is(p + 1, name) && p[1 + strlen(name)] == '"')
            found = found ? "" : space(space(end) + 1);
        depth += (*p == '{' || *p == '[') - (*p == '}' || *p == ']');
        if (depth == 0) return found;
    }
    return NULL;
}

static long long whole(const char *value) { /* a number of 1 to 18 digits; -1: anything else */
    size_t n = value ? strspn(value, "0123456789") : 0;
    return n == 0 || n > 18 || !strchr(",} \t\r", value[n]) ? -1 : strtoll(value, NULL, 10);
}

static double first_score(const char *result) {
    const char *list = member(result, "verdicts"), *score = is(list, "[") ? member(space(list + 1), "score") : NULL;
    locale_t plain = score && strspn(score, "-0123456789") ? newlocale(LC_ALL_MASK, "C", 0) : 0;
    double value = plain ? strtod_l(score, NULL, plain) : NAN; /* whatever the program's own decimal point is */
    if (plain) freelocale(plain);
    return value;
}

static int fail(edge_ad_link *link, const char *what) {
    return snprintf(link->error, sizeof link->error, "%s", what), -1;
}
static int lost(edge_ad_link *link, const char *what) { return edge_ad_link_close(link), fail(link, what); }
static long long now_ms(void) {
    struct timespec t;
    return clock_gettime(CLOCK_MONOTONIC, &t), t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/* The next line, valid until the next call; NULL: none came before end_ms, or the connection is lost. */
static const char *next_line(edge_ad_link *link, long long end_ms) {
    while (link->fd >= 0) {
        char *line = link->buffer + link->start, *end = memchr(line, '\n', link->used - link->start);
        long long left = end_ms - now_ms();
        if (end) {
            *end = '\0';
            link->start = (size_t)(end + 1 - link->buffer);
            if (strlen(line) == (size_t)(end - line)) return space(line);
            continue; /* a NUL inside: no line of a station */
        }
        memmove(link->buffer, line, link->used -= link->start);
        link->start = 0;
        if (left <= 0) return fail(link, "the station did not answer in time"), NULL;
        if (poll(&(struct pollfd){link->fd, POLLIN, 0}, 1, left > 60000 ? 60000 : (int)left) == 0) continue;
        /* A line that fills the buffer without an end leaves no room: then got is 0 as well. */
        ssize_t got = recv(link->fd, link->buffer + link->used, sizeof link->buffer - link->used, MSG_DONTWAIT);
        if (got > 0) link->used += (size_t)got;
        else if (got == 0 || (errno != EAGAIN && errno != EINTR)) lost(link, "the connection is lost");
    }
    return NULL;
}

static int send_line(edge_ad_link *link, const char *line, int memory) {
    union { struct cmsghdr header; char room[CMSG_SPACE(sizeof(int))]; } control = {.room = {0}};
    struct iovec bytes = {(void *)(uintptr_t)line, strlen(line)};
    struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1};
    if (memory >= 0) {
        message.msg_control = control.room;
        message.msg_controllen = sizeof control.room;
        control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_type = SCM_RIGHTS};
        control.header.cmsg_level = SOL_SOCKET;
        memcpy(CMSG_DATA(&control.header), &memory, sizeof memory);
    }
    if (sendmsg(link->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)bytes.iov_len) return 0;
    return lost(link, "the connection is lost"); /* half a line may be out: nothing can follow it */
}

static int sealed_copy(const uint8_t *pixels, size_t size) {
    int memory = memfd_create("edge-ad-frame", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ssize_t n = 1;
    for (size_t done = 0; n > 0 && done < size; done += (size_t)n) n = write(memory, pixels + done, size - done);
    if (n > 0 && fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0) return memory;
    return close(memory), -1;
}

static int sayable(const char *text) { return strlen(text) <= 128 && text[strcspn(text, "\"\\\r\n")] == '\0'; }
int edge_ad_link_open(edge_ad_link *link, const char *path, const char *client, int timeout_ms) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char line[256];
    const char *said;
    long long end_ms = now_ms() + timeout_ms;
    memset(link, 0, sizeof *link), link->score = NAN;
    link->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (strlen(path) >= sizeof address.sun_path || !sayable(client)) return lost(link, "bad path or client");
    strcpy(address.sun_path, path);
    if (connect(link->fd, (struct sockaddr *)&address, sizeof address) != 0) return lost(link, "no station listens");
    snprintf(line, sizeof line, "{\"type\":\"hello\",\"version\":1,\"client\":\"%s\"}\n", client);
    if (send_line(link, line, -1) != 0 || !(said = next_line(link, end_ms))) return edge_ad_link_close(link), -1;
    return is(member(said, "type"), "\"hello\"") && whole(member(said, "version")) == 1 ? 0 : lost(link, said);
}

int edge_ad_link_ask(edge_ad_link *link, const char *part_id, const uint8_t *pixels, int height, int width,
                     int channels, int timeout_ms) {
    char line[512], size[128], id[32];
    const char *said, *quote = part_id ? "\"" : "";
    long long end_ms = now_ms() + timeout_ms;
    int sent, memory = -1, empty = pixels && (height < 1 || width < 1 || channels < 1);
    link->trigger = 0, link->score = NAN;
    if (empty || (part_id && !sayable(part_id))) return fail(link, "bad part_id or size of the picture");
    if (pixels && (memory = sealed_copy(pixels, (size_t)height * (size_t)width * (size_t)channels)) < 0)
        return fail(link, "no memory for the picture");
    snprintf(id, sizeof id, "\"%ld\"", ++link->id);
    snprintf(size, sizeof size, ",\"height\":%d,\"width\":%d,\"channels\":%d", height, width, channels);
    snprintf(line, sizeof line, "{\"type\":\"%s\",\"id\":%s,\"part_id\":%s%s%s%s}\n", pixels ? "frame" : "trigger", id,
             quote, part_id ? part_id : "null", quote, pixels ? size : "");
    sent = send_line(link, line, memory);
    if (memory >= 0) close(memory);
    while (sent == 0 && (said = next_line(link, end_ms))) {
        if (!is(member(said, "id"), id) && !is(member(said, "type"), "\"error\"")) continue;
        link->trigger = is(member(said, "type"), "\"accepted\"") ? whole(member(said, "trigger")) : 0;
        return link->trigger > 0 ? 0 : fail(link, said);
    }
    return -1;
}

int edge_ad_link_accepts(edge_ad_link *link, int timeout_ms) {
    char id[32];
    const char *said;
    long long trigger = link->trigger, end_ms = now_ms() + timeout_ms;
    snprintf(id, sizeof id, "\"%ld\"", link->id);
    link->trigger = 0, link->score = NAN;
    if (trigger <= 0) return fail(link, "no part waits"), 0;
    while ((said = next_line(link, end_ms)) && !is(member(said, "type"), "\"fault\"")) {
        int mine = is(member(said, "id"), id) && whole(member(said, "trigger")) == trigger;
        if (!mine || !is(member(said, "type"), "\"result\"")) continue;
        link->score = first_score(said);
        return is(member(said, "state"), "\"ACCEPT\"") && now_ms() <= end_ms ? 1 : (fail(link, said), 0);
    }
    return said ? fail(link, said), 0 : 0;
}

void edge_ad_link_close(edge_ad_link *link) {
    if (link->fd >= 0) close(link->fd);
    link->fd = -1, link->trigger = 0;
}
