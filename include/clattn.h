/* clattn.h -- attention on any device: the whole public interface.
 *
 *     out = softmax(score(scale * q k^T)  restricted by causality, window and mask) v
 *
 * (Vaswani et al., "Attention Is All You Need", 2017; computed tile by tile
 * as in Dao, "FlashAttention-2", 2023.)
 *
 * How it is used:
 *
 *     clattn_context *ctx;                    a device, chosen automatically
 *     clattn_attention a;                     what to compute
 *     clattn_plan *plan;                      how: one algorithm, its kernels
 *     clattn_context_create(NULL, &ctx);
 *     clattn_attention_init(&a);  a.q_len = ...
 *     clattn_plan_create(ctx, &a, NULL, &plan);
 *     clattn_execute_host(plan, &pointers);   as often as wanted, any thread
 *
 * Errors.  Every call returns CLATTN_OK (0) or a negative code; the sentence
 * that goes with it, naming the argument and the numbers, is
 * clattn_last_message().  OpenCL's own codes (-1 ... -1999) are passed on as they
 * are.  After a failed call the handles are as they were and outputs are
 * untouched.  Nothing aborts and nothing is printed (see CLATTN_LOG).
 *
 * Threads.  Any call from any thread; one plan may be executed by several
 * threads at once.  Destroy a handle only when no other thread uses it.
 * After fork() an inherited handle answers CLATTN_E_FORKED in the child.
 */
#ifndef CLATTN_H
#define CLATTN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CLATTN_VERSION_MAJOR 0
#define CLATTN_VERSION_MINOR 1
#define CLATTN_VERSION_PATCH 0

#if defined(__GNUC__)
#define CLATTN_API __attribute__((visibility("default")))
#define CLATTN_CHECK __attribute__((warn_unused_result))
#else
#define CLATTN_API
#define CLATTN_CHECK
#endif
#ifndef CLATTN_NONNULL /* the library defines it as nothing: a compiler drops tests that a promise makes needless */
#if defined(__GNUC__)
#define CLATTN_NONNULL(...) __attribute__((nonnull(__VA_ARGS__)))
#else
#define CLATTN_NONNULL(...)
#endif
#endif

/* OpenCL's handle types, as CL/cl.h declares them: programs that never touch
 * OpenCL need not have its headers. */
typedef struct _cl_context *cl_context;
typedef struct _cl_device_id *cl_device_id;
typedef struct _cl_command_queue *cl_command_queue;
typedef struct _cl_mem *cl_mem;
typedef struct _cl_event *cl_event;

/* ------------------------------------------------------------------ status */

typedef int32_t clattn_status;
enum {
    CLATTN_OK = 0,
    CLATTN_E_ARGUMENT = -20001,    /* an argument is wrong; the message names it and the number */
    CLATTN_E_UNSUPPORTED = -20002, /* the request is right, but nothing here can compute it */
    CLATTN_E_MEMORY = -20003,      /* no memory on the host */
    CLATTN_E_TOO_LARGE = -20004,   /* a size overflows or exceeds what the device can hold */
    CLATTN_E_NO_DEVICE = -20005,   /* the selector matches no usable device; the message lists what exists */
    CLATTN_E_BUILD = -20006,       /* a kernel did not build; the message holds the compiler's log */
    CLATTN_E_DEVICE_LOST = -20007, /* the device died; the context is of no further use but can be destroyed */
    CLATTN_E_TIMEOUT = -20008,     /* the device did not answer in time; treated like a lost device */
    CLATTN_E_FORKED = -20009,      /* the handle was made before fork() by the parent */
    CLATTN_E_IO = -20010,          /* a file or the helper process failed */
    CLATTN_E_INTERNAL = -20011     /* a defect of this library: please report the message */
};

/* The name of a status, "CLATTN_E_BUILD" or "CL_OUT_OF_RESOURCES"; never NULL. */
CLATTN_API const char *clattn_status_name(clattn_status status);

/* The message of the last failed call of this thread, "" when there is none.
 * Valid until this thread's next call into the library. */
CLATTN_API const char *clattn_last_message(void);

/* "0.1.0", of the library that is running. */
CLATTN_API const char *clattn_version(void);

/* ----------------------------------------------------------------- devices */

/* What a device is.  A simulated one (a simulator, an FPGA emulator, a
 * software rasteriser) is used only when it is named. */
typedef enum clattn_class {
    CLATTN_CLASS_HOST = 0,  /* this library's native code on the CPU, no OpenCL */
    CLATTN_CLASS_CPU = 1,   /* the CPU through OpenCL */
    CLATTN_CLASS_IGPU = 2,  /* a GPU that shares the host's memory */
    CLATTN_CLASS_DGPU = 3,  /* a GPU with memory of its own */
    CLATTN_CLASS_ACC = 4,   /* another accelerator */
    CLATTN_CLASS_SIMULATED = 5
} clattn_class;

typedef struct clattn_device_info {
    size_t size;             /* set by the caller: sizeof(clattn_device_info) */
    char selector[192];      /* the exact text that selects this device */
    char name[128];
    char platform[128];      /* "host" for the native back end */
    char driver[128];
    clattn_class device_class;
    int chosen;              /* 1: what an automatic context would use now */
    int usable;              /* 0: never used; see reason */
    char reason[256];        /* why it was chosen, passed over or refused */
    int selftest;            /* 1 passed, 0 failed, -1 not run: never used so far, or simulated */
    double gflops;           /* measured on a small attention, 0 when not measured */
    uint64_t memory;         /* bytes of global memory */
    uint32_t compute_units;
} clattn_device_info;

/* Lists the devices, best first.  With LIST NULL stores the number of devices in
 * *COUNT; else fills at most *COUNT entries (each with its size field set
 * by the caller) and stores how many there are.  Devices that were not used
 * so far are examined, which takes seconds; the result is cached per user.
 * Errors: CLATTN_E_ARGUMENT, CLATTN_E_MEMORY. */
CLATTN_API clattn_status clattn_devices(clattn_device_info *list, size_t *count)
    CLATTN_CHECK CLATTN_NONNULL(2);

/* ----------------------------------------------------------------- context */

/* A device made ready: OpenCL context and queue, built kernels, memory pool. */
typedef struct clattn_context clattn_context;

/* Opens a device.  SELECTOR is NULL for the environment variable
 * CLATTN_DEVICES or, without it, the fastest device by measurement; else
 *
 *     selector = item { "," item }       first usable one wins
 *     item     = ["!"] what ["@" [weight]] ["?"] ! never use, ? skip when missing
 *     what     = "auto" | "host" | "gpu" | "dgpu" | "igpu" | "cpu" | "acc"
 *              | "uuid=" hex | "pci=" dddd:bb:dd.f | platform ":" device | device
 *
 * where platform and device are an index or a case-insensitive part of the
 * name, with * and ? as in file names ("nvidia:0", "portable:*", "!*:llvmpipe,auto").
 * Items with "@" are one among them: their devices, each another, at most 8, work together ("dgpu@3,cpu@1", "igpu@,host@").
 * clattn_execute_host then divides an attention by batch rows, heads and query rows, or, in f32, where there are few of these, by
 * keys, whose results are merged; by the weights (numbers above 0; all have one or none has), else by speed, first as planned, then
 * as measured; a device that fails is dropped and the result still complete: see clattn_context_members.  What numbers heads or rows
 * by their places (patterns with tensors by head, dropout, user functions), new keys, weights as an output, shared keys, split_len (on
 * the first) and what is small run on the fastest of them alone, the operations around attention on the first; clattn_plan_explain
 * tells the shares.
 * A device that may be chosen and was not used so far is examined: does an
 * algorithm give right answers, how fast?  That takes as long as building a
 * kernel, happens in a process of its own, and is cached per user.
 * What is named is never replaced by something else: a selector that matches nothing is
 * CLATTN_E_NO_DEVICE, and the message lists what exists.
 * Errors: E_ARGUMENT (syntax), E_NO_DEVICE, E_MEMORY, OpenCL codes. */
CLATTN_API clattn_status clattn_context_create(const char *selector, clattn_context **ctx)
    CLATTN_CHECK CLATTN_NONNULL(2);

/* The same on a program's own OpenCL objects, which are retained.  The device is
 * examined unless that was done before.  Errors as above. */
CLATTN_API clattn_status clattn_context_create_from_queue(cl_command_queue queue, clattn_context **ctx)
    CLATTN_CHECK CLATTN_NONNULL(1, 2);
CLATTN_API clattn_status clattn_context_create_from_context(cl_context context, cl_device_id device,
                                                            clattn_context **ctx)
    CLATTN_CHECK CLATTN_NONNULL(1, 2, 3);

/* What device the context uses and why.  INFO->size is set by the caller. */
CLATTN_API clattn_status clattn_context_device(const clattn_context *ctx, clattn_device_info *info)
    CLATTN_CHECK CLATTN_NONNULL(1, 2);

