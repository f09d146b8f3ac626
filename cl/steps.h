/* steps.h -- what is done around the attention proper, in the lane dialect: new keys are written into the cache before,
 * weights are written after.  Nothing here is on the path of an attention without them. */

/* Dim d of a row, turned by the tables' row R. */
INLINE float new_dim(const ca_args *A, const ca_optional *X, GLOBAL const stored *from, int from_d, int r, int d)
{
#define PLAIN(e) load_at(from, (ca_long)(e) * from_d)
    GLOBAL const float *c = X->k_cos + A->k_cos_0 + (ca_long)r * (A->new_rot / 2), *s = X->k_sin + A->k_sin_0 + (ca_long)r * (A->new_rot / 2);
    TURNED(PLAIN, c, s, A->new_rot, A->rope_pairs)
#undef PLAIN
}

/* Row R of new keys or values FROM [B][Hkv][new_len][dims] becomes key kv_lens[b] + r of the cache TO. */
INLINE void append_row(const ca_args *A, const ca_optional *X, GLOBAL const stored *from, int from_d, GLOBAL stored *to, ca_long page,
                       int to_s, int to_d, int dims, int rot, int b, int r)
{
    int j = ca_within(X->lens[A->lens_0 + b], 0, A->Nk) + r;
    if (j >= A->Nk) return;
    if (IS_ON(PAGED, A->page_size)) { /* a page that is none would be someone else's */
        int n = X->table[A->table_0 + b * A->table_b + j / A->page_size];
        if (n < 0 || n >= A->pages) return;
    }
    to += ca_key_at(A, X, b, j, page, to_s);
    for (int d = 0; d < dims; d++)
        store_at(to, (ca_long)d * to_d, d < rot ? new_dim(A, X, from, from_d, r, d) : load_at(from, (ca_long)d * from_d));
}

INLINE void append(const ca_args *A, const ca_optional *X, GLOBAL const stored *k_new, GLOBAL const stored *v_new,
                   GLOBAL stored *k, GLOBAL stored *v, int D, int Dv, int b, int hk, int r)
{
    const ca_seq none = { 0, 0, 0, 0, 0 };
    append_row(A, X, k_new + A->kn_0 + b * A->kn_b + hk * A->kn_h + (ca_long)r * A->kn_s, A->kn_d,
               k + ca_head_at(A, &none, b, hk, A->k_0, A->k_b, A->k_h, A->k_s), A->k_b, A->k_s, A->k_d, key_dims(A, D), A->new_rot,
               b, r);
    append_row(A, X, v_new + A->vn_0 + b * A->vn_b + hk * A->vn_h + (ca_long)r * A->vn_s, A->vn_d,
               v + ca_head_at(A, &none, b, hk, A->v_0, A->v_b, A->v_h, A->v_s), A->v_b, A->v_s, A->v_d, Dv, 0, b, r);
}

/* scale q.k where elements are not simply loaded. */
APART void special_score(const ca_args *A, const ca_optional *X, GLOBAL const stored *q, GLOBAL const stored *k, int D, int b, int hk,
                         int i, int j, float *s)
{
    float sum = 0.f, t[VL];
    for (int d = 0; d < D; d++) {
        float query = query_dim(A, X, q, i, d), key = key_dim(A, X, k, b, hk, j, d);
        if (IS_ON(SCORE, A->score) && A->score == CA_ADDITIVE) {
            VSTORE(vtanh(SPLAT(A->score_scale * (query + key))), t);
            sum += score_weight(A, X, d) * t[0];
        } else sum += query * key;
    }
    *s = sum * A->scale;
}

/* Row i of head h of batch row b of the weights [B][Hq][Nq][Nk], at the stage that A names.  The scores go there first, tile by
 * tile, and become weights in place.  Scratch: q, one row; s, DK floats. */
