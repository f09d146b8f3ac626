/* knn.c -- attention over points in space: each sees its nearest neighbours, and the nearer the more.
 *
 *     cc knn.c $(pkg-config --cflags --libs clattn) -lm -o knn
 *
 *     points ─► grid of cells ─► NEAR nearest of each, a graph in CSR ─► softmax(q.k / sqrt(DIM) - (distance / RANGE)^2) v
 *
 * The distance is a bias of the edge.  Neighbours and attention are compared with plain loops.
 */
#include <clattn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POINTS 4000
#define NEAR 16
#define SIDE 10 /* cells of the unit cube along an axis: four points in one */
#define RANGE 0.05f
#define HEADS 4
#define DIM 32
#define COUNT ((size_t)HEADS * POINTS * DIM)

struct neighbour { float square; int j; };

static float point[POINTS][3], edge_bias[POINTS * NEAR];
static int row_ptr[POINTS + 1], col_idx[POINTS * NEAR];
static int first[SIDE * SIDE * SIDE + 1], member[POINTS]; /* of a cell */

static int along(float x) { return x < 1 ? (int)(x * SIDE) : SIDE - 1; }
static int cell_of(const float *x) { return (along(x[0]) * SIDE + along(x[1])) * SIDE + along(x[2]); }

static float square_of(const float *x, const float *y)
{
    float sum = 0;
    for (int c = 0; c < 3; c++) sum += (x[c] - y[c]) * (x[c] - y[c]);
    return sum;
}

static void sort_into_cells(void)
{
    int at[SIDE * SIDE * SIDE];
    for (int i = 0; i < POINTS; i++) first[cell_of(point[i]) + 1]++;
    for (int c = 0; c < SIDE * SIDE * SIDE; c++) first[c + 1] += first[c];
    memcpy(at, first, sizeof at);
    for (int i = 0; i < POINTS; i++) member[at[cell_of(point[i])]++] = i;
}

/* Puts the points of a cell among the NEAR nearest to X, of which there are N. */
static int look_into(int cell, const float *x, struct neighbour *near, int n)
{
    for (int m = first[cell]; m < first[cell + 1]; m++) {
        const struct neighbour new = { square_of(x, point[member[m]]), member[m] };
        int place = n < NEAR ? n++ : NEAR;
        for (; place > 0 && new.square < near[place - 1].square; place--)
            if (place < NEAR) near[place] = near[place - 1];
        if (place < NEAR) near[place] = new;
    }
    return n;
}

static int by_number(const void *a, const void *b) { return ((const struct neighbour *)a)->j - ((const struct neighbour *)b)->j; }

/* Shells of cells around X, until what is farther out cannot be nearer. */
static void find_neighbours(const float *x, struct neighbour *near)
{
    const int home[3] = { along(x[0]), along(x[1]), along(x[2]) };
    int n = 0;
    for (int shell = 0; shell < SIDE; shell++) {
        const float reach = (float)(shell - 1) / SIDE; /* at least so far away is all that is in it */
        if (n == NEAR && reach > 0 && near[NEAR - 1].square <= reach * reach) break;
        for (int a = home[0] - shell; a <= home[0] + shell; a++)
            for (int b = home[1] - shell; b <= home[1] + shell; b++)
                for (int c = home[2] - shell; c <= home[2] + shell; c++) {
                    const int far = abs(a - home[0]) == shell || abs(b - home[1]) == shell || abs(c - home[2]) == shell;
                    if (far && a >= 0 && a < SIDE && b >= 0 && b < SIDE && c >= 0 && c < SIDE) n = look_into((a * SIDE + b) * SIDE + c, x, near, n);
                }
    }
    qsort(near, NEAR, sizeof *near, by_number); /* a row's keys ascend */
}

static int attend(const float *q, const float *k, const float *v, float *out)
{
    clattn_pattern neighbours;
    clattn_attention a;
    clattn_pattern_init(&neighbours, CLATTN_CSR);
    neighbours.edges = POINTS * NEAR;
    neighbours.edge_heads = 1; /* all heads alike */
    clattn_attention_init(&a);
    a.q_heads = HEADS;
    a.q_len = a.kv_len = POINTS;
    a.head_dim = DIM;
    a.pattern = &neighbours;
    const clattn_pointers p = { .size = sizeof p, .q = q, .k = k, .v = v, .out = out, .row_ptr = row_ptr, .col_idx = col_idx, .edge_bias = edge_bias };
    return clattn_attention_host(&a, &p) == CLATTN_OK;
}

/* Of points that are not listed for one, none may be nearer than those that are. */
static int neighbours_are_right(int i)
{
    float farthest = 0;
    int nearer = 0;
    for (int e = i * NEAR; e < (i + 1) * NEAR; e++) farthest = fmaxf(farthest, square_of(point[i], point[col_idx[e]]));
    for (int j = 0; j < POINTS; j++) nearer += square_of(point[i], point[j]) < farthest;
    return nearer < NEAR;
}

static double difference(int h, int i, const float *q, const float *k, const float *v, const float *out)
{
    double sum[DIM] = { 0 }, all = 0, worst = 0;
    for (int e = i * NEAR; e < (i + 1) * NEAR; e++) {
        const size_t at = ((size_t)h * POINTS + (size_t)col_idx[e]) * DIM;
        double s = 0;
        for (int d = 0; d < DIM; d++) s += (double)q[((size_t)h * POINTS + (size_t)i) * DIM + (size_t)d] * k[at + (size_t)d];
        s = exp(s / sqrt(DIM) + edge_bias[e]);
        all += s;
        for (int d = 0; d < DIM; d++) sum[d] += s * v[at + (size_t)d];
    }
    for (int d = 0; d < DIM; d++) {
        const double error = fabs(sum[d] / all - out[((size_t)h * POINTS + (size_t)i) * DIM + (size_t)d]);
        if (error > worst) worst = error;
    }
    return worst;
}

int main(void)
{
    float *q = malloc(4 * COUNT * sizeof *q), *k = q + COUNT, *v = k + COUNT, *out = v + COUNT;
    double worst = 0;
    int right = 0;
    if (!q) return 1;
    for (size_t e = 0; e < 3 * COUNT; e++) q[e] = (float)rand() / (float)RAND_MAX - 0.5f;
    for (int i = 0; i < POINTS; i++)
        for (int c = 0; c < 3; c++) point[i][c] = (float)rand() / (float)RAND_MAX;
    sort_into_cells();
    for (int i = 0; i < POINTS; i++) {
        struct neighbour near[NEAR];
        find_neighbours(point[i], near);
        for (int e = 0; e < NEAR; e++) {
            col_idx[i * NEAR + e] = near[e].j;
            edge_bias[i * NEAR + e] = -near[e].square / (RANGE * RANGE);
        }
        row_ptr[i + 1] = (i + 1) * NEAR;
    }
    if (!attend(q, k, v, out)) {
        fprintf(stderr, "%s\n", clattn_last_message());
        return 1;
    }
    for (int i = 0; i < POINTS; i++) {
        right += neighbours_are_right(i);
        for (int h = 0; h < HEADS; h++) worst = fmax(worst, difference(h, i, q, k, v, out));
    }
    printf("%d points, %d of them with their %d nearest neighbours; attention at most %.1e from plain loops\n", POINTS, right, NEAR, worst);
    free(q);
    return right < POINTS || worst > 1e-5;
}
