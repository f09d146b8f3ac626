/* common.c -- what the algorithms share: build options, kernel arguments, the unit of cost. */
#include <stddef.h>
#include <string.h>
#include "algo/algo.h"
#include "host/host.h"

_Static_assert(offsetof(ca_args, first_part) + sizeof(ca_int) == sizeof(ca_args), "no padding at the end");
/* Five tensors, the optional ones, these numbers and gemm's: what every full-profile device takes. */
_Static_assert(sizeof(ca_args) + 64 + (5 + CA_OPTIONAL_END - CA_QOFF) * 8 <= 1024, "a kernel's parameters are too large");

const struct algo *ca_algo_find(const char *name)
{
    for (const struct algo *const *a = ca_algos; *a; a++)
        if (!strcmp((*a)->name, name)) return *a;
    return NULL;
}

static bool unit(const struct problem *p) { return p->q.d == 1 && p->k.d == 1 && p->v.d == 1 && p->o.d == 1; }

void ca_optional_host(const struct problem *p, const struct io *io, ca_optional *x)
{
    *x = (ca_optional){ io->t[CA_QOFF].host, io->t[CA_LENS].host, io->t[CA_SLOPES].host, io->t[CA_SINKS].host, io->t[CA_BIAS].host,
                        io->t[CA_MASK].host, io->t[CA_CUQ].host, io->t[CA_CUK].host, io->t[CA_TABLE].host, io->t[CA_KSCALE].host, io->t[CA_VSCALE].host,
                        io->t[CA_KZERO].host, io->t[CA_VZERO].host, io->t[CA_QCOS].host, io->t[CA_QSIN].host,
                        io->t[CA_KCOS].host, io->t[CA_KSIN].host, io->t[CA_SCOREW].host, io->t[CA_LEAKS].host, { NULL },
                        io->t[CA_PATTERN].host,
                        p->score_callback, p->mask_callback, p->tile_callback, p->callback_data, p->pattern.node, p->pattern.num_nodes,
                        p->pattern.most, p->pattern.passes, p->pattern.share, NULL, p->round_weights };
    for (int k = 0; k < p->pattern.num_nodes && p->pattern.edge_heads; k++)
        if (p->pattern.node[k].type == CA_CSR) x->edges = &p->pattern.node[k];
}

int ca_feature_options(const struct problem *p, char *text, size_t size)
{
    ca_args a;
    ca_problem_args(p, &a);
    return snprintf(text, size, " -DSTORAGE=%d -DHAS_QOFF=%d -DLENS=%d -DSOFTCAP=%d -DALIBI=%d -DBIAS=%d -DMASK=%d -DSINKS=%d"
                    " -DRAGGED=%d -DPAGED=%d -DQUANT=%d -DROPE=%d -DSCORE=%d -DDROPOUT=%d -DSHARED=%d -DFUSED=%d", (int)p->dtype, p->has_qoff, p->lens != 0, p->softcap != 0, p->has_alibi, p->bias.on,
                    p->mask.on, p->has_sinks, p->ragged, p->page_size != 0, (int)p->kv_format,
                    p->q_rot || (p->k_rot && !p->new_len), (int)p->score, p->dropout > 0, p->shared_len > 0, ca_is_fused(&a));
}

int ca_common_options(const struct problem *p, const struct device *dev, char *text, size_t size)
{
    int n = snprintf(text, size, "-DDQK=%d -DDV=%d -DUNIT=%d", (int)p->D, (int)p->Dv, unit(p));
    n += ca_feature_options(p, text + n, size - (size_t)n);
    /* Small sub-groups leave each work-item more registers; without a demand some compilers spill instead. */
    if (dev->subgroup_min && !ca_is_cpu_like(dev) && n > 0 && (size_t)n < size)
        n += snprintf(text + n, size - (size_t)n, " -DSUBGROUP=%u", dev->subgroup_min);
    return n;
}

