/* linear_plain.h -- linear attention written down as its definition, token by token, in REAL: in double it is the oracle, in
 * float the plain computation that the library's error is measured by.  It shares no line with the library, on purpose. */

static void NAME(features)(const struct linear_case *c, const double *x, const double *w, int64_t t, REAL *f)
{
    const int K = c->K, F = linear_features(c);
    REAL y[64], sum = 0, top = -INFINITY;
    for (int d = 0; d < K; d++) y[d] = (REAL)x[d];
    if (c->l2norm) {
        for (int d = 0; d < K; d++) sum += y[d] * y[d];
        for (int d = 0; d < K; d++) y[d] /= sqrt(sum + (REAL)1e-6);
    }
    sum = 0;
    switch (c->map) {
    case CLATTN_MAP_IDENTITY: for (int d = 0; d < K; d++) f[d] = y[d]; break;
    case CLATTN_MAP_ELU1: for (int d = 0; d < K; d++) f[d] = y[d] > 0 ? y[d] + 1 : exp(y[d]); break;
    case CLATTN_MAP_RELU: for (int d = 0; d < K; d++) f[d] = y[d] > 0 ? y[d] : 0; break;
    case CLATTN_MAP_EXP: for (int d = 0; d < K; d++) f[d] = exp(y[d]); break;
    case CLATTN_MAP_SQUARE: for (int i = 0; i < F; i++) f[i] = y[i / K] * y[i % K]; break;
    case CLATTN_MAP_TAYLOR2:
        f[0] = 1;
        for (int d = 0; d < K; d++) f[1 + d] = y[d];
        for (int i = 0; i < K * K; i++) f[1 + K + i] = y[i / K] * y[i % K] / sqrt((REAL)2);
        break;
    case CLATTN_MAP_FAVOR:
        for (int d = 0; d < K; d++) y[d] /= sqrt(sqrt((REAL)K)), sum += y[d] * y[d];
        for (int i = 0; i < F; i++) {
            REAL s = 0;
            for (int d = 0; d < K; d++) s += (REAL)w[i * K + d] * y[d];
            f[i] = exp(s - sum / 2) / sqrt((REAL)F);
        }
        break;
    case CLATTN_MAP_COS:
        for (int d = 0; d < K; d++) {
            REAL a = (REAL)(M_PI / 2) * (REAL)t / (REAL)(c->max_len ? c->max_len : c->T), r = y[d] > 0 ? y[d] : 0;
            f[d] = r * cos(a), f[K + d] = r * sin(a);
        }
        break;
    case CLATTN_MAP_SOFTMAX:
        for (int d = 0; d < K; d++) top = y[d] > top ? y[d] : top;
        for (int d = 0; d < K; d++) sum += f[d] = exp(y[d] - top);
        for (int d = 0; d < K; d++) f[d] /= sum;
    }
}

/* One state, S [F][V] and z [F], and its heads of q; v[t] of tensors in the layout of the case.  terms: the sum of the sizes of what
 * an element of out is the sum of. */
