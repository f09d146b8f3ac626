/* grouped.h -- patterns whose rows pick whole groups of keys, the buckets of LSH or the best blocks, on the host: group by group, all rows of a
 * chunk that picked it, so that its keys are fetched once and their products shared as in decode.h.
 *
 *     rows, by what they picked ─► group g: keys, values (DK at a time, copied) ─► RB of its rows ─► scores ─► their m, l and sums
 *
 * For plain attention alone: what else changes or hides scores goes row by row, in gather.h.  Needs decode.h and gather.h. */

/* What a chunk works with: its rows' states, and who picked what; cut out of one piece of memory. */
struct grouped {
    vf *qv, *ov, *sums;      /* RB rows of q and of out; the chunk's rows */
    float *s, *keys, *values, *m, *l; /* RB DK scores; DK keys and values; the chunk's rows */
    ca_int *number, *before; /* DK keys' numbers; their buckets of the rounds before */
    ca_int *begin, *entry;   /* group g was picked by rows entry[begin[g]] ... entry[begin[g + 1] - 1] of the chunk */
};

static int grouped_groups(const ca_args *A, NODE_PARAMS) { NODE_UNUSED; return type == CA_LSH ? n3 : (A->Nk - 1) / n0 + 1; }

/* Cuts MEMORY for ROWS rows, or with a null pointer just counts: its bytes. */
static size_t grouped_cut(struct grouped *t, float *memory, const ca_args *A, int rows, NODE_PARAMS)
{
    const size_t D = (size_t)WHOLE(A->D), Dv = (size_t)WHOLE(A->Dv), n = (size_t)(rows + VL - 1) / VL * VL, rounds = type == CA_LSH ? (size_t)n0 : 1,
                 picks = type == CA_LSH ? 1 : (size_t)ca_most(n3, 1), groups = (size_t)grouped_groups(A, NODE_ARGS);
    size_t size = 0;
    NODE_UNUSED;
#define CUT(name, type, count) t->name = memory ? (type *)(memory + size) : 0; size += count;
    CUT(qv, vf, RB * D) CUT(ov, vf, RB * Dv) CUT(sums, vf, n * Dv)
    CUT(s, float, RB * DK) CUT(keys, float, DK * D) CUT(values, float, DK * Dv) CUT(m, float, n) CUT(l, float, n)
    CUT(number, ca_int, DK) CUT(before, ca_int, rounds * DK) CUT(begin, ca_int, groups + 1) CUT(entry, ca_int, n * picks)
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

/* COUNT keys and their values, copied: those of LIST, or with none those from FIRST on. */
static void grouped_fetch(const ca_args *A, const ca_optional *X, struct grouped *t, const stored *k, const stored *v, int D, int Dv, int b, int hk,
                          const ca_int *list, int first, int count, int round, NODE_PARAMS)
{
    NODE_UNUSED;
    for (int e = 0; e < (count + VL - 1) / VL * VL; e++) { /* whole vectors and, below, whole fours: the last one again */
        const int last = ca_least(e, count - 1), j = list ? list[last] : first + last;
        t->number[e] = j;
        for (int r = 0; r < round; r++) t->before[r * DK + e] = ca_words(A, X, n1)[(((ca_long)b * A->Hkv + hk) * A->Nk + j) * n0 + r];
        if (e >= (count + 3) / 4 * 4) continue;
        key_row(A, X, t->keys + e * WHOLE(D), k, b, hk, j, D);
        value_row(A, X, t->values + e * WHOLE(Dv), v, b, hk, j, Dv);
    }
}

/* Hides from row W, whose scores are S, keys outside of its window and those that an earlier round had. */
static void grouped_hide(const ca_args *A, const ca_optional *X, const struct grouped *t, const struct packed *w, int keys, float *s, int count, int round,
                         NODE_PARAMS)
{
    const int lo = ca_key_lo(w->p, A->left, keys), hi = ca_key_hi(w->p, A->right, keys);
    const ca_long own = (((ca_long)w->b * A->Hq + w->h) * A->Nq + w->i) * n0;
    NODE_UNUSED;
    for (int j = 0; j < count; j += VL) {
        const vi number = VLOADI(t->number + j);
        vi gone = (number < SPLATI(lo)) | (number >= SPLATI(hi));
        for (int r = 0; r < round; r++) gone |= VLOADI(t->before + r * DK + j) == SPLATI(ca_words(A, X, at)[own + r]);
        VSTORE(MASKED_WHERE(gone, VLOAD(s + j)), s + j);
    }
}

/* Adds the COUNT keys at hand to ROWS rows of the chunk, by their numbers in it; GUARDED leaves out values behind the mask, which may be NaN. */
static void grouped_add(const ca_args *A, const ca_optional *X, struct grouped *t, const ca_seq *seq, const stored *q, int D, int Dv, int b, int h, int i0,
                        const ca_int *row, int rows, int count, int round, int guarded, NODE_PARAMS)
{
    const int DC = WHOLE(D) / VL, EC = WHOLE(Dv) / VL;
    struct decode_from x = { 0, 0, 0, D, t->keys }, y = { 0, 0, 0, Dv, t->values };
    for (int r = 0; r < rows; r++) decode_query(A, X, t->qv + r * DC, q + (ca_long)(seq->q_row + i0 + row[r]) * A->q_s, i0 + row[r], D, t->s);
    for (int j = 0; j < count; j += 4, x.made += 4 * WHOLE(D)) decode_keys(A, X, &x, t->qv, DC, t->s + j, rows, MADE, 4);
    for (int r = 0; r < rows; r++) {
        const struct packed w = { b, h, i0 + row[r], i0 + row[r] + seq->p0 };
        float *s = t->s + r * DK;
        for (int j = 0; A->softcap != 0.f && j < count; j += VL) VSTORE(vtanh(VLOAD(s + j), A->softcap), s + j);
        grouped_hide(A, X, t, &w, seq->Nk, s, count, round, NODE_ARGS);
        const float alpha = decode_softmax(s, count, 0, 0, DK, t->m + row[r], t->l + row[r], guarded);
        for (int c = 0; c < EC; c++) t->ov[r * EC + c] = t->sums[row[r] * EC + c] * SPLAT(alpha);
    }
    for (int j = 0, few; j < count; j += few, y.made += few * WHOLE(Dv)) {
        few = guarded ? 1 : ca_least(FEW, count - j);
        if (guarded) decode_values_guarded(t->ov, &y, EC, t->s + j, rows, MADE);
        else decode_values(t->ov, &y, EC, t->s + j, rows, few, MADE);
    }
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < EC; c++) t->sums[row[r] * EC + c] = t->ov[r * EC + c];
}

/* All groups of the ROWS rows from I0 on of head H of batch row B; true when their sums are finite. */
static int grouped_rows(const ca_args *A, const ca_optional *X, struct grouped *t, const ca_seq *seq, const stored *q, const stored *k, const stored *v, int D,
                        int Dv, int b, int h, int i0, int rows, int guarded, NODE_PARAMS)
{
    const int EC = WHOLE(Dv) / VL, hk = h / A->group, groups = grouped_groups(A, NODE_ARGS);
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
            for (int e = 0; e < n; e += DK) {
                const int count = ca_least(n - e, DK);
                grouped_fetch(A, X, t, k, v, D, Dv, b, hk, bucket ? bucket + e : 0, g * n0 + e, count, round, NODE_ARGS);
                for (int r = t->begin[g]; r < t->begin[g + 1]; r += RB)
                    grouped_add(A, X, t, seq, q, D, Dv, b, h, i0, t->entry + r, ca_least(RB, t->begin[g + 1] - r), count, round, guarded, NODE_ARGS);
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
    for (int r = 0; r < rows; r++) leave_row(A, X, &seq, o, lse, Dv, b, h, i0 + r, t->m[r], t->l[r], t->sums + r * EC, t->s);
}
