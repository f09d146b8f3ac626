/* context.c -- making and asking contexts. */
#include "api/api.h"
#include "host/host.h"
#include <string.h>
#include <strings.h>

/* ------------------------------------------------------------- by selector */

/* The native back end, without a look at OpenCL. */
static clattn_status open_host(clattn_context **ctx)
{
    struct device dev;
    ca_device_host(&dev);
    clattn_status st = ca_context_open(&dev, ctx);
    if (st == CLATTN_OK) snprintf((*ctx)->reason, sizeof (*ctx)->reason, "named by the selector");
    return st;
}

static clattn_status open_entry(const struct inventory_entry *e, const char *reason, clattn_context **ctx)
{
    struct device dev;
    clattn_status st;
    CA_TRY(ca_inventory_open(e, &dev));
    CA_TRY(ca_context_open(&dev, ctx));
    (*ctx)->self_tests = !ca_quirks_off();
    snprintf((*ctx)->reason, sizeof (*ctx)->reason, "%s", reason);
done:
    return st;
}

/* Several devices that work together: the first is the context, and knows all. */
static clattn_status open_choice(const struct ca_choice *c, clattn_context **ctx)
{
    clattn_context *first = NULL, *one;
    clattn_status st;
    CA_TRY(open_entry(c->entry[0], c->reason, &first));
    for (int k = 0; k < c->count && c->count > 1; k++) {
        if (k == 0) one = first;
        else CA_TRY(open_entry(c->entry[k], c->reason, &one));
        first->member[first->members] = one;
        first->weight[first->members++] = c->weight[k];
    }
    *ctx = first;
    first = NULL;
done:
    ca_context_close(first);
    return st;
}

/* One attempt; *CACHED tells whether it rested on what an earlier process saw. */
static clattn_status open_once(const char *selector, bool refresh, bool *cached, clattn_context **ctx)
{
    const struct inventory *inv;
    struct ca_choice c;
    clattn_status st;
    int k;

    *cached = false;
    CA_TRY(ca_inventory_get(ca_plan_trial, refresh, &inv));
    *cached = inv->cached;
    do { /* what was not examined yet goes first: it may turn out to be slow, or wrong */
        CA_TRY(ca_select(inv, selector, &c));
        for (k = 0; k < c.count && c.entry[k]->selftest >= 0; k++) {}
        if (k < c.count) CA_TRY(ca_inventory_look(&c.entry[k], &inv));
    } while (k < c.count);
    CA_TRY(open_choice(&c, ctx));
done:
    return st;
}

clattn_status ca_open_selected(const char *selector, clattn_context **ctx)
{
    bool cached;
    clattn_status st;
    CA_TRY(ca_host_check());
    if (!selector) selector = ca_getenv("CLATTN_DEVICES");
    if (selector && strcasecmp(selector, "host") == 0) return open_host(ctx);
    st = open_once(selector, false, &cached, ctx);
    if (st == CLATTN_OK || !cached) return st;
    /* The device was there when the cache was written: look again. */
    ca_log(1, "the cached inventory is out of date: %s", ca_message());
    ca_message_clear();
    st = open_once(selector, true, &cached, ctx);
done:
    return st;
}

clattn_status clattn_context_create(const char *selector, clattn_context **ctx)
{
    CA_ENTER();
    CA_GIVEN(ctx);
    return ca_open_selected(selector, ctx);
}

/* ------------------------------------------------ on a program's own objects */

/* Passes when the inventory says so, or else a trial now. */
static clattn_status require_selftest(struct device *dev)
{
    const struct inventory *inv;
    const struct inventory_entry *e = NULL;
    struct trial t = { 0 };

    if (ca_inventory_get(ca_plan_trial, false, &inv) == CLATTN_OK) e = ca_inventory_find(inv, dev);
    if (e && ca_inventory_look(&e, &inv) == CLATTN_OK) {
        t.passed = e->selftest;
        t.gflops = e->dev.gflops;
        t.bad_algos = e->dev.bad_algos;
        memcpy(t.tested, e->dev.tested, sizeof t.tested);
        snprintf(t.words, sizeof t.words, "%s", e->verdict);
    } else {
        ca_plan_trial(dev, &t);
    }
    ca_message_clear();
    CA_REQUIRE(t.passed == 1, CLATTN_E_NO_DEVICE, "%s failed its self-test: %s", dev->name, t.words);
    dev->gflops = t.gflops;
    dev->bad_algos = t.bad_algos;
    memcpy(dev->tested, t.tested, sizeof dev->tested);
    return CLATTN_OK;
}

static clattn_status wrap(cl_context context, cl_device_id device, cl_command_queue queue, clattn_context **ctx)
{
    clattn_context *c = NULL;
    clattn_status st;
    CA_TRY(ca_host_check());
    CA_TRY(ca_context_wrap(context, device, queue, &c));
    CA_TRY(require_selftest(&c->dev));
    c->self_tests = !ca_quirks_off();
    snprintf(c->reason, sizeof c->reason, "given by the program");
    *ctx = c;
    c = NULL;
done:
    ca_context_close(c);
    return st;
}

clattn_status clattn_context_create_from_queue(cl_command_queue queue, clattn_context **ctx)
{
    CA_ENTER();
    CA_GIVEN(queue);
    CA_GIVEN(ctx);
    return wrap(NULL, NULL, queue, ctx);
}

clattn_status clattn_context_create_from_context(cl_context context, cl_device_id device, clattn_context **ctx)
{
    CA_ENTER();
    CA_GIVEN(context);
    CA_GIVEN(device);
    CA_GIVEN(ctx);
    return wrap(context, device, NULL, ctx);
}

/* --------------------------------------------------------------------- ask */

clattn_status clattn_context_device(const clattn_context *ctx, clattn_device_info *info)
{
    const struct inventory *inv;
    const struct inventory_entry *e = NULL;
    clattn_status st;

    CA_ENTER();
    CA_GIVEN(ctx);
    CA_GIVEN(info);
    CA_TRY(ca_check_size(info, info->size, sizeof *info, "clattn_device_info"));
    ca_info_from_device(&ctx->dev, info);
    if (!ca_is_host(&ctx->dev) && ca_inventory_get(ca_plan_trial, false, &inv) == CLATTN_OK)
        e = ca_inventory_find(inv, &ctx->dev);
    ca_message_clear();
    if (e) ca_info_from_entry(e, info);
    info->chosen = 1;
    snprintf(info->reason, sizeof info->reason, "%s", ctx->reason);
done:
    return st;
}

void clattn_context_destroy(clattn_context *ctx) { ca_context_close(ctx); }