/* Frees the context; NULL is fine.  Plans made with it must be destroyed before. */
CLATTN_API void clattn_context_destroy(clattn_context *ctx);

/* The devices of a context, one or those that work together, in the order of the selector; LIST and COUNT as in clattn_devices.  usable is 0 of one
 * that failed and was dropped; reason says why. */
CLATTN_API clattn_status clattn_context_members(const clattn_context *ctx, clattn_device_info *list, size_t *count)
    CLATTN_CHECK CLATTN_NONNULL(1, 3);

/* ------------------------------------------------------- attention: what */

/* How tensors are stored.  Sums, softmax and log-sum-exp are always f32. */
typedef enum clattn_dtype {
    CLATTN_F32 = 0,
    CLATTN_F16 = 1,  /* IEEE binary16 */
    CLATTN_BF16 = 2, /* the upper half of a binary32 */
    CLATTN_INT32 = 3 /* indices of the operations around attention (clattn_tensor) */
} clattn_dtype;

/* The order of the axes in memory; it only fills strides that are left 0. */
typedef enum clattn_layout {
    CLATTN_BHSD = 0, /* q [batch][q_heads][q_len][head_dim], k, v likewise */
    CLATTN_BSHD = 1, /* q [batch][q_len][q_heads][head_dim] */
    CLATTN_THD = 2   /* ragged: BATCH sequences of any lengths behind one another, q [q_total][q_heads][head_dim]; the
                        tensors cu_seqlens_q and cu_seqlens_k tell where each begins; q_len and kv_len are the longest
                        lengths, lse is [q_heads][q_total], batch strides are not used */
} clattn_layout;

/* Where query i stands among the keys: at position p = i + offset, used by causal,
 * window and ALiBi.  Never inferred from shapes. */
typedef enum clattn_align {
    CLATTN_BOTTOM_RIGHT = 0, /* offset = kv_len - q_len, kv_lens[b] - q_len if given: the last query stands at the last
                                key (FlashAttention >= 2.1) */
    CLATTN_TOP_LEFT = 1,     /* offset = 0 (torch) */
    CLATTN_OFFSET = 2        /* offset = q_offset, or q_offset[b] when that tensor is given (ONNX caches) */
} clattn_align;

/* Distances between neighbours along each axis, in elements, >= 0.  All four 0: from the layout. */
typedef struct clattn_strides {
    int64_t batch, head, row, dim;
} clattn_strides;

/* Slopes of ALiBi, f32: a score gets -slope |p - j| (Press et al., "Train Short, Test Long", 2022). */
typedef enum clattn_alibi {
    CLATTN_NO_ALIBI = 0,
    CLATTN_ALIBI_HEAD = 1,       /* alibi_slopes [q_heads] */
    CLATTN_ALIBI_BATCH_HEAD = 2  /* alibi_slopes [batch][q_heads] */
} clattn_alibi;

/* The shape of a bias or a mask over [batch][q_heads][q_len][kv_len].  Each axis has its full size, or 1 and broadcasts; a
 * tensor of fewer axes has 1 in front.  The last axis may end before kv_len: the keys behind it are masked.
 * Strides are in elements, >= 0; all four 0: packed.  All 0: there is no such tensor. */
typedef struct clattn_broadcast {
    int64_t shape[4], stride[4];
} clattn_broadcast;

/* What a score is made of. */
typedef enum clattn_score {
    CLATTN_DOT = 0,      /* scale q.k */
    CLATTN_ADDITIVE = 1, /* scale sum over d of w_d tanh(score_scale (q_d + k_d)), scale 1 by default (Bahdanau et al. 2015; Luong's
                            concat); w = score_w [score_ws], score_ws being head_dim, 1 (for all dims) or 0 (ones) */
    CLATTN_GENERAL = 2,  /* scale q W k, scale 1 by default, W = score_w [q_dim][head_dim] (Luong et al. 2015) */
    CLATTN_GAT = 3       /* leaky_relu(scale (q + k)), head_dim 1 (Velickovic et al., "Graph Attention Networks", 2018): what is
                            below 0 is multiplied by leaks[h] */
} clattn_score;

/* How k and v are quantised; their strides then count bytes.  Dequantised inside the kernels.  New keys and values (new_len) are
 * quantised as they are written: int8 and fp8 round value / scale + zero to nearest even and saturate; q8_0 and q4_0 as GGML's
 * quantize_row_*_ref. */
typedef enum clattn_kv_format {
    CLATTN_KV_PLAIN = 0,  /* as dtype says */
    CLATTN_KV_INT8 = 1,   /* value = (byte - zero) scale */
    CLATTN_KV_FP8 = 2,    /* e4m3fn (OCP OFP8), value = byte scale */
    CLATTN_KV_Q8_0 = 3,   /* GGML's blocks of 32 dims, 34 bytes each */
    CLATTN_KV_Q4_0 = 4    /* GGML's blocks of 32 dims, 18 bytes each */
} clattn_kv_format;

/* What a scale, or a zero point, is for; f32. */
typedef enum clattn_scale {
    CLATTN_NO_SCALE = 0,      /* the scale is 1, the zero point 0 */
    CLATTN_SCALE_BY_KEY = 1,  /* [batch][kv_heads][kv_len], paged [pages][page_size][kv_heads]; written for new keys: largest
                                 absolute value / 127, and zero point 0 */
    CLATTN_SCALE_BY_DIM = 2,  /* [kv_heads][head_dim or v_dim] */
    CLATTN_SCALE_BY_HEAD = 3  /* [kv_heads] */
} clattn_scale;

/* What the output `weights` holds, f32 [batch][q_heads][q_len][kv_len]. */
typedef enum clattn_weights {
    CLATTN_NO_WEIGHTS = 0,
    CLATTN_WEIGHTS_RAW = 1,    /* the score: scale q.k or what .score makes of them, masked or not */
    CLATTN_WEIGHTS_CAPPED = 2, /* after softcap, masked or not */
    CLATTN_WEIGHTS_BIASED = 3, /* after bias, ALiBi and all masks; -inf where masked */
    CLATTN_WEIGHTS_PROBS = 4   /* after softmax; 0 where masked; a sink's share is missing */
} clattn_weights;

/* The user's functions on the host, which compiles no OpenCL C: see score_mod, mask_mod and tile_class.  Called by several threads. */
typedef float (*clattn_score_callback)(void *data, float score, int b, int h, int i, int j);
typedef int (*clattn_mask_callback)(void *data, int b, int h, int i, int j);
typedef int (*clattn_tile_callback)(void *data, int b, int h, int i0, int i1, int j0, int j1);
#define CLATTN_MAX_MODS 4 /* buffers */

/* Which keys a query sees, beyond causality, window and masks, with which a pattern combines: work and memory follow the pairs that it
 * lists.  i is the query's position p (see clattn_align), j the key, `div` rounds down.  A pattern that draws does so by Philox4x32-10
 * with its seed, row r the elements r 2^32 + t, t = 0, 1, ...: candidate floor(u n) of n, one already taken is skipped; the same on
 * every device. */
