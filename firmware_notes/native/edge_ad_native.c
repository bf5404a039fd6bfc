/* Scores frames with one variant of a bundle, without code of edge-ad:
 *
 *     edge_ad_native RECIPE FRAME...
 *
 * RECIPE is the text file that write_recipe.py makes of a bundle; README.md describes its lines. Each FRAME is a binary
 * PGM or PPM file; without any, their names come one a line from the standard input. Prints a line for each:
 * ACCEPT, REJECT or INVALID, the score, the file, and for INVALID the reason. Whatever is not ACCEPT rejects the part.
 *
 * Exit code: 0 all frames were scored; 1 a frame is INVALID; 2 usage or recipe; 3 the model is refused, or a golden
 * frame scores otherwise; 4 the lines cannot be written. */
#include "edge_ad_native.h"
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_SIDE = 32767, MOST_GOLDEN = 64 };

typedef struct {
    double score, tolerance;
    char file[256];
} golden_frame;

static struct {
    char folder[512], model[256];
    double threshold;
    int width, height; /* of a frame; 0: any */
    int region[4];     /* x, y, width, height; width 0: all of the frame */
    bool linear;
    int threads, golden_count;
    golden_frame golden[MOST_GOLDEN];
} recipe = {.threshold = NAN};

static edge_ad_engine engine;
static char error[512];

static void stop(int code, const char *format, ...) {
    va_list values;
    va_start(values, format);
    fputs("error: ", stderr);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
    va_end(values);
    engine_close(&engine);
    exit(code);
}

/* Whether a line of the recipe was understood. */
static bool take(const char *line) {
    char key[16], word[16];
    int used = 0, *r = recipe.region;
    if (sscanf(line, "%15s %n", key, &used) != 1 || key[0] == '#') return true; /* empty, or a comment */
    line += used;
    if (!strcmp(key, "model")) return sscanf(line, "%255[^\r\n]", recipe.model) == 1;
    if (!strcmp(key, "threshold")) return sscanf(line, "%lf", &recipe.threshold) == 1 && isfinite(recipe.threshold);
    if (!strcmp(key, "threads")) return sscanf(line, "%d", &recipe.threads) == 1 && recipe.threads > 0;
    if (!strcmp(key, "frame"))
        return sscanf(line, "%d %d", &recipe.width, &recipe.height) == 2 && recipe.width > 0 && recipe.height > 0;
    if (!strcmp(key, "roi"))
        return sscanf(line, "%d %d %d %d", r, r + 1, r + 2, r + 3) == 4 && r[0] >= 0 && r[1] >= 0 && r[2] > 0 &&
               r[3] > 0;
    if (!strcmp(key, "kernel") && sscanf(line, "%15s", word) == 1) {
        recipe.linear = !strcmp(word, "linear");
        return recipe.linear || !strcmp(word, "area");
    }
    if (strcmp(key, "golden") || recipe.golden_count == MOST_GOLDEN) return false;
    golden_frame *one = &recipe.golden[recipe.golden_count++];
    return sscanf(line, "%lf %lf %255[^\r\n]", &one->score, &one->tolerance, one->file) == 3;
}

static void read_recipe(const char *path) {
    char line[1024];
    const char *slash = strrchr(path, '/');
    FILE *file = fopen(path, "r");
    if (!file) stop(2, "the recipe %s cannot be read: %s", path, strerror(errno));
    snprintf(recipe.folder, sizeof recipe.folder, "%.*s", slash ? (int)(slash - path + 1) : 0, path);
    for (int number = 1; fgets(line, sizeof line, file); number++)
        if (!take(line))
            stop(2, "line %d of the recipe %s is not understood: %.*s", number, path, (int)strcspn(line, "\r\n"), line);
    if (ferror(file)) stop(2, "the recipe %s cannot be read: %s", path, strerror(errno));
    fclose(file);
    if (!recipe.model[0] || isnan(recipe.threshold) || !recipe.golden_count)
        stop(2, "the recipe %s is not complete: expected the lines model and threshold, and at least one golden", path);
}

/* The next number of a PNM header, after spaces and comments; 0: there is none. */
static int number(FILE *file) {
    int value = 0, c;
    for (bool comment = false; (c = getc(file)) != EOF && (comment || isspace(c) || c == '#');)
        comment = c == '#' || (comment && c != '\n');
    ungetc(c, file);
    return fscanf(file, "%5d", &value) == 1 ? value : 0;
}

/* Says why there is no score. */
static bool refuse(const char *format, ...) {
    va_list values;
    va_start(values, format);
    vsnprintf(error, sizeof error, format, values);
    va_end(values);
    return false;
}

