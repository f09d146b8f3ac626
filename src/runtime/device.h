/* device.h -- what is known of a device.  Only device.c asks OpenCL; everything
 * above reads this struct.  The host back end fills it too. */
#ifndef CA_DEVICE_H
#define CA_DEVICE_H

#include "runtime/opencl.h"

/* Ways in which a device departs from the standard, or is better treated; one table in quirks.c. */
enum {
    CA_QUIRK_REFUSE = 1 << 0,      /* never use (the reason says why) */
    CA_QUIRK_SIMULATED = 1 << 1,   /* never chosen automatically */
    CA_QUIRK_NO_BINARY = 1 << 2,   /* programs are not kept on disk */
    CA_QUIRK_SLOW = 1 << 3,        /* tests use small shapes */
    CA_QUIRK_COPY = 1 << 4,        /* copy to buffers: memory used in place is not seen rightly */
    CA_QUIRK_ROUNDS = 1 << 5,      /* ends a work-item after CA_MAX_ROUNDS rounds of all its loops, without a word */
    CA_QUIRK_LATE_BINARY = 1 << 6  /* a binary costs another compilation: it is asked for when the context closes */
};
#define CA_MAX_ROUNDS 65535
#define CA_MAX_MEMBERS 8       /* devices that work at one attention */
#define CA_TYPES 3             /* storage types: f32, f16, bf16 */

struct device {
    clattn_class kind;
    cl_platform_id platform;   /* NULL for the host */
    cl_device_id id;
    int platform_index, device_index;
    char platform_name[128], platform_version[128];
    char name[128], vendor[128], driver[128], version[128], c_version[64];
    cl_device_type type;
    cl_uint compute_units, clock_mhz, address_bits;
    cl_uint vector_width;      /* native floats per vector, >= 1 */
    cl_uint subgroup_min;      /* smallest sub-group that a kernel may demand; 0: it may demand none */
    cl_uint shuffle;           /* whose way (SHUFFLE of cl/tiled.cl) the items of a sub-group exchange floats: 1 Intel's, 2 NVIDIA's, 3 AMD's; 0: unknown */
    cl_uint matrix_f16, matrix_bf16; /* the layout (cl/fragment.h) of the matrix engine that takes such fragments; 0: none */
    size_t max_group, max_items[3];
    cl_ulong local_bytes, global_bytes, max_alloc, cache_bytes;
    bool local_is_real;        /* CL_LOCAL, not emulated in global memory */
    bool unified;              /* shares memory with the host */
    bool has_fp16, has_subgroups, embedded, little_endian, available, has_compiler;
    bool kernel_timeout;       /* a watchdog kills long kernels (NVIDIA says so) */
    size_t timer_ns;           /* profiling resolution, 0 = no usable timer */
    unsigned quirks;
    char quirk_reason[128];
    char uuid[33], pci[16];    /* in hex, and "dddd:bb:dd.f"; "" when the device does not tell */
    double gflops;             /* measured by the self-test's micro-benchmark; 0 unknown */
    unsigned bad_algos;        /* bit i: ca_algos[i] failed its self-test here */
    unsigned tested[CA_TYPES]; /* bit i, of a storage type: ca_algos[i] passed it */
};

static inline bool ca_is_host(const struct device *d) { return d->id == NULL; }
/* CPU-like: one work-item is a thread with wide vectors; the lane kernels fit. */
static inline bool ca_is_cpu_like(const struct device *d) { return (d->type & (CL_DEVICE_TYPE_GPU)) == 0; }

/* Fills D from OpenCL.  Facts that a device does not tell get safe values. */
clattn_status ca_device_query(cl_platform_id platform, cl_device_id id, struct device *d);
void ca_device_host(struct device *d);       /* the native back end */
void ca_device_quirks(struct device *d);     /* sets quirks and quirk_reason */
bool ca_quirks_off(void);                    /* CLATTN_QUIRKS=off: at the user's own risk, failed self-tests too are overruled */
/* NULL, or why the device can never be used (no compiler, big-endian, OpenCL C < 1.2 ...). */
const char *ca_device_refusal(const struct device *d);
const char *ca_class_name(clattn_class c);   /* "host", "cpu-ocl", "gpu-integrated", ... */

#endif
