/* program.c -- from embedded text and options to kernels that can be launched.
 *
 *     in memory? --no--> on disk? --no--> compile --> keep --> (save; late, when the context closes, where that takes long)
 *
 * The list of programs is only touched under the context's lock; compiling, which takes seconds, happens
 * outside it.  When two threads compile the same, the first to finish is kept. */
#define _GNU_SOURCE
#include "runtime/program.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/file.h"

#define IDLE_KERNELS 8  /* as many threads run one kernel without creating it anew each time */
#define MAX_LOG 4096    /* of the compiler, kept in the message */
#define STANDARD "-cl-std=CL1.2"

/* The kernel objects of one name that nobody uses now. */
struct kernel_list {
    char *name;
    cl_kernel idle[IDLE_KERNELS];
    unsigned count;
};

struct program {
    struct program *next;
    const struct ca_source *source; /* an embedded text, or OWN */
    struct ca_source own;           /* with a user's text before the embedded one */
    char *options;
    cl_program program;
    struct kernel_list *kernels;
    size_t num_kernels;
    bool unsaved;                   /* to be kept on disk when the context closes */
};

/* ------------------------------------------------------------------- free */

static void program_free(struct program *p, bool release)
{
    if (!p) return;
    for (size_t i = 0; i < p->num_kernels; i++) {
        struct kernel_list *k = &p->kernels[i];
        while (release && k->count) ca_cl.ReleaseKernel(k->idle[--k->count]);
        free(k->name);
    }
    if (release && p->program) ca_cl.ReleaseProgram(p->program);
    free(p->kernels);
    free(p->options);
    free((char *)(uintptr_t)p->own.text);
    free(p);
}

/* ---------------------------------------------------------------- compile */

/* The end of the compiler's log, where the errors are counted and the last ones stand. */
static void last_of_log(clattn_context *ctx, cl_program program, char text[MAX_LOG])
{
    size_t size = 0;
    char *all = NULL;
    text[0] = 0;
    if (ca_cl.GetProgramBuildInfo(program, ctx->dev.id, CL_PROGRAM_BUILD_LOG, 0, NULL, &size) != CL_SUCCESS) return;
    if (size < 2 || size > (size_t)256 << 20 || !(all = calloc(1, size + 1))) return;
    if (ca_cl.GetProgramBuildInfo(program, ctx->dev.id, CL_PROGRAM_BUILD_LOG, size, all, NULL) == CL_SUCCESS) {
        size = strlen(all);
        while (size && strchr(" \n\t", all[size - 1])) all[--size] = 0;
        if (size < MAX_LOG) snprintf(text, MAX_LOG, "%s", all);
        else snprintf(text, MAX_LOG, "...%s", all + size - (MAX_LOG - 4));
    }
    free(all);
}

static clattn_status build_failed(clattn_context *ctx, const struct program *p, cl_int code)
{
    char log[MAX_LOG];
    const char *name = ca_cl_code_name(code);
    if (ca_cl_code_is_lost(code)) return ca_context_fail(ctx, code, "clBuildProgram", p->source->name);
    last_of_log(ctx, p->program, log);
    return ca_fail(code == CL_OUT_OF_HOST_MEMORY ? code : CLATTN_E_BUILD,
                   "clBuildProgram: %s (%d): cl/%s.cl with \"%s\" on %s:\n%s", name ? name : "unknown code", (int)code,
                   p->source->name, p->options, ctx->dev.name, log[0] ? log : "(the compiler says nothing)");
}

static clattn_status build(clattn_context *ctx, struct program *p)
{
    char log[MAX_LOG];
    cl_int code = ca_cl.BuildProgram(p->program, 1, &ctx->dev.id, p->options, NULL, NULL);
    if (code != CL_SUCCESS) return build_failed(ctx, p, code);
    last_of_log(ctx, p->program, log);
    if (log[0]) ca_log(3, "cl/%s.cl: %s", p->source->name, log);
    return CLATTN_OK;
}

