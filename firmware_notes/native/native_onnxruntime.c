/* Runs the graph through the C API of ONNX Runtime, in the model's own precision. Build: see README.md. */
#define _POSIX_C_SOURCE 200112L /* setenv */
#include "edge_ad_native.h"
#include <onnxruntime_c_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OLDEST_API = 20 }; /* all that is used here is in ONNX Runtime 1.20 and in later ones */

typedef struct {
    char name[16];
    ONNXTensorElementDataType type;
    size_t rank;
    int64_t sizes[4];
} port;

static const OrtApi *api;
static OrtEnv *env;
static OrtSessionOptions *options;
static OrtSession *session;
static OrtValue *frame, *outputs[2];
static const char *const input_names[] = {"frame"}, *const output_names[] = {"score", "map"};

static int check(OrtStatus *status, const char *what, char error[512]) {
    if (!status) return 0;
    snprintf(error, 512, "ONNX Runtime cannot %s: %s", what, api->GetErrorMessage(status));
    for (char *at = error; *at; at++)
        if (*at == '\n') *at = ' ';
    api->ReleaseStatus(status);
    return -1;
}

#define TRY(what, call)                                                                                                \
    if (check(api->call, what, error)) return -1

static int read_port(bool is_input, size_t index, port *made, char error[512]) {
    OrtAllocator *allocator = NULL;
    OrtTypeInfo *info = NULL;
    const OrtTensorTypeAndShapeInfo *tensor = NULL;
    char *name = NULL;
    *made = (port){.name = ""};
    TRY("read a name", GetAllocatorWithDefaultOptions(&allocator));
    if (is_input) {
        TRY("read an input", SessionGetInputName(session, index, allocator, &name));
        TRY("read an input", SessionGetInputTypeInfo(session, index, &info));
    } else {
        TRY("read an output", SessionGetOutputName(session, index, allocator, &name));
        TRY("read an output", SessionGetOutputTypeInfo(session, index, &info));
    }
    snprintf(made->name, sizeof made->name, "%s", name);
    TRY("free a name", AllocatorFree(allocator, name));
    TRY("read a type", CastTypeInfoToTensorInfo(info, &tensor));
    if (tensor) {
        TRY("read a type", GetTensorElementType(tensor, &made->type));
        TRY("read a shape", GetDimensionsCount(tensor, &made->rank));
        if (made->rank <= 4) TRY("read a shape", GetDimensions(tensor, made->sizes, made->rank));
    }
    api->ReleaseTypeInfo(info);
    return 0;
}

static bool is(const port *one, const char *name, ONNXTensorElementDataType type, size_t rank) {
    bool fits = strcmp(one->name, name) == 0 && one->type == type && one->rank == rank && one->sizes[0] == 1;
    for (size_t i = 0; fits && i < rank; i++) fits = one->sizes[i] > 0; /* -1: not fixed */
    return fits;
}

static int bind(edge_ad_engine *engine, char error[512]) {
    OrtMemoryInfo *memory = NULL;
    size_t inputs = 0, outs = 0;
    port in, out;
    bool has_score = false;
    TRY("count the inputs", SessionGetInputCount(session, &inputs));
    TRY("count the outputs", SessionGetOutputCount(session, &outs));
    if (read_port(true, 0, &in, error)) return -1;
    for (size_t i = 0; i < outs; i++) {
        if (read_port(false, i, &out, error)) return -1;
        has_score |= is(&out, "score", ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, 1);
        if (is(&out, "map", ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, 3))
            engine->cells = (size_t)(out.sizes[1] * out.sizes[2]);
    }
    if (inputs != 1 || !has_score || !is(&in, "frame", ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, 4) ||
        (in.sizes[3] != 1 && in.sizes[3] != 3)) {
        snprintf(error, 512, "the graph has another contract: expected one input frame, uint8 [1, h, w, 1 or 3], and "
                             "an output score, float32 [1]");
        return -1;
    }
    size_t size = (size_t)(in.sizes[1] * in.sizes[2] * in.sizes[3]);
    engine->input = (edge_ad_frame){(int)in.sizes[2], (int)in.sizes[1], (int)in.sizes[3], calloc(size, 1)};
    TRY("describe memory", CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));
    TRY("make the input", CreateTensorWithDataAsOrtValue(memory, engine->input.pixels, size, in.sizes, 4,
                                                         ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, &frame));
    api->ReleaseMemoryInfo(memory);
    return 0;
}

int engine_open(edge_ad_engine *engine, const char *model, int threads, char error[512]) {
    setenv("ORT_DISABLE_TELEMETRY", "1", 1); /* otherwise it keeps a device id in the user's home */
    api = OrtGetApiBase()->GetApi(OLDEST_API);
    if (!api) {
        const char *found = OrtGetApiBase()->GetVersionString();
        snprintf(error, 512, "expected ONNX Runtime 1.%d or later, found %s", OLDEST_API, found);
        return -1;
    }
    TRY("start", CreateEnv(ORT_LOGGING_LEVEL_FATAL, "edge-ad", &env));
    TRY("switch telemetry off", DisableTelemetryEvents(env));
    TRY("make options", CreateSessionOptions(&options));
    TRY("set threads", SetInterOpNumThreads(options, 1));
    if (threads) TRY("set threads", SetIntraOpNumThreads(options, threads));
    TRY("load the model", CreateSession(env, model, options, &session));
    return bind(engine, error);
}

int engine_run(edge_ad_engine *engine, char error[512]) {
    size_t count = engine->cells ? 2 : 1;
    void *data[2] = {NULL, NULL};
    /* The first run makes the outputs, the later ones write into them. */
    const OrtValue *const inputs[] = {frame};
    TRY("score the frame", Run(session, NULL, input_names, inputs, 1, output_names, count, outputs));
    for (size_t i = 0; i < count; i++) TRY("read the score", GetTensorMutableData(outputs[i], &data[i]));
    engine->score = data[0], engine->map = data[1];
    return 0;
}

void engine_close(edge_ad_engine *engine) {
    if (!api) return;
    for (int i = 0; i < 2; i++)
        if (outputs[i]) api->ReleaseValue(outputs[i]);
    if (frame) api->ReleaseValue(frame);
    if (session) api->ReleaseSession(session);
    if (options) api->ReleaseSessionOptions(options);
    if (env) api->ReleaseEnv(env);
    free(engine->input.pixels);
    *engine = (edge_ad_engine){0};
}
