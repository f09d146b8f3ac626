/* order.h -- tiles of queries that are not neighbours in the tensor, but see the same keys, and these keys:
 *
 *     dilated        queries and keys of one class mod n          . x . . x . . x . .
 *     strided        the same (column by column), and the keys before each query, in the tensor's order: two passes, merged
 *     neighborhood   a block of the grid, and the box of places    k k k k k      of one class along each dilated axis
 *                    that any of its queries sees                  k q q k k
 *     window2d       a window, and itself                          k q q k k
 *     longformer     neighbours, and the tokens and the window around them; then the tokens, and all keys
 *     global         likewise, without a window
 *
 * Each pass is a list of boxes of queries on a grid of three axes (a sequence has one, the last), cut into tiles of ROWS places in row-major
 * order.  Pass and box follow from a tile's number, which may also be that of nothing.  Keys are gathered, so that a tile of them is dense. */
#ifndef CA_ORDER_H
#define CA_ORDER_H

/* Places from[a], from[a] + step[a] ... below to[a]; along the last axis the tensor's neighbours. */
typedef struct ca_box { ca_int from[3], to[3], step[3]; } ca_box;

static inline ca_int ca_box_side(const ca_box *t, int axis)
{
    return t->to[axis] > t->from[axis] ? (t->to[axis] - t->from[axis] + t->step[axis] - 1) / t->step[axis] : 0;
}
static inline ca_int ca_box_places(const ca_box *t) { return ca_box_side(t, 0) * ca_box_side(t, 1) * ca_box_side(t, 2); }
/* The N-th place, in row-major order. */
static inline void ca_box_place(const ca_box *t, ca_int n, ca_int place[3])
{
    for (int a = 2; a >= 0; a--) {
        const ca_int side = ca_box_side(t, a);
        place[a] = t->from[a] + n % side * t->step[a];
        n /= side;
    }
}

/* The place behind that one. */
static inline void ca_box_next(const ca_box *t, ca_int place[3])
{
    for (int a = 2; a >= 0; a--) {
        place[a] += t->step[a];
        if (place[a] < t->to[a]) return;
        place[a] = t->from[a];
    }
}

static inline ca_int ca_up(ca_int n, ca_int by) { return n / by + (n % by != 0); }

/* The sides of a block of a grid with at most ROWS places. */
static inline void ca_block_sides(ca_int rows, const ca_int grid[3], ca_int block[3])
{
    int axes = 0;
    for (int a = 0; a < 3; a++) axes += grid[a] > 1;
    for (int a = 2; a >= 0; a--) {
        ca_int side = 1;
        if (grid[a] > 1) {
            if (axes == 1) side = rows;
            else if (axes == 2) while (side * side < rows) side *= 2;
            else while (side * side * side < rows) side *= 2;
            axes--;
        }
        block[a] = side;
        rows = ca_most(rows / side, 1);
    }
}

/* Tiles of ROWS queries that a head has, over all passes. */
static inline ca_long ca_order_tiles(ca_int Nq, ca_int rows, NODE_PARAMS)
{
    NODE_UNUSED;
    switch (type) {
    case CA_STRIDED: return ca_up(Nq, rows) + (ca_long)ca_least(n0, Nq) * ca_up(ca_up(Nq, n0), rows);
    case CA_DILATED: return (ca_long)ca_least(n1, Nq) * ca_up(ca_up(Nq, n1), rows);
    case CA_TOKENS: case CA_LONGFORMER: return (ca_long)ca_up(Nq, rows) + ca_up(n0, rows);
    case CA_WINDOW2D: return (ca_long)(n0 / n2 + (n4 % n2 != 0)) * (n1 / n3 + (n5 % n3 != 0)) * ca_up(n2 * n3, rows);
    default: {
        const ca_int grid[3] = { n0, n1, n2 };
        ca_int block[3];
        ca_block_sides(rows, grid, block);
        return (ca_long)n6 * n7 * n8 * ca_up(ca_up(n0, n6), block[0]) * ca_up(ca_up(n1, n7), block[1]) * ca_up(ca_up(n2, n8), block[2]);
    }
    }
}

