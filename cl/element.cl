/* element.cl -- operations whose outputs are computed one by one: a work-item each.  OpenCL C 1.2, and C for the host
 * (item.h). */
#include "item.h"

/* Products and quotients in which nothing cancels: gelu's 1 + erf and 1 + tanh would, for negative x. */
INLINE float activated(float x, int how)
{
    if (how == ACT_SILU) return x / (1.f + exp(-x));
    if (how == ACT_GELU) return 0.5f * x * erfc(x * -0.707106781f);
    if (how == ACT_GELU_TANH) return x / (1.f + exp(-1.59576912f * (x + 0.044715f * x * x * x)));
    return x;
}

/* operands x, out; flag 0: which */
KERNEL(activate)
{
    ca_long i = INDEX;
    if (!BEYOND) STORE(1, i, activated(LOAD(0, i), a.flag[0]));
}

/* Copies up to three tensors into others of perhaps another type.
 * operands from 0 1 2, to 3 4 5; sizes 5 6 7: their elements */
KERNEL(convert)
{
    ca_long i = INDEX;
    if (i < a.n[5]) STORE(3, i, LOAD(0, i));
    if (i < a.n[6]) STORE(4, i, LOAD(1, i));
    if (i < a.n[7]) STORE(5, i, LOAD(2, i));
}

/* Turns pairs of a row's elements by the angle of its position, copies those behind the pairs; an item reads what it
 * writes, so that out may be x.  A position beyond the tables gives NaN.
 * operands x, cos, sin, position_ids, out; sizes N, H, D, pairs, rows of the tables; flags BSHD, interleaved */
KERNEL(rope)
{
    ca_long u = INDEX, N = a.n[0], H = a.n[1], D = a.n[2], pairs = a.n[3], row = u / (D - pairs), j = u % (D - pairs);
    if (BEYOND) return;
    if (j >= pairs) {
        STORE(4, row * D + pairs + j, LOAD(0, row * D + pairs + j));
        return;
    }
    ca_long n = a.flag[0] ? row / H % N : row % N, b = row / (N * H), p = GIVEN(3) ? LOAD_INT(3, b * N + n) : n;
    ca_long at = row * D + (a.flag[1] ? 2 * j : j), to = at + (a.flag[1] ? 1 : pairs);
    float c = NAN, s = NAN, x = LOAD(0, at), y = LOAD(0, to);
    if (p >= 0 && p < a.n[4]) {
        c = LOAD(1, p * pairs + j);
        s = LOAD(2, p * pairs + j);
    }
    STORE(4, at, x * c - y * s);
    STORE(4, to, y * c + x * s);
}

/* bias[h][i][j] = table at head h and the column that j - i has, from a list or, counted from the right end, j - i
 * itself.  operands table, columns, bias; sizes q_len, k_len, table's step per head, per column */
KERNEL(relative_bias)
{
    ca_long u = INDEX, Q = a.n[0], K = a.n[1], j = u % K, i = u / K % Q, h = u / K / Q;
    if (BEYOND) return;
    ca_long column = GIVEN(1) ? LOAD_INT(1, j - i + Q - 1) : i - j + Q - 1;
    STORE(2, u, LOAD(0, h * a.n[2] + column * a.n[3]));
}

/* Writes update's rows into the cache from write_indices[b] on; flag 0: modulo the cache's length.  What would lie
 * outside is not written.  What is past_cache elsewhere was copied by convert before.
 * operands past_cache, update, write_indices, out; sizes L of update, inner, M of the cache, rows per batch row */
KERNEL(scatter)
{
    ca_long u = INDEX, L = a.n[0], inner = a.n[1], M = a.n[2], i = u % inner, s = u / inner % L, o = u / inner / L;
    if (BEYOND) return;
    ca_long to = s + (GIVEN(2) ? LOAD_INT(2, o / a.n[3]) : 0);
    if (a.flag[0]) to = (to % M + M) % M;
    if (to >= 0 && to < M) STORE(3, (o * M + to) * inner + i, LOAD(1, u));
}

/* A depthwise convolution that looks back: past and input in a row are W - 1 + T elements, of which the last W - 1 are
 * the present state.
 * operands input, weight, bias, past_state, out, present_state; sizes T, W, C; flag 0: activation */