size_t ca_group_for(const struct device *dev, int64_t width)
{
    size_t n = 1;
    while (n < 64 && (int64_t)n < width && 2 * n <= dev->max_group && 2 * n <= dev->max_items[0]) n *= 2;
    return n;
}

int64_t ca_shared_parts(const struct problem *p, int64_t part) { return ca_ceil_div(p->shared_len, part); }

int64_t ca_parts(const struct problem *p, int64_t part)
{
    return ca_max(ca_shared_parts(p, part) + ca_ceil_div(p->Nk - p->shared_len, part), 1);
}

int ca_pack_heads(const struct problem *p, int64_t rows)
{
    int64_t own = p->Nq * (p->Hq / ca_max(p->Hkv, 1)), heads = p->k.h < p->k.s && !p->split_len && !p->shared_len ? ca_min(rows / ca_max(own, 1), p->Hkv) : 1;
    while (heads > 1 && p->Hkv % heads) heads--;
    return (int)ca_max(heads, 1);
}

int ca_part_len(const struct problem *p, int64_t units, int64_t wanted)
{
    int64_t parts = ca_ceil_div(wanted, ca_max(units, 1)), keys = ca_max(ca_round_up(ca_ceil_div(p->Nk, parts), 64), 256);
    return (int)(p->split_len ? p->split_len : keys);
}

int64_t ca_lane_tiles(const struct problem *p, int64_t rows)
{
    return p->pattern.passes ? ca_order_tiles((ca_int)p->Nq, (ca_int)rows, NODE(p->pattern.node)) : ca_tiles(p, rows);
}

int64_t ca_chunk_rows(const struct problem *p, int64_t chunks)
{
    const int64_t words = p->Dv + 2 + (p->pattern.grouped ? ca_picks((ca_int)p->Nk, NODE(p->pattern.node)) : 0);
    const int64_t most = ((int64_t)8 << 20) / (int64_t)sizeof(float) / words, per_head = ca_ceil_div(chunks, ca_max(p->B * p->Hq, 1));
    return ca_max(1, ca_min(most, ca_ceil_div(p->Nq, per_head)));
}

int64_t ca_group_rows(const struct problem *p, int64_t workers) { return ca_chunk_rows(p, workers * (p->right < CA_UNLIMITED ? 2 : 1)); }

size_t ca_states_bytes(const struct problem *p, int64_t states)
{
    double bytes = (double)ca_all_rows(p) * (double)states * (double)(p->Dv + 2) * sizeof(float);
    return bytes > 0x1p62 ? SIZE_MAX : (size_t)(ca_all_rows(p) * states * (p->Dv + 2)) * sizeof(float);
}

static ca_long elements(const struct tensor *t, size_t size) { return (ca_long)(t->offset / size); }
static ca_int given(const struct tensor *t) { return t->mem != NULL || t->host != NULL; }