typedef enum clattn_pattern_type {
    CLATTN_NO_PATTERN = 0,
    CLATTN_STRIDED = 1,      /* i - j < stride or (i - j) mod stride = 0 (Child et al., "Sparse Transformers", 2019) */
    CLATTN_FIXED = 2,        /* i div stride = j div stride or j mod stride >= stride - summary (the same) */
    CLATTN_DILATED = 3,      /* (i - j) mod dilation[0] = 0 and |i - j| < width dilation[0] (Beltagy et al., "Longformer", 2020;
                                Ding et al., "LongNet", 2023) */
    CLATTN_RANDOM = 4,       /* `count` distinct keys of row i, the same for every b and h, drawn among the keys that there are (with
                                .causal those up to i); all of them where there are no more */
    CLATTN_GLOBAL = 5,       /* i or j in tokens */
    CLATTN_BIGBIRD = 6,      /* blocks of `block`: own and own +- 1, the first `globals`, and `random` drawn for the block row; rows of the
                                first `globals` blocks see all (Zaheer et al., "Big Bird", 2020) */
    CLATTN_LONGFORMER = 7,   /* |i - j| <= radius, or i or j in tokens (Beltagy et al., 2020) */
    CLATTN_SINK_WINDOW = 8,  /* i - j < window or j < sinks (Xiao et al., "Efficient Streaming Language Models", 2024) */
    CLATTN_PREFIX = 9,       /* j < prefix[b] or j <= i (Raffel et al., "T5", 2020: prefix LM) */
    CLATTN_CHUNKED = 10,     /* i div chunk = j div chunk */
    CLATTN_DOCUMENT = 11,    /* doc_ids[b][i] = doc_ids[b][j] */
    CLATTN_NEIGHBORHOOD = 12, /* on a grid of 1 to 3 axes, row-major: j in the window of kernel[] around i, moved to lie within the grid, so
                                that it always is the whole kernel; dilation[] and causal[] per axis (Hassani et al., "Neighborhood
                                Attention", 2023) */
    CLATTN_WINDOW2D = 13,    /* the same window of kernel[0] x kernel[1] of the grid after rolling it by -shift[]; what wrapped around
                                does not mix with what did not (Liu et al., "Swin Transformer", 2021) */
    CLATTN_BLOCK_SPARSE = 14, /* block_layout[h or 0][i div block][j div block], nothing outside of it (Gray et al., 2017) */
    CLATTN_CSR = 15,         /* j among col_idx[row_ptr[r]] ... col_idx[row_ptr[r + 1] - 1], r the query's row in the tensor, whatever its
                                position; listed twice counts once (graphs: Velickovic et al., "Graph Attention Networks", 2018).  With
                                .edge_heads edge_bias[e], or [h][e], of the first such e is added to the score, as a bias is: after softcap,
                                -inf masks, 0 where the row does not list j */
    CLATTN_LSH = 16,         /* the same bucket in any of `rounds` hashes, the index of the largest of [x R, -x R] for x = q and x = k (Kitaev
                                et al., "Reformer", 2020, which passes k = q / |q|) */
    CLATTN_TOP_K = 17,       /* the k largest final scores of the keys still allowed (of equal ones the lower j) */
    CLATTN_BLOCK_TOP_K = 18, /* per query head and query the `count` blocks of `block` keys with the largest scale q.mean(keys) (of equal
                                ones the lower); own: its own block is one of them, always; with .causal whole blocks before its own, and
                                its own if `own` (Yuan et al., "Native Sparse Attention", 2025; Lu et al., "MoBA", 2025) */
    CLATTN_TOP_P = 19,       /* the fewest keys, by descending weight (of equal ones the lower j), whose softmax weights reach p, at most max;
                                the output `spent` counts them */
    CLATTN_ADAPTIVE_SPAN = 20, /* at distance x = i - j a key's weight is multiplied by clamp((ramp + span[h] - x) / ramp, 0, 1) before
                                normalising, 1 for x < 0; 0 is not listed (Sukhbaatar et al., "Adaptive Attention Span", 2019) */
    CLATTN_HIERARCHICAL = 21, /* the own block of `block` keys, and each other block as one key and value, the means over its existing
                                keys, of weight e^s once; with .causal the blocks before; without a window */
    CLATTN_BLOCK_MASK = 22,  /* a tile map of one's own, as FlexAttention's BlockMask (Dong et al., 2024): for each block of block_size[0]
                                query rows (rows of the tensor, whatever their positions), and for each b and h or for all, lists of the
                                blocks of block_size[1] keys that it sees: kv_indices[b][h][row block][0 ... kv_num_blocks[b][h][row block]
                                - 1], where mask_mod is asked if there is one, and full_kv_indices[...], where it is not.  In any order; listed
                                twice counts once, in both lists as full.  What is in no list is not read.  Without tile_class.
                                clattn_create_block_mask makes such lists */
    CLATTN_UNION = 23, CLATTN_INTERSECT = 24 /* of patterns, but not of TOP_K, TOP_P, ADAPTIVE_SPAN, HIERARCHICAL and BLOCK_MASK */
} clattn_pattern_type;

/* Set it up with clattn_pattern_init; the fields that its type does not name are not looked at. */
typedef struct clattn_pattern {
    size_t size;             /* sizeof(clattn_pattern); set by clattn_pattern_init */
    clattn_pattern_type type;
    int64_t stride, summary; /* STRIDED, FIXED: stride 1 ...; summary 0 ... stride */
    int64_t width;           /* DILATED: 0 ... */
    int64_t dilation[3];     /* DILATED: [0]; NEIGHBORHOOD: each axis; 1 ..., 1 by default */
    int64_t count;           /* RANDOM: 0 ... 4096; BLOCK_TOP_K: 0 ... */
    uint64_t seed;           /* RANDOM, BIGBIRD */
    const int64_t *tokens;   /* GLOBAL, LONGFORMER: num_tokens positions, in any order; in all at most CLATTN_MAX_TOKENS */
    size_t num_tokens;
    int64_t block;           /* BIGBIRD, BLOCK_SPARSE, BLOCK_TOP_K, HIERARCHICAL: 1 ... */
    int64_t random, globals; /* BIGBIRD: numbers of blocks, 0 ...; random at most 4096 */
    int64_t radius;          /* LONGFORMER: 0 ... */
    int64_t window, sinks;   /* SINK_WINDOW: 0 ... */
    int64_t chunk;           /* CHUNKED: 1 ... */
    int axes;                /* NEIGHBORHOOD: 1 to 3; WINDOW2D: 2 */
    int64_t grid[3];         /* their product is kv_len (and q_len + q_offset does not exceed it) */
    int64_t kernel[3];       /* NEIGHBORHOOD: odd, kernel dilation at most the grid's side; WINDOW2D: divides it */
    int64_t shift[3];        /* WINDOW2D: token x goes to (x - shift) mod grid; any number */
    int causal[3];           /* NEIGHBORHOOD: nonzero = along this axis only up to the query's own place */
    int64_t layout[3];       /* BLOCK_SPARSE: the shape of block_layout, [1 or q_heads][block rows][block columns] */
    int64_t row_heads;       /* CSR: 1 (the default) row_ptr [q_len + 1]; q_heads: row_ptr [q_heads][q_len + 1], all into one col_idx */
    int64_t edges;           /* CSR: numbers in col_idx */
    int64_t edge_heads;      /* CSR: 0 (the default) no edge_bias; 1: edge_bias [edges]; q_heads, with row_heads 1: [q_heads][edges] */
    int64_t block_size[2];   /* BLOCK_MASK: query rows and keys of a block, 1 ...; neither has to divide its length */
    int64_t list_batch, list_heads; /* BLOCK_MASK: lists for batch rows, 1 (the default) or batch, and for heads, 1 (the default) or q_heads */
    int64_t max_blocks, max_full_blocks; /* BLOCK_MASK: the last axis of kv_indices and of full_kv_indices; 0 ..., max_full_blocks 0 (the
                                default): there are no full lists */
    int64_t rounds, buckets; /* LSH: rotations f32 [rounds][head_dim][buckets / 2]; buckets even, 2 ... */
    int64_t k;               /* TOP_K: 0 ... kv_len */
    double p;                /* TOP_P: 0 ... 1 */
    int64_t max;             /* TOP_P: -1 (the default) = no limit */
    int own;                 /* BLOCK_TOP_K */
    double ramp;             /* ADAPTIVE_SPAN: above 0 */
    const struct clattn_pattern *const *of; /* UNION, INTERSECT: num_of patterns, at least 1; in all at most CLATTN_MAX_PATTERNS */
    size_t num_of;
} clattn_pattern;
#define CLATTN_MAX_TOKENS 512
#define CLATTN_MAX_PATTERNS 12

/* A pattern of this type, every field at its default, sizes 0. */
CLATTN_API void clattn_pattern_init(clattn_pattern *pattern, clattn_pattern_type type) CLATTN_NONNULL(1);

