/* plot.c -- see plot.h; drawn with cairo.
 *
 *     y  |   .            :         a label stands beside its point, where it meets no other label
 *        |      o top_k   :         and no point
 *        |________________:___ x
 */
#include "config.h"
#include "cli/plot.h"
#include "base/status.h"
#ifdef HAVE_CAIRO
#include <cairo.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

enum { WIDTH = 800, HEIGHT = 560, LEFT = 90, RIGHT = 30, TOP = 50, BOTTOM = 64, DOT = 5, FONT = 14 };

/* Values LOW ... HIGH lie at pixels FROM ... TO. */
struct axis { double low, high, from, to; };

static double place(const struct axis *a, double x) { return a->from + (a->to - a->from) * log(x / a->low) / log(a->high / a->low); }

static void widen(struct axis *a, double x)
{
    const double air = 1.7; /* so that each axis has a tick, 1, 2 or 5 */
    a->low = fmin(a->low, x / air);
    a->high = fmax(a->high, x * air);
}

static void colour(cairo_t *c, unsigned rgb) { cairo_set_source_rgb(c, (rgb >> 16) / 255.0, (rgb >> 8 & 255) / 255.0, (rgb & 255) / 255.0); }

static void line(cairo_t *c, double x0, double y0, double x1, double y1)
{
    cairo_move_to(c, x0, y0);
    cairo_line_to(c, x1, y1);
    cairo_stroke(c);
}

/* ALIGN 0 begins at x, 0.5 is centred there, 1 ends there; y is the middle of the line. */
static void text(cairo_t *c, double x, double y, double align, const char *words)
{
    cairo_text_extents_t t;
    cairo_text_extents(c, words, &t);
    cairo_move_to(c, x - align * t.x_advance, y + FONT * 0.35);
    cairo_show_text(c, words);
}

/* Lines and numbers at 1, and where there are few decades at 2 and 5, times the powers of ten. */
static void ticks(cairo_t *c, const struct axis *x, const struct axis *y, bool upright)
{
    const struct axis *a = upright ? y : x;
    static const int steps[] = {1, 2, 5};
    const int used = a->high / a->low > 2e3 ? 1 : 3;
    char number[32];
    for (int e = (int)floor(log10(a->low)); e <= (int)ceil(log10(a->high)); e++)
        for (int i = 0; i < used; i++) {
            double value = steps[i] * pow(10, e), at = place(a, value);
            if (value < a->low || value > a->high) continue;
            snprintf(number, sizeof number, "%g", value);
            colour(c, 0xdddddd);
            if (upright) line(c, x->from, at, x->to, at);
            else line(c, at, y->from, at, y->to);
            colour(c, 0x333333);
            if (upright) text(c, x->from - 8, at, 1, number);
            else text(c, at, y->from + 16, 0.5, number);
        }
}

static void frame(cairo_t *c, const struct ca_plot *p, const struct axis *x, const struct axis *y)
{
    cairo_set_line_width(c, 1);
    ticks(c, x, y, false);
    ticks(c, x, y, true);
    colour(c, 0x333333);
    cairo_rectangle(c, x->from, y->to, x->to - x->from, y->from - y->to);
    cairo_stroke(c);
    text(c, (x->from + x->to) / 2, HEIGHT - 18, 0.5, p->x_label);
    text(c, (x->from + x->to) / 2, 16, 0.5, p->title);
    cairo_save(c);
    cairo_translate(c, 20, (y->from + y->to) / 2);
    cairo_rotate(c, -M_PI / 2);
    text(c, 0, 0, 0.5, p->y_label);
    cairo_restore(c);
}

struct box { double x0, y0, x1, y1; };
static bool meet(const struct box *a, const struct box *b) { return a->x0 < b->x1 && b->x0 < a->x1 && a->y0 < b->y1 && b->y0 < a->y1; }

/* BOX holds COUNT boxes that are taken, those of all points first; the label's is added.  The nearest place that is free: the farther ones
 * have a line to their point. */
