/* device.c -- asks a device for its facts, once; everything above reads struct device. */
#define _GNU_SOURCE
#include "runtime/device.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "base/file.h"

#define CLASS_BITS (CL_DEVICE_TYPE_CPU | CL_DEVICE_TYPE_GPU | CL_DEVICE_TYPE_ACCELERATOR)

/* cl_nv_device_attribute_query */
#define DEVICE_COMPUTE_CAPABILITY_MAJOR_NV 0x4000
#define DEVICE_KERNEL_EXEC_TIMEOUT_NV 0x4005
#define DEVICE_PCI_BUS_ID_NV 0x4008
#define DEVICE_PCI_SLOT_ID_NV 0x4009   /* device << 3 | function */
#define DEVICE_PCI_DOMAIN_ID_NV 0x400A
/* cl_khr_device_uuid, cl_khr_pci_bus_info */
#define DEVICE_UUID_KHR 0x106A
#define DEVICE_PCI_BUS_INFO_KHR 0x410F
/* cl_intel_required_subgroup_size: a list of size_t */
#define DEVICE_SUB_GROUP_SIZES_INTEL 0x4108

/* ----------------------------------------------------------- one fact each */

/* The two ways of asking look alike: ASK answers with the bytes of one fact. */
struct asked { cl_platform_id platform; cl_device_id device; };

static cl_int ask(struct asked of, cl_uint what, size_t size, void *value, size_t *got)
{
    if (of.device) return ca_cl.GetDeviceInfo(of.device, what, size, value, got);
    return ca_cl.GetPlatformInfo(of.platform, what, size, value, got);
}

/* Names may be of any length, and come with blanks around them on some drivers. */
static void ask_text(struct asked of, cl_uint what, char *text, size_t size)
{
    size_t length = 0, start;
    char *all = NULL;
    text[0] = 0;
    if (ask(of, what, 0, NULL, &length) != CL_SUCCESS || length == 0 || length > 1 << 20) return;
    all = malloc(length + 1);
    if (!all || ask(of, what, length, all, NULL) != CL_SUCCESS) goto done;
    all[length] = 0;
    start = strspn(all, " \t\r\n");
    snprintf(text, size, "%s", all + start);
    for (length = strlen(text); length && strchr(" \t\r\n", text[length - 1]);) text[--length] = 0;
done:
    free(all);
}

static cl_uint ask_uint(struct asked of, cl_uint what, cl_uint otherwise)
{
    cl_uint value = otherwise;
    return ask(of, what, sizeof value, &value, NULL) == CL_SUCCESS ? value : otherwise;
}

static cl_ulong ask_ulong(struct asked of, cl_uint what, cl_ulong otherwise)
{
    cl_ulong value = otherwise;
    return ask(of, what, sizeof value, &value, NULL) == CL_SUCCESS ? value : otherwise;
}

static size_t ask_size(struct asked of, cl_uint what, size_t otherwise)
{
    size_t value = otherwise;
    return ask(of, what, sizeof value, &value, NULL) == CL_SUCCESS ? value : otherwise;
}

/* cl_bool is a cl_uint. */
static bool ask_bool(struct asked of, cl_uint what, bool otherwise) { return ask_uint(of, what, otherwise) != 0; }

/* --------------------------------------------------------------- the whole */

static void ask_names(struct device *d)
{
    struct asked dev = { d->platform, d->id }, platform = { d->platform, NULL };
    ask_text(platform, CL_PLATFORM_NAME, d->platform_name, sizeof d->platform_name);
    ask_text(platform, CL_PLATFORM_VERSION, d->platform_version, sizeof d->platform_version);
    ask_text(dev, CL_DEVICE_NAME, d->name, sizeof d->name);
    ask_text(dev, CL_DEVICE_VENDOR, d->vendor, sizeof d->vendor);
    ask_text(dev, CL_DRIVER_VERSION, d->driver, sizeof d->driver);
    ask_text(dev, CL_DEVICE_VERSION, d->version, sizeof d->version);
    ask_text(dev, CL_DEVICE_OPENCL_C_VERSION, d->c_version, sizeof d->c_version);
}