INLINE void weights_row(const ca_args *A, const ca_optional *X, GLOBAL const stored *q, GLOBAL const stored *k, GLOBAL float *weights,
                        int D, int b, int h, int i, vf *qv, float *s)
{
    const int DC = (D + VL - 1) / VL;
    const ca_seq seq = ca_seq_of(A, X, b);
    const struct packed w = { b, h, i, i + seq.p0 };
    int lo = ca_key_lo(w.p, A->left, seq.Nk), hi = ca_key_hi(w.p, A->right, seq.Nk);
    float m = CA_LOWEST, l = 0.f;
    weights += A->w_0 + (((ca_long)b * A->Hq + h) * A->Nq + i) * A->Nk;
    if (i >= seq.Nq) { /* a ragged row that is not there */
        for (int j = 0; j < A->Nk; j++) weights[j] = 0.f;
        return;
    }
    q += A->q_0 + b * A->q_b + h * A->q_h + (ca_long)(seq.q_row + i) * A->q_s;
    k = kv_from(A, k, ca_head_at(A, &seq, b, h / A->group, A->k_0, A->k_b, A->k_h, A->k_s));
    if (!IS_ON(SPECIAL, A->special))
        for (int c = 0; c < DC; c++) qv[c] = load_lanes(q, A->q_d, c * VL, D);
    for (int k0 = 0; k0 < A->Nk; k0 += DK) {
        int n = A->Nk - k0 < DK ? A->Nk - k0 : DK;
        for (int j = 0; j < DK; j++) s[j] = 0.f;
        int readable = A->Nk - k0; /* where a ragged batch or a table ends there is nothing behind the last key */
        if (IS_ON(RAGGED, X->cu_q)) readable = seq.Nk - k0;
        if (IS_ON(PAGED, A->page_size)) readable = seq.Nk - k0;
        for (int j = 0; j < n; j++)
            if (j < readable && IS_ON(SPECIAL, A->special)) special_score(A, X, q, k, D, b, h / A->group, i, k0 + j, s + j);
            else if (j < readable)
                decode_scores(qv, k + ca_key_at(A, X, b, k0 + j, A->k_b, A->k_s), A->k_s, A->k_d, D, DC, A->scale, s + j, 1, 1);
        if (A->stage < CA_BIASED && IS_ON(SCORE, X->leaks) && A->score == CA_GAT) {
            const float leak = X->leaks[A->leaks_0 + h];
            for (int j = 0; j < n; j++) s[j] = s[j] > 0.f ? s[j] : s[j] * leak;
        }
        if (A->stage == CA_CAPPED && IS_ON(SOFTCAP, A->softcap))
            for (int j = 0; j < DK; j += VL) VSTORE(vcap(VLOAD(s + j), A->softcap), s + j);
        if (A->stage >= CA_BIASED) {
            if (IS_ON(SCORED, A->scored)) decode_modify(A, X, &w, s, n, k0);
            for (int j = 0; j < n; j++)
                if (k0 + j < lo || k0 + j >= hi) s[j] = -CA_INFINITY;
        }
        for (int j = 0; j < n; j++) {
            weights[k0 + j] = s[j];
            m = s[j] > m ? s[j] : m;
        }
    }
    if (A->stage != CA_PROBS) return;
    if (IS_ON(SINKS, X->sinks)) { /* takes its share, which is not shown */
        float sink = X->sinks[A->sinks_0 + h];
        m = sink > m ? sink : m;
        s[0] = sink - m;
        for (int e = 1; e < VL; e++) s[e] = -CA_INFINITY;
        l = VSUM(vexp(VLOAD(s)));
    }
    for (int j = 0; j < A->Nk; j += VL) {
        for (int e = 0; e < VL; e++) s[e] = j + e < A->Nk ? weights[j + e] - m : -CA_INFINITY;
        vf p = vexp(VLOAD(s));
        l += VSUM(p);
        VSTORE(p, s);
        for (int e = 0; e < VL && j + e < A->Nk; e++) weights[j + e] = s[e];
    }
    for (int j = 0; j < A->Nk; j++) weights[j] = l == 0.f ? 0.f : weights[j] / l;
}
