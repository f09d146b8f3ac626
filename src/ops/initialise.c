/* initialise.c -- Xavier's and He's first weights. */
#include "ops/ops.h"
#include <math.h>
#include <stdlib.h>
#include "base/normal.h"

clattn_status ca_op_initialise(struct ca_call *c, clattn_initialiser how, double gain, uint64_t seed, uint64_t offset,
                               const clattn_tensor *out)
{
    clattn_status st;
    ca_call_begin(c, &ca_k_convert);
    CA_REQUIRE((int)how >= CLATTN_XAVIER_UNIFORM && how <= CLATTN_HE_NORMAL, CLATTN_E_ARGUMENT,
               "initialiser %d is not a clattn_initialiser", (int)how);
    CA_TRY(ca_operand(c, 3, "out", out, CA_OUTPUT));
    CA_REQUIRE(out->rank >= 2, CLATTN_E_ARGUMENT, "out has rank %d, must have at least 2: fan_out, fan_in", out->rank);
    bool he = how >= CLATTN_HE_UNIFORM, normal = how == CLATTN_XAVIER_NORMAL || how == CLATTN_HE_NORMAL;
    double field = (double)ca_elements(out, 2, out->rank), fan_in = (double)out->shape[1] * field;
    double fan = he ? fan_in : ((double)out->shape[0] * field + fan_in) / 2;
    float deviation = (float)((gain != 0 ? gain : he ? M_SQRT2 : 1) / sqrt(fan)), bound = deviation * (float)sqrt(3);
    int64_t count = c->o[3].count;
    float *w = malloc(count ? (size_t)count * sizeof *w : 1);
    if (!w) return ca_no_memory((size_t)count * sizeof *w, "weights");
    c->owned = w;
#pragma omp parallel for schedule(static) if (count > 32768)
    for (int64_t e = 0; e < count; e++)
        w[e] = normal ? deviation * ca_philox_normal(seed, offset, (uint64_t)e)
                      : bound * (2 * ca_philox_uniform(seed, offset, (uint64_t)e) - 1);
    ca_operand_own(c, 0, CLATTN_F32, w, count);
    c->a.units = c->a.n[5] = count;
done:
    return st;
}