static cl_uint ask_subgroup_min(struct asked of)
{
    size_t sizes[16], got = 0, least = 0;
    if (ask(of, DEVICE_SUB_GROUP_SIZES_INTEL, sizeof sizes, sizes, &got) != CL_SUCCESS) return 0;
    for (size_t i = 0; i < got / sizeof *sizes && i < 16; i++)
        if (least == 0 || sizes[i] < least) least = sizes[i];
    return (cl_uint)least;
}

/* Items that are neighbours along the first dim are so in a sub-group, too: of NVIDIA's and AMD's GPUs, and where a kernel may demand the sub-group. */
static void ask_shuffle(struct device *d, const char *extensions)
{
    enum { INTEL = 1, NVIDIA, AMD };
    struct asked dev = { d->platform, d->id };
    if (d->subgroup_min && strstr(extensions, " cl_intel_subgroups ")) d->shuffle = INTEL;
    if (!(d->type & CL_DEVICE_TYPE_GPU)) return;
    if (strstr(extensions, " cl_nv_device_attribute_query ") && ask_uint(dev, DEVICE_COMPUTE_CAPABILITY_MAJOR_NV, 0) >= 7) d->shuffle = NVIDIA;
    if (!strncmp(d->name, "gfx", 3)) d->shuffle = AMD;
}

/* Which layout of cl/fragment.h the device's matrix engine has.  A driver that does not compile it after all is no harm: the planner passes
 * over what does not build.  AMD's MFMA takes subnormal f16 for 0 until gfx940, which is more than the error bound allows. */
static void ask_matrix(struct device *d, const char *extensions)
{
    enum { NVIDIA = 1, AMD, INTEL_8, INTEL_16, AMD_32 };
    struct asked dev = { d->platform, d->id };
    unsigned chip = 0;
    if (!(d->type & CL_DEVICE_TYPE_GPU)) return;
    if (strstr(extensions, " cl_nv_device_attribute_query ") && ask_uint(dev, DEVICE_COMPUTE_CAPABILITY_MAJOR_NV, 0) >= 8)
        d->matrix_f16 = d->matrix_bf16 = NVIDIA;
    if (strstr(extensions, " cl_intel_subgroup_matrix_multiply_accumulate "))
        d->matrix_f16 = d->matrix_bf16 = d->subgroup_min == 8 ? INTEL_8 : d->subgroup_min == 16 ? INTEL_16 : 0;
    if (sscanf(d->name, "gfx%x", &chip) != 1) return;
    if (chip == 0x90a || (chip >= 0x940 && chip <= 0x950)) d->matrix_bf16 = AMD;
    if (chip >= 0x940 && chip <= 0x950) d->matrix_f16 = AMD;
    if (chip >= 0x1100 && chip < 0x1200) d->matrix_f16 = d->matrix_bf16 = AMD_32;
}

/* By what the same card is known through another driver. */
static void ask_identity(struct device *d, const char *extensions)
{
    struct asked dev = { d->platform, d->id };
    unsigned char uuid[16];
    struct { cl_uint domain, bus, device, function; } pci;
    bool known = false;
    if (strstr(extensions, " cl_khr_device_uuid ") && ask(dev, DEVICE_UUID_KHR, sizeof uuid, uuid, NULL) == CL_SUCCESS)
        for (int i = 0; i < 16; i++) snprintf(d->uuid + 2 * i, 3, "%02x", uuid[i]);
    if (strstr(extensions, " cl_khr_pci_bus_info ")) {
        known = ask(dev, DEVICE_PCI_BUS_INFO_KHR, sizeof pci, &pci, NULL) == CL_SUCCESS;
    } else if (strstr(extensions, " cl_nv_device_attribute_query ")) {
        cl_uint slot = ask_uint(dev, DEVICE_PCI_SLOT_ID_NV, 0);
        pci.bus = ask_uint(dev, DEVICE_PCI_BUS_ID_NV, UINT32_MAX);
        pci.domain = ask_uint(dev, DEVICE_PCI_DOMAIN_ID_NV, 0);
        pci.device = slot >> 3;
        pci.function = slot & 7;
        known = pci.bus != UINT32_MAX;
    }
    if (known)
        snprintf(d->pci, sizeof d->pci, "%04x:%02x:%02x.%x", pci.domain & 0xffff, pci.bus & 0xff, pci.device & 0x1f,
                 pci.function & 7);
}

