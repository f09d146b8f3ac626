/* test_heatmap.c -- heat maps: the PNG is decoded again and its pixels are looked at. */
#define _GNU_SOURCE
#include <math.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli/heatmap.h"
#include "suite.h"

static char path[64];
static png_image image;
static unsigned char *pixels;

static void make_file(void)
{
    strcpy(path, "/tmp/clattn-heatmap-XXXXXX");
    int fd = mkstemp(path);
    ck_assert(fd >= 0 && close(fd) == 0);
}

static void remove_file(void)
{
    unlink(path);
    free(pixels);
    pixels = NULL;
}

static void write_and_decode(const float *const *matrices, int64_t count, int64_t per_line, int64_t rows, int64_t cols,
                             struct ca_look *look)
{
    ck_assert(ca_heatmap_write(path, matrices, count, per_line, rows, cols, look) == CLATTN_OK);
    memset(&image, 0, sizeof image);
    image.version = PNG_IMAGE_VERSION;
    ck_assert(png_image_begin_read_from_file(&image, path));
    image.format = PNG_FORMAT_RGB;
    free(pixels);
    pixels = malloc(PNG_IMAGE_SIZE(image));
    ck_assert(pixels && png_image_finish_read(&image, NULL, pixels, 0, NULL));
}

static void look_at(unsigned x, unsigned y, int r, int g, int b)
{
    ck_assert(x < image.width && y < image.height);
    const unsigned char *p = pixels + 3 * (y * image.width + x);
    ck_assert_msg(p[0] == r && p[1] == g && p[2] == b, "(%u, %u) is %d %d %d, not %d %d %d", x, y, p[0], p[1], p[2],
                  r, g, b);
}
#define WHITE 255, 255, 255
#define LEAST 68, 1, 84      /* viridis at 0, 1/2 and 1 */
#define MIDDLE 33, 144, 140
#define MOST 253, 231, 37

/* Three tiles of 2 x 3 cells of 32 pixels, two on a line. */
START_TEST(tiles)
{
    static const float a[] = {0, 0.4f, 0.8f, 0, 0, 0}, b[] = {0.8f, 0, 0, 0, 0, 0.8f}, c[] = {0, 0, 0, 0.4f, 0, 0};
    struct ca_look look = {0};
    write_and_decode((const float *[]){a, b, c}, 3, 2, 2, 3, &look);
    ck_assert(look.max == (double)0.8f);
    ck_assert(image.width == 2 * 96 + CA_GAP && image.height == 2 * 64 + CA_GAP);
    look_at(0, 0, LEAST);
    look_at(32, 0, MIDDLE);
    look_at(63, 31, MIDDLE);
    look_at(64, 31, MOST);
    look_at(64, 32, LEAST);
    look_at(95, 31, MOST);
    look_at(96, 31, WHITE);
    look_at(97, 31, WHITE);
    look_at(98, 31, MOST);
    look_at(130, 31, LEAST);
    look_at(193, 63, MOST);
    look_at(193, 64, WHITE);
    look_at(0, 65, WHITE);
    look_at(0, 66, LEAST);
    look_at(0, 129, MIDDLE);
    look_at(98, 66, WHITE); /* there is no fourth tile */
    look_at(193, 129, WHITE);
}
END_TEST

/* 1023 x 700 weights are cells of 2 x 2, those of the last row of 1 x 2. */
START_TEST(pools)
{
    float *w = calloc(1023 * 700, sizeof *w);
    struct ca_look most = {.max = 1}, mean = {.max = 1, .mean = true};
    ck_assert(w != NULL);
    w[11 * 700 + 601] = 1;
    for (int j = 698; j < 700; j++) w[1022 * 700 + j] = 0.5f;
    write_and_decode((const float *[]){w}, 1, 1, 1023, 700, &most);
    ck_assert(image.width == 350 && image.height == 512);
    look_at(300, 5, MOST);
    look_at(299, 5, LEAST);
    look_at(301, 5, LEAST);
    look_at(300, 4, LEAST);
    look_at(300, 6, LEAST);
    look_at(349, 511, MIDDLE);
    write_and_decode((const float *[]){w}, 1, 1, 1023, 700, &mean);
    unsigned char quarter[3];
    ca_look_colour(64 / 254.0, quarter); /* the nearest of 255 levels */
    look_at(300, 5, quarter[0], quarter[1], quarter[2]);
    look_at(349, 511, MIDDLE);
    free(w);
}
END_TEST

START_TEST(scales)
{
    const struct ca_look line = {.max = 0.5}, log = {.max = 0.5, .log = true};
    ck_assert_double_eq_tol(ca_look_at(&line, 0.125), 0.25, 1e-12);
    ck_assert(ca_look_at(&line, 2) == 1 && ca_look_at(&line, 0) == 0 && ca_look_at(&log, 0) == 0);
    ck_assert_double_eq_tol(ca_look_at(&log, 0.5), 1, 1e-12);
    ck_assert_double_eq_tol(ca_look_at(&log, 0.005), 0.6, 1e-12);
    ck_assert(ca_look_at(&log, 0.5e-6) == 0);
    ck_assert_double_eq_tol(ca_look_weight(&log, 0.6), 0.005, 1e-12);
    ck_assert_double_eq_tol(ca_look_weight(&line, 0.25), 0.125, 1e-12);
    /* Every level brighter than the one before: luminance of the colours. */
    double before = -1;
    for (int i = 0; i < 255; i++) {
        unsigned char c[3];
        ca_look_colour(i / 254.0, c);
        double light = 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2];
        ck_assert_msg(light > before - 0.5, "level %d", i);
        before = light;
    }
}
END_TEST

START_TEST(empty_and_unwritable)
{
    static const float nothing[4] = {0};
    struct ca_look look = {0};
    write_and_decode((const float *[]){nothing}, 1, 1, 2, 2, &look); /* no row has a key */
    look_at(0, 0, LEAST);
    ck_assert(ca_heatmap_write(path, (const float *[]){nothing}, 1, 1, 0, 2, &look) == CLATTN_E_ARGUMENT);
    ck_assert(ca_heatmap_write(path, (const float *[]){nothing}, 0, 1, 2, 2, &look) == CLATTN_E_ARGUMENT);
    ck_assert(ca_heatmap_write("/nonexistent/x.png", (const float *[]){nothing}, 1, 1, 2, 2, &look) == CLATTN_E_IO);
    ck_assert(strstr(clattn_last_message(), "cannot be drawn") != NULL); /* the first message stays */
}
END_TEST

int main(void)
{
    Suite *s = suite_create("heatmap");
    TCase *t = tcase_create("heatmap");
    tcase_add_checked_fixture(t, make_file, remove_file);
    tcase_add_test(t, tiles);
    tcase_add_test(t, pools);
    tcase_add_test(t, scales);
    tcase_add_test(t, empty_and_unwritable);
    suite_add_tcase(s, t);
    return run_suite(s);
}