/* The names in the program, "a;b;c", as malloc'ed text. */
static clattn_status kernel_names(clattn_context *ctx, const struct program *p, char **names)
{
    size_t size = 0;
    cl_int code = ca_cl.GetProgramInfo(p->program, CL_PROGRAM_KERNEL_NAMES, 0, NULL, &size);
    *names = code == CL_SUCCESS ? calloc(1, size + 1) : NULL;
    if (code == CL_SUCCESS && !*names) return ca_no_memory(size, "the names of kernels");
    if (code == CL_SUCCESS) code = ca_cl.GetProgramInfo(p->program, CL_PROGRAM_KERNEL_NAMES, size, *names, NULL);
    return code == CL_SUCCESS ? CLATTN_OK : ca_context_fail(ctx, code, "clGetProgramInfo", "CL_PROGRAM_KERNEL_NAMES");
}

/* Creates one object of each kernel: proves that the program works, and some drivers only then have
 * a binary that is worth saving. */
static clattn_status create_kernels(clattn_context *ctx, struct program *p)
{
    char *names = NULL, *rest = NULL;
    clattn_status st;
    cl_int code;

    CA_TRY(kernel_names(ctx, p, &names));
    size_t room = 1;
    for (const char *c = names; *c; c++) room += *c == ';';
    p->kernels = calloc(room, sizeof *p->kernels);
    if (!p->kernels) {
        st = ca_no_memory(room * sizeof *p->kernels, "kernels");
        goto done;
    }
    for (char *name = strtok_r(names, ";", &rest); name; name = strtok_r(NULL, ";", &rest)) {
        struct kernel_list *k = &p->kernels[p->num_kernels++];
        k->name = strdup(name);
        k->idle[0] = ca_cl.CreateKernel(p->program, name, &code);
        if (k->idle[0]) k->count = 1;
        if (!k->idle[0]) CA_TRY(ca_context_fail(ctx, code, "clCreateKernel", name));
        if (!k->name) CA_TRY(ca_no_memory(strlen(name) + 1, "a kernel's name"));
    }
done:
    free(names);
    return st;
}

static const struct ca_source *find_source(const char *name)
{
    for (const struct ca_source *s = ca_sources; s->name; s++)
        if (!strcmp(s->name, name)) return s;
    return NULL;
}

/* A text that is not embedded is the caller's: it is copied. */
static struct program *new_program(const struct ca_source *source, const char *options)
{
    struct program *p = calloc(1, sizeof *p);
    bool own = find_source(source->name) != source;
    if (p && own) p->own = (struct ca_source){ source->name, strdup(source->text), source->length };
    if (p) p->source = own ? &p->own : source;
    if (p) p->options = strdup(options);
    if (p && p->options && p->source->text) return p;
    program_free(p, false);
    return NULL;
}

static clattn_status compile(clattn_context *ctx, struct program *p)
{
    double start = ca_now();
    cl_int code;
    clattn_status st;

    p->program = ca_cl.CreateProgramWithSource(ctx->context, 1, (const char *[]){ p->source->text },
                                               &p->source->length, &code);
    if (!p->program) return ca_context_fail(ctx, code, "clCreateProgramWithSource", p->source->name);
    CA_TRY(build(ctx, p));
    CA_TRY(create_kernels(ctx, p));
    atomic_fetch_add(&ctx->builds, 1);
    ca_log(3, "built cl/%s.cl with \"%s\" on %s in %.0f ms", p->source->name, p->options, ctx->dev.name,
           1e3 * (ca_now() - start));
done:
    return st;
}

/* --------------------------------------------------------------- from disk */

static clattn_status from_binary(clattn_context *ctx, struct program *p, const unsigned char *binary, size_t size)
{
    cl_int code, verdict = CL_SUCCESS;
    clattn_status st;
    p->program = ca_cl.CreateProgramWithBinary(ctx->context, 1, &ctx->dev.id, &size, &binary, &verdict, &code);
    if (code == CL_SUCCESS) code = verdict;
    if (!p->program || code != CL_SUCCESS) return ca_cl_fail(code, "clCreateProgramWithBinary", p->source->name);
    CA_TRY(build(ctx, p));
    CA_TRY(create_kernels(ctx, p));
done:
    return st;
}