static void ask_extensions(struct device *d)
{
    struct asked dev = { d->platform, d->id };
    char *list = calloc(1, 32768);
    if (!list) return; /* none of them is needed */
    list[0] = ' ';
    ask_text(dev, CL_DEVICE_EXTENSIONS, list + 1, 32768 - 2);
    strcat(list, " ");
    d->has_fp16 = strstr(list, " cl_khr_fp16 ") != NULL;
    d->has_subgroups = strstr(list, " cl_khr_subgroups ") || strstr(list, " cl_intel_subgroups ");
    if (strstr(list, " cl_intel_required_subgroup_size ")) d->subgroup_min = ask_subgroup_min(dev);
    d->kernel_timeout = strstr(list, " cl_nv_device_attribute_query ") &&
                        ask_bool(dev, DEVICE_KERNEL_EXEC_TIMEOUT_NV, true);
    ask_shuffle(d, list);
    ask_matrix(d, list);
    ask_identity(d, list);
    free(list);
}

static void ask_limits(struct device *d)
{
    struct asked dev = { d->platform, d->id };
    size_t items[16] = { 1, 1, 1 };
    d->compute_units = ask_uint(dev, CL_DEVICE_MAX_COMPUTE_UNITS, 1);
    d->clock_mhz = ask_uint(dev, CL_DEVICE_MAX_CLOCK_FREQUENCY, 0);
    d->address_bits = ask_uint(dev, CL_DEVICE_ADDRESS_BITS, 32);
    d->vector_width = ask_uint(dev, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT, 1);
    d->max_group = ask_size(dev, CL_DEVICE_MAX_WORK_GROUP_SIZE, 1);
    if (ask(dev, CL_DEVICE_MAX_WORK_ITEM_SIZES, sizeof items, items, NULL) != CL_SUCCESS)
        items[0] = items[1] = items[2] = 1;
    memcpy(d->max_items, items, sizeof d->max_items);
    d->local_bytes = ask_ulong(dev, CL_DEVICE_LOCAL_MEM_SIZE, 0);
    d->global_bytes = ask_ulong(dev, CL_DEVICE_GLOBAL_MEM_SIZE, 0);
    d->max_alloc = ask_ulong(dev, CL_DEVICE_MAX_MEM_ALLOC_SIZE, d->global_bytes / 4);
    d->cache_bytes = ask_ulong(dev, CL_DEVICE_GLOBAL_MEM_CACHE_SIZE, 0);
    d->local_is_real = ask_uint(dev, CL_DEVICE_LOCAL_MEM_TYPE, CL_GLOBAL) == CL_LOCAL;
    d->unified = ask_bool(dev, CL_DEVICE_HOST_UNIFIED_MEMORY, false);
    d->timer_ns = ask_size(dev, CL_DEVICE_PROFILING_TIMER_RESOLUTION, 0);
    if (d->compute_units < 1) d->compute_units = 1;
    if (d->vector_width < 1) d->vector_width = 1;
}

static clattn_class classify(const struct device *d)
{
    cl_device_type type = d->type & CLASS_BITS;
    if (d->quirks & CA_QUIRK_SIMULATED || type & (type - 1)) return CLATTN_CLASS_SIMULATED; /* several types at once */
    if (type & CL_DEVICE_TYPE_GPU) return d->unified ? CLATTN_CLASS_IGPU : CLATTN_CLASS_DGPU;
    return type & CL_DEVICE_TYPE_CPU ? CLATTN_CLASS_CPU : CLATTN_CLASS_ACC;
}

clattn_status ca_device_query(cl_platform_id platform, cl_device_id id, struct device *d)
{
    struct asked dev = { platform, id };
    char profile[64];
    cl_int code;

    memset(d, 0, sizeof *d);
    d->platform = platform;
    d->id = id;
    d->platform_index = d->device_index = -1;
    if (!platform) {
        code = ca_cl.GetDeviceInfo(id, CL_DEVICE_PLATFORM, sizeof d->platform, &d->platform, NULL);
        if (code != CL_SUCCESS) return ca_cl_fail(code, "clGetDeviceInfo", "CL_DEVICE_PLATFORM");
    }
    code = ca_cl.GetDeviceInfo(id, CL_DEVICE_TYPE, sizeof d->type, &d->type, NULL);
    if (code != CL_SUCCESS) return ca_cl_fail(code, "clGetDeviceInfo", "CL_DEVICE_TYPE");
    ask_names(d);
    ask_extensions(d);
    ask_limits(d);
    ask_text(dev, CL_DEVICE_PROFILE, profile, sizeof profile);
    d->embedded = !strcmp(profile, "EMBEDDED_PROFILE");
    d->little_endian = ask_bool(dev, CL_DEVICE_ENDIAN_LITTLE, false);
    d->available = ask_bool(dev, CL_DEVICE_AVAILABLE, false);
    d->has_compiler = ask_bool(dev, CL_DEVICE_COMPILER_AVAILABLE, false);
    ca_device_quirks(d);
    d->kind = classify(d);
    return CLATTN_OK;
}

