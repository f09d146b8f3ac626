/* attention.c -- attention on ordinary memory, on the best device of the machine.
 *
 *     cc attention.c $(pkg-config --cflags --libs clattn) -o attention
 */
#include <clattn.h>
#include <stdio.h>
#include <stdlib.h>

#define HEADS 8
#define LENGTH 512
#define DIM 64
#define COUNT ((size_t)HEADS * LENGTH * DIM)

int main(void)
{
    float *q = malloc(4 * COUNT * sizeof *q), *k = q + COUNT, *v = k + COUNT, *out = v + COUNT;
    clattn_attention a;
    if (!q) return 1;
    for (size_t i = 0; i < 3 * COUNT; i++) q[i] = (float)rand() / (float)RAND_MAX - 0.5f;

    clattn_attention_init(&a); /* f32, [batch][head][row][dim], scale 1 / sqrt(DIM) */
    a.q_heads = HEADS;
    a.q_len = a.kv_len = LENGTH;
    a.head_dim = DIM;
    a.causal = 1;

    const clattn_pointers p = {.size = sizeof p, .q = q, .k = k, .v = v, .out = out};
    if (clattn_attention_host(&a, &p) != CLATTN_OK) {
        fprintf(stderr, "%s\n", clattn_last_message());
        return 1;
    }
    /* The first query sees only the first key, so its output is the first value. */
    printf("out[0] = %g, v[0] = %g\n", out[0], v[0]);
    free(q);
    return 0;
}