/* One attention.  Set it up with clattn_attention_init, then change what differs. */
typedef struct clattn_attention {
    size_t size;            /* sizeof(clattn_attention); set by clattn_attention_init */
    clattn_dtype dtype;     /* of q, k, v and out */
    clattn_layout layout;
    int64_t batch;          /* 0 ...; 1 by default */
    int64_t q_heads;        /* a multiple of kv_heads; 1 by default */
    int64_t kv_heads;       /* 0 (the default) = q_heads; 1 = multi-query; query head h uses h / (q_heads / kv_heads) */
    int64_t q_len, kv_len;  /* 0 ... 2^30 */
    int64_t q_total, kv_total; /* CLATTN_THD: rows of q, and of k and v: 0 ... 2^30 */
    int64_t page_size;      /* above 0: k and v are a paged cache, k [pages][page_size][kv_heads][head_dim] (their batch stride is
                               that of pages); key j of batch row b lies in page block_table[b][j / page_size].
                               kv_len is then a multiple of it: what a row of the table holds (Kwon et al., "PagedAttention", 2023) */
    int64_t pages;          /* of the cache, at least 1 where page_size is given */
    int64_t head_dim;       /* of q and k: 1 ... 576 */
    int64_t v_dim;          /* of v and out: 1 ... 576; 0 (the default) = head_dim */
    clattn_strides q, k, v, out;
    double scale;           /* factor on q.k; NaN (the default) = 1 / sqrt(head_dim), 1 where .score says so */
    double softcap;         /* c > 0: a score s = scale q.k becomes c tanh(s / c), before masks (Gemma 2, Grok-1), 1e-37 ... 1e37;
                               0 (the default) = off */
    int causal;             /* nonzero: only keys j <= p */
    clattn_align align;
    int64_t q_offset;       /* for CLATTN_OFFSET */
    int64_t window_left;    /* only keys j >= p - window_left; -1 (the default) = unlimited */
    int64_t window_right;   /* only keys j <= p + window_right; -1 (the default) = unlimited */
    int64_t kv_lens;        /* above 0: batch row b has only the keys j < kv_lens[b], a tensor of the execution, and
                               CLATTN_BOTTOM_RIGHT counts from those; the number is the length to expect.  0 (the default): all */
    clattn_alibi alibi;     /* after softcap */
    clattn_broadcast bias;  /* f32, added to the score after softcap; -inf masks */
    clattn_broadcast mask;  /* bytes: nonzero = attend */
    int sinks;              /* nonzero: head h has one more score, sinks[h], which takes weight but adds no value
                               (Xiao et al., "Efficient Streaming Language Models with Attention Sinks", 2024; gpt-oss) */
    int round_weights;      /* nonzero: softmax's weights may be rounded to the dtype before they multiply values, as FlashAttention (Dao et al.,
                               2022) and PyTorch do for f16 and bf16; sums stay f32.  Where a device multiplies in that type that is faster (bf16
                               on a CPU with AVX512_BF16: 1.4 times; a GPU's matrix engine); elsewhere, and for f32, it changes nothing.  0 (the default): they stay f32 */
    double dropout_p;       /* 0 ... 1: so probably a weight is dropped after softmax, and one that is kept is multiplied by
                               1 / (1 - dropout_p) (Srivastava et al., "Dropout", 2014); 0 (the default) = off, 1 = all are, out
                               is 0.  lse and the weights are those before; sinks are not dropped */
    uint64_t seed, offset;  /* what is dropped is a function of both and of (batch row, head, row, key), the same on every device
                               and for every algorithm: weight (b, h, i, j) stays if uniform number ((b q_heads + h) q_len + i)
                               kv_len + j of Philox4x32-10 with this key and counter (Salmon et al., 2011) is at least dropout_p.
                               Take another offset for each step of a training; plans that differ in it share their kernels */
    int64_t new_len;        /* above 0, with kv_lens: before attending, new_len keys and values are written into the caches k and
                               v behind the kv_lens[b] that are there, and batch row b then has kv_lens[b] + new_len */
    clattn_strides k_new, v_new; /* of [batch][kv_heads][new_len][head_dim or v_dim] */
    int64_t shared_len;     /* above 0: the caller's word that the first shared_len keys and values of all batch rows are those of batch row
                               0 (a common prompt; paged: the same pages).  Decoding then reads them once for all queries, and merges
                               (shared prefix, or cascade: Ye et al., "FlashInfer", 2025); without a ragged batch */
    int64_t split_len;      /* above 0, 16 or more: each row's keys are cut every split_len keys from key 0 on and the parts merged in
                               order, so that the bits of its result on a device depend on nothing else in the batch, neither on the
                               number of batch rows nor on the others' lengths.  0 (the default): as is fastest for the whole */
    clattn_score score;
    double score_scale;     /* CLATTN_ADDITIVE; 1 by default */
    int64_t score_ws;       /* CLATTN_ADDITIVE: numbers in score_w */
    int64_t q_dim;          /* CLATTN_GENERAL: dims of q; 0 (the default) = head_dim, which is that of k */
    clattn_kv_format kv_format;
    clattn_scale k_scale, v_scale; /* CLATTN_KV_INT8: none, by key or by dim; CLATTN_KV_FP8: none or by head */
    clattn_scale k_zero, v_zero;   /* CLATTN_KV_INT8: none, by key or by dim */
    int64_t q_rope, k_rope; /* rotary embedding (Su et al., "RoFormer", 2021) of the first so many dims of q and of k before the product,
                               even, 0 = none: row i of the tables turns query i, row j key j; with new_len row r turns row r of
                               k_new, and the cache holds turned keys */
    int rope_interleaved;   /* nonzero: pairs of dims (2i, 2i + 1), else (i, i + rope / 2) */
    const char *score_mod;  /* the body of an OpenCL C 1.2 function of (float score, int b, int h, int i, int j), i being the query's
                               position p, j the key, that returns the new score, after softcap; NULL = none (FlexAttention's
                               idea, Dong et al. 2024).  It must not fail for any row and key that there is.  Copied. */
    const char *mask_mod;   /* the same of (int b, int h, int i, int j), nonzero = attend */
    const char *tile_class; /* the same of (int b, int h, int i0, int i1, int j0, int j1), which says what mask_mod, without which there
                               is none, lets through of the queries at positions i0 ... i1 - 1 and the keys j0 ... j1 - 1, none of
                               them outside of the tensors: 0 no pair, 2 each pair, and 1, or any other number, ask mask_mod pair by
                               pair.  What is called 0 is not read or computed at all, for what is called 2 mask_mod is not run:
                               without a mask in memory the work is that of the pairs that attend.  Causal:
                                   mask_mod   "return j <= i;"
                                   tile_class "return j0 >= i1 ? 0 : j1 <= i0 + 1 ? 2 : 1;"
                               It must depend on nothing but its arguments and buffers.  How queries and keys are cut into tiles is an
                               algorithm's own, and some never ask: where it contradicts mask_mod each pair follows one of the two,
                               nothing worse (the idea: FlexAttention's block mask) */
    const char *mod_buffers; /* names, divided by blanks, by which they see the tensors mods[0] ..., __global const float *name */
    const char *mod_scalars; /* "name=number", divided by blanks: const float name */
    int64_t mod_lengths[CLATTN_MAX_MODS]; /* elements of each buffer */
    clattn_score_callback score_callback; /* what the host calls instead: it needs one for each text, and OpenCL a text for each */
    clattn_mask_callback mask_callback;
    clattn_tile_callback tile_callback;
    void *callback_data;
    clattn_weights weights; /* computed beside the output, by a pass of its own over q and k */
    const clattn_pattern *pattern; /* NULL (the default) = none.  Copied, with all that it points to */
} clattn_attention;

/* Sets every field to its default (and size), lengths and dims to 0. */
CLATTN_API void clattn_attention_init(clattn_attention *a) CLATTN_NONNULL(1);

/* Fills the lists of A's pattern, a CLATTN_BLOCK_MASK, from A's mask_callback, as FlexAttention's create_block_mask: it is asked for each
 * pair of a query, by its position, and a key, until a block is known to have both kinds.  For lists that all b or all h share it is asked with 0.
 * Where max_full_blocks is 0, there are no full lists (NULL) and full blocks are listed as partial.  The arrays are as in clattn_buffers; what is
 * behind a list's end is left alone.  Runs on the calling thread.
 * Errors: those of A; E_ARGUMENT: no block mask, no mask_callback, an array is NULL; E_TOO_LARGE: a list is longer than max_blocks or
 * max_full_blocks; E_UNSUPPORTED: positions depend on kv_lens or on a ragged batch (CLATTN_BOTTOM_RIGHT). */
CLATTN_API clattn_status clattn_create_block_mask(const clattn_attention *a, int32_t *kv_num_blocks, int32_t *kv_indices,
                                                  int32_t *full_kv_num_blocks, int32_t *full_kv_indices)
    CLATTN_CHECK CLATTN_NONNULL(1);

/* -------------------------------------------------------- attention: how */

/* One algorithm with its parameters and kernels, for one problem on one context. */
typedef struct clattn_plan clattn_plan;

typedef struct clattn_plan_options {
    size_t size;            /* sizeof(clattn_plan_options) */
    const char *algorithm;  /* NULL: the cheapest; else a name that explain lists, or the call fails with the reason; it is not self-tested */
    const char *params;     /* NULL: the device's; else "rm=4 rn=4", some or all of the algorithm's */
    int measure;            /* nonzero: what is not known of the three cheapest algorithms is measured first, which takes seconds, and kept: see
                               clattn_tune, which searches further and says when it cannot */
} clattn_plan_options;

/* Plans the attention that A describes.  OPTIONS may be NULL.
 * The first time that an algorithm is planned on a device for a storage type, it must give known answers there, in a process of
 * its own (which builds the kernel that the plan then finds built, where the driver or the cache keeps such); else the next one is taken.
 * Errors: E_ARGUMENT (the message names the field and the numbers), E_TOO_LARGE,
 * E_UNSUPPORTED (with each algorithm's reason), E_BUILD, E_MEMORY, OpenCL codes. */
CLATTN_API clattn_status clattn_plan_create(clattn_context *ctx, const clattn_attention *a,
                                            const clattn_plan_options *options, clattn_plan **plan)
    CLATTN_CHECK CLATTN_NONNULL(1, 2, 4);

