/* ops_plain.h -- the operations around attention written down as their definitions, in REAL: in double they are the
 * oracle, in float the plain computation that the library's error is measured by.  NAME(x) makes the two apart.
 * It shares no line with the library, on purpose. */

static void NAME(softmax)(const double *x, double *out, int64_t outer, int64_t n, int64_t inner, bool logarithm)
{
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            const double *row = x + o * n * inner + i;
            double *to = out + o * n * inner + i;
            REAL top = -INFINITY, sum = 0;
            for (int64_t k = 0; k < n; k++) top = (REAL)row[k * inner] > top ? (REAL)row[k * inner] : top;
            for (int64_t k = 0; k < n; k++) sum += exp((REAL)row[k * inner] - top);
            for (int64_t k = 0; k < n; k++) {
                REAL s = (REAL)row[k * inner] - top;
                to[k * inner] = logarithm ? s - log(sum) : exp(s) / sum;
            }
        }
}

/* weight and bias may be NULL; mean and inv_std hold a number for each row. */
static void NAME(norm)(const double *x, const double *weight, int64_t weights, const double *bias, int64_t biases,
                       int64_t rows, int64_t n, double eps, bool layer, double *out, double *mean, double *inv_std)
{
    for (int64_t r = 0; r < rows; r++) {
        REAL sum = 0, square = 0;
        for (int64_t i = 0; layer && i < n; i++) sum += (REAL)x[r * n + i];
        sum /= (REAL)n;
        for (int64_t i = 0; i < n; i++) square += ((REAL)x[r * n + i] - sum) * ((REAL)x[r * n + i] - sum);
        REAL inv = 1 / sqrt(square / (REAL)n + (REAL)eps);
        for (int64_t i = r * n; i < (r + 1) * n; i++) {
            REAL y = ((REAL)x[i] - sum) * inv;
            if (weight) y *= (REAL)weight[i % weights];
            if (bias) y += (REAL)bias[i % biases];
            out[i] = y;
        }
        mean[r] = sum;
        inv_std[r] = inv;
    }
}

static REAL NAME(activated)(REAL x, int how)
{
    const REAL c = (REAL)0.79788456080286535588; /* sqrt(2 / pi) */
    if (how == CLATTN_ACTIVATION_SILU) return x / (1 + exp(-x));
    if (how == CLATTN_ACTIVATION_GELU) return x / 2 * (1 + erf(x * (REAL)0.70710678118654752440));
    if (how == CLATTN_ACTIVATION_GELU_TANH) return x / 2 * (1 + tanh(c * (x + (REAL)0.044715 * x * x * x)));
    return x;
}

/* x [B][N][H][D] or [B][H][N][D]; ids NULL: n. */
static void NAME(rope)(const double *x, const double *cos, const double *sin, const double *ids, int64_t B, int64_t H,
                       int64_t N, int64_t D, int64_t P, bool bshd, bool interleaved, double *out)
{
    for (int64_t b = 0; b < B; b++)
        for (int64_t h = 0; h < H; h++)
            for (int64_t n = 0; n < N; n++) {
                int64_t row = D * (bshd ? (b * N + n) * H + h : (b * H + h) * N + n);
                int64_t p = ids ? (int64_t)ids[b * N + n] : n;
                for (int64_t d = 0; d < D; d++) {
                    int64_t pair = interleaved ? d / 2 : d % (P ? P : 1);
                    bool second = interleaved ? d % 2 : d >= P;
                    int64_t other = interleaved ? d ^ 1 : second ? d - P : d + P;
                    if (d >= 2 * P) {
                        out[row + d] = x[row + d];
                        continue;
                    }
                    REAL c = (REAL)cos[p * P + pair], s = (REAL)sin[p * P + pair];
                    REAL mine = (REAL)x[row + d], its = (REAL)x[row + other];
                    out[row + d] = second ? mine * c + its * s : mine * c - its * s;
                }
            }
}

static void NAME(causal_conv)(const double *x, const double *weight, const double *bias, const double *past, int64_t B,
                              int64_t C, int64_t T, int64_t W, int how, double *out, double *present)
{
    for (int64_t bc = 0; bc < B * C; bc++) {
        for (int64_t t = 0; t < T; t++) {
            REAL sum = bias ? (REAL)bias[bc % C] : 0;
            for (int64_t w = 0; w < W; w++) {
                int64_t from = t + w - (W - 1);
                double v = from >= 0 ? x[bc * T + from] : past ? past[bc * (W - 1) + W - 1 + from] : 0;
                sum += (REAL)v * (REAL)weight[bc % C * W + w];
            }
            out[bc * T + t] = NAME(activated)(sum, how);
        }
        for (int64_t k = 0; k < W - 1; k++) {
            int64_t from = T - (W - 1) + k;
            present[bc * (W - 1) + k] = from >= 0 ? x[bc * T + from] : past ? past[bc * (W - 1) + W - 1 + from] : 0;
        }
    }
}

static void NAME(merge)(const double *outs, const double *lses, int64_t S, int64_t R, int64_t D, double *out,
                        double *lse)
{
    for (int64_t r = 0; r < R; r++) {
        REAL top = -INFINITY, sum = 0;
        for (int64_t s = 0; s < S; s++) top = lses[s * R + r] > top ? (REAL)lses[s * R + r] : top;
        for (int64_t s = 0; s < S; s++) sum += lses[s * R + r] == -INFINITY ? 0 : exp((REAL)lses[s * R + r] - top);
        for (int64_t d = 0; d < D; d++) {
            REAL o = 0;
            for (int64_t s = 0; s < S; s++)
                if (lses[s * R + r] != -INFINITY)
                    o += exp((REAL)lses[s * R + r] - top) * (REAL)outs[(s * R + r) * D + d];
            out[r * D + d] = sum == 0 ? 0 : o / sum;
        }
        lse[r] = sum == 0 ? -INFINITY : top + log(sum);
    }
}