/* A binary that does not load, for whatever reason, is removed and forgotten: the source is always there. */
static struct program *load(clattn_context *ctx, const struct ca_source *source, const char *options,
                            const struct ca_cache_key *key)
{
    unsigned char *binary = NULL;
    size_t size;
    struct program *p = NULL;
    if (!ca_cache_load(key, &binary, &size)) return NULL;
    p = new_program(source, options);
    if (p && from_binary(ctx, p, binary, size) != CLATTN_OK) {
        ca_log(2, "cache entry %s does not load: removed (%s)", key->name, ca_message());
        ca_message_clear();
        if (!atomic_load(&ctx->lost)) ca_cache_remove(key->name);
        program_free(p, true);
        p = NULL;
    }
    free(binary);
    if (p) atomic_fetch_add(&ctx->cache_hits, 1);
    if (p) ca_log(3, "loaded cl/%s.cl with \"%s\" from the cache", source->name, options);
    return p;
}

/* The cache is a convenience: nothing that goes wrong here is an error. */
static void save(const clattn_context *ctx, const struct program *p, const struct ca_cache_key *key)
{
    cl_uint devices = 0;
    size_t size = 0;
    unsigned char *binary = NULL;
    cl_int code = ca_cl.GetProgramInfo(p->program, CL_PROGRAM_NUM_DEVICES, sizeof devices, &devices, NULL);
    /* In a context of several devices we would have to find our own among the binaries. */
    if (code != CL_SUCCESS || devices != 1) return;
    code = ca_cl.GetProgramInfo(p->program, CL_PROGRAM_BINARY_SIZES, sizeof size, &size, NULL);
    if (code != CL_SUCCESS || size == 0 || !(binary = malloc(size))) return;
    code = ca_cl.GetProgramInfo(p->program, CL_PROGRAM_BINARIES, sizeof binary, &binary, NULL);
    if (code == CL_SUCCESS) ca_cache_save(key, binary, size);
    else ca_log(2, "%s gives no binary of cl/%s.cl: %d", ctx->dev.name, p->source->name, (int)code);
    free(binary);
}

/* Waits with what takes long until nobody waits for it. */
static void save_late(const clattn_context *ctx, const struct program *p)
{
    struct ca_cache_key key = { NULL, 0, "" };
    if (ca_cache_key_make(&ctx->dev, p->source, p->options, &key) == CLATTN_OK) save(ctx, p, &key);
    ca_message_clear();
    ca_cache_key_free(&key);
}

void ca_programs_free(clattn_context *ctx, bool release)
{
    while (ctx->programs) {
        struct program *p = ctx->programs;
        ctx->programs = p->next;
        if (release && p->unsaved && !atomic_load(&ctx->lost)) save_late(ctx, p);
        program_free(p, release);
    }
}

/* --------------------------------------------------------------------- get */

static bool same_text(const struct ca_source *a, const struct ca_source *b)
{
    return a == b || (a->length == b->length && !strcmp(a->name, b->name) && !memcmp(a->text, b->text, a->length));
}

/* Under the lock. */
static struct program *find(const clattn_context *ctx, const struct ca_source *source, const char *options)
{
    for (struct program *p = ctx->programs; p; p = p->next)
        if (same_text(p->source, source) && !strcmp(p->options, options)) return p;
    return NULL;
}

static struct program *find_locked(clattn_context *ctx, const struct ca_source *source, const char *options)
{
    pthread_mutex_lock(&ctx->lock);
    struct program *p = find(ctx, source, options);
    pthread_mutex_unlock(&ctx->lock);
    return p;
}

/* Keeps P, unless another thread was faster: the one that is kept. */
static struct program *keep(clattn_context *ctx, struct program *p)
{
    pthread_mutex_lock(&ctx->lock);
    struct program *first = find(ctx, p->source, p->options);
    if (!first) {
        p->next = ctx->programs;
        ctx->programs = p;
    }
    pthread_mutex_unlock(&ctx->lock);
    if (!first) return p;
    program_free(p, true);
    return first;
}

static clattn_status make(clattn_context *ctx, const struct ca_source *source, const char *options,
                          struct program **program)
{
    struct ca_cache_key key = { NULL, 0, "" };
    struct program *p = NULL;
    bool disk = !(ctx->dev.quirks & CA_QUIRK_NO_BINARY);
    clattn_status st;

    if (disk) {
        CA_TRY(ca_cache_key_make(&ctx->dev, source, options, &key));
        p = load(ctx, source, options, &key);
    }
    if (!p) {
        p = new_program(source, options);
        if (!p) CA_TRY(ca_no_memory(sizeof *p, "a program"));
        CA_TRY(compile(ctx, p));
        p->unsaved = disk && ca_cache_writable();
        if (p->unsaved && !(ctx->dev.quirks & CA_QUIRK_LATE_BINARY)) {
            save(ctx, p, &key);
            p->unsaved = false;
        }
    }
    *program = keep(ctx, p);
    p = NULL;
    st = CLATTN_OK;
done:
    program_free(p, true);
    ca_cache_key_free(&key);
    return st;
}

