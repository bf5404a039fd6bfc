/* Runs the graph through the C API of OpenVINO. Build: see README.md. */
#include "edge_ad_native.h"
#include <openvino/c/openvino.h>
#include <stdio.h>
#include <string.h>

static ov_core_t *core;
static ov_compiled_model_t *compiled;
static ov_infer_request_t *request;

static int failed(const char *what, char error[512]) {
    const char *message = ov_get_last_err_msg(); /* ours to free */
    snprintf(error, 512, "OpenVINO cannot %s: %s", what, message ? message : "it says no more");
    ov_free(message);
    for (char *at = error; *at; at++)
        if (*at == '\n') *at = ' ';
    return -1;
}

/* The memory of a tensor of the request, its type and its shape: `rank` sizes, -1 if it has another number of them. */
static void *tensor(const char *name, ov_element_type_e type, int rank, int64_t *sizes) {
    ov_tensor_t *found = NULL;
    ov_shape_t shape = {0, NULL};
    ov_element_type_e has = DYNAMIC;
    void *data = NULL;
    if (ov_infer_request_get_tensor(request, name, &found) == OK && ov_tensor_get_element_type(found, &has) == OK &&
        has == type && ov_tensor_get_shape(found, &shape) == OK && shape.rank == rank)
        ov_tensor_data(found, &data);
    if (data) memcpy(sizes, shape.dims, sizeof *sizes * (size_t)rank);
    ov_shape_free(&shape);
    ov_tensor_free(found); /* the request keeps its memory */
    return data;
}

static int bind(edge_ad_engine *engine, char error[512]) {
    size_t inputs = 0;
    int64_t taken[4], one[1], cells[3];
    ov_compiled_model_inputs_size(compiled, &inputs);
    engine->input.pixels = inputs == 1 ? tensor("frame", U8, 4, taken) : NULL;
    engine->score = tensor("score", F32, 1, one);
    if (!engine->input.pixels || !engine->score || taken[0] != 1 || (taken[3] != 1 && taken[3] != 3) || one[0] != 1) {
        snprintf(error, 512, "the graph has another contract: expected one input frame, uint8 [1, h, w, 1 or 3], and "
                             "an output score, float32 [1]");
        return -1;
    }
    engine->input.height = (int)taken[1], engine->input.width = (int)taken[2], engine->input.channels = (int)taken[3];
    engine->map = tensor("map", F32, 3, cells);
    engine->cells = engine->map ? (size_t)(cells[1] * cells[2]) : 0;
    return 0;
}

int engine_open(edge_ad_engine *engine, const char *path, int threads, char error[512]) {
    ov_model_t *model = NULL;
    char count[16], *precision = NULL;
    snprintf(count, sizeof count, "%d", threads);
    if (ov_core_create(&core) != OK) return failed("start", error);
    if (ov_core_read_model(core, path, NULL, &model) != OK) return failed("read the model", error);
    /* Without f32 OpenVINO calculates in bfloat16 where the CPU can: other scores, and the threshold does not fit.
     * The number says how many of the strings that follow count: the last two only if threads are given. */
    ov_status_e status = ov_core_compile_model(
        core, model, "CPU", threads ? 8 : 6, &compiled, ov_property_key_hint_inference_precision, "f32",
        ov_property_key_hint_performance_mode, "LATENCY", ov_property_key_num_streams, "1",
        ov_property_key_inference_num_threads, count);
    ov_model_free(model);
    if (status != OK) return failed("compile the model", error);
    ov_compiled_model_get_property(compiled, ov_property_key_hint_inference_precision, &precision);
    int pinned = precision && strcmp(precision, "f32") == 0;
    ov_free(precision);
    if (!pinned) {
        snprintf(error, 512, "OpenVINO does not calculate in f32 here");
        return -1;
    }
    if (ov_compiled_model_create_infer_request(compiled, &request) != OK) return failed("get ready", error);
    return bind(engine, error);
}

int engine_run(edge_ad_engine *engine, char error[512]) {
    (void)engine; /* its pointers lead into the request */
    return ov_infer_request_infer(request) == OK ? 0 : failed("score the frame", error);
}

void engine_close(edge_ad_engine *engine) {
    *engine = (edge_ad_engine){0};
    ov_infer_request_free(request);
    ov_compiled_model_free(compiled);
    ov_core_free(core);
    request = NULL, compiled = NULL, core = NULL;
}