static void NAME(head)(const struct linear_case *c, const double *const *v, int b, int h, double *out, double *terms, double *S_out, double *z_out,
                       double *lse)
{
    const int F = linear_features(c), V = c->V, K = c->K, group = c->H / c->Hkv;
    const bool gated = c->rule == CLATTN_RULE_GATED || c->rule == CLATTN_RULE_GATED_DELTA, delta = c->rule >= CLATTN_RULE_DELTA;
    const REAL scale = (REAL)(isnan(c->scale) ? 1 / sqrt((double)K) : c->scale);
    REAL *S = calloc((size_t)(F * V + 3 * F + 2 * V) + 1, sizeof *S), *z = S + F * V, *k = z + F, *q = k + F, *u = q + F, *before = u + V;
    const size_t s0 = ((size_t)b * (size_t)c->Hkv + (size_t)h) * (size_t)F;
    for (int i = 0; v[L_STATE] && i < F * V; i++) S[i] = (REAL)v[L_STATE][s0 * (size_t)V + (size_t)i];
    for (int f = 0; v[L_Z] && f < F; f++) z[f] = (REAL)v[L_Z][s0 + (size_t)f];
    for (int g = 0; g < group; g++)
        for (int t = 0; t < c->T && t < c->lag; t++) { /* nothing is read */
            const size_t row = linear_row(c, b, h * group + g, t, c->H) * (size_t)V;
            for (int e = 0; e < V; e++) out[row + (size_t)e] = terms[row + (size_t)e] = 0;
            lse[((size_t)b * (size_t)c->H + (size_t)(h * group + g)) * (size_t)c->T + (size_t)t] = -INFINITY;
        }
    for (int pass = c->bidirectional ? 0 : 1; pass < 2; pass++)
        for (int t = 0; t < c->T - c->lag; t++) {
            const size_t kv = linear_row(c, b, h, t, c->Hkv);
            NAME(features)(c, v[L_K] + kv * (size_t)K, v[L_PROJECTION], t, k);
            for (int e = 0; e < V; e++) u[e] = (REAL)v[L_V][kv * (size_t)V + (size_t)e];
            bool update = pass == 0 || !c->bidirectional, read = pass == 1;
            for (int g = 0; g < group && v[L_U] && read; g++) {
                const size_t row = linear_row(c, b, h * group + g, t, c->H);
                NAME(features)(c, v[L_Q] + row * (size_t)K, v[L_PROJECTION], t, q);
                for (int e = 0; e < V; e++) {
                    REAL o = 0, size = 0;
                    for (int f = 0; f < F; f++) {
                        REAL own = (REAL)v[L_U][h * K + f] * k[f] * u[e];
                        o += q[f] * (S[f * V + e] + own);
                        size += fabs(q[f] * S[f * V + e]) + fabs(q[f] * own);
                    }
                    out[row * (size_t)V + (size_t)e] = scale * o;
                    terms[row * (size_t)V + (size_t)e] = fabs(scale) * size;
                }
            }
            if (update) {
                for (int f = 0; f < F && gated; f++) {
                    REAL a = exp((REAL)v[L_G][c->by_dim ? kv * (size_t)K + (size_t)f : kv]);
                    for (int e = 0; e < V; e++) S[f * V + e] *= a;
                    z[f] *= a;
                }
                for (int e = 0; e < V && delta; e++) {
                    REAL seen = 0;
                    for (int f = 0; f < F; f++) seen += S[f * V + e] * k[f];
                    before[e] = (REAL)v[L_BETA][kv] * (u[e] - seen);
                }
                for (int f = 0; f < F; f++) {
                    for (int e = 0; e < V; e++) S[f * V + e] += k[f] * (delta ? before[e] : u[e]);
                    z[f] += k[f];
                }
            }
            for (int g = 0; g < group && !v[L_U] && read; g++) {
                const size_t row = linear_row(c, b, h * group + g, t + c->lag, c->H);
                REAL divisor = 0;
                NAME(features)(c, v[L_Q] + row * (size_t)K, v[L_PROJECTION], t, q);
                for (int f = 0; f < F; f++) divisor += q[f] * z[f];
                if (c->normalize)
                    lse[((size_t)b * (size_t)c->H + (size_t)(h * group + g)) * (size_t)c->T + (size_t)(t + c->lag)] = log(scale * divisor + (REAL)c->eps);
                for (int e = 0; e < V; e++) {
                    REAL o = 0, size = 0, by = c->normalize ? scale * divisor + (REAL)c->eps : 1;
                    for (int f = 0; f < F; f++) o += S[f * V + e] * q[f], size += fabs(S[f * V + e] * q[f]);
                    out[row * (size_t)V + (size_t)e] = scale * o / by;
                    terms[row * (size_t)V + (size_t)e] = fabs(scale * size / by);
                }
            }
        }
    for (int i = 0; i < F * V; i++) S_out[s0 * (size_t)V + (size_t)i] = S[i];
    for (int f = 0; f < F; f++) z_out[s0 + (size_t)f] = z[f];
    free(S);
}

static void NAME(linear)(const struct linear_case *c, const double *const *v, double *out, double *terms, double *S, double *z, double *lse)
{
    for (int b = 0; b < c->B; b++)
        for (int h = 0; h < c->Hkv; h++) NAME(head)(c, v, b, h, out, terms, S, z, lse);
}
