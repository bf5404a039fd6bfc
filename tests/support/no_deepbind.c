/* TBB opens a library with RTLD_DEEPBIND, which the address sanitizer refuses: the flag is taken away. */
#define _GNU_SOURCE
#include <dlfcn.h>

void *dlopen(const char *file, int mode) {
    void *(*original)(const char *, int);
    *(void **)&original = dlsym(RTLD_NEXT, "dlopen");
    return original(file, mode & ~RTLD_DEEPBIND);
}
