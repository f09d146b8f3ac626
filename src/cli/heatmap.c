/* heatmap.c -- heat maps of weights: cells, scale and colours; then the PNG file, and the terminal. */
#include "cli/heatmap.h"
#include <inttypes.h>
#include <math.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/checked.h"
#include "base/status.h"
#include "cli/cli.h"
#include "cli/progress.h"

/* -------------------------------------------------------------------- cells */

/* A cell is a square of STEP x STEP weights, smaller at the edges. */
struct cells { int64_t step, rows, cols; float *cell; };

static struct cells measure(int64_t rows, int64_t cols, int64_t limit)
{
    int64_t step = ca_max(1, ca_ceil_div(ca_max(rows, cols), limit));
    return (struct cells){step, ca_ceil_div(rows, step), ca_ceil_div(cols, step), NULL};
}

static float pool(const float *w, int64_t rows, int64_t cols, const struct cells *c, int64_t i, int64_t j, bool mean)
{
    int64_t i0 = i * c->step, j0 = j * c->step, i1 = ca_min(i0 + c->step, rows), j1 = ca_min(j0 + c->step, cols);
    double sum = 0, most = 0;
    for (i = i0; i < i1; i++)
        for (j = j0; j < j1; j++) {
            sum += w[i * cols + j];
            most = fmax(most, w[i * cols + j]);
        }
    return (float)(mean ? sum / (double)((i1 - i0) * (j1 - j0)) : most);
}

/* The cells of all matrices, [count][rows][cols], and the brightest if no maximum is set. */
static clattn_status reduce(const float *const *matrices, int64_t count, int64_t rows, int64_t cols, int64_t limit,
                            struct ca_look *look, struct cells *c)
{
    size_t n, bytes;
    float most = 0;
    *c = measure(rows, cols, limit);
    CA_REQUIRE(ca_mul((size_t)count, (size_t)(c->rows * c->cols), &n) && ca_mul(n, sizeof *c->cell, &bytes) && n > 0,
               CLATTN_E_ARGUMENT, "a picture of %" PRId64 " matrices of %" PRId64 " x %" PRId64 " cannot be drawn",
               count, rows, cols);
    c->cell = malloc(bytes);
    if (!c->cell) return ca_no_memory(bytes, "a heat map");
    float *cell = c->cell;
    for (int64_t m = 0; m < count; m++)
        for (int64_t i = 0; i < c->rows; i++)
            for (int64_t j = 0; j < c->cols; j++) {
                *cell = pool(matrices[m], rows, cols, c, i, j, look->mean);
                most = fmaxf(most, *cell++);
            }
    if (!(look->max > 0)) look->max = most;
    return CLATTN_OK;
}

/* --------------------------------------------------------- scale and colours */

double ca_look_at(const struct ca_look *look, double w)
{
    double x = w / look->max, at = look->log ? 1 + log10(x) / CA_DECADES : x;
    return x > 0 ? fmin(fmax(at, 0), 1) : 0;
}

double ca_look_weight(const struct ca_look *look, double at)
{
    return look->max * (look->log ? pow(10, (at - 1) * CA_DECADES) : at);
}

/* Viridis (Smith & van der Walt, matplotlib; CC0), every sixteenth of its colours. */
static const unsigned char viridis[17][3] = {
    {68, 1, 84},    {72, 24, 106},  {71, 45, 123},  {66, 64, 134},  {59, 82, 139},  {51, 99, 141},
    {44, 114, 142}, {38, 129, 142}, {33, 144, 140}, {31, 159, 136}, {40, 174, 128}, {62, 188, 116},
    {93, 201, 99},  {130, 211, 76}, {171, 220, 50}, {213, 226, 26}, {253, 231, 37}};

void ca_look_colour(double at, unsigned char rgb[3])
{
    int i = at < 1 ? (int)(16 * at) : 15;
    for (int n = 0; n < 3; n++)
        rgb[n] = (unsigned char)lround(viridis[i][n] + (16 * at - i) * (viridis[i + 1][n] - viridis[i][n]));
}

/* ---------------------------------------------------------------------- PNG */

#define LEVELS 255      /* of the scale; the colour after them is the gap's */
#define MAX_PIXELS (1 << 28)

static void paint_tile(unsigned char *pixels, int64_t width, const struct cells *c, const float *cell, int64_t zoom,
                       const struct ca_look *look)
{
    for (int64_t i = 0; i < c->rows * zoom; i++)
        for (int64_t j = 0; j < c->cols * zoom; j++)
            pixels[i * width + j] =
                (unsigned char)lround((LEVELS - 1) * ca_look_at(look, cell[i / zoom * c->cols + j / zoom]));
}

