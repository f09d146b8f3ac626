/* table.c -- the whole menu on one screen.  The planner, the tests and the benchmarks walk it. */
#include "algo/algo.h"

extern const struct algo ca_algo_nop, ca_algo_host, ca_algo_lanes, ca_algo_tiled, ca_algo_matrix, ca_algo_split, ca_algo_rows, ca_algo_gather, ca_algo_gemm;

const struct algo *const ca_algos[] = {
    &ca_algo_nop,    /* empty problems                                                       */
    &ca_algo_host,   /* native code: lane kernels per instruction-set level, threads         */
    &ca_algo_lanes,  /* a lane is a query row; for CPU-like OpenCL devices                   */
    &ca_algo_tiled,  /* local memory and register micro-tiles; for GPUs                      */
    &ca_algo_matrix, /* both products by a GPU's matrix engine, with rounded weights        */
    &ca_algo_split,  /* few queries, long KV: parts of the keys in parallel, then merged     */
    &ca_algo_rows,   /* a work-group per query row; the simplest                             */
    &ca_algo_gather, /* each query row by itself, the keys that its pattern lists            */
    &ca_algo_gemm,   /* CLBlast's GEMM, softmax, GEMM: the unfused reference                 */
    NULL,
};