const char *ca_device_refusal(const struct device *d)
{
    int major = 0, minor = 0;
    if (d->kind == CLATTN_CLASS_HOST) return NULL; /* not ca_is_host: cached facts have no live id */
    if (d->quirks & CA_QUIRK_REFUSE) return d->quirk_reason;
    if (!d->available) return "the device says that it is not available";
    if (!(d->type & CLASS_BITS)) return "the device runs only its own built-in kernels";
    if (!d->has_compiler) return "the driver has no compiler";
    if (!d->little_endian) return "the device is big-endian";
    if (sscanf(d->c_version, "OpenCL C %d.%d", &major, &minor) != 2) return "the driver tells no OpenCL C version";
    if (major * 10 + minor < 12) return "OpenCL C older than 1.2";
    return NULL;
}

const char *ca_class_name(clattn_class c)
{
    static const char *const names[] = {
        [CLATTN_CLASS_HOST] = "host", [CLATTN_CLASS_CPU] = "cpu-ocl", [CLATTN_CLASS_IGPU] = "gpu-integrated",
        [CLATTN_CLASS_DGPU] = "gpu-discrete", [CLATTN_CLASS_ACC] = "accelerator",
        [CLATTN_CLASS_SIMULATED] = "simulated",
    };
    return (unsigned)c < sizeof names / sizeof *names ? names[c] : "unknown";
}

/* ---------------------------------------------------------------- the host */

/* The CPU's name as /proc/cpuinfo has it, else the machine's type. */
static void host_name(char *text, size_t size)
{
    char info[8192];
    struct utsname u;
    const char *at = ca_file_peek("/proc/cpuinfo", info, sizeof info) ? strstr(info, "model name") : NULL;
    const char *end = at ? strchr(at, '\n') : NULL;
    if (at) at = strchr(at, ':');
    if (at && end && at < end) {
        at += 1 + strspn(at + 1, " \t");
        snprintf(text, size, "%.*s", (int)(end - at), at);
    } else if (uname(&u) == 0) {
        snprintf(text, size, "%s CPU", u.machine);
    } else {
        snprintf(text, size, "CPU");
    }
}

static cl_uint host_vector_width(void)
{
#if defined(__x86_64__) || defined(__i386__)
    if (__builtin_cpu_supports("avx512f")) return 16;
    if (__builtin_cpu_supports("avx2")) return 8;
#endif
    return 4;
}

void ca_device_host(struct device *d)
{
    long threads = sysconf(_SC_NPROCESSORS_ONLN), pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);

    memset(d, 0, sizeof *d);
    d->kind = CLATTN_CLASS_HOST;
    d->type = CL_DEVICE_TYPE_CPU;
    d->platform_index = d->device_index = -1;
    snprintf(d->platform_name, sizeof d->platform_name, "host");
    snprintf(d->version, sizeof d->version, "native");
    snprintf(d->driver, sizeof d->driver, "%d.%d.%d", CLATTN_VERSION_MAJOR, CLATTN_VERSION_MINOR, CLATTN_VERSION_PATCH);
    host_name(d->name, sizeof d->name);
    d->compute_units = threads > 0 ? (cl_uint)threads : 1;
    d->address_bits = 8 * sizeof(void *);
    d->vector_width = host_vector_width();
    d->max_group = d->max_items[0] = d->max_items[1] = d->max_items[2] = 1;
    d->global_bytes = pages > 0 && page > 0 ? (cl_ulong)pages * (cl_ulong)page : (cl_ulong)1 << 30;
    d->max_alloc = d->global_bytes;
    d->cache_bytes = cache > 0 ? (cl_ulong)cache : 0;
    d->unified = d->little_endian = d->available = d->has_compiler = true;
}
