/* gat.c -- a graph attention network of two layers (Velickovic et al., "Graph Attention Networks", 2018) on a graph from a file.
 *
 *     cc gat.c $(pkg-config --cflags --libs clattn) -lm -o gat && ./gat karate.edges
 *
 * A layer, for each head and node i:
 *
 *     x ─► h = W x ─► scores leaky_relu(left.h[i] + right.h[j]) of the neighbours j ─► softmax ─► the sum of their h[j] so weighted
 *
 * The library's part begins with the scores: a query is the one number left.h[i], a key right.h[j], and which j are neighbours is a pattern.
 * The weights are those that a training begins with.  Each layer is compared with plain loops.
 */
#include <clattn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define SLOPE 0.2f /* of the leaky ReLU */

struct graph { int nodes, edges, *row_ptr, *col_idx; };
struct edge { int i, j; };

static int ascending(const void *a, const void *b)
{
    const struct edge *x = a, *y = b;
    return x->i != y->i ? x->i - y->i : x->j - y->j;
}

/* Lines "I J", an edge in both directions; lines with # are comments.  Each node is its own neighbour, too. */
static int read_graph(const char *path, struct graph *g)
{
    FILE *f = fopen(path, "r");
    char line[256];
    struct edge *edge = NULL, e;
    if (!f) return 0;
    for (int n = 1; fgets(line, sizeof line, f); n++) {
        if (line[0] == '#') continue;
        if (sscanf(line, "%d %d", &e.i, &e.j) != 2 || e.i < 0 || e.j < 0 || e.i > 9999 || e.j > 9999) {
            fprintf(stderr, "%s:%d: %s", path, n, line);
            return 0;
        }
        if (!(edge = realloc(edge, (size_t)(g->edges + 2) * sizeof *edge))) return 0;
        edge[g->edges++] = e;
        edge[g->edges++] = (struct edge){ e.j, e.i };
        if (e.i >= g->nodes) g->nodes = e.i + 1;
        if (e.j >= g->nodes) g->nodes = e.j + 1;
    }
    fclose(f);
    edge = realloc(edge, (size_t)(g->edges + g->nodes + 1) * sizeof *edge);
    g->row_ptr = calloc((size_t)g->nodes + 1, sizeof *g->row_ptr);
    g->col_idx = malloc((size_t)(g->edges + g->nodes + 1) * sizeof *g->col_idx);
    if (!edge || !g->row_ptr || !g->col_idx) return 0;
    for (int i = 0; i < g->nodes; i++) edge[g->edges++] = (struct edge){ i, i };
    qsort(edge, (size_t)g->edges, sizeof *edge, ascending);
    for (int n = 0; n < g->edges; n++) {
        g->row_ptr[edge[n].i + 1] = n + 1;
        g->col_idx[n] = edge[n].j;
    }
    free(edge);
    return g->nodes > 0;
}

/* First weights, [to][from]. */
static int draw(float *weights, int to, int from, uint64_t seed)
{
    const clattn_tensor t = { .size = sizeof t, .dtype = CLATTN_F32, .rank = 2, .shape = { to, from }, .host = weights };
    return clattn_initialise(NULL, CLATTN_XAVIER_UNIFORM, 0, seed, 0, &t, NULL) == CLATTN_OK;
}

/* out [nodes][heads][dim] of q, k [nodes][heads] and v [nodes][heads][dim]. */
static int attend(const struct graph *g, int heads, int dim, const float *q, const float *k, const float *v, const float *leaks, float *out)
{
    clattn_pattern neighbours;
    clattn_attention a;
    clattn_pattern_init(&neighbours, CLATTN_CSR);
    neighbours.edges = g->edges;
    clattn_attention_init(&a);
    a.layout = CLATTN_BSHD; /* heads lie side by side: concatenated, that is */
    a.q_heads = heads;
    a.q_len = a.kv_len = g->nodes;
    a.head_dim = 1;
    a.v_dim = dim;
    a.score = CLATTN_GAT;
    a.pattern = &neighbours;
    const clattn_pointers p = { .size = sizeof p, .q = q, .k = k, .v = v, .out = out, .leaks = leaks, .row_ptr = g->row_ptr, .col_idx = g->col_idx };
    return clattn_attention_host(&a, &p) == CLATTN_OK;
}