KERNEL(causal_conv)
{
    ca_long u = INDEX, T = a.n[0], W = a.n[1], P = W - 1, bc = u / (T + P), c = bc % a.n[2], at = u % (T + P);
    if (BEYOND) return;
    if (at >= T) {
        STORE(5, bc * P + at - T, at < P ? LOAD(3, bc * P + at) : LOAD(0, bc * T + at - P));
        return;
    }
    float sum = LOAD(2, c);
    for (ca_long w = 0; w < W; w++)
        sum += LOAD(1, c * W + w) * (at + w < P ? LOAD(3, bc * P + at + w) : LOAD(0, bc * T + at + w - P));
    STORE(4, bc * T + at, activated(sum, a.flag[0]));
}

/* Parts of one attention, each over other keys, become the whole: softmax(lses) . outs.  A part that saw no key
 * (lse -inf) is never read.  operands outs, lses, out, lse; sizes parts, rows, D */
KERNEL(merge)
{
    ca_long u = INDEX, S = a.n[0], R = a.n[1], D = a.n[2], width = D > 0 ? D : 1, r = u / width, d = u % width;
    if (BEYOND) return;
    float top = -INFINITY, sum = 0.f, o = 0.f;
    for (ca_long s = 0; s < S; s++) top = fmax(top, LOAD(1, s * R + r));
    for (ca_long s = 0; s < S; s++) {
        float l = LOAD(1, s * R + r), w;
        if (l == -INFINITY) continue;
        w = exp(l - top);
        sum += w;
        if (D > 0) o += w * LOAD(0, (s * R + r) * D + d);
    }
    if (D > 0) STORE(2, u, sum == 0.f ? 0.f : o / sum);
    if (d == 0) STORE(3, r, sum == 0.f ? -INFINITY : top + log(sum));
}

/* A product of each of a batch of matrices, [M][K] and [K][N], in f32: out = c I + x a b.  a is packed, the first again after each A of
 * them; of b element (k, j) of head h of batch row b lies at b B + h H + k S + j, or with flag 1 at ... + j S + k.
 * operands a, b, out; sizes M, N, K, A, heads, B, H, S; flags c, turned; eps: x */
KERNEL(matmul)
{
    ca_long u = INDEX, M = a.n[0], N = a.n[1], K = a.n[2], j = u % N, i = u / N % M, bh = u / N / M;
    if (BEYOND) return;
    ca_long row = (bh % a.n[3] * M + i) * K, at = bh / a.n[4] * a.n[5] + bh % a.n[4] * a.n[6] + (a.flag[1] ? j * a.n[7] : j);
    ca_long step = a.flag[1] ? 1 : a.n[7];
    wide sum = 0;
    for (ca_long k = 0; k < K; k++) sum += (wide)LOAD(0, row + k) * LOAD(1, at + k * step);
    STORE(2, u, (i == j ? (float)a.flag[0] : 0.f) + a.eps * (float)sum);
}

/* Means of M segments of N rows, floor(s N / M) ... floor((s + 1) N / M) - 1, of each head (Nystromformer's landmarks).
 * operands x, out [batch heads][M][D]; sizes M, D, N, heads, and b's last three of matmul */
KERNEL(landmarks)
{
    ca_long u = INDEX, M = a.n[0], D = a.n[1], N = a.n[2], d = u % D, s = u / D % M, bh = u / D / M;
    if (BEYOND) return;
    ca_long from = s * N / M, to = (s + 1) * N / M, at = bh / a.n[3] * a.n[5] + bh % a.n[3] * a.n[6] + d;
    wide sum = 0;
    for (ca_long i = from; i < to; i++) sum += LOAD(0, at + i * a.n[7]);
    STORE(1, u, (float)(sum / (wide)(to - from)));
}

/* Where the iteration to a matrix's inverse begins: turned, over the largest sum of a column's sizes and that of a row's.
 * operands a, out [batch][M][M]; size M */
KERNEL(inverse_start)
{
    ca_long u = INDEX, M = a.n[0], at = u * M * M;
    float row = 0.f, column = 0.f;
    if (BEYOND) return;
    for (ca_long i = 0; i < M; i++) {
        float r = 0.f, c = 0.f;
        for (ca_long j = 0; j < M; j++) {
            r += fabs(LOAD(0, at + i * M + j));
            c += fabs(LOAD(0, at + j * M + i));
        }
        row = fmax(row, r);
        column = fmax(column, c);
    }
    for (ca_long e = 0; e < M * M; e++) STORE(1, at + e % M * M + e / M, LOAD(0, at + e) / (row * column));
}
