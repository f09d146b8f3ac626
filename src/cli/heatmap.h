/* heatmap.h -- matrices of weights as pictures: a PNG file, or characters on the terminal.
 *
 *     weights -> cells (a square of weights each, when the matrix is large) -> 0 ... 1, by the scale -> colour */
#ifndef CA_CLI_HEATMAP_H
#define CA_CLI_HEATMAP_H

#include <stdbool.h>
#include "clattn.h"

struct ca_look {
    bool log;      /* a logarithmic scale, CA_DECADES powers of ten; else linear.  Both end at MAX */
    bool mean;     /* a cell shows the mean of its weights; else their maximum, so that no thin line is lost */
    bool colour;   /* terminal: colours by escape codes; else shades, in UTF-8 or ASCII as the locale says */
    double max;    /* what is brightest; 0: the brightest cell */
    int64_t side;  /* PNG: a tile is enlarged by the largest whole number that keeps it within this; 0: CA_TILE_ENLARGED */
};
#define CA_DECADES 5

/* Where weight W lies on the scale, 0 ... 1, and back.  LOOK->max is set. */
double ca_look_at(const struct ca_look *look, double w);
double ca_look_weight(const struct ca_look *look, double at);

/* The colour (viridis) of a place on the scale. */
void ca_look_colour(double at, unsigned char rgb[3]);

/* Writes COUNT matrices [rows][cols] as tiles of one picture, PER_LINE beside each other, with CA_GAP white pixels
 * between tiles.  A tile has at most CA_TILE cells a side; small ones are enlarged.  Sets LOOK->max. */
clattn_status ca_heatmap_write(const char *path, const float *const *matrices, int64_t count, int64_t per_line,
                               int64_t rows, int64_t cols, struct ca_look *look);
#define CA_GAP 2
#define CA_TILE 512
#define CA_TILE_ENLARGED 96

/* Draws one matrix on standard output, in at most CA_PLOT cells a side, with a legend.  Sets LOOK->max. */
clattn_status ca_heatmap_print(const float *w, int64_t rows, int64_t cols, struct ca_look *look);
#define CA_PLOT 32

#endif
