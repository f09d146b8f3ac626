/* devices.c -- the list of devices, as the inventory knows them. */
#include "api/api.h"
#include "runtime/context.h"
#include <string.h>

#define CA_COPY(to, from) snprintf((to), sizeof(to), "%s", (from))

/* Clears what this version knows; the caller's size stays. */
static void clear(clattn_device_info *info)
{
    size_t size = info->size;
    memset(info, 0, sizeof *info);
    info->size = size;
}

void ca_info_from_device(const struct device *d, clattn_device_info *info)
{
    clear(info);
    CA_COPY(info->selector, ca_is_host(d) ? "host" : "");
    CA_COPY(info->name, d->name);
    CA_COPY(info->platform, ca_is_host(d) ? "host" : d->platform_name);
    CA_COPY(info->driver, d->driver);
    info->device_class = d->quirks & CA_QUIRK_SIMULATED ? CLATTN_CLASS_SIMULATED : d->kind;
    info->usable = 1;
    info->selftest = -1;
    info->gflops = d->gflops;
    info->memory = d->global_bytes;
    info->compute_units = d->compute_units;
}

void ca_info_from_entry(const struct inventory_entry *e, clattn_device_info *info)
{
    ca_info_from_device(&e->dev, info);
    CA_COPY(info->selector, e->selector);
    CA_COPY(info->reason, e->reason);
    if (e->dev.kind != CLATTN_CLASS_HOST) CA_COPY(info->platform, e->dev.platform_name);
    info->chosen = e->chosen;
    info->usable = e->usable;
    info->selftest = e->selftest;
}

/* The caller's elements may be longer than ours. */
static clattn_device_info *item(clattn_device_info *list, size_t i) { return (void *)((char *)list + i * list->size); }

static clattn_status check_list(clattn_device_info *list, size_t count)
{
    clattn_status st = CLATTN_OK;
    for (size_t i = 0; list && i < count; i++) {
        if (i == 0) CA_TRY(ca_check_size(list, list->size, sizeof *list, "clattn_device_info"));
        CA_REQUIRE(item(list, i)->size == list->size, CLATTN_E_ARGUMENT, "size of list[%zu] is %zu, of list[0] %zu", i, item(list, i)->size, list->size);
    }
done:
    return st;
}

clattn_status clattn_context_members(const clattn_context *ctx, clattn_device_info *list, size_t *count)
{
    clattn_status st;
    CA_ENTER();
    CA_GIVEN(ctx);
    CA_GIVEN(count);
    CA_TRY(check_list(list, *count));
    const size_t members = ctx->members ? (size_t)ctx->members : 1;
    for (size_t i = 0; list && i < *count && i < members; i++) {
        const clattn_context *one = ctx->members ? ctx->member[i] : ctx;
        CA_TRY(clattn_context_device(one, item(list, i)));
        if (!ca_context_dropped(one)) continue;
        item(list, i)->usable = 0;
        snprintf(item(list, i)->reason, sizeof item(list, i)->reason, "dropped: %.240s", one->dropped);
    }
    *count = members;
done:
    return st;
}

clattn_status clattn_devices(clattn_device_info *list, size_t *count)
{
    const struct inventory *inv;
    struct ca_choice chosen;
    clattn_status st;

    CA_ENTER();
    CA_GIVEN(count);
    CA_TRY(check_list(list, *count));
    const size_t room = list ? *count : 0;
    CA_TRY(ca_inventory_all(ca_plan_trial, false, &inv));
    if (ca_select(inv, NULL, &chosen) != CLATTN_OK) chosen.count = 0; /* the environment may differ from when the inventory was made */
    ca_message_clear();
    for (size_t i = 0; i < inv->count && i < room; i++) {
        clattn_device_info *info = item(list, i);
        ca_info_from_entry(&inv->entry[i], info);
        info->chosen = 0;
        for (int k = 0; k < chosen.count; k++) {
            if (chosen.entry[k] != &inv->entry[i]) continue;
            info->chosen = 1;
            CA_COPY(info->reason, chosen.reason);
        }
    }
    *count = inv->count;
done:
    return st;
}
