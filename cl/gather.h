/* gather.h -- the attention of one query row to exactly the keys that a pattern lists for it, in the lane dialect: a lane holds one of
 * VL neighbouring dims.
 *
 *     pattern ─► runs of keys ─► list[DK] ─► scores ─► softmax, running ─► o += p v     key by key, from wherever they are
 *
 * Nothing is shared between rows, so that any two may see different keys: graphs, random keys, those chosen by their scores (select.h),
 * and means of blocks.  What is not listed is never read.
 *
 * Needs decode.h and select.h. */

/* The keys at hand, by number; -1 - c is the mean of block c. */
struct listed { int n, key[DK]; float s[DK]; };

/* What a row has so far, and where it stands in its own list. */
struct row_state { float m, l; vf *o; int place; };

/* Mean C of keys (V 0) or values. */
INLINE GLOBAL const float *block_mean(const ca_args *A, const ca_optional *X, int b, int hk, int c, int v, int dims)
{
    return (GLOBAL const float *)(ca_words(A, X, ca_means(X, v ? MEAN_VALUES : MEAN_KEYS))) +
           (((ca_long)b * A->Hkv + hk) * ca_means(X, MEAN_BLOCKS) + c) * dims;
}

/* Scores of the listed keys. */
INLINE void score_listed(const ca_args *A, const ca_optional *X, const struct packed *w, struct listed *t, GLOBAL const stored *k, const vf *qv,
                         int D, float *made)
{
    const int DC = WHOLE(D) / VL, hk = w->h / A->group;
    if (IS_SPECIAL(A)) {
        const struct decode_from x = { k, A->k_s, A->k_d, D, made, k };
        for (int e = 0; e < t->n; e++)
            if (t->key[e] >= 0) {
                key_row(A, X, made, k, w->b, hk, t->key[e], D);
                decode_keys(A, X, &x, qv, DC, t->s + e, 1, MADE, 1);
            }
    } else
        for (int e = 0; e < t->n; e += VL) {
            int number[VL];
            for (int i = 0; i < VL; i++) number[i] = ca_most(t->key[e + i < t->n ? e + i : t->n - 1], 0); /* of a mean anything */
            score_keys(A, X, w->b, k, number, qv, D, t->s + e);
        }
    for (int e = 0; ca_sole(X) == CA_HIERARCHICAL && e < t->n; e++) {
        if (t->key[e] >= 0) continue;
        GLOBAL const float *mean = block_mean(A, X, w->b, hk, -1 - t->key[e], 0, D);
        vf sum = SPLAT(0.f);
        for (int c = 0; c < DC; c++) sum = VFMA(qv[c], load_floats(mean, c * VL, D), sum);
        t->s[e] = VSUM(sum) * A->scale;
    }
}

/* What else becomes of them, run by run: whole vectors are written, so elsewhere. */
INLINE void modify_listed(const ca_args *A, const ca_optional *X, const struct packed *w, struct listed *t)
{
    float s[DK];
    for (int e = 0, n; e < t->n; e += n) {
        for (n = 1; e + n < t->n && t->key[e + n] == t->key[e] + n;) n++;
        if (t->key[e] < 0) {
            if (IS_ON(SOFTCAP, A->softcap))
                for (int c = 0; c < n; c++) {
                    VSTORE(vtanh(SPLAT(t->s[e + c]), A->softcap), s);
                    t->s[e + c] = s[0];
                }
            continue;
        }
        for (int c = 0; c < n; c++) s[c] = t->s[e + c];
        decode_modify(A, X, w, s, n, t->key[e], ALL_KEYS); /* the pattern has been asked */
        for (int c = 0; c < n; c++) t->s[e + c] = s[c];
    }
}