/* Writes PIXELS, which become numbers among the colours that there are: a picture of two has one bit for each pixel. */
static clattn_status write_png(const char *path, unsigned char *pixels, int64_t width, int64_t height)
{
    unsigned char map[LEVELS + 1][3], number[LEVELS + 1];
    bool used[LEVELS + 1] = {false};
    unsigned colours = 0;
    for (int64_t n = 0; n < width * height; n++) used[pixels[n]] = true;
    for (int i = 0; i <= LEVELS; i++) {
        if (!used[i]) continue;
        ca_look_colour(i / (LEVELS - 1.0), map[colours]);
        if (i == LEVELS) memset(map[colours], 255, sizeof map[colours]);
        number[i] = (unsigned char)colours++;
    }
    for (int64_t n = 0; n < width * height; n++) pixels[n] = number[pixels[n]];
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = (png_uint_32)width,
                       .height = (png_uint_32)height,
                       .format = PNG_FORMAT_RGB_COLORMAP,
                       .colormap_entries = colours};
    CA_REQUIRE(png_image_write_to_file(&image, path, 0, pixels, (png_int_32)width, map), CLATTN_E_IO, "%s: %s", path,
               image.message);
    return CLATTN_OK;
}

clattn_status ca_heatmap_write(const char *path, const float *const *matrices, int64_t count, int64_t per_line,
                               int64_t rows, int64_t cols, struct ca_look *look)
{
    struct cells c;
    unsigned char *pixels = NULL;
    clattn_status st;
    CA_TRY(reduce(matrices, count, rows, cols, CA_TILE, look, &c));
    int64_t zoom = ca_max(1, (look->side ? look->side : CA_TILE_ENLARGED) / ca_max(c.rows, c.cols)), lines = ca_ceil_div(count, per_line);
    int64_t across = c.cols * zoom + CA_GAP, down = c.rows * zoom + CA_GAP;
    if (per_line > MAX_PIXELS / across || lines > MAX_PIXELS / down ||
        per_line * across > MAX_PIXELS / (lines * down)) {
        st = ca_fail(CLATTN_E_ARGUMENT, "%s: a picture of %" PRId64 " x %" PRId64 " tiles is too large", path, per_line,
                     lines);
        goto done;
    }
    int64_t width = per_line * across - CA_GAP, height = lines * down - CA_GAP;
    pixels = malloc((size_t)(width * height));
    if (!pixels) {
        st = ca_no_memory((size_t)(width * height), "a picture");
        goto done;
    }
    memset(pixels, LEVELS, (size_t)(width * height));
    for (int64_t m = 0; m < count; m++)
        paint_tile(pixels + m / per_line * down * width + m % per_line * across, width, &c,
                   c.cell + m * c.rows * c.cols, zoom, look);
    st = write_png(path, pixels, width, height);
done:
    free(pixels);
    free(c.cell);
    return st;
}

/* ----------------------------------------------------------------- terminal */

#define SHADES 5
static const double from[SHADES] = {0, 0.05, 0.20, 0.45, 0.70}; /* on the scale */

static void print_cell(const struct ca_look *look, double at, const char *const *shade)
{
    unsigned char c[3];
    int level = SHADES - 1;
    while (level > 0 && at < from[level]) level--;
    ca_look_colour(at, c);
    /* Past ca_cli_print, which lets no escape code through. */
    if (look->colour) printf("\033[48;2;%d;%d;%dm  ", c[0], c[1], c[2]);
    else fputs(shade[level], stdout);
}

/* The numbers of the columns, while a cell is one of them. */
static void print_columns(const struct cells *c)
{
    if (c->step > 1) {
        printf("  a cell is %" PRId64 " x %" PRId64 " weights", c->step, c->step);
        return;
    }
    if (c->cols > 10) printf("        ");
    for (int64_t j = 0; c->cols > 10 && j < c->cols; j++)
        printf(j >= 10 && j % 10 == 0 ? "%2d" : "  ", (int)j / 10);
    printf("%s  token ", c->cols > 10 ? "\n" : "");
    for (int64_t j = 0; j < c->cols; j++) printf("%2d", (int)j % 10);
}

static void print_legend(const struct ca_look *look, const char *const *shade)
{
    printf("       ");
    for (int level = 1; level < SHADES; level++) {
        double at = from[level];
        printf(" ");
        print_cell(look, at, shade);
        printf("%s %.3g %%%s", look->colour ? "\033[0m" : "", 100 * ca_look_weight(look, at),
               level < SHADES - 1 ? " " : " and more\n");
    }
}

clattn_status ca_heatmap_print(const float *w, int64_t rows, int64_t cols, struct ca_look *look)
{
    static const char *const blocks[SHADES] = {"  ", "░░", "▒▒", "▓▓", "██"};
    static const char *const ascii[SHADES] = {"  ", "..", "++", "xx", "##"};
    const char *const *shade = ca_cli_utf8() ? blocks : ascii;
    struct cells c;
    clattn_status st = reduce(&w, 1, rows, cols, CA_PLOT, look, &c);
    if (st != CLATTN_OK) return st;
    ca_progress_wipe();
    print_columns(&c);
    for (int64_t i = 0; i < c.rows; i++) {
        printf("\n  %5" PRId64 " ", i * c.step);
        for (int64_t j = 0; j < c.cols; j++) print_cell(look, ca_look_at(look, c.cell[i * c.cols + j]), shade);
        printf(look->colour ? "\033[0m" : "|");
    }
    printf("\n");
    print_legend(look, shade);
    free(c.cell);
    return CLATTN_OK;
}