/* Does a query see but some of its box, by the places' sides? */
static inline int ca_order_asks(NODE_PARAMS)
{
    NODE_UNUSED;
    return type == CA_NEIGHBORHOOD || type == CA_LONGFORMER || type == CA_TOKENS;
}
/* Which places of AXIS, from *LO to *HI, a query sees that is at PLACE of it, by positions. */
static inline void ca_sees_places(ca_int place, int axis, ca_int *lo, ca_int *hi, NODE_PARAMS)
{
    const ca_int grid[3] = { n0, n1, n2 }, kernel_[3] = { n3, n4, n5 }, dilation[3] = { n6, n7, n8 }, causal[3] = { n9, n10, n11 };
    NODE_UNUSED;
    if (type != CA_NEIGHBORHOOD) {
        *lo = axis < 2 ? 0 : type == CA_TOKENS ? place : ca_position((ca_long)place - n1);
        *hi = axis < 2 ? 1 : type == CA_TOKENS ? place : ca_position((ca_long)place + n1 + 1);
        return;
    }
    ca_neighbors(place, grid[axis], kernel_[axis], dilation[axis], causal[axis], lo, hi);
}

/* A tile: queries FIRST ... FIRST + ROWS - 1 of a box, which see keys of a box and of these those that are also within
 * LESS before and MORE behind them.  Where there are TOKENS, N of them, all see these too, but tokens among the queries are not of the tile; OF_TOKENS:
 * the box of queries is of places in that list. */
typedef struct ca_tile {
    ca_box q, k;
    ca_int first, rows, pass, less, more, n, of_tokens;
    CA_GLOBAL const ca_int *tokens;
} ca_tile;

/* The N-th stretch of an axis of windows W from SHIFT on: the first and the last may be parts of one. */
static inline void ca_stretch(ca_int n, ca_int side, ca_int w, ca_int shift, ca_int *from, ca_int *to)
{
    const ca_int rest = shift % w, first = rest ? n * w - (w - rest) : n * w;
    *from = ca_most(first, 0);
    *to = ca_least(first + w, side);
}