/* o += p v for FEW listed keys from the E-th on. */
INLINE void add_values(const ca_args *A, const ca_optional *X, const struct packed *w, const struct listed *t, GLOBAL const stored *v, int Dv, vf *o, int e,
                       const int few, const int whole)
{
    GLOBAL const stored *row[FEW];
    UNROLL for (int i = 0; i < few; i++) row[i] = row_of(A, X, w->b, v, t->key[e + i], A->v_b, A->v_s, whole);
    ROLL for (int c = 0; c < WHOLE(Dv) / VL; c++) {
        vf sum = o[c];
        UNROLL for (int i = 0; i < few; i++) sum = VFMA(vector_of(row[i], A->v_d, c, Dv, whole), SPLAT(t->s[e + i]), sum);
        o[c] = sum;
    }
}

/* Adds the listed keys, whose scores are there, to the row, and empties the list.  MADE is scratch for a row. */
INLINE void add_listed(const ca_args *A, const ca_optional *X, const struct packed *w, struct listed *t, GLOBAL const stored *v, int Dv,
                       struct row_state *r, float *made)
{
    const int EC = WHOLE(Dv) / VL, hk = w->h / A->group;
    int n = 0, e = 0;
    if (t->n == 0) return;
    const float alpha = decode_softmax(t->s, t->n, 0, 0, DK, &r->m, &r->l, 1);
    if (alpha != 1.f)
        for (int c = 0; c < EC; c++) r->o[c] *= SPLAT(alpha);
    vi gone = SPLATI(0);
    for (int j = 0; j < t->n; j += VL) gone |= IS_ABSENT(VLOAD(t->s + j)) & (vcounti(j) < SPLATI(t->n));
    const int all = IS_SPECIAL(A) ? 0 : IS_ON(DROPOUT, A->drop_below) ? 0 : ca_sole(X) == CA_HIERARCHICAL ? 0 : !VANY(gone);
    if (all) n = t->n;
    for (int from = all ? n : 0; from < t->n; from++) { /* only those whose values are to be read stay */
        const int j = t->key[from];
        float p = t->s[from];
        if (AS_UINT(p) == 0x80000000u) continue; /* ABSENT */
        if (IS_ON(DROPOUT, A->drop_below))
            if (j >= 0 && ca_is_dropped(A, w->b, w->h, w->i, j)) p = 0.f;
        if (ca_sole(X) == CA_HIERARCHICAL && j < 0) {
            GLOBAL const float *mean = block_mean(A, X, w->b, hk, -1 - j, 1, Dv);
            for (int c = 0; c < EC; c++) r->o[c] = VFMA(load_floats(mean, c * VL, Dv), SPLAT(p), r->o[c]);
        } else if (IS_SPECIAL(A)) {
            value_row(A, X, made, v, w->b, hk, j, Dv);
            for (int c = 0; c < EC; c++) r->o[c] = VFMA(VLOAD(made + c * VL), SPLAT(p), r->o[c]);
        } else {
            t->key[n] = j;
            t->s[n++] = p;
        }
    }
    if (are_whole(A, A->v_d, Dv))
        for (; e + FEW <= n; e += FEW) add_values(A, X, w, t, v, Dv, r->o, e, FEW, 1);
    for (; e < n; e++) add_values(A, X, w, t, v, Dv, r->o, e, 1, 0);
    t->n = 0;
}

/* Lists keys that the row sees from *J on, before LAST, until the list is full or there are none: *J is then LAST. */
INLINE void list_keys(const ca_args *A, const ca_optional *X, const struct packed *w, struct listed *t, int *j, int last)
{
    while (*j < last && t->n < DK) {
        *j = ca_next_key(A, X, w->b, w->h, w->i, w->p, 1, *j);
        if (*j >= last) break;
        int n = ca_tile_keys(A, X, w->b, w->h, w->i, w->p, 1, *j, ca_least(last - *j, DK - t->n)),
            class = ca_tile_class(A, X, w->b, w->h, w->i, w->p, 1, *j, n);
        for (int end = *j + n; *j < end; (*j)++)
            if (class == ALL_KEYS || (class == SOME_KEYS && ca_lets(A, X, w->b, w->h, w->i, w->p, *j))) t->key[t->n++] = *j;
    }
}