void ca_io_args(const struct problem *p, const struct io *io, ca_args *a)
{
    size_t size = ca_dtype_size(p->dtype);

    ca_problem_args(p, a);
    a->q_0 = elements(&io->t[CA_Q], size);
    a->k_0 = elements(&io->t[CA_K], ca_slot_size(p, CA_K));
    a->v_0 = elements(&io->t[CA_V], ca_slot_size(p, CA_V));
    a->o_0 = elements(&io->t[CA_OUT], size);
    a->lse_0 = elements(&io->t[CA_LSE], sizeof(float));
    a->qoff_0 = elements(&io->t[CA_QOFF], sizeof(int32_t));
    a->lens_0 = elements(&io->t[CA_LENS], sizeof(int32_t));
    a->slopes_0 = elements(&io->t[CA_SLOPES], sizeof(float));
    a->sinks_0 = elements(&io->t[CA_SINKS], sizeof(float));
    a->bias_0 = elements(&io->t[CA_BIAS], sizeof(float));
    a->mask_0 = elements(&io->t[CA_MASK], 1);
    a->cu_q_0 = elements(&io->t[CA_CUQ], sizeof(int32_t));
    a->cu_k_0 = elements(&io->t[CA_CUK], sizeof(int32_t));
    a->table_0 = elements(&io->t[CA_TABLE], sizeof(int32_t));
    a->score_w_0 = elements(&io->t[CA_SCOREW], sizeof(float));
    a->leaks_0 = elements(&io->t[CA_LEAKS], sizeof(float));
    for (int k = 0; k < CA_MODS; k++) a->mod_0[k] = elements(&io->t[CA_MOD + k], sizeof(float));
    a->k_scale_0 = elements(&io->t[CA_KSCALE], sizeof(float));
    a->v_scale_0 = elements(&io->t[CA_VSCALE], sizeof(float));
    a->k_zero_0 = elements(&io->t[CA_KZERO], sizeof(float));
    a->v_zero_0 = elements(&io->t[CA_VZERO], sizeof(float));
    a->q_cos_0 = elements(&io->t[CA_QCOS], sizeof(float));
    a->q_sin_0 = elements(&io->t[CA_QSIN], sizeof(float));
    a->k_cos_0 = elements(&io->t[CA_KCOS], sizeof(float));
    a->k_sin_0 = elements(&io->t[CA_KSIN], sizeof(float));
    a->kn_0 = elements(&io->t[CA_KNEW], size);
    a->vn_0 = elements(&io->t[CA_VNEW], size);
    a->pattern_0 = (ca_int)elements(&io->t[CA_PATTERN], 64 * sizeof(int32_t)); /* a workspace is aligned to 256 bytes */
    a->w_0 = elements(&io->t[CA_WEIGHTS], sizeof(float));
    a->has_lse = given(&io->t[CA_LSE]);
    a->has_qoff = given(&io->t[CA_QOFF]);
}

cl_uint ca_kernel_args(const struct problem *p, const struct io *io, const ca_args *a, const struct tensor *const *first, cl_uint count,
                       struct launch_arg args[CA_MAX_ARGS])
{
    cl_uint n = 0;
    for (; n < count; n++) args[n] = (struct launch_arg){ sizeof(cl_mem), &first[n]->mem };
    for (int s = CA_QOFF, end = ca_optional_end(p); s < end; s++) args[n++] = (struct launch_arg){ sizeof(cl_mem), &io->t[s].mem };
    args[n++] = (struct launch_arg){ sizeof *a, a };
    return n;
}

static bool is_aligned(const struct ca_strides *s) { return (s->b | s->h | s->s) % 4 == 0; }
bool ca_is_aligned(const struct problem *p) { return is_aligned(&p->q) && is_aligned(&p->k) && is_aligned(&p->v); }

clattn_status ca_launch_attention(const struct clattn_plan *plan, const struct io *io, struct chain *c, const char *kernel, const size_t global[2],
                                  const size_t local[2])
{
    const struct problem *p = &plan->p;
    const struct tensor *const tensors[] = { &io->t[CA_Q], &io->t[CA_K], &io->t[CA_V], &io->t[CA_OUT], &io->t[CA_LSE] };
    struct launch_arg args[CA_MAX_ARGS];
    ca_args a;
    ca_io_args(p, io, &a);
    const cl_uint num_args = ca_kernel_args(p, io, &a, tensors, 5, args);
    const struct launch l = {
        .program = plan->program, .kernel = kernel, .dims = 2, .global = { global[0], global[1] }, .local = { local[0], local[1] },
        .flops = ca_problem_flops(p), .args = args, .num_args = num_args,
    };
    return ca_launch(plan->ctx, &l, c);
}

double ca_flops_ms(const struct problem *p, const struct device *dev)
{
    /* A core's vectors at some GHz, half of the peak; the host is not measured before it is used. */
    double guess = ca_is_host(dev) ? 4.0 * ca_host_isa()->type[p->dtype]->lanes * ca_host_threads() : (ca_is_cpu_like(dev) ? 4.0 : 20.0) * dev->compute_units;
    return 1e-6 * ca_problem_flops(p) / (dev->gflops > 0 ? dev->gflops : guess);
}

