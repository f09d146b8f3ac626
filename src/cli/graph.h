/* graph.h -- a graph from a file, for pattern=csr:FILE in a problem string. */
#ifndef CA_CLI_GRAPH_H
#define CA_CLI_GRAPH_H

#include "problem/problem.h"

/* Edges as the file has them, from 0, and the lines that they are from. */
struct ca_graph {
    const char *path;
    int64_t edges, room;
    struct ca_edge { int64_t query, key; long line; } *edge;
};

/* Reads a list of edges, "QUERY KEY" a line, divided by blanks, numbered from 0; lines that begin with # or % are comments.  Or a Matrix Market
 * file, "%%MatrixMarket matrix coordinate pattern general" or "symmetric", which numbers from 1. */
clattn_status ca_graph_read(const char *path, struct ca_graph *g);
/* As CSR for Q queries and K keys: T gets row_ptr and col_idx, sorted, to be freed with it. */
clattn_status ca_graph_rows(const struct ca_graph *g, int64_t q, int64_t k, struct ca_tree *t);
void ca_graph_free(struct ca_graph *g);

#endif