/* The same from the N keys of the row's own list, by ascending numbers, one perhaps again and again; *AT is the place in it. */
INLINE void list_own(const ca_args *A, const ca_optional *X, const struct packed *w, struct listed *t, GLOBAL const ca_int *own, int n, int *at, int first,
                     int last)
{
    int e = *at, count = t->n;
    for (; e < n && count < DK; e++) {
        const int j = own[e];
        if (j >= last) break;
        if (j < first || (e > 0 && own[e - 1] == j)) continue;
        if (!IS_ON(MASK_MOD, X->mask_mod) || CALL_MASK_MOD(A, X, w->b, w->h, (ca_int)w->p, j)) t->key[count++] = j;
    }
    *at = e;
    t->n = count;
}

/* The same of LSH: bucket by bucket, round by round, the keys that no round before had; *ROUND and *PLACE are where it goes on. */
INLINE void list_hashed(const ca_args *A, const ca_optional *X, const struct packed *w, struct listed *t, int *round, int *place, int first, int last,
                        NODE_PARAMS)
{
    GLOBAL const ca_int *own = ca_words(A, X, at) + (((ca_long)w->b * A->Hq + w->h) * A->Nq + w->i) * n0;
    GLOBAL const ca_int *keys = ca_words(A, X, n1) + ((ca_long)w->b * A->Hkv + w->h / A->group) * A->Nk * n0;
    for (; *round < n0; (*round)++, *place = 0) {
        int n;
        GLOBAL const ca_int *list = ca_bucket_keys(A, X, w->b, w->h, *round, own[*round], &n, NODE_ARGS);
        for (; *place < n && t->n < DK; (*place)++) {
            const int j = list[*place];
            int is_new = j >= first && j < last;
            for (int r = 0; is_new && r < *round; r++) is_new = keys[(ca_long)j * n0 + r] != own[r];
            if (!is_new) continue;
            if (!IS_ON(MASK_MOD, X->mask_mod) || CALL_MASK_MOD(A, X, w->b, w->h, (ca_int)w->p, j)) t->key[t->n++] = j;
        }
        if (t->n == DK) return;
    }
}

/* The same of the keys that were taken by their scores, which come along. */
INLINE void list_taken(GLOBAL const float *row, struct listed *t, int *at, int n)
{
    for (; *at < n && t->n < DK; (*at)++) {
        if (*at % VL == 0)
            while (*at + VL <= n && !VANY(~IS_MASKED(VLOAD(row + *at)))) *at += VL;
        if (*at >= n) break;
        if (row[*at] == -CA_INFINITY) continue;
        t->key[t->n] = *at;
        t->s[t->n++] = row[*at];
    }
}

/* Row I of head H of batch row B, and how many keys were taken, where SPENT is given.  ROW has the row's scores, where the pattern takes keys
 * by them.  A row with a list of its own may be done band by band, its keys from BEGIN to END at a time; all others at once.  Scratch: t; qv
 * and made, a row of floats each, the larger of q's and v's. */
