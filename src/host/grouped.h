/* grouped.h -- patterns whose rows pick whole groups of keys, the buckets of LSH or the best blocks, on the host: group by group, all rows of a
 * chunk that picked it, in tiles of flash.h (batch.h), so that its keys are shared by as many rows as lanes.
 *
 *     rows, by what they picked ─► group g: a tile of its rows ─► its keys and values, BK at a time ─► the rows' m, l and sums
 *
 * For plain attention alone: what else changes or hides scores goes row by row, in gather.h.  Needs batch.h, of wide and of narrow tiles, and gather.h. */

static int grouped_groups(const ca_args *A, NODE_PARAMS) { NODE_UNUSED; return type == CA_LSH ? n3 : (A->Nk - 1) / n0 + 1; }

/* Cuts MEMORY for ROWS rows, or with a null pointer just counts: its bytes. */
static size_t grouped_cut(struct grouped *t, float *memory, const ca_args *A, int rows, NODE_PARAMS)
{
    const size_t D = (size_t)WHOLE(A->D), Dv = (size_t)WHOLE(A->Dv), n = (size_t)(rows + VL - 1) / VL * VL, rounds = type == CA_LSH ? (size_t)n0 : 0,
                 picks = type == CA_LSH ? 1 : (size_t)ca_most(n3, 1), groups = (size_t)grouped_groups(A, NODE_ARGS), lanes = WIDE * VL;
    size_t size = 0;
    NODE_UNUSED;
#define CUT(name, type, count) t->name = memory ? (type *)(memory + size) : 0; size += count;
    CUT(qT, vf, lanes * D) CUT(oT, vf, lanes * Dv) CUT(p, vf, lanes * BK) CUT(picked, vi, lanes * rounds) CUT(sums, vf, n * Dv)
    CUT(made, float, D > Dv ? D : Dv) CUT(unpacked, float, BK * (D + Dv)) CUT(m, float, n) CUT(l, float, n)
    CUT(before, ca_int, rounds * BK) CUT(begin, ca_int, groups + 1) CUT(entry, ca_int, n * picks)
#undef CUT
    return size * sizeof(float);
}

/* Sorts the ROWS rows from I0 on by what they picked, in ROUND. */
static void grouped_sort(const ca_args *A, const ca_optional *X, struct grouped *t, int b, int h, int i0, int rows, int round, NODE_PARAMS)
{
    const int groups = grouped_groups(A, NODE_ARGS), words = type == CA_LSH ? n0 : n1;
    const ca_int *own = ca_words(A, X, at) + (((ca_long)b * A->Hq + h) * A->Nq + i0) * words;
    NODE_UNUSED;
    for (int c = 0; c <= groups; c++) t->begin[c] = 0;
    for (int pass = 0; pass < 2; pass++) { /* counts, then enters from the end on */
        for (int r = rows - 1; r >= 0; r--) {
            const ca_int *row = own + (ca_long)r * words;
            if (type == CA_LSH) {
                if (pass) t->entry[--t->begin[row[round]]] = r;
                else t->begin[row[round]]++;
            } else
                for (int e = 0; e < words; e++)
                    for (ca_uint bits = (ca_uint)row[e]; bits; bits &= bits - 1) {
                        const int c = e * 32 + __builtin_ctz(bits);
                        if (pass) t->entry[--t->begin[c]] = r;
                        else t->begin[c]++;
                    }
        }
        for (int c = 0, sum = 0; !pass && c <= groups; c++) { sum += t->begin[c]; t->begin[c] = sum; } /* where each ends */
    }
}

/* All groups of the ROWS rows from I0 on of head H of batch row B; true when their sums are finite. */
static int grouped_rows(const ca_args *A, const ca_optional *X, struct grouped *t, const ca_seq *seq, const stored *q, const stored *k, const stored *v, int D,
                        int Dv, int b, int h, int i0, int rows, int guarded, NODE_PARAMS)
{
    const int EC = WHOLE(Dv) / VL, groups = grouped_groups(A, NODE_ARGS);
    vi odd = SPLATI(0);
    for (int r = 0; r < rows; r++) { t->m[r] = CA_LOWEST; t->l[r] = 0.f; }
    for (int c = 0; c < rows * EC; c++) t->sums[c] = SPLAT(0.f);
    for (int round = 0; round < (type == CA_LSH ? n0 : 1); round++) {
        grouped_sort(A, X, t, b, h, i0, rows, round, NODE_ARGS);
        for (int g = 0; g < groups; g++) {
            const ca_int *bucket = 0;
            int n = ca_least(seq->Nk - g * n0, n0);
            if (t->begin[g] == t->begin[g + 1]) continue;
            if (type == CA_LSH) bucket = ca_bucket_keys(A, X, b, h, round, g, &n, NODE_ARGS);
            for (int r = t->begin[g], rows; r < t->begin[g + 1]; r += rows) {
                rows = t->begin[g + 1] - r;
                if (rows > 3 * VL) /* up to three narrow tiles take less than a wide one */
                    batch_wide(A, X, t, seq, q, k, v, D, Dv, b, h, i0, t->entry + r, rows = ca_least(rows, WIDE * VL), bucket, g * n0, n, round, guarded, NODE_ARGS);
                else batch_narrow(A, X, t, seq, q, k, v, D, Dv, b, h, i0, t->entry + r, rows = ca_least(rows, VL), bucket, g * n0, n, round, guarded, NODE_ARGS);
            }
        }
    }
    for (int c = 0; c < rows * EC; c++) odd |= NOT_FINITE(t->sums[c]);
    return !VANY(odd);
}

/* The ROWS rows from I0 on of head H of batch row B. */
static void grouped(const ca_args *A, const ca_optional *X, const stored *q, const stored *k, const stored *v, stored *o, float *lse, int D, int Dv, int b, int h,
                    int i0, int rows, struct grouped *t, NODE_PARAMS)
{
    const int EC = WHOLE(Dv) / VL, hk = h / A->group;
    const ca_seq seq = ca_seq_of(A, X, b);
    rows = ca_least(rows, seq.Nq - i0);
    q += A->q_0 + b * A->q_b + h * A->q_h;
    k = kv_from(A, k, ca_head_at(A, &seq, b, hk, A->k_0, A->k_b, A->k_h, A->k_s));
    v = kv_from(A, v, ca_head_at(A, &seq, b, hk, A->v_0, A->v_b, A->v_h, A->v_s));
    for (int guarded = 0; guarded < 2; guarded++)
        if (grouped_rows(A, X, t, &seq, q, k, v, D, Dv, b, h, i0, rows, guarded, NODE_ARGS)) break;
    for (int r = 0; r < rows; r++) leave_row(A, X, &seq, o, lse, Dv, b, h, i0 + r, t->m[r], t->l[r], t->sums + r * EC, t->made);
}
