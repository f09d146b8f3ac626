/* batch.h -- a tile of flash.h whose rows are anywhere: what they have so far, and some keys more.  For grouped.h; FN(name) for several copies. */

#ifndef CA_GROUPED
#define CA_GROUPED
/* What a chunk of rows works with: a tile and keys at hand; the rows' states, and who picked what. */
struct grouped {
    vf *qT, *oT, *p;                  /* a tile's queries, sums and weights */
    vi *picked;                       /* by round the buckets of a tile's rows */
    struct at keys, values;           /* of a tile, made in unpacked */
    float *made, *unpacked;           /* a row */
    ca_int *before;                   /* BK each, the keys' buckets of the rounds before */
    GLOBAL float *sums, *m, *l;       /* of the chunk's rows */
    GLOBAL ca_int *begin, *entry;     /* group g was picked by rows entry[begin[g]] ... entry[begin[g + 1] - 1] of the chunk */
};

/* Finds COUNT keys, their numbers and their values: those of LIST, or with none those from FIRST on. */
INLINE void grouped_fetch(const ca_args *A, const ca_optional *X, struct grouped *t, GLOBAL const stored *k, GLOBAL const stored *v, int D, int Dv, int b,
                          int hk, GLOBAL const ca_int *list, int first, int count, int round, int *number, NODE_PARAMS)
{
    NODE_UNUSED;
    for (int e = 0; e < count; e++) {
        const int j = list ? list[e] : first + e;
        number[e] = j;
        for (int r = 0; r < round; r++) t->before[r * BK + e] = ca_words(A, X, n1)[(((ca_long)b * A->Hkv + hk) * A->Nk + j) * n0 + r];
    }
    find_rows(A, X, &t->keys, t->unpacked, k, 1, b, hk, number, 0, count, D, 1);
    find_rows(A, X, &t->values, t->unpacked + BK * WHOLE(D), v, 0, b, hk, number, 0, count, Dv, 1);
}
#endif

/* Adds KEYS keys, those of LIST or with none those from FIRST on, to rows of the chunk that begins at I0: as many as a tile has of the ROWS whose
 * numbers in the chunk are ROW[]; returns how many.  GUARDED leaves out values behind the mask, which may be NaN. */
APART int FN(batch)(const ca_args *A, const ca_optional *X, struct grouped *t, const ca_seq *seq, GLOBAL const stored *q, GLOBAL const stored *k,
                    GLOBAL const stored *v, int D, int Dv, int b, int h, int i0, GLOBAL const ca_int *row, int rows, GLOBAL const ca_int *list, int first,
                    int keys, int round, int guarded, NODE_PARAMS)
{
    struct FN(where) w;
    struct FN(rows) r;
    struct FN(keys) listed;
    GLOBAL const ca_int *picked = ca_words(A, X, at) + (((ca_long)b * A->Hq + h) * A->Nq + i0) * n0; /* LSH's */
    int from[QV * VL], begin = seq->Nk, end = 0, full_lo = 0, full_hi = seq->Nk; /* what any of the rows sees, and all */
    NODE_UNUSED;
    w.b = b;
    w.h = h;
    w.rows = rows = ca_least(rows, QV * VL);
    listed.rounds = round;
    listed.before = t->before;
    listed.picked = t->picked;
    for (int a = 0; a < QV; a++) {
        int lo[VL], hi[VL];
        for (int i = 0; i < VL; i++) {
            const int at = w.row[a * VL + i] = i0 + (from[a * VL + i] = row[ca_least(a * VL + i, rows - 1)]);
            lo[i] = ca_key_lo(at + seq->p0, A->left, seq->Nk);
            hi[i] = ca_key_hi(at + seq->p0, A->right, seq->Nk);
            begin = ca_least(begin, lo[i]);
            end = ca_most(end, hi[i]);
            full_lo = ca_most(full_lo, lo[i]);
            full_hi = ca_least(full_hi, hi[i]);
        }
        r.lo[a] = VLOADI(lo);
        r.hi[a] = VLOADI(hi);
    }
    begin = list ? ca_place(list, keys, begin) : ca_within(begin - first, 0, keys);
    end = list ? ca_place(list, keys, end) : ca_within(end - first, 0, keys);
    if (begin >= end) return rows;
    FN(load_queries)(A, X, &w, t->qT, q + (ca_long)seq->q_row * A->q_s, D, t->made);
    for (int a = 0; a < QV; a++) {
        float m[VL], l[VL];
        int bucket[VL];
        for (int i = 0; i < VL; i++) {
            m[i] = t->m[from[a * VL + i]];
            l[i] = t->l[from[a * VL + i]];
        }
        r.m[a] = VLOAD(m);
        r.l[a] = VLOAD(l);
        for (int n = 0; n < round; n++) {
            for (int i = 0; i < VL; i++) bucket[i] = picked[(ca_long)from[a * VL + i] * n0 + n];
            t->picked[n * QV + a] = VLOADI(bucket);
        }
        for (int d = 0; d < Dv; d += VL) {
            vf x[VL];
            for (int i = 0; i < VL; i++) x[i] = VLOAD(t->sums + from[a * VL + i] * WHOLE(Dv) + d);
            transpose(x, VL);
            for (int e = 0; e < VL && d + e < Dv; e++) t->oT[(d + e) * QV + a] = x[e];
        }
    }
    for (int e = begin, n; e < end; e += n) {
        n = ca_least(end - e, BK);
        grouped_fetch(A, X, t, k, v, D, Dv, b, h / A->group, list ? list + e : 0, first + e, n, round, listed.number, NODE_ARGS);
        const int partial = round || listed.number[0] < full_lo || listed.number[n - 1] >= full_hi;
        FN(tile)(A, X, &w, t->qT, t->oT, t->p, &r, &t->keys, &t->values, 0, &listed, n, D, Dv, 0, 0, partial, guarded);
    }
    for (int a = 0; a < QV; a++) {
        float m[VL], l[VL];
        VSTORE(r.m[a], m);
        VSTORE(r.l[a], l);
        for (int i = 0; i < VL && a * VL + i < rows; i++) {
            t->m[row[a * VL + i]] = m[i];
            t->l[row[a * VL + i]] = l[i];
        }
        for (int d = 0; d < Dv; d += VL) {
            vf x[VL];
            FN(turned_output)(x, t->oT, 0, a, d, Dv);
            for (int i = 0; i < VL && a * VL + i < rows; i++) VSTORE(x[i], t->sums + row[a * VL + i] * WHOLE(Dv) + d);
        }
    }
    return rows;
}