INLINE void gather(const ca_args *A, const ca_optional *X, GLOBAL const stored *q, GLOBAL const stored *k, GLOBAL const stored *v,
                   GLOBAL stored *o, GLOBAL float *lse, GLOBAL float *row, GLOBAL ca_int *spent, int D, int Dv, int b, int h, int i,
                   int begin, int end, struct row_state *r, struct listed *t, vf *qv, float *made)
{
    const int EC = WHOLE(Dv) / VL, hk = h / A->group;
    const ca_seq seq = ca_seq_of(A, X, b);
    const struct packed w = { b, h, i, i + seq.p0 };
    if (i >= seq.Nq) { /* a ragged row that is not there */
        if (IS_ON(TAKES, ca_takes(X)) && spent) spent[((ca_long)b * A->Hq + h) * A->Nq + i] = 0;
        return;
    }
    t->n = 0;
    if (begin == 0) {
        r->m = CA_LOWEST;
        r->l = 0.f;
        for (int c = 0; c < EC; c++) r->o[c] = SPLAT(0.f);
    }
    if (IS_ON(TAKES, ca_takes(X))) {
        const int taken = take(X, row, A->Nk);
        if (spent) spent[((ca_long)b * A->Hq + h) * A->Nq + i] = taken;
    }
    q += A->q_0 + b * A->q_b + h * A->q_h + (ca_long)(seq.q_row + i) * A->q_s;
    k = kv_from(A, k, ca_head_at(A, &seq, b, hk, A->k_0, A->k_b, A->k_h, A->k_s));
    v = kv_from(A, v, ca_head_at(A, &seq, b, hk, A->v_0, A->v_b, A->v_h, A->v_s));
    const int first = ca_most(begin, ca_key_lo(w.p, A->left, seq.Nk)), last = ca_least(end, ca_key_hi(w.p, A->right, seq.Nk));
    const int means = ca_sole(X) == CA_HIERARCHICAL ? ca_means(X, MEAN_BLOCKS) : 0, before = ca_means(X, MEAN_BEFORE);
    const int block = ca_means(X, MEAN_BLOCK), own = ca_div(ca_position(w.p), block);
    int j = first, c = 0, in_list = 0, at = 0, round = 0;
    GLOBAL const ca_int *list = 0;
    switch (ca_sole(X)) {
    case CA_RANDOM: case CA_CSR: list = ca_own_list(A, X, b, h, i, &in_list, FIRST_NODE(X)); break;
    default: break;
    }
    if (!IS_ON(TAKES, ca_takes(X))) decode_query(A, X, qv, q, i, D, made);
    if (list) at = begin == 0 ? ca_place(list, in_list, first) : r->place;
    for (;;) { /* fills the list, with keys and then with means */
        if (IS_ON(TAKES, ca_takes(X))) list_taken(row, t, &at, A->Nk);
        else if (ca_sole(X) == CA_LSH) list_hashed(A, X, &w, t, &round, &at, first, last, FIRST_NODE(X));
        else if (list) list_own(A, X, &w, t, list, in_list, &at, first, last);
        else list_keys(A, X, &w, t, &j, last);
        for (; j >= last && c < means && t->n < DK; c++)
            if (c != own && c * block < seq.Nk && (!before || c < own)) t->key[t->n++] = -1 - c;
        if (t->n == 0) break;
        if (!IS_ON(TAKES, ca_takes(X))) {
            score_listed(A, X, &w, t, k, qv, D, made);
            if (IS_ON(MODIFIED, A->scored == CA_MODIFIED) || IS_ON(MASK, X->mask)) modify_listed(A, X, &w, t);
        }
        add_listed(A, X, &w, t, v, Dv, r, made);
    }
    r->place = at;
    if (end >= A->Nk) leave_row(A, X, &seq, o, lse, Dv, b, h, i, r->m, r->l, r->o, made);
}

/* The same of rows I to I + ROWS.  ROW is memory for their scores where the pattern takes keys by them: then they are PACK at most, and qv has
 * so many rows.  With a BAND of fewer keys than all, all rows are done with one band's keys, which stay in the cache, before those of the next;
 * then R are the rows' states, else one for all. */
INLINE void gather_rows(const ca_args *A, const ca_optional *X, GLOBAL const stored *q, GLOBAL const stored *k, GLOBAL const stored *v,
                        GLOBAL stored *o, GLOBAL float *lse, GLOBAL float *row, GLOBAL ca_int *spent, int D, int Dv, int b, int h, int i, int rows,
                        int band, struct row_state *r, vf *qv, float *made)
{
    struct listed t;
    if (IS_ON(TAKES, ca_takes(X))) {
        const ca_seq seq = ca_seq_of(A, X, b);
        float s[PACK > 1 ? PACK * DK : 1];
        if (i < seq.Nq) score_rows(A, X, &seq, q, k, row, CA_BIASED, D, b, h, i, ca_least(rows, seq.Nq - i), qv, PACK > 1 ? s : t.s, made);
    }
    int begin = 0, end;
    do {
        end = A->Nk - begin > band ? begin + band : A->Nk;
        for (int n = 0; n < rows; n++)
            gather(A, X, q, k, v, o, lse, row + (ca_long)n * A->Nk, spent, D, Dv, b, h, i + n, begin, end, r + (band < A->Nk ? n : 0), &t, qv, made);
        begin = end;
    } while (end < A->Nk);
}