/* USER's text, then SOURCE's, which says itself what its lines are; E_MEMORY when TEXT is NULL. */
static struct ca_source with_user(const struct ca_source *source, const char *user)
{
    size_t room = strlen(user) + source->length + 2;
    char *text = malloc(room);
    if (text) snprintf(text, room, "%s\n%.*s", user, (int)source->length, source->text);
    return (struct ca_source){ source->name, text, text ? strlen(text) : 0 };
}

clattn_status ca_program_get_with(clattn_context *ctx, const char *source, const char *user, const char *options,
                                  struct program **program)
{
    const struct ca_source *text = find_source(source);
    struct ca_source both = { NULL, NULL, 0 };
    clattn_status st = ca_context_alive(ctx);
    char *whole;

    *program = NULL;
    if (st != CLATTN_OK) return st;
    CA_REQUIRE(text, CLATTN_E_INTERNAL, "there is no cl/%s.cl in this library", source);
    if (user[0]) {
        both = with_user(text, user);
        text = &both;
        if (!both.text) return ca_no_memory(strlen(user), "a kernel's text");
    }
    size_t room = sizeof STANDARD + 1 + strlen(options);
    whole = malloc(room);
    if (!whole) {
        free((char *)(uintptr_t)both.text);
        return ca_no_memory(room, "build options");
    }
    snprintf(whole, room, "%s %s", STANDARD, options);
    *program = find_locked(ctx, text, whole);
    if (!*program) st = make(ctx, text, whole, program);
    free(whole);
    free((char *)(uintptr_t)both.text);
    return st;
}

clattn_status ca_program_get(clattn_context *ctx, const char *source, const char *options, struct program **program)
{
    return ca_program_get_with(ctx, source, "", options, program);
}

/* ----------------------------------------------------------------- kernels */

static struct kernel_list *find_kernel(const struct program *p, const char *name)
{
    for (size_t i = 0; i < p->num_kernels; i++)
        if (!strcmp(p->kernels[i].name, name)) return &p->kernels[i];
    return NULL;
}

clattn_status ca_kernel_take(clattn_context *ctx, struct program *program, const char *name, cl_kernel *kernel)
{
    struct kernel_list *k = find_kernel(program, name);
    cl_int code;

    *kernel = NULL;
    CA_REQUIRE(k, CLATTN_E_INTERNAL, "there is no kernel %s in cl/%s.cl", name, program->source->name);
    pthread_mutex_lock(&ctx->lock);
    if (k->count) *kernel = k->idle[--k->count];
    pthread_mutex_unlock(&ctx->lock);
    if (!*kernel) *kernel = ca_cl.CreateKernel(program->program, name, &code);
    return *kernel ? CLATTN_OK : ca_context_fail(ctx, code, "clCreateKernel", name);
}

void ca_kernel_give(clattn_context *ctx, struct program *program, const char *name, cl_kernel kernel)
{
    struct kernel_list *k = find_kernel(program, name);
    if (!kernel) return;
    pthread_mutex_lock(&ctx->lock);
    if (k && k->count < IDLE_KERNELS) {
        k->idle[k->count++] = kernel;
        kernel = NULL;
    }
    pthread_mutex_unlock(&ctx->lock);
    if (kernel) ca_cl.ReleaseKernel(kernel);
}

clattn_status ca_kernel_max_group(clattn_context *ctx, struct program *program, const char *name, size_t *size)
{
    cl_kernel kernel;
    cl_int code;
    clattn_status st = ca_kernel_take(ctx, program, name, &kernel);
    *size = 0;
    if (st != CLATTN_OK) return st;
    code = ca_cl.GetKernelWorkGroupInfo(kernel, ctx->dev.id, CL_KERNEL_WORK_GROUP_SIZE, sizeof *size, size, NULL);
    ca_kernel_give(ctx, program, name, kernel);
    return code == CL_SUCCESS ? CLATTN_OK : ca_context_fail(ctx, code, "clGetKernelWorkGroupInfo", name);
}