static void label(cairo_t *c, const struct ca_plot_point *point, double px, double py, struct box *box, size_t count)
{
    static const struct { double dx, dy, align; } places[] = {
        {12, 0, 0}, {-12, 0, 1}, {10, -14, 0}, {10, 14, 0}, {-10, -14, 1}, {-10, 14, 1}, {0, -16, 0.5}, {0, 16, 0.5}};
    enum { PLACES = sizeof places / sizeof places[0], FARTHEST = 8 };
    cairo_text_extents_t t;
    double x = 0, y = 0;
    bool there = false;
    int i = 0;
    cairo_text_extents(c, point->name, &t);
    for (; i <= PLACES * FARTHEST && !there; i++) { /* after the last the first, whatever it meets */
        const int far = i < PLACES * FARTHEST ? 1 + i / PLACES : 1, at = i % PLACES;
        x = px + places[at].dx * far, y = py + places[at].dy * far;
        const double left = x - places[at].align * t.x_advance;
        size_t n = 0;
        box[count] = (struct box){left - 3, y - FONT * 0.6, left + t.x_advance + 3, y + FONT * 0.6};
        while (n < count && !meet(&box[n], &box[count])) n++;
        there = n == count && box[count].x0 > LEFT && box[count].x1 < WIDTH - RIGHT && box[count].y0 > TOP && box[count].y1 < HEIGHT - BOTTOM;
        if (there && far > 1) {
            colour(c, 0x999999);
            cairo_set_line_width(c, 0.8);
            line(c, px, py, x, y);
        }
    }
    cairo_set_source_rgba(c, 1, 1, 1, 0.8);
    cairo_rectangle(c, box[count].x0, box[count].y0, box[count].x1 - box[count].x0, box[count].y1 - box[count].y0);
    cairo_fill(c);
    colour(c, 0x111111);
    text(c, box[count].x0 + 3, y, 0, point->name);
}

static void draw(cairo_t *c, const struct ca_plot *p, struct box *box)
{
    struct axis x = {INFINITY, 0, LEFT, WIDTH - RIGHT}, y = {INFINITY, 0, HEIGHT - BOTTOM, TOP};
    for (size_t i = 0; i < p->count; i++) {
        widen(&x, p->point[i].x);
        widen(&y, p->point[i].y);
    }
    if (p->line_name) widen(&x, p->line);
    if (!p->count) widen(&y, 1);
    if (!p->count && !p->line_name) widen(&x, 1);
    colour(c, 0xffffff);
    cairo_paint(c);
    cairo_select_font_face(c, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(c, FONT);
    frame(c, p, &x, &y);
    colour(c, 0xc0392b);
    cairo_set_line_width(c, 1.5);
    if (p->line_name) {
        line(c, place(&x, p->line), y.from, place(&x, p->line), y.to);
        text(c, place(&x, p->line), y.to - 9, 0.5, p->line_name);
    }
    const struct ca_plot_point *before = NULL;
    for (size_t i = 0; p->joined && i < p->count; i++) {
        const struct ca_plot_point *now = &p->point[i];
        if (!now->name[0]) continue;
        if (before) line(c, place(&x, before->x), place(&y, before->y), place(&x, now->x), place(&y, now->y));
        before = now;
    }
    for (size_t i = 0; i < p->count; i++) {
        double px = place(&x, p->point[i].x), py = place(&y, p->point[i].y);
        colour(c, 0x1f5fa8);
        cairo_arc(c, px, py, DOT, 0, 2 * M_PI);
        cairo_fill(c);
        box[i] = (struct box){px - DOT, py - DOT, px + DOT, py + DOT};
    }
    size_t boxes = p->count;
    for (size_t i = 0; i < p->count; i++)
        if (p->point[i].name[0]) label(c, &p->point[i], place(&x, p->point[i].x), place(&y, p->point[i].y), box, boxes++);
}

clattn_status ca_plot_possible(void) { return CLATTN_OK; }

clattn_status ca_plot_write(const char *path, const struct ca_plot *p)
{
    struct box *box = calloc(2 * p->count + 1, sizeof *box);
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, WIDTH, HEIGHT);
    cairo_t *c = cairo_create(surface);
    cairo_status_t error = CAIRO_STATUS_NO_MEMORY;
    if (box) {
        draw(c, p, box);
        error = cairo_status(c);
    }
    if (error == CAIRO_STATUS_SUCCESS) error = cairo_surface_write_to_png(surface, path);
    cairo_destroy(c);
    cairo_surface_destroy(surface);
    free(box);
    CA_REQUIRE(error == CAIRO_STATUS_SUCCESS, CLATTN_E_IO, "%s: %s", path, cairo_status_to_string(error));
    return CLATTN_OK;
}

#else

clattn_status ca_plot_possible(void)
{
    return ca_fail(CLATTN_E_UNSUPPORTED, "this build cannot plot: it was configured without cairo");
}

clattn_status ca_plot_write(const char *path, const struct ca_plot *p)
{
    (void)path, (void)p;
    return ca_plot_possible();
}

#endif