/* Reads a frame in the channels of the graph's input. The caller frees the pixels. */
static bool read_frame(const char *path, edge_ad_frame *frame) {
    FILE *file = fopen(path, "rb");
    if (!file) return refuse("unreadable: %s", strerror(errno));
    int magic = getc(file), kind = getc(file), has = kind == '6' ? 3 : 1, c = engine.input.channels;
    int width = number(file), height = number(file), most = number(file);
    bool header = magic == 'P' && (kind == '5' || kind == '6') && width > 0 && width <= LONGEST_SIDE && height > 0 &&
                  height <= LONGEST_SIDE && most == 255 && isspace(getc(file));
    size_t count = header ? (size_t)width * (size_t)height : 0, size = count * (size_t)has;
    uint8_t *p = header && has <= c ? malloc(count * (size_t)c) : NULL;
    bool whole = p && fread(p, 1, size, file) == size && getc(file) == EOF;
    fclose(file);
    *frame = (edge_ad_frame){width, height, c, p};
    if (!header) return refuse("unreadable: expected a binary PGM or PPM file of 8 bits a channel");
    if (has > c) return refuse("wrong_shape: expected a gray frame, found a coloured one");
    if (!p) return refuse("unreadable: no memory for %d x %d pixels", width, height);
    if (!whole) return refuse("unreadable: expected %zu bytes after the header, found fewer or more", size);
    for (size_t i = count; c == 3 && i-- > 0;) {
        if (has == 1) {
            memset(p + 3 * i, p[i], 3);
        } else { /* PPM has red first, the graph wants blue first */
            uint8_t red = p[3 * i];
            p[3 * i] = p[3 * i + 2], p[3 * i + 2] = red;
        }
    }
    return true;
}

/* The score of a frame, whose pixels are used up. This is what a controller calls with the pixels of its camera. */
static bool measure(edge_ad_frame *frame, double *score) {
    int all[4] = {0, 0, frame->width, frame->height}, *region = recipe.region[2] ? recipe.region : all;
    char why[512];
    if (recipe.width && (frame->width != recipe.width || frame->height != recipe.height))
        return refuse("wrong_shape: expected a frame of %dx%d pixels, found %dx%d", recipe.width, recipe.height,
                      frame->width, frame->height);
    if (region[0] > frame->width - region[2] || region[1] > frame->height - region[3])
        return refuse("wrong_shape: the frame of %dx%d pixels does not hold the roi", frame->width, frame->height);
    if (geometry_fit(frame, region, recipe.linear, &engine.input)) return refuse("engine_failed: no memory to resize");
    if (engine_run(&engine, why)) return refuse("engine_failed: %s", why);
    bool finite = isfinite(*engine.score);
    for (size_t i = 0; i < engine.cells; i++) finite = finite && isfinite(engine.map[i]);
    if (!finite) return refuse("not_finite: the model gave NaN or infinity");
    *score = *engine.score;
    return true;
}

/* INVALID unless all went well; `error` then says why not. */
static const char *judge(const char *path, double *score) {
    edge_ad_frame frame = {0};
    *score = NAN;
    bool scored = read_frame(path, &frame) && measure(&frame, score);
    free(frame.pixels);
    return !scored ? "INVALID" : *score > recipe.threshold ? "REJECT" : "ACCEPT";
}

/* A path of the recipe, which begins in the recipe's folder. */
static const char *beside(const char *name) {
    static char path[1024];
    snprintf(path, sizeof path, "%s%s", name[0] == '/' ? "" : recipe.folder, name);
    return path;
}

/* The proof that this engine on this machine scores as the workstation did. */
static void check_golden(void) {
    for (int i = 0; i < recipe.golden_count; i++) {
        const golden_frame *one = &recipe.golden[i];
        double score;
        if (!strcmp(judge(beside(one->file), &score), "INVALID")) stop(3, "golden frame %s: %s", one->file, error);
        if (!(fabs(score - one->score) <= one->tolerance))
            stop(3, "golden frame %s scores %.9g, expected %.9g within %.3g: do not inspect with this engine here",
                 one->file, score, one->score, one->tolerance);
    }
}

static bool report(const char *path) {
    double score;
    const char *state = judge(path, &score);
    bool valid = strcmp(state, "INVALID");
    printf("%s %.9g %s%s%s\n", state, score, path, valid ? "" : " ", valid ? "" : error);
    if (fflush(stdout)) stop(4, "the verdicts cannot be written: %s", strerror(errno));
    return valid;
}

int main(int count, char **arguments) {
    char line[1024];
    bool all_valid = true;
    if (count < 2) stop(2, "usage: %s RECIPE FRAME..., or frames as lines of the standard input", arguments[0]);
    read_recipe(arguments[1]);
    FILE *model = fopen(beside(recipe.model), "rb");
    if (!model) stop(3, "the model %s cannot be read: %s", beside(recipe.model), strerror(errno));
    fclose(model);
    if (engine_open(&engine, beside(recipe.model), recipe.threads, error)) stop(3, "%s", error);
    check_golden();
    for (int i = 2; i < count; i++) all_valid &= report(arguments[i]);
    while (count == 2 && fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\r\n")] = '\0';
        all_valid &= report(line);
    }
    engine_close(&engine);
    return all_valid ? 0 : 1;
}
