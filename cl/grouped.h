/* grouped.h -- patterns whose rows pick whole groups of keys, the buckets of LSH or the best blocks, group by group, all rows of a chunk that picked
 * it, in tiles of flash.h (batch.h), so that its keys are shared by as many rows as lanes.
 *
 *     rows, by what they picked ─► group g: a tile of its rows ─► its keys and values, BK at a time ─► the rows' m, l and sums
 *
 * For plain attention alone: what else changes or hides scores goes row by row, in gather.h.  Needs batch.h, and batch(), which is its
 * one copy or chooses among several. */

/* Puts the states of ROWS rows and their lists into MEMORY: ca_chunk_words. */
INLINE void grouped_chunk(struct grouped *t, GLOBAL float *memory, const ca_args *A, int rows, int Dv, NODE_PARAMS)
{
    t->sums = memory;
    t->m = t->sums + (ca_long)rows * WHOLE(Dv);
    t->l = t->m + rows;
    t->begin = (GLOBAL ca_int *)(t->l + rows);
    t->entry = t->begin + ca_groups(A->Nk, NODE_ARGS) + 1;
}

/* Sorts the ROWS rows from I0 on by what they picked, in ROUND. */
INLINE void grouped_sort(const ca_args *A, const ca_optional *X, struct grouped *t, int b, int h, int i0, int rows, int round, NODE_PARAMS)
{
    const int groups = ca_groups(A->Nk, NODE_ARGS), words = type == CA_LSH ? n0 : n1;
    GLOBAL const ca_int *own = ca_words(A, X, at) + (((ca_long)b * A->Hq + h) * A->Nq + i0) * words;
    NODE_UNUSED;
    for (int c = 0; c <= groups; c++) t->begin[c] = 0;
    for (int pass = 0; pass < 2; pass++) { /* counts, then enters from the end on */
        for (int r = rows - 1; r >= 0; r--) {
            GLOBAL const ca_int *row = own + (ca_long)r * words;
            if (type == CA_LSH) {
                if (pass) t->entry[--t->begin[row[round]]] = r;
                else t->begin[row[round]]++;
            } else
                for (int e = 0; e < words; e++)
                    for (ca_uint bits = (ca_uint)row[e]; bits; bits &= bits - 1) {
                        const int c = e * 32 + LOWEST_BIT(bits);
                        if (pass) t->entry[--t->begin[c]] = r;
                        else t->begin[c]++;
                    }
        }
        for (int c = 0, sum = 0; !pass && c <= groups; c++) { sum += t->begin[c]; t->begin[c] = sum; } /* where each ends */
    }
}

/* All groups of the ROWS rows from I0 on of head H of batch row B; true when their sums are finite. */
INLINE int grouped_rows(const ca_args *A, const ca_optional *X, struct grouped *t, const ca_seq *seq, GLOBAL const stored *q, GLOBAL const stored *k,
                        GLOBAL const stored *v, int D, int Dv, int b, int h, int i0, int rows, int guarded, NODE_PARAMS)
{
    const int groups = ca_groups(A->Nk, NODE_ARGS);
    vi odd = SPLATI(0);
    for (int r = 0; r < rows; r++) { t->m[r] = CA_LOWEST; t->l[r] = 0.f; }
    for (int c = 0; c < rows * WHOLE(Dv); c += VL) VSTORE(SPLAT(0.f), t->sums + c);
    for (int round = 0; round < (type == CA_LSH ? n0 : 1); round++) {
        grouped_sort(A, X, t, b, h, i0, rows, round, NODE_ARGS);
        for (int g = 0; g < groups; g++) {
            GLOBAL const ca_int *bucket = 0;
            int n = ca_least(seq->Nk - g * n0, n0);
            if (t->begin[g] == t->begin[g + 1]) continue;
            if (type == CA_LSH) bucket = ca_bucket_keys(A, X, b, h, round, g, &n, NODE_ARGS);
            for (int r = t->begin[g], end = t->begin[g + 1]; r < end;)
                r += batch(A, X, t, seq, q, k, v, D, Dv, b, h, i0, t->entry + r, end - r, bucket, g * n0, n, round, guarded, NODE_ARGS);
        }
    }
    for (int c = 0; c < rows * WHOLE(Dv); c += VL) odd |= NOT_FINITE(VLOAD(t->sums + c));
    return !VANY(odd);
}

/* The ROWS rows from I0 on of head H of batch row B. */
INLINE void grouped(const ca_args *A, const ca_optional *X, GLOBAL const stored *q, GLOBAL const stored *k, GLOBAL const stored *v, GLOBAL stored *o,
                    GLOBAL float *lse, int D, int Dv, int b, int h, int i0, int rows, struct grouped *t, NODE_PARAMS)
{
    const int hk = h / A->group;
    const ca_seq seq = ca_seq_of(A, X, b);
    rows = ca_least(rows, seq.Nq - i0);
    q += A->q_0 + b * A->q_b + h * A->q_h;
    k = kv_from(A, k, ca_head_at(A, &seq, b, hk, A->k_0, A->k_b, A->k_h, A->k_s));
    v = kv_from(A, v, ca_head_at(A, &seq, b, hk, A->v_0, A->v_b, A->v_h, A->v_s));
    for (int guarded = 0; guarded < 2; guarded++) /* a loop, for one copy of all that is inlined */
        if (grouped_rows(A, X, t, &seq, q, k, v, D, Dv, b, h, i0, rows, guarded, NODE_ARGS)) break;
    for (int r = 0; r < rows; r++) {
        for (int c = 0; c < WHOLE(Dv) / VL; c++) t->oT[c] = VLOAD(t->sums + r * WHOLE(Dv) + c * VL);
        leave_row(A, X, &seq, o, lse, Dv, b, h, i0 + r, t->m[r], t->l[r], t->oT, t->made);
    }
}