/* The plan in words: first line "<problem> on <device>: <algorithm> <params>", then
 * one line for each algorithm with its cost or the reason why it was refused.
 * Returns the length without the final 0; writes at most SIZE bytes, always
 * ended by 0 when SIZE > 0.  TEXT may be NULL when SIZE is 0. */
CLATTN_API size_t clattn_plan_explain(const clattn_plan *plan, char *text, size_t size) CLATTN_NONNULL(1);

/* Bytes of device memory that one execution needs beyond its tensors. */
CLATTN_API size_t clattn_plan_workspace(const clattn_plan *plan) CLATTN_NONNULL(1);

CLATTN_API void clattn_plan_destroy(clattn_plan *plan);

/* ---- tuning: parameters that were measured to be fast.  Plans take them up from then on, in every process of this user; there is no tuning unless
 * it is asked for. */

/* A try that was made: its number from 1 on, what it is ("lanes vl=16 qv=4 ..."), its milliseconds (infinite: it failed); the best so far ("": none). */
typedef struct clattn_tune_step {
    const char *problem, *tried, *best;
    int tries;
    double ms, best_ms;
} clattn_tune_step;

typedef struct clattn_tune_options {
    size_t size;      /* sizeof(clattn_tune_options) */
    double seconds;   /* to search for, about; 0: 60 */
    void (*progress)(void *user, const clattn_tune_step *step); /* after each try, on the calling thread; may be NULL */
    void *user;
    int exhaustive;   /* nonzero: all combinations of the algorithm that starts fastest come first, in a mixed order, as far as the time goes */
    const char *algorithm; /* try this one alone; NULL: all that may be wise */
    const char *params;    /* "bk=96 vl=16": those of the parameters keep these values; NULL: none does */
} clattn_tune_options;

typedef struct clattn_tune_result {
    size_t size;            /* sizeof(clattn_tune_result) */
    int tries, measured;    /* combinations of algorithm and parameters that were looked at; those among them that no call before had measured */
    double default_ms, ms;  /* an execution as it would be without any measurement, and at best, on data that is on the device */
    char algorithm[16], params[256];
} clattn_tune_result;

/* Searches for the fastest algorithm and parameters for A on CTX's device: from what is known of this device, or of one like it, and of problems near A,
 * one parameter after the other, then from random places.  Tries run on random data in a helper process with a deadline: each must give the result
 * of the host's own code and write nothing else before its time counts; one that crashes or hangs is not tried again with that driver.  All that
 * is measured is kept in the cache (CLATTN_CACHE_DIR), and a search that was broken off goes on from there.  Plans that there are stay as they are.
 * OPTIONS and RESULT may be NULL.
 * Errors: those of clattn_plan_create; E_UNSUPPORTED also where there is no helper process (CLATTN_PROBE), or for a device that is not one of
 * clattn_devices, or for functions of the user's. */
CLATTN_API clattn_status clattn_tune(clattn_context *ctx, const clattn_attention *a, const clattn_tune_options *options, clattn_tune_result *result)
    CLATTN_CHECK CLATTN_NONNULL(1, 2);

/* What was measured, as text: a line for the best of each device, problem and algorithm, a JSON object.  To be merged elsewhere by
 * clattn_wisdom_import, on a cluster by rank 0 for all.  Returns the length without the final 0; writes at most SIZE bytes, always ended by 0 when
 * SIZE > 0.  TEXT may be NULL when SIZE is 0. */
CLATTN_API size_t clattn_wisdom_export(char *text, size_t size);

/* Takes over lines of that kind, and keeps them in the cache; what is none is passed over.  RECORDS, which may be NULL, gets how many there were.
 * A record chooses among parameters that the library allows: a wrong one makes plans slow, not wrong.  Plans that there are stay as they are. */
CLATTN_API clattn_status clattn_wisdom_import(const char *text, size_t *records) CLATTN_CHECK CLATTN_NONNULL(1);

/* A tensor in device memory; OFFSET is in bytes, a multiple of the element size. */
typedef struct clattn_buffer {
    cl_mem mem;
    size_t offset;
} clattn_buffer;

typedef struct clattn_buffers {
    size_t size;             /* sizeof(clattn_buffers) */
    clattn_buffer q, k, v;   /* in; shapes and strides as in the plan's clattn_attention */
    clattn_buffer out;       /* out [batch][q_heads][q_len][v_dim], strides of .out; must not overlap the inputs */
    clattn_buffer lse;       /* out, optional (mem NULL): f32 [batch][q_heads][q_len], the natural logarithm of
                                each row's sum of exp(score), the sink's too; -inf where a row has neither key nor
                                sink (its out is 0) */
    clattn_buffer q_offset;  /* in, optional, CLATTN_OFFSET only: int32 [batch] */
    clattn_buffer kv_lens;   /* in, if .kv_lens: int32 [batch], 0 ... kv_len; what is out of range counts as the nearest */
    clattn_buffer alibi_slopes; /* in, if .alibi: f32 [q_heads] or [batch][q_heads] */
    clattn_buffer sinks;     /* in, if .sinks: f32 [q_heads] */
    clattn_buffer bias;      /* in, if .bias has a shape: f32 */
    clattn_buffer mask;      /* in, if .mask has a shape: bytes, nonzero = attend */
    clattn_buffer cu_seqlens_q; /* in, CLATTN_THD: int32 [batch + 1], never falling, from 0 ... to q_total: sequence b is the rows
                                cu_seqlens_q[b] ... cu_seqlens_q[b + 1] - 1; rows outside of all are not written */
    clattn_buffer cu_seqlens_k; /* in, CLATTN_THD unless paged: the same of k and v */
    clattn_buffer block_table; /* in, if .page_size: int32 [batch][kv_len / page_size], numbers of pages; those behind the last
                                key of a row may be -1; what is out of range in device memory is read as the nearest page */
    clattn_buffer k_new, v_new; /* in, if .new_len; k and v are written then (by a call that fails, too) and must overlap nothing but
                                each other.  What would lie behind kv_len, or in a page that is none, is not written */
    clattn_buffer weights;   /* out, if .weights */
    clattn_buffer k_scale, v_scale, k_zero, v_zero; /* in, f32, where the field of that name says so; by key with .new_len written, as k is */
    clattn_buffer q_rope_cos, q_rope_sin; /* in, if .q_rope: f32 [q_len][q_rope / 2] */
    clattn_buffer score_w;   /* in, f32, for CLATTN_ADDITIVE with .score_ws and CLATTN_GENERAL */
    clattn_buffer mods[CLATTN_MAX_MODS]; /* in, f32, as many as .mod_buffers names */
    clattn_buffer leaks;     /* in, CLATTN_GAT: f32 [q_heads] */
    clattn_buffer k_rope_cos, k_rope_sin; /* in, if .k_rope: f32 [kv_len, or new_len if above 0][k_rope / 2] */
    clattn_buffer prefix;    /* in, CLATTN_PREFIX: int32 [batch] */
    clattn_buffer doc_ids;   /* in, CLATTN_DOCUMENT: int32 [batch][kv_len], by position and by key; a position outside has no document */
    clattn_buffer block_layout; /* in, CLATTN_BLOCK_SPARSE: bytes, nonzero = attend */
    clattn_buffer row_ptr, col_idx; /* in, CLATTN_CSR: int32; row_ptr never falls, a row's col_idx ascend; what is out of range in device
                                memory is not read */
    clattn_buffer edge_bias; /* in, CLATTN_CSR with .edge_heads: f32 */
    clattn_buffer kv_num_blocks; /* in, CLATTN_BLOCK_MASK: int32 [list_batch][list_heads][q_len / block_size[0], rounded up] */
    clattn_buffer kv_indices; /* in, int32 [list_batch][list_heads][...][max_blocks]; what is out of range in device memory is not there, and
                                what is behind kv_num_blocks is not looked at */
    clattn_buffer full_kv_num_blocks, full_kv_indices; /* in, if .max_full_blocks: the same */
    clattn_buffer rotations; /* in, CLATTN_LSH: f32 */
    clattn_buffer span;      /* in, CLATTN_ADAPTIVE_SPAN: f32 [q_heads] */
    clattn_buffer spent;     /* out, CLATTN_TOP_P, optional: int32 [batch][q_heads][q_len], 0 for rows that a ragged batch row has not */
    clattn_buffer workspace; /* optional: clattn_plan_workspace bytes, aligned to 256; else allocated per call */
} clattn_buffers;

/* Enqueues the plan on QUEUE (NULL: the context's own) and returns at once.
 * Waits for WAIT_LIST first; stores an event in *EVENT when that is not NULL (release it).
 * Errors: E_ARGUMENT (a buffer is missing or too small: names and bytes), E_UNSUPPORTED
 * on a host context, E_FORKED, E_DEVICE_LOST, OpenCL codes. */
