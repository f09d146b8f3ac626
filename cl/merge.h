/* merge.h -- the kernel that merges what several launches, or tiles of one, have left of each row: one work-item per output element, a row
 * rounded up to whole groups.
 * Needs dialect.h, softmax.h, DV. */
#define MERGED 64 /* items of a group at most, ca_group_for() */

/* The monoid's merge: items of a group weigh a part each, then each adds its output dim of those parts.  A part without a key (l = 0)
 * is the identity and is never read.  Ragged: all rows are one batch row's. */
__kernel void attn_split_merge(GLOBAL const float *ws, GLOBAL stored *out, GLOBAL float *lse, OPTIONAL_PARAMS, ca_args a)
{
    __local float weights[MERGED];
    int e = get_global_id(0), row = get_global_id(1), id = get_local_id(0), items = get_local_size(0);
    int N = (int)a.lse_h, i = row % N, h = row / N % a.Hq, b = row / N / a.Hq;
    GLOBAL const float *po = ws + a.ws_po + (ca_long)row * a.splits * DV, *pml = ws + a.ws_pml + (ca_long)row * a.splits * 2;
    int splits = RAGGED && (i < cu_q[a.cu_q_0] || i >= cu_q[a.cu_q_0 + a.B]) ? 0 : a.splits; /* the row is of no sequence */
    float m = CA_LOWEST, l = 0.f, o = 0.f;
    for (int s = 0; s < splits; s++)
        if (pml[2 * s + 1] != 0.f && !(pml[2 * s] <= m)) m = pml[2 * s];
    for (int first = 0; first < splits; first += items) {
        int s = first + id, n = min(items, splits - first);
        barrier(CLK_LOCAL_MEM_FENCE); /* the last weights are used up */
        weights[id] = s < splits && pml[2 * s + 1] != 0.f ? weight(pml[2 * s], m) : ABSENT;
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int t = 0; t < n; t++) {
            float w = weights[t];
            if (is_absent(w)) continue;
            l = fma(w, pml[2 * (first + t) + 1], l);
            if (e < DV) o = fma(w, po[(ca_long)(first + t) * DV + e], o);
        }
    }
    if (e >= DV || splits == 0) return;
    if (DROPOUT) o *= a.keep_scale;
    if (SINKS) o *= add_sink(sinks[a.sinks_0 + h], &m, &l);
    store_at(out + a.o_0 + b * a.o_b + h * a.o_h + (ca_long)i * a.o_s, (ca_long)e * a.o_d, l == 0.f ? 0.f : o / l);
    if (a.has_lse && e == 0) lse[a.lse_0 + row] = row_lse(m, l);
}
