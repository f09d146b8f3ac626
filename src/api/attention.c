/* attention.c -- the descriptor's defaults, and attention in one call: a session (context and last plans) that the
 * process keeps open.  A session whose device was lost is given up, and the next call opens another. */
#include "api/api.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

void clattn_attention_init(clattn_attention *a)
{
    if (a) ca_attention_defaults(a);
}

void clattn_pattern_init(clattn_pattern *pattern, clattn_pattern_type type)
{
    if (pattern) ca_pattern_defaults(pattern, type);
}

clattn_status clattn_create_block_mask(const clattn_attention *a, int32_t *kv_num_blocks, int32_t *kv_indices, int32_t *full_kv_num_blocks,
                                       int32_t *full_kv_indices)
{
    struct problem p;
    clattn_status st;
    CA_ENTER();
    CA_GIVEN(a);
    CA_TRY(ca_problem_init(&p, a));
    CA_TRY(ca_block_mask_lists(&p, (int32_t *[]){ kv_num_blocks, full_kv_num_blocks }, (int32_t *[]){ kv_indices, full_kv_indices }));
done:
    return st;
}

/* ----------------------------------------------------------------- session */

#define CA_KEPT_PLANS 8

struct kept { struct problem p; clattn_plan *plan; unsigned users; unsigned long used; };
struct session {
    clattn_context *ctx;
    struct kept kept[CA_KEPT_PLANS];
    unsigned users;
    unsigned long clock;       /* counts uses, for "least recently" */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards what follows, and the sessions */
static struct session *current;
static atomic_long owner;      /* the process whose session and lock these are; 0 before the first call */

/* A forked child inherits a device it cannot use, perhaps even a lock that nobody will open. */
static clattn_status require_owner(void)
{
    long none = 0, self = (long)getpid();
    if (atomic_compare_exchange_strong(&owner, &none, self) || none == self) return CLATTN_OK;
    return ca_fail(CLATTN_E_FORKED, "process %ld opened the device before fork()", none);
}

static void destroy(struct session *s)
{
    if (!s) return;
    for (int i = 0; i < CA_KEPT_PLANS; i++) ca_plan_destroy(s->kept[i].plan);
    ca_context_close(s->ctx);
    free(s);
}

clattn_status ca_session_enter(struct session **session, clattn_context **ctx)
{
    clattn_status st = require_owner();
    if (st != CLATTN_OK) return st;
    pthread_mutex_lock(&lock);
    if (!current) {
        struct session *s = calloc(1, sizeof *s);
        st = s ? ca_open_selected(NULL, &s->ctx) : ca_no_memory(sizeof *s, "a session");
        if (st == CLATTN_OK) current = s;
        else free(s);
    }
    if (current) {
        current->users++;
        *ctx = current->ctx;
    }
    *session = current;
    pthread_mutex_unlock(&lock);
    return st;
}

void ca_session_leave(struct session *s, clattn_status st)
{
    if (!s) return;
    pthread_mutex_lock(&lock);
    if ((st == CLATTN_E_DEVICE_LOST || st == CLATTN_E_TIMEOUT) && current == s) current = NULL;
    bool last = --s->users == 0 && current != s;
    pthread_mutex_unlock(&lock);
    if (last) destroy(s);
}

/* ------------------------------------------------------------------- plans */

/* The kept plan for P, with one user more; NULL when there is none. */
static struct kept *find(struct session *s, const struct problem *p)
{
    struct kept *found = NULL;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < CA_KEPT_PLANS && !found; i++)
        if (s->kept[i].plan && memcmp(&s->kept[i].p, p, sizeof *p) == 0) found = &s->kept[i];
    if (found) {
        found->users++;
        found->used = ++s->clock;
    }
    pthread_mutex_unlock(&lock);
    return found;
}

/* Keeps PLAN in the place of the least recently used that is idle; NULL when all are busy. */
static struct kept *keep(struct session *s, const struct problem *p, clattn_plan *plan)
{
    struct kept *place = NULL;
    clattn_plan *old = NULL;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < CA_KEPT_PLANS; i++)
        if (s->kept[i].users == 0 && (!place || s->kept[i].used < place->used)) place = &s->kept[i];
    if (place) {
        old = place->plan;
        memcpy(&place->p, p, sizeof *p);
        place->plan = plan;
        place->users = 1;
        place->used = ++s->clock;
    }
    pthread_mutex_unlock(&lock);
    ca_plan_destroy(old);
    return place;
}

static void give_back(struct kept *k)
{
    if (!k) return;
    pthread_mutex_lock(&lock);
    k->users--;
    pthread_mutex_unlock(&lock);
}

clattn_status clattn_attention_host(const clattn_attention *a, const clattn_pointers *pointers)
{
    struct problem p;
    struct session *s = NULL;
    clattn_context *ctx;
    struct kept *kept = NULL;
    clattn_plan *own = NULL;   /* a plan that found no place */
    clattn_status st;

    CA_ENTER();
    CA_GIVEN(a);
    CA_GIVEN(pointers);
    CA_TRY(ca_problem_init(&p, a));
    CA_TRY(ca_session_enter(&s, &ctx));
    kept = find(s, &p);
    if (!kept) {
        CA_TRY(ca_plan_create(ctx, &p, NULL, NULL, &own));
        kept = keep(s, &p, own);
    }
    CA_TRY(ca_run_pointers(kept ? kept->plan : own, pointers));
done:
    if (!kept) ca_plan_destroy(own);
    give_back(kept);
    ca_session_leave(s, st);
    return st;
}
