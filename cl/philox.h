/* philox.h -- Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): random numbers as a pure
 * function of (seed, offset, element), so that every device and every order of evaluation draws the same ones.
 *
 *     key     = (low, high word of seed)
 *     counter = (low, high word of element / 4, low, high word of offset)
 *     element e takes word e mod 4 of the block
 */
#ifndef CA_PHILOX_H
#define CA_PHILOX_H

#include "args.h"

#ifdef __OPENCL_C_VERSION__
#define CA_MUL_HI(x, m) mul_hi((ca_uint)(x), (ca_uint)(m))
#else
#define CA_MUL_HI(x, m) ((ca_uint)((ca_ulong)(x) * (m) >> 32))
#endif

/* The rounds: the counter c0 ... c3 becomes the block's four words.  They are numbers, or vectors of them, of type WORD, of which
 * MUL_HI(x, m) gives the upper halves of the products with the number m; the key k0, k1 are numbers. */
#define CA_PHILOX_ROUNDS(WORD, MUL_HI, c0, c1, c2, c3, k0, k1) \
    for (int round_ = 0; round_ < 10; round_++) { \
        WORD high0_ = MUL_HI(c0, 0xD2511F53u), high1_ = MUL_HI(c2, 0xCD9E8D57u), low0_ = c0 * 0xD2511F53u, low1_ = c2 * 0xCD9E8D57u; \
        c0 = high1_ ^ c1 ^ k0; \
        c1 = low1_; \
        c2 = high0_ ^ c3 ^ k1; \
        c3 = low0_; \
        k0 += 0x9E3779B9u; \
        k1 += 0xBB67AE85u; \
    }

/* The four words of block BLOCK = element / 4. */
static inline void ca_philox_block(ca_ulong seed, ca_ulong offset, ca_ulong block, ca_uint out[4])
{
    ca_uint c0 = (ca_uint)block, c1 = (ca_uint)(block >> 32), c2 = (ca_uint)offset, c3 = (ca_uint)(offset >> 32);
    ca_uint k0 = (ca_uint)seed, k1 = (ca_uint)(seed >> 32);
    CA_PHILOX_ROUNDS(ca_uint, CA_MUL_HI, c0, c1, c2, c3, k0, k1)
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

static inline ca_uint ca_philox_word(ca_ulong seed, ca_ulong offset, ca_ulong element)
{
    ca_uint w[4], n = (ca_uint)element & 3;
    ca_philox_block(seed, offset, element / 4, w);
    return n == 0 ? w[0] : n == 1 ? w[1] : n == 2 ? w[2] : w[3]; /* no index: on GPUs it would put the block in memory */
}

/* In [0, 1), a multiple of 2^-24: exact in f32. */
static inline float ca_philox_unit(ca_uint word) { return (float)(word >> 8) * 0x1p-24f; }

static inline float ca_philox_uniform(ca_ulong seed, ca_ulong offset, ca_ulong element)
{
    return ca_philox_unit(ca_philox_word(seed, offset, element));
}

#endif
