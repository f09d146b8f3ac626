/* tune.c -- tuning, and what was measured. */
#include "api/api.h"
#include "plan/tune.h"
#include "plan/wisdom.h"

clattn_status ca_tune_for(clattn_context *ctx, const struct problem *p, const clattn_tune_options *o, int starts, clattn_tune_result *result)
{
    const struct inventory *inv;
    const struct inventory_entry *e;
    clattn_status st;
    CA_TRY(ca_context_alive(ctx));
    CA_REQUIRE(!p->score_mod && !p->mask_mod && !p->tile_class && !p->score_callback && !p->mask_callback && !p->tile_callback, CLATTN_E_UNSUPPORTED,
               "functions of the user's are not known to the helper process in which a tuning runs");
    CA_TRY(ca_inventory_get(ca_plan_trial, false, &inv));
    e = ca_inventory_find(inv, &ctx->dev);
    CA_REQUIRE(e, CLATTN_E_UNSUPPORTED, "%s is none of the devices that clattn_devices lists", ctx->dev.name);
    CA_TRY(ca_tune(&ctx->dev, e, p, o, starts, result));
done:
    return st;
}

clattn_status clattn_tune(clattn_context *ctx, const clattn_attention *a, const clattn_tune_options *options, clattn_tune_result *result)
{
    struct problem p;
    const clattn_tune_options usual = { .size = sizeof usual };
    clattn_status st;
    CA_ENTER();
    CA_GIVEN(ctx);
    CA_GIVEN(a);
    if (options) {
        CA_TRY(ca_check_size(options, options->size, sizeof *options, "clattn_tune_options"));
        CA_TRY(ca_params_check(options->params));
        CA_REQUIRE(options->seconds >= 0 && options->seconds < 1e9, CLATTN_E_ARGUMENT, "seconds are %g", options->seconds);
    }
    if (result) CA_TRY(ca_check_size(result, result->size, sizeof *result, "clattn_tune_result"));
    CA_TRY(ca_problem_init(&p, a));
    CA_TRY(ca_tune_for(ctx, &p, options ? options : &usual, 0, result));
done:
    return st;
}

size_t clattn_wisdom_export(char *text, size_t size) { return ca_wisdom_export(text, text ? size : 0); }

clattn_status clattn_wisdom_import(const char *text, size_t *records)
{
    size_t count = 0;
    CA_ENTER();
    CA_GIVEN(text);
    clattn_status st = ca_wisdom_import(text, &count);
    if (records) *records = count;
    return st;
}