/* Keys that some of ROWS neighbouring queries sees, to those of one: where the band's edges move, a tile sees its own height more. */
static double band_waste(const struct problem *p, double rows)
{
    const double seen = fmax(1, ca_problem_visible(p) / (double)ca_max(p->Nq, 1)), more = (fmin(rows, (double)ca_max(p->Nq, 1)) - 1) / 2;
    return fmin(seen + more * ((p->left != CA_UNLIMITED) + (p->right != CA_UNLIMITED)), fmax(seen, (double)p->Nk)) / seen;
}

double ca_tiles_waste(const struct problem *p, double rows)
{
    /* Keys that are hidden one by one are asked for lane by lane, which takes longer than the products. */
    bool scattered = ca_has_pattern(p, CA_RANDOM) || ca_has_pattern(p, CA_CSR) || ca_has_pattern(p, CA_LSH) || ca_has_pattern(p, CA_BLOCK_TOP_K) ||
                     ca_has_pattern(p, CA_DILATED) || ca_has_pattern(p, CA_NEIGHBORHOOD) || ca_has_pattern(p, CA_WINDOW2D);
    return band_waste(p, rows) * ca_pattern_share(p, rows) / ca_pattern_share(p, 1) * (scattered ? 10 : 1);
}

/* Keys of a tile of ROWS queries of a neighborhood, to those that one of them sees. */
static double box_waste(ca_int rows, NODE_PARAMS)
{
    const ca_int grid[3] = { n0, n1, n2 }, kernel_[3] = { n3, n4, n5 }, dilation[3] = { n6, n7, n8 };
    double waste = 1;
    ca_int block[3];
    NODE_UNUSED;
    if (type != CA_NEIGHBORHOOD) return 1;
    ca_block_sides(rows, grid, block);
    for (int c = 0; c < 3; c++) {
        const ca_int side = ca_up(grid[c], dilation[c]), own = ca_least(kernel_[c], side);
        waste *= (double)ca_least(own + ca_least(block[c], side) - 1, side) / own;
    }
    return waste;
}

double ca_lane_waste(const struct problem *p, double rows)
{
    if (!p->pattern.passes) return ca_tiles_waste(p, rows);
    const double lanes = (double)ca_lane_tiles(p, (int64_t)rows) * rows / (double)(p->pattern.passes * ca_max(p->Nq, 1));
    return 1.3 * fmax(lanes, 1) /* masks and first misses, as measured */ * box_waste((ca_int)rows, NODE(p->pattern.node));
}

void ca_states_args(const struct problem *p, const struct io *io, int64_t states, ca_args *a)
{
    a->splits = (ca_int)states;
    a->ws_po = (ca_long)(io->workspace.offset / sizeof(float));
    a->ws_pml = a->ws_po + ca_all_rows(p) * states * p->Dv;
}

clattn_status ca_merge(const struct clattn_plan *plan, const struct io *io, const ca_args *a, struct chain *c)
{
    const struct problem *p = &plan->p;
    const struct tensor *const tensors[] = { &io->workspace, &io->t[CA_OUT], &io->t[CA_LSE] };
    const size_t side = ca_group_for(&plan->ctx->dev, p->Dv);
    struct launch_arg args[CA_MAX_ARGS];
    cl_uint num_args = ca_kernel_args(p, io, a, tensors, 3, args);
    struct launch l = {
        .program = plan->program, .kernel = "attn_split_merge", .dims = 2, .local = { side, 1 },
        .global = { (size_t)ca_round_up(p->Dv, (int64_t)side), (size_t)ca_all_rows(p) }, .args = args, .num_args = num_args,
        .flops = 4.0 * (double)(ca_all_rows(p) * p->Dv * a->splits),
    };
    return ca_launch(plan->ctx, &l, c);
}
