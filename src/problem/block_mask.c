/* block_mask.c -- the lists of a block mask from a mask_mod, by asking it for every pair:
 *
 *     mask_mod over block r x block c     no pair: in no list     some: kv_indices     each: full_kv_indices, where there are such */
#include "base/checked.h"
#include "base/status.h"
#include "problem/problem.h"

/* Queries FIRST ... END - 1 of head H of batch row B, and the keys of block C: the class of the block. */
static int class_of(const struct problem *p, int b, int h, int64_t first, int64_t end, int64_t c)
{
    const int64_t keys = p->pattern.node[0].n[0], last = ca_min((c + 1) * keys, p->Nk);
    bool any = false, all = true;
    for (int64_t i = first; i < end && (all || !any); i++)
        for (int64_t j = c * keys; j < last && (all || !any); j++) {
            bool seen = p->mask_callback(p->callback_data, b, h, (int)(i + p->offset), (int)j);
            any = any || seen;
            all = all && seen;
        }
    return !any ? NO_KEY : all ? ALL_KEYS : SOME_KEYS;
}

clattn_status ca_block_mask_lists(const struct problem *p, int32_t *const count[2], int32_t *const indices[2])
{
    CA_REQUIRE(ca_has_pattern(p, CA_BLOCK_MASK), CLATTN_E_ARGUMENT, "the pattern is not CLATTN_BLOCK_MASK");
    CA_REQUIRE(p->mask_callback, CLATTN_E_ARGUMENT, "mask_callback is NULL");
    CA_REQUIRE(!p->bottom_right, CLATTN_E_UNSUPPORTED, "positions that depend on the lengths of batch rows are not supported: align is CLATTN_BOTTOM_RIGHT");
    for (int full = 0; full < (p->pattern.full ? 2 : 1); full++) {
        CA_REQUIRE(count[full], CLATTN_E_ARGUMENT, "%s is NULL", ca_slot_name[full ? CA_FULL_BLOCKS : CA_KV_BLOCKS]);
        CA_REQUIRE(indices[full] || !(full ? p->pattern.full : p->pattern.listed), CLATTN_E_ARGUMENT, "%s is NULL",
                   ca_slot_name[full ? CA_FULL_INDICES : CA_KV_INDICES]);
    }
    const ca_node *node = p->pattern.node;
    const int64_t *lists = p->pattern.lists, most[2] = { p->pattern.listed, p->pattern.full }, queries = node->n[6];
    for (int64_t r = 0; r < lists[0] * lists[1] * lists[2]; r++) {
        const int64_t first = r % lists[2] * queries, end = ca_min(first + queries, p->Nq);
        int32_t n[2] = { 0, 0 };
        for (int64_t c = 0; c < node->n[1]; c++) {
            int class = class_of(p, (int)(r / lists[2] / lists[1]), (int)(r / lists[2] % lists[1]), first, end, c), full = class == ALL_KEYS && most[1];
            if (class == NO_KEY) continue;
            CA_REQUIRE(n[full] < most[full], CLATTN_E_TOO_LARGE, "list %lld of %s needs more than the %lld blocks of %s", (long long)r,
                       ca_slot_name[full ? CA_FULL_INDICES : CA_KV_INDICES], (long long)most[full], full ? "max_full_blocks" : "max_blocks");
            indices[full][r * most[full] + n[full]++] = (int32_t)c;
        }
        count[0][r] = n[0];
        if (most[1]) count[1][r] = n[1];
    }
    return CLATTN_OK;
}
