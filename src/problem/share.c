/* share.c -- how many of the pairs of a query and a key a pattern lists, for figures and for the planner's costs: exact where a formula is simple, else
 * about.  What only tensors tell is taken for what the command's samples are. */
#include "problem/problem.h"
#include <math.h>
#include "base/checked.h"

static double at_most_one(double x) { return x < 1 ? x : 1; }
/* Of ROWS queries that each take the share X of the keys, by chance, at least one takes a key. */
static double any_of(double x, double rows) { return 1 - pow(1 - at_most_one(x), rows); }

/* The share of the keys which ROWS neighbouring queries, KEYS at most for each of them, see of a leaf. */
static double of_leaf(const struct problem *p, const ca_node *n, double keys, double rows)
{
    const ca_int *c = n->n;
    const double half = p->right == CA_UNLIMITED ? 1 : 0.5, before = 0.5 / half; /* of both sides' keys, how many; of the keys, how many lie before the query */
    switch (n->type) {
    case CA_STRIDED: return (1 - before) + before * at_most_one((c[0] + rows) / keys + rows / c[0]);
    case CA_FIXED: return at_most_one((half * c[0] + rows) / keys + (double)c[1] / c[0]);
    case CA_DILATED: return at_most_one((2 * half * c[0] + rows) / keys) * at_most_one(rows / c[1]);
    case CA_RANDOM: return any_of(c[0] / keys, rows);
    case CA_TOKENS: return at_most_one(c[0] / keys + rows * c[0] / (double)p->Nk);
    case CA_LONGFORMER: return at_most_one((2 * half * c[1] + rows) / keys + c[0] / keys + rows * c[0] / (double)p->Nk);
    case CA_BIGBIRD: return at_most_one((double)c[0] / keys * half * (3 + c[2] + c[1] * fmax(1, rows / c[0])) + (double)c[2] * c[0] / (double)p->Nk);
    case CA_SINK_WINDOW: return (1 - before) + before * at_most_one((c[0] + c[1] + rows) / keys);
    case CA_CHUNKED: return at_most_one((half * c[0] + rows) / keys);
    case CA_DOCUMENT: return at_most_one(0.125 + rows / keys);
    case CA_NEIGHBORHOOD: {
        double sum = 1, row = 1; /* of neighbouring queries all that is between their windows' corners along the first axis that has any */
        for (int a = 0; a < 3; a++) sum *= (double)c[3 + a] / c[a];
        for (int a = 0; a < 3 && row == 1; a++)
            if (c[a] > 1) row = at_most_one(((double)c[3 + a] * c[6 + a] + rows * c[a] / (double)p->Nk) / c[a]);
        return rows > 1 ? row : sum;
    }
    case CA_WINDOW2D: return rows > 1 ? (double)c[2] / c[0] : (double)c[2] * c[3] / ((double)c[0] * c[1]);
    case CA_BLOCK_SPARSE: return any_of(CA_USUAL_SHARE, fmax(1, rows / c[0]));
    case CA_BLOCK_MASK: return any_of(CA_USUAL_SHARE, fmax(1, rows / c[6]));
    case CA_CSR: return any_of((double)c[1] / c[0] / (double)p->Nq / (double)p->Nk, rows);
    case CA_LSH: return any_of(any_of(1.0 / c[3], c[0]), rows);
    case CA_TOP_K: return 0.5 + 0.5 * at_most_one(c[0] / keys); /* all are scored, few valued */
    case CA_TOP_P: return 0.5;
    case CA_BLOCK_TOP_K: return any_of((double)c[3] * c[0] / keys, rows);
    case CA_HIERARCHICAL: return at_most_one(half * (c[0] + (double)c[1]) / keys);
    default: return 1; /* PREFIX, ADAPTIVE_SPAN */
    }
}

double ca_pattern_share(const struct problem *p, double rows)
{
    double stack[CA_MAX_NODES], keys = fmax(1, ca_problem_visible(p) / (double)ca_max(p->Nq, 1));
    int top = 0;
    if (!p->pattern.num_nodes || ca_problem_empty(p)) return 1;
    for (int k = 0; k < p->pattern.num_nodes; k++) {
        const ca_node *n = &p->pattern.node[k];
        if (n->type < CA_UNION) {
            stack[top++] = of_leaf(p, n, keys, rows);
            continue;
        }
        for (int kid = 1; kid < n->kids; kid++, top--)
            stack[top - 2] = n->type == CA_UNION ? 1 - (1 - stack[top - 2]) * (1 - stack[top - 1]) : stack[top - 2] * stack[top - 1];
    }
    return fmax(stack[0], 1e-9);
}