/* The largest difference of OUT from the definition. */
static double check(const struct graph *g, int heads, int dim, const float *q, const float *k, const float *v, const float *out)
{
    double worst = 0;
    for (int i = 0; i < g->nodes; i++)
        for (int h = 0; h < heads; h++)
            for (int d = 0; d < dim; d++) {
                double sum = 0, all = 0;
                for (int e = g->row_ptr[i]; e < g->row_ptr[i + 1]; e++) {
                    const int j = g->col_idx[e];
                    double s = (double)q[i * heads + h] + k[j * heads + h];
                    s = exp(s > 0 ? s : (double)SLOPE * s);
                    all += s;
                    sum += s * v[(j * heads + h) * dim + d];
                }
                worst = fmax(worst, fabs(sum / all - out[(i * heads + h) * dim + d]));
            }
    return worst;
}

/* A layer on x [nodes][in]; out as above. */
static int layer(const struct graph *g, int in, int heads, int dim, uint64_t seed, const float *x, float *out)
{
    const size_t wide = (size_t)heads * (size_t)dim, rows = (size_t)g->nodes * (size_t)heads;
    float *w = malloc((wide * (size_t)in + 2 * wide + 2 * rows + rows * (size_t)dim + (size_t)heads) * sizeof *w);
    float *left = w + wide * (size_t)in, *right = left + wide, *q = right + wide, *k = q + rows, *leaks = k + rows, *v = leaks + heads;
    int ok = w && draw(w, (int)wide, in, seed) && draw(left, heads, dim, seed + 1) && draw(right, heads, dim, seed + 2);
    for (int h = 0; ok && h < heads; h++) leaks[h] = SLOPE;
    for (int i = 0; ok && i < g->nodes; i++)
        for (int h = 0; h < heads; h++) {
            const int r = i * heads + h;
            q[r] = k[r] = 0;
            for (int d = 0; d < dim; d++) {
                float sum = 0;
                for (int c = 0; c < in; c++) sum += w[(h * dim + d) * in + c] * x[i * in + c];
                v[r * dim + d] = sum;
                q[r] += left[h * dim + d] * sum;
                k[r] += right[h * dim + d] * sum;
            }
        }
    ok = ok && attend(g, heads, dim, q, k, v, leaks, out);
    if (ok) {
        double worst = check(g, heads, dim, q, k, v, out);
        printf("%d heads of %d: at most %.1e from plain loops\n", heads, dim, worst);
        ok = worst < 1e-5;
    }
    free(w);
    return ok;
}

int main(int argc, char **argv)
{
    enum { HEADS = 8, DIM = 8, CLASSES = 2 };
    struct graph g = { 0 };
    if (!read_graph(argc > 1 ? argv[1] : "karate.edges", &g)) {
        fprintf(stderr, "usage: gat FILE, with an edge \"I J\" a line\n");
        return 2;
    }
    const int n = g.nodes;
    float *x = calloc((size_t)n * (size_t)n, sizeof *x), *hidden = malloc((size_t)(n * HEADS * DIM) * sizeof *hidden);
    float *last = malloc((size_t)(n * HEADS * CLASSES) * sizeof *last);
    int ok = x && hidden && last;
    for (int i = 0; ok && i < n; i++) x[i * n + i] = 1; /* nothing is known of a node but which one it is */
    ok = ok && layer(&g, n, HEADS, DIM, 1, x, hidden);
    for (int e = 0; ok && e < n * HEADS * DIM; e++) hidden[e] = hidden[e] > 0 ? hidden[e] : expm1f(hidden[e]); /* ELU */
    ok = ok && layer(&g, HEADS * DIM, HEADS, CLASSES, 11, hidden, last);
    for (int c = 0; ok && c < CLASSES; c++) {
        printf("class %d:", c);
        for (int i = 0; i < n; i++) {
            float lead = 0; /* of class 1, all heads together */
            for (int h = 0; h < HEADS; h++) lead += last[(i * HEADS + h) * CLASSES + 1] - last[(i * HEADS + h) * CLASSES];
            if ((lead > 0) == c) printf(" %d", i);
        }
        printf("\n");
    }
    if (!ok) fprintf(stderr, "failed: %s\n", clattn_last_message());
    free(x);
    free(hidden);
    free(last);
    free(g.row_ptr);
    free(g.col_idx);
    return !ok;
}