CLATTN_API clattn_status clattn_execute(const clattn_plan *plan, cl_command_queue queue, const clattn_buffers *buffers,
                                        uint32_t num_events, const cl_event *wait_list, cl_event *event)
    CLATTN_CHECK CLATTN_NONNULL(1, 3);

/* The same tensors in ordinary memory. */
typedef struct clattn_pointers {
    size_t size;             /* sizeof(clattn_pointers) */
    const void *q, *k, *v;
    void *out;
    float *lse;              /* may be NULL */
    const int32_t *q_offset; /* may be NULL */
    const int32_t *kv_lens;  /* these as in clattn_buffers; a length out of range is refused here */
    const float *alibi_slopes, *sinks, *bias;
    const uint8_t *mask;
    const int32_t *cu_seqlens_q, *cu_seqlens_k, *block_table;
    const void *k_new, *v_new; /* k and v, and scales and zero points by key, are then written, through their const pointers, even if
                                  what follows fails */
    float *weights;
    const float *k_scale, *v_scale, *k_zero, *v_zero, *q_rope_cos, *q_rope_sin, *k_rope_cos, *k_rope_sin;
    const float *score_w, *leaks, *mods[CLATTN_MAX_MODS];
    const int32_t *prefix, *doc_ids;
    const uint8_t *block_layout;
    const int32_t *row_ptr, *col_idx; /* refused with the index when out of range or out of order */
    const float *edge_bias;
    const int32_t *kv_num_blocks, *kv_indices, *full_kv_num_blocks, *full_kv_indices; /* refused with the index when out of range */
    const float *rotations, *span;
    int32_t *spent;          /* may be NULL */
} clattn_pointers;

/* Executes the plan on ordinary memory, on whatever device it is planned for, and
 * returns when the outputs are written.  Errors as clattn_execute, and E_TIMEOUT. */
CLATTN_API clattn_status clattn_execute_host(const clattn_plan *plan, const clattn_pointers *pointers)
    CLATTN_CHECK CLATTN_NONNULL(1, 2);

/* In one call, on the automatically chosen device, which is kept open for the
 * next call, as are the last plans.  Errors as of the calls above. */
CLATTN_API clattn_status clattn_attention_host(const clattn_attention *a, const clattn_pointers *pointers)
    CLATTN_CHECK CLATTN_NONNULL(1, 2);

/* -------------------------------------------------------- around attention
 *
 * What stands before, behind and between attentions: positions, normalisation, activations, caches, merging, first
 * weights.  Every function computes one of them on the device of CTX, or, with CTX NULL, on the automatically chosen
 * device that clattn_attention_host keeps open.
 *
 * Each tensor has a type of its own, and they may be mixed (f16 activations, f32 tables); arithmetic is f32.  An input
 * is never written.  Where "out may be x itself" it is the very same memory, else outputs overlap nothing.  Tensors may
 * lie in host or device memory, side by side: what is on the host is copied over and back.  A call returns when all is
 * written if LAUNCH is NULL or an output is on the host; else at once, host inputs are by then no longer needed.
 * Zero-sized axes are legal.  A negative axis counts from the end.
 *
 * Errors of all: CLATTN_E_ARGUMENT (the message names the tensor and the numbers), E_TOO_LARGE, E_UNSUPPORTED (device
 * memory on a host context), E_MEMORY, E_BUILD, E_FORKED, E_DEVICE_LOST, E_TIMEOUT, OpenCL codes. */

/* A tensor, packed, its last axis contiguous: in ordinary memory at HOST, or in MEM from byte OFFSET on (a multiple of
 * the element size), never both. */
typedef struct clattn_tensor {
    size_t size;            /* sizeof(clattn_tensor) */
    clattn_dtype dtype;
    int rank;               /* 0 ... 8 */
    int64_t shape[8];
    void *host;
    cl_mem mem;
    size_t offset;
} clattn_tensor;

/* Where a call's commands go, as for clattn_execute.  A host context has no queue and takes only zeros. */
typedef struct clattn_launch {
    size_t size;            /* sizeof(clattn_launch) */
    cl_command_queue queue; /* NULL: the context's own */
    uint32_t num_events;
    const cl_event *wait_list;
    cl_event *event;        /* where to store an event, or NULL; release it */
} clattn_launch;

/* Softmax of x along AXIS, and its logarithm; the largest element is subtracted first.  out as x, may be x itself. */
CLATTN_API clattn_status clattn_softmax(clattn_context *ctx, const clattn_tensor *x, int axis, const clattn_tensor *out,
                                        const clattn_launch *launch) CLATTN_CHECK CLATTN_NONNULL(2, 4);
CLATTN_API clattn_status clattn_log_softmax(clattn_context *ctx, const clattn_tensor *x, int axis,
                                            const clattn_tensor *out, const clattn_launch *launch)
    CLATTN_CHECK CLATTN_NONNULL(2, 4);

/* Over the axes from AXIS to the last (Ba et al., "Layer Normalization", 2016; Zhang and Sennrich, "Root Mean Square
 * Layer Normalization", 2019; ONNX LayerNormalization, RMSNormalization):
 *     layer  out = (x - mean) inv_std weight + bias      inv_std = 1 / sqrt(mean((x - mean)^2) + eps)
 *     rms    out = x inv_std weight + bias               inv_std = 1 / sqrt(mean(x^2) + eps)
 * weight, bias: optional; their shape is the end of x's shape.  out as x, may be x itself.  mean, inv_std: optional; as
 * x, with 1 for every axis that was normalised.  out is optional when one of them is given. */
CLATTN_API clattn_status clattn_layer_norm(clattn_context *ctx, const clattn_tensor *x, const clattn_tensor *weight,
                                           const clattn_tensor *bias, int axis, double eps, const clattn_tensor *out,
                                           const clattn_tensor *mean, const clattn_tensor *inv_std,
                                           const clattn_launch *launch) CLATTN_CHECK CLATTN_NONNULL(2);
CLATTN_API clattn_status clattn_rms_norm(clattn_context *ctx, const clattn_tensor *x, const clattn_tensor *weight,
                                         const clattn_tensor *bias, int axis, double eps, const clattn_tensor *out,
                                         const clattn_tensor *inv_std, const clattn_launch *launch)
    CLATTN_CHECK CLATTN_NONNULL(2);

typedef enum clattn_activation {
    CLATTN_ACTIVATION_NONE = 0,
    CLATTN_ACTIVATION_SILU = 1,     /* x / (1 + e^-x), swish */
    CLATTN_ACTIVATION_GELU = 2,     /* x Phi(x) by the error function (Hendrycks and Gimpel, 2016) */
    CLATTN_ACTIVATION_GELU_TANH = 3 /* 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) */
} clattn_activation;

/* Element by element.  out as x, may be x itself. */
CLATTN_API clattn_status clattn_activate(clattn_context *ctx, clattn_activation activation, const clattn_tensor *x,
                                         const clattn_tensor *out, const clattn_launch *launch)
    CLATTN_CHECK CLATTN_NONNULL(3, 4);

/* Rotary position embedding (Su et al., "RoFormer", 2021; ONNX RotaryEmbedding): pair p of a row turns by the angle
 * whose cosine and sine are in row n of the tables, n its position.  x [B,H,N,D], or [B,N,H,D] by LAYOUT; cos, sin
 * [rows, P]: the first 2P elements are pairs, (p, p + P), or (2p, 2p + 1) when INTERLEAVED is nonzero, the rest is
 * copied.  position_ids: optional int32 [B,N]; without it the position is the index n < N <= rows.  An id without a
 * row is refused when position_ids is on the host; in device memory it makes the row's pairs NaN.  out as x, may be x
 * itself. */
CLATTN_API clattn_status clattn_rope(clattn_context *ctx, const clattn_tensor *x, const clattn_tensor *cos,
                                     const clattn_tensor *sin, const clattn_tensor *position_ids, clattn_layout layout,
                                     int interleaved, const clattn_tensor *out, const clattn_launch *launch)
    CLATTN_CHECK CLATTN_NONNULL(2, 3, 4, 8);

typedef enum clattn_rope_type {
    CLATTN_ROPE_DEFAULT = 0,
    CLATTN_ROPE_LINEAR = 1,   /* position interpolation (Chen et al., 2023) */
    CLATTN_ROPE_DYNAMIC = 2,  /* NTK-aware, by the length reached */
    CLATTN_ROPE_YARN = 3,     /* Peng et al., "YaRN", 2023 */
    CLATTN_ROPE_LLAMA3 = 4,
    CLATTN_ROPE_LONGROPE = 5  /* Ding et al., "LongRoPE", 2024 */
} clattn_rope_type;