/* Tile NUMBER of at most ROWS queries, the first query of the tensor standing at P0; where there are keys below Nk. */
static inline void ca_order_tile(const ca_args *a, const ca_optional *x, ca_tile *t, ca_int number, ca_int rows, ca_int Nq, ca_int Nk, ca_int p0, NODE_PARAMS)
{
    ca_int unused;
    NODE_UNUSED;
    for (int c = 0; c < 3; c++) {
        t->q.from[c] = t->k.from[c] = 0;
        t->q.to[c] = t->k.to[c] = t->q.step[c] = t->k.step[c] = 1;
    }
    t->pass = t->n = t->of_tokens = 0;
    t->tokens = 0;
    t->less = t->more = CA_NO_MORE;
    if (type == CA_STRIDED && number < ca_up(Nq, rows)) { /* the keys before */
        t->first = number * rows;
        t->q.to[2] = Nq;
        t->k.to[2] = Nk;
        t->less = n0 - 1;
    } else if (type == CA_STRIDED || type == CA_DILATED) {
        const ca_int n = type == CA_STRIDED ? n0 : n1, tiles = ca_up(ca_up(Nq, n), rows), behind = type == CA_STRIDED ? ca_up(Nq, rows) : 0;
        const ca_int class = (number - behind) / tiles;
        t->pass = type == CA_STRIDED;
        t->first = (number - behind) % tiles * rows;
        t->q.from[2] = class;
        t->q.to[2] = Nq;
        t->k.from[2] = ca_mod(class + p0, n);
        t->k.to[2] = Nk;
        t->q.step[2] = t->k.step[2] = n;
        if (type == CA_STRIDED) t->more = -n0; /* those that the first pass has not */
        else t->less = t->more = n0 - 1;
    } else if (type == CA_TOKENS || type == CA_LONGFORMER) {
        const ca_int neighbours = ca_up(Nq, rows), first = number * rows;
        t->tokens = ca_words(a, x, at);
        t->n = n0;
        t->first = 0;
        if (number < neighbours) {
            t->q.from[2] = first;
            t->q.to[2] = ca_least(first + rows, Nq);
            ca_sees_places(ca_position((ca_long)p0 + first), 2, &t->k.from[2], &unused, NODE_ARGS);
            ca_sees_places(ca_position((ca_long)p0 + t->q.to[2] - 1), 2, &unused, &t->k.to[2], NODE_ARGS);
            t->k.from[2] = ca_most(t->k.from[2], 0);
            t->k.to[2] = type == CA_TOKENS ? 0 : ca_least(t->k.to[2], Nk);
        } else {
            t->of_tokens = 1;
            t->q.from[2] = ca_place(t->tokens, n0, p0) + (number - neighbours) * rows;
            t->q.to[2] = ca_least(t->q.from[2] + rows, ca_place(t->tokens, n0, p0 + Nq));
            t->k.to[2] = Nk;
        }
    } else if (type == CA_WINDOW2D) {
        const ca_int tiles = ca_up(n2 * n3, rows), across = n1 / n3 + (n5 % n3 != 0), window = number / tiles;
        t->first = number % tiles * rows;
        ca_stretch(window / across, n0, n2, n4, &t->q.from[1], &t->q.to[1]);
        ca_stretch(window % across, n1, n3, n5, &t->q.from[2], &t->q.to[2]);
        t->k = t->q;
    } else {
        const ca_int grid[3] = { n0, n1, n2 }, kernel_[3] = { n3, n4, n5 }, dilation[3] = { n6, n7, n8 }, causal[3] = { n9, n10, n11 };
        ca_int block[3];
        ca_block_sides(rows, grid, block);
        t->first = 0;
        for (int c = 2; c >= 0; c--) {
            const ca_int blocks = ca_up(ca_up(grid[c], dilation[c]), block[c]), nth = number % (blocks * dilation[c]);
            number /= blocks * dilation[c];
            t->q.step[c] = t->k.step[c] = dilation[c];
            t->q.from[c] = nth % blocks * block[c] * dilation[c] + nth / blocks;
            t->q.to[c] = ca_least(grid[c], t->q.from[c] + block[c] * dilation[c]);
            const ca_int side = ca_box_side(&t->q, c);
            if (side == 0) continue;
            ca_neighbors(t->q.from[c], grid[c], kernel_[c], dilation[c], causal[c], &t->k.from[c], &unused);
            ca_neighbors(t->q.from[c] + (side - 1) * dilation[c], grid[c], kernel_[c], dilation[c], causal[c], &unused, &t->k.to[c]);
        }
    }
    t->rows = ca_most(0, ca_least(rows, ca_box_places(&t->q) - t->first));
}

/* The number of the query or key at PLACE of a box that is not of tokens. */
static inline ca_int ca_place_number(const ca_int place[3], NODE_PARAMS)
{
    NODE_UNUSED;
    if (type == CA_NEIGHBORHOOD) return (place[0] * n1 + place[1]) * n2 + place[2];
    return type == CA_WINDOW2D ? place[1] * n1 + place[2] : place[2];
}

/* Leaves out keys of a sequence before FIRST and from LAST on. */
static inline void ca_order_from(ca_tile *t, ca_int first, ca_int last)
{
    if (ca_box_side(&t->k, 0) > 1 || ca_box_side(&t->k, 1) > 1 || t->q.to[1] > 1) return; /* a grid */
    if (first > t->k.from[2]) t->k.from[2] += ca_up(first - t->k.from[2], t->k.step[2]) * t->k.step[2];
    t->k.to[2] = ca_least(t->k.to[2], last);
}

#endif
