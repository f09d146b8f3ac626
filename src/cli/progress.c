/* progress.c -- the progress line. */
#define _GNU_SOURCE
#include "cli/progress.h"
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>
#include "base/clock.h"

#define PATIENCE 2.0  /* seconds before anything is shown */
#define PERIOD 0.25

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t stop = PTHREAD_COND_INITIALIZER;
static pthread_t thread;
static int depth;
static bool running, shown;
static double start;
static char title[128], detail[128];

static void wipe(void)
{
    if (shown) fputs("\r\033[K", stderr);
    shown = false;
}

static void draw(double seconds)
{
    static const char wheel[] = "|/-\\";
    wipe();
    fprintf(stderr, "%c %.60s%s%.60s, %.0f s", wheel[(unsigned)(seconds / PERIOD) % 4], title, detail[0] ? ": " : "",
            detail, seconds);
    fflush(stderr);
    shown = true;
}

static void *run(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&lock);
    while (running) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += (long)(PERIOD * 1e9);
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&stop, &lock, &until);
        double seconds = ca_now() - start;
        if (running && seconds >= PATIENCE) draw(seconds);
    }
    wipe();
    pthread_mutex_unlock(&lock);
    return NULL;
}

void ca_progress_begin(const char *what)
{
    pthread_mutex_lock(&lock);
    if (depth++ == 0) {
        snprintf(title, sizeof title, "%s", what);
        detail[0] = 0;
        start = ca_now();
        running = isatty(STDERR_FILENO) && pthread_create(&thread, NULL, run, NULL) == 0;
    }
    pthread_mutex_unlock(&lock);
}

void ca_progress_say(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    pthread_mutex_lock(&lock);
    vsnprintf(detail, sizeof detail, format, ap);
    for (char *p = detail; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 127) *p = '?';
    pthread_mutex_unlock(&lock);
    va_end(ap);
}

void ca_progress_wipe(void)
{
    pthread_mutex_lock(&lock);
    wipe();
    fflush(stderr);
    pthread_mutex_unlock(&lock);
}

void ca_progress_end(void)
{
    pthread_mutex_lock(&lock);
    bool last = --depth == 0 && running;
    if (last) {
        running = false;
        pthread_cond_signal(&stop);
    }
    pthread_mutex_unlock(&lock);
    if (last) pthread_join(thread, NULL);
}