/* The parameters of a model's "rope_parameters", under their names there.  Set it up with clattn_rope_params_init; a
 * number that is NaN or 0 counts as not given, and is then the default in brackets or, without one, an error where it
 * is used. */
typedef struct clattn_rope_params {
    size_t size;            /* sizeof(clattn_rope_params); set by clattn_rope_params_init */
    clattn_rope_type type;
    int64_t dim;            /* of a head, even after partial_rotary_factor */
    int64_t start;          /* position of the tables' first row; 0 */
    double theta;           /* 10000 */
    double partial_rotary_factor; /* 1: the share of dim that is rotated, rounded down */
    double factor;          /* all but default [yarn, longrope: max_position_... / original_max_position_...] */
    int64_t max_position_embeddings;          /* dynamic */
    int64_t original_max_position_embeddings; /* yarn, llama3, longrope [max_position_embeddings] */
    double attention_factor;                  /* of cos and sin: yarn, longrope [theirs] */
    double beta_fast, beta_slow;              /* yarn [32, 1] */
    double mscale, mscale_all_dim;            /* yarn */
    int no_truncate;                          /* yarn: nonzero = the ramp's ends are not rounded to whole dims */
    double low_freq_factor, high_freq_factor; /* llama3 */
    size_t num_factors;                       /* longrope: of each list, half the rotated dims */
    const double *short_factor, *long_factor; /* longrope: long beyond the original length */
} clattn_rope_params;
CLATTN_API void clattn_rope_params_init(clattn_rope_params *rope) CLATTN_NONNULL(1);

/* The tables for positions start ... start + length - 1: inv_freq [P], cos, sin [length, P], P half the rotated dims,
 * each optional, with the attention factor multiplied in.  dynamic and longrope choose by start + length.  Computed as
 * transformers does: frequencies and angles are rounded to f32. */
CLATTN_API clattn_status clattn_rope_tables(clattn_context *ctx, const clattn_rope_params *rope,
                                            const clattn_tensor *inv_freq, const clattn_tensor *cos,
                                            const clattn_tensor *sin, const clattn_launch *launch)
    CLATTN_CHECK CLATTN_NONNULL(2);

/* table [length, dim] = sin(n / 10000^(2p / dim)) in column 2p, the cosine in column 2p + 1 (Vaswani et al., 2017). */
CLATTN_API clattn_status clattn_sinusoidal(clattn_context *ctx, const clattn_tensor *table, const clattn_launch *launch)
    CLATTN_CHECK CLATTN_NONNULL(2);

/* bias [H,N,N] from a learned table [H, 2N - 1]: bias[h][i][j] = table[h][i - j + N - 1] (Shaw et al., 2018). */
CLATTN_API clattn_status clattn_relative_bias(clattn_context *ctx, const clattn_tensor *table,
                                              const clattn_tensor *bias, const clattn_launch *launch)
    CLATTN_CHECK CLATTN_NONNULL(2, 3);

/* bias [H,Nq,Nk] from T5's table [buckets, H] (Raffel et al., 2020): the bucket of j - i; half of them exact distances,
 * the rest grow logarithmically up to MAX_DISTANCE.  BIDIRECTIONAL nonzero: keys ahead have half of the buckets. */
CLATTN_API clattn_status clattn_t5_bias(clattn_context *ctx, const clattn_tensor *table, int bidirectional,
                                        int64_t max_distance, const clattn_tensor *bias, const clattn_launch *launch)
    CLATTN_CHECK CLATTN_NONNULL(2, 5);

/* out = past_cache with update written along AXIS from index write_indices[b] on (ONNX TensorScatter).  past_cache
 * [B,...,M,...]; update the same but for AXIS (not the first), where it is L <= M; write_indices: optional int32 [B],
 * else 0.  CIRCULAR nonzero: indices are taken modulo M; else what does not fit is refused when write_indices is on the
 * host and not written when it is in device memory.  out as past_cache; may be past_cache itself, and then only what
 * update covers is touched. */
CLATTN_API clattn_status clattn_cache_scatter(clattn_context *ctx, const clattn_tensor *past_cache,
                                              const clattn_tensor *update, const clattn_tensor *write_indices, int axis,
                                              int circular, const clattn_tensor *out, const clattn_launch *launch)
    CLATTN_CHECK CLATTN_NONNULL(2, 3, 7);

/* Depthwise convolution that sees the past alone (Mamba; ONNX CausalConvWithState): out[b][c][t] =
 * activation(bias[c] + sum over w of weight[c][0][w] x[t + w]), x = past_state and input in a row.  input [B,C,T],
 * weight [C,1,W], W >= 1, bias [C] optional, past_state [B,C,W-1] optional, else 0; out as input, present_state
 * [B,C,W-1], the end of x, each optional. */
CLATTN_API clattn_status clattn_causal_conv(clattn_context *ctx, const clattn_tensor *input,
                                            const clattn_tensor *weight, const clattn_tensor *bias,
                                            const clattn_tensor *past_state, clattn_activation activation,
                                            const clattn_tensor *out, const clattn_tensor *present_state,
                                            const clattn_launch *launch) CLATTN_CHECK CLATTN_NONNULL(2, 3);

/* Joins attentions of the same queries over S sets of keys: outs [S,...,Dv], lses [S,...], natural logarithms as
 * clattn_execute gives them -> out [...,Dv], lse [...], each optional.  A part with lse -inf is never read; rows where
 * all are give 0 and -inf. */
CLATTN_API clattn_status clattn_merge(clattn_context *ctx, const clattn_tensor *outs, const clattn_tensor *lses,
                                      const clattn_tensor *out, const clattn_tensor *lse, const clattn_launch *launch)
    CLATTN_CHECK CLATTN_NONNULL(2, 3);

typedef enum clattn_initialiser {
    CLATTN_XAVIER_UNIFORM = 0, /* deviation gain sqrt(2 / (fan_in + fan_out)) (Glorot and Bengio, 2010); gain 1 */
    CLATTN_XAVIER_NORMAL = 1,
    CLATTN_HE_UNIFORM = 2,     /* deviation gain / sqrt(fan_in) (He et al., 2015); gain sqrt(2) */
    CLATTN_HE_NORMAL = 3
} clattn_initialiser;

/* Draws first weights: out [fan_out, fan_in, ...], further axes count into both fans.  GAIN 0: its default.  Uniform
 * ones lie within sqrt(3) deviations.  Element e is number e of Philox4x32-10 with SEED and OFFSET, the same on every
 * device. */
CLATTN_API clattn_status clattn_initialise(clattn_context *ctx, clattn_initialiser how, double gain, uint64_t seed,
                                           uint64_t offset, const clattn_tensor *out, const clattn_launch *launch)
    CLATTN_CHECK CLATTN_NONNULL(6);

/* -------------------------------------------------------- linear attention
 *
 * Attention whose scores are products of features, phi(q).phi(k), without a softmax over the keys: the keys and values seen
 * so far are summed up in a state S [F][V] per head, and a token costs the same wherever it stands (Katharopoulos et al.,
 * "Transformers are RNNs", 2020).  For each token t in turn
 *
 *     rule          S becomes
 *     LINEAR        S + phi(k) v^T
 *     GATED         e^g S + phi(k) v^T                            RetNet, Mamba 2, GLA, RWKV 6
 *     DELTA         S + beta phi(k) (v - S^T phi(k))^T            DeltaNet (Schlag et al., 2021; Yang et al., 2024)
 *     GATED_DELTA   e^g S, then DELTA                             Gated DeltaNet (Yang et al., 2024)
 *
 *     out = scale S^T phi(q),   normalised: divided by scale phi(q).z + eps, z being the state of a value 1
 *
 * Long sequences are computed in chunks, a small attention within each and the state between them (the delta rules by
 * forward substitution within a chunk); a few tokens step by step, in the state's own memory.  Memory beyond the tensors is
 * that of the states and of a few chunks: features are made chunk by chunk.  Arithmetic and states are f32 on the way. */
typedef enum clattn_update_rule {
    CLATTN_RULE_LINEAR = 0,
    CLATTN_RULE_GATED = 1,
    CLATTN_RULE_DELTA = 2,
    CLATTN_RULE_GATED_DELTA = 3
} clattn_update_rule;

/* phi(x), of q and of k; F features of K dims. */
typedef enum clattn_feature_map {
    CLATTN_MAP_IDENTITY = 0, /* x */
    CLATTN_MAP_ELU1 = 1,     /* elu(x) + 1 (Katharopoulos et al., 2020) */
    CLATTN_MAP_RELU = 2,
    CLATTN_MAP_EXP = 3,      /* e^x */
    CLATTN_MAP_SQUARE = 4,   /* x x^T, F = K^2: scores (q.k)^2 */
    CLATTN_MAP_TAYLOR2 = 5,  /* 1, x, x x^T / sqrt(2), F = 1 + K + K^2: scores 1 + s + s^2 / 2, s = q.k (Arora et al., "Based", 2024) */
    CLATTN_MAP_FAVOR = 6,    /* e^(w.y - y.y / 2) / sqrt(F), y = K^(-1/4) x, for the F rows w of projection: its products estimate
                                e^(q.k / sqrt(K)) (Choromanski et al., "Performers", 2021) */
    CLATTN_MAP_COS = 7,      /* relu(x) cos(a t), relu(x) sin(a t), a = pi / (2 max_len), F = 2K (Qin et al., "cosFormer", 2022) */
    CLATTN_MAP_SOFTMAX = 8   /* softmax over the dims (Shen et al., "Efficient Attention", 2021) */
} clattn_feature_map;

/* Set it up with clattn_linear_init, then change what differs. */
typedef struct clattn_linear {
    size_t size;             /* sizeof(clattn_linear); set by clattn_linear_init */
    clattn_layout layout;    /* CLATTN_BHSD (the default) or CLATTN_BSHD, of q, k, v, g, beta and out */
    clattn_update_rule rule;
    clattn_feature_map map;
    double scale;            /* NaN (the default) = 1 / sqrt(K) */
    int normalize;           /* nonzero: divide, LINEAR and GATED alone */
    double eps;              /* added to the divisor; 0 by default */
    int bidirectional;       /* nonzero: each query reads the state of all tokens; LINEAR alone, without initial state */
    int l2norm_qk;           /* nonzero: rows of q and k are divided by sqrt(sum of squares + 1e-6) before the map */
    int64_t max_len;         /* of CLATTN_MAP_COS; 0 (the default) = T */
    int64_t chunk;           /* tokens that are computed at once, 2 ... 1024; 1: step by step; 0 (the default): by length and rule.
                                The delta rules take at most 32, with a feature map 16: longer ones add rounding errors */
    int64_t lag;             /* token t reads the state of the tokens up to t - lag; 0 (the default): its own too.  The tokens before
                                LAG read nothing, out is 0; the final state is that of the first T - lag tokens.  Causal alone, without
                                u, not for CLATTN_MAP_COS */
} clattn_linear;
CLATTN_API void clattn_linear_init(clattn_linear *linear) CLATTN_NONNULL(1);

/* Shapes are those of CLATTN_BHSD; H heads of q are a multiple of Hkv, as in attention.  Types may be mixed. */
typedef struct clattn_linear_tensors {
    size_t size;                        /* sizeof(clattn_linear_tensors) */
    const clattn_tensor *q, *k, *v;     /* [B,H,T,K], [B,Hkv,T,K], [B,Hkv,T,V]; K 1 ... 4096 */
    const clattn_tensor *g;             /* gated rules: the logarithm of the decay, per head [B,Hkv,T], or per key dim [B,Hkv,T,K] where
                                           F = K.  0 keeps all, -inf forgets all; retention (RetNet) is GATED with g the same for all t,
                                           g[h] = log(1 - 2^(-5 - h)) */
    const clattn_tensor *beta;          /* delta rules: [B,Hkv,T] */
    const clattn_tensor *u;             /* optional [Hkv,K], LINEAR and GATED with F = K: the token itself is read as (u k) v^T, and the
                                           state before its update: RWKV-6 (Peng et al., 2024) is GATED with g by key dim, u and
                                           scale 1 */
    const clattn_tensor *projection;    /* CLATTN_MAP_FAVOR: [F,K], see clattn_favor_projection */
    const clattn_tensor *initial_state; /* optional [B,Hkv,F,V], else 0 */
    const clattn_tensor *initial_z;     /* optional [B,Hkv,F], normalised alone */
    const clattn_tensor *out;           /* [B,H,T,V] */
    const clattn_tensor *lse;           /* optional [B,H,T] in both layouts, normalised alone: the logarithm of the row's divisor, for
                                           clattn_merge.  -inf where the divisor is 0 or nothing is read, NaN where it is negative, which
                                           features below 0 can make: then there is nothing to merge */
    const clattn_tensor *final_state;   /* optional, as initial_state, and may be it: decoding then works in place, best with V a
                                           multiple of 16 and f32 */
    const clattn_tensor *final_z;       /* optional, as initial_z, and may be it */
} clattn_linear_tensors;

/* Softmax over a window of W tokens and linear attention of all before it, under one divisor (LoLCATs, Zhang et al., 2024), is three
 * calls, with outs [2,B,H,T,V] and lses [2,B,H,T], both f32: clattn_execute of an attention that is causal with window_left W - 1 fills
 * the first halves, out and lse; clattn_linear_attention with normalize, scale 1 and lag W the second ones; clattn_merge makes one of both. */

/* Computes it on the device of CTX, memory and LAUNCH as for the operations around attention.  A sequence may be cut anywhere:
 * the final state of one part is the initial one of the next (CLATTN_MAP_COS counts t from 0 in each).
 * Errors: E_ARGUMENT (a tensor is missing, superfluous or of a wrong shape: its name and the numbers), E_UNSUPPORTED (what the
 * rule does not have, what the device cannot hold), and those of the operations around attention. */
CLATTN_API clattn_status clattn_linear_attention(clattn_context *ctx, const clattn_linear *linear,
                                                 const clattn_linear_tensors *tensors, const clattn_launch *launch)
    CLATTN_CHECK CLATTN_NONNULL(2, 3);

/* Mamba 2's recurrence (Dao and Gu, "Transformers are SSMs", 2024): GATED with g = -e^A_log dt, k = B, q = C, v = dt x, scale 1,
 * plus D x.  x [B,T,H,P], dt [B,T,H] behind its softplus, A_log [H], B, C [B,T,G,N], H a multiple of G, D optional [H],
 * initial_state optional [B,H,N,P], out as x, final_state optional as initial_state and may be it.  CHUNK as in clattn_linear. */
CLATTN_API clattn_status clattn_mamba2_ssd(clattn_context *ctx, const clattn_tensor *x, const clattn_tensor *dt,
                                           const clattn_tensor *A_log, const clattn_tensor *B, const clattn_tensor *C,
                                           const clattn_tensor *D, const clattn_tensor *initial_state, int64_t chunk,
                                           const clattn_tensor *out, const clattn_tensor *final_state,
                                           const clattn_launch *launch) CLATTN_CHECK CLATTN_NONNULL(2, 3, 4, 5, 6, 10);

/* Attention through few keys; SCALE NaN: 1 / sqrt(D).  All heads of q have keys of their own: q [B,H,Nq,D], k [B,H,Nk,D],
 * v [B,H,Nk,Dv], out [B,H,Nq,Dv], or by LAYOUT [B,N,H,D].
 * linformer (Wang et al., 2020): softmax(scale q (e k)^T) f v, the sequence of keys projected to P of them by e, f [H or 1,P,Nk],
 * f NULL: e. */
CLATTN_API clattn_status clattn_linformer(clattn_context *ctx, const clattn_tensor *q, const clattn_tensor *k,
                                          const clattn_tensor *v, const clattn_tensor *e, const clattn_tensor *f,
                                          clattn_layout layout, double scale, const clattn_tensor *out,
                                          const clattn_launch *launch) CLATTN_CHECK CLATTN_NONNULL(2, 3, 4, 5, 9);
/* nystrom (Xiong et al., "Nystromformer", 2021): softmax(q k'^T) Z softmax(q' k^T) v, k' and q' being means of LANDMARKS segments, 1 ...
 * 1024 and at most Nq and Nk, Z six steps of iteration to the inverse of softmax(q' k'^T), each head's matrix for itself. */
CLATTN_API clattn_status clattn_nystrom(clattn_context *ctx, const clattn_tensor *q, const clattn_tensor *k,
                                        const clattn_tensor *v, int64_t landmarks, clattn_layout layout, double scale,
                                        const clattn_tensor *out, const clattn_launch *launch)
    CLATTN_CHECK CLATTN_NONNULL(2, 3, 4, 8);

/* Draws projection [M,K] for CLATTN_MAP_FAVOR (Choromanski et al., 2021): blocks of K rows, the last perhaps shorter, that are
 * orthogonal to each other within a block, each with the norm that a row of K normal numbers has.  Row r of a block is normal
 * numbers r K ... of Philox4x32-10 with SEED and OFFSET, made orthogonal to the rows above it in its block by Gram-Schmidt, twice,
 * in f64, and then given the norm of normal numbers (M + r) K ...: rows are counted from the first of all, and the bits are the same on every device. */
CLATTN_API clattn_status clattn_favor_projection(clattn_context *ctx, uint64_t seed, uint64_t offset,
                                                 const clattn_tensor *projection, const clattn_launch *launch)
    CLATTN_CHECK CLATTN_NONNULL(4);

#ifdef __cplusplus
}
#endif
#endif
