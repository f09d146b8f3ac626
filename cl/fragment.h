/* fragment.h -- the one micro-product of matrix.cl, which a gang of GANG neighbouring work-items does together:
 *
 *                       b   16 x FN
 *     a   FM x 16       c   FM x FN, f32          c += a b,   a and b of f16 (STORAGE 1) or bf16 (STORAGE 2)
 *
 * a, b and c are fragments: each item holds some words of each, and which ones is the engine's affair.
 *
 *   LAYOUT  engine                                     FM x FN  GANG
 *        1  NVIDIA, mma.sync m16n8k16 (sm_80)           16 x 8    32
 *        2  AMD, v_mfma_f32_16x16x16 (gfx90a)          16 x 16    64
 *        3  Intel, DPAS in sub-groups of 8 (DG2)         8 x 8     8
 *        4  Intel, DPAS in sub-groups of 16 (PVC)       8 x 16    16
 *        5  AMD, v_wmma_f32_16x16x16 (gfx11)           16 x 16    32
 *
 * ENGINE 1 is the engine, ENGINE 0 its twin in plain OpenCL C, for any device: items leave their words where the vendor's
 * manual says that they belong, and take rows and columns from there.  So the twin proves what is loaded and what an item holds,
 * all but the instruction itself.
 *
 * Operands lie in local memory, pairs of neighbours along the 16 in a word: row r of a, or column r of b, from word r PITCH on. */
#ifndef CA_FRAGMENT_H
#define CA_FRAGMENT_H

#include "repeat.h"

#ifndef LAYOUT
#define LAYOUT 1
#endif
#ifndef ENGINE
#define ENGINE 0
#endif

typedef __local const uint *frag_words;

/* C_ROWS rows of c have elements of an item: element e is in row SLOT(e) of those, which is row C_ROW(item, SLOT(e)) of c, and in column
 * C_COL(item, e).  C_SHARES items hold a row together, each has a number C_SHARE among them. */
#if LAYOUT == 1
/*   c:  items  0 0 1 1 2 2 3 3    elements 0 and 1; 2 and 3 are the same, eight rows further down
 *              4 4 5 5 6 6 7 7
 *                    ...
 *   a: word t of row g, then of row g + 8, then word t + 4 of both;  b: words t and t + 4 of column g;  g = item / 4, t = item % 4 */
#define FM 16
#define FN 8
#define GANG 32
#define C_COUNT 4
#define C_ROWS 2
#define C_SHARES 4
#define SLOT(e) ((e) / 2)
#define C_ROW(item, slot) (item / 4 + 8 * (slot))
#define C_COL(item, e) (2 * (item % 4) + e % 2)
#define C_SHARE(item) (item % 4)
typedef float4 frag_c;
typedef uint4 frag_a;
typedef uint2 frag_b;
INLINE frag_a frag_load_a(frag_words t, int pitch, int item)
{
    t += item / 4 * pitch + item % 4;
    return (frag_a)(t[0], t[8 * pitch], t[4], t[8 * pitch + 4]);
}
INLINE frag_b frag_load_b(frag_words t, int pitch, int item)
{
    t += item / 4 * pitch + item % 4;
    return (frag_b)(t[0], t[4]);
}

#elif LAYOUT == 2
/*   c:  items  0 1 2 ... 15       elements 0; in the next three rows 1, 2 and 3, then come those of items 16 ... 31, and so on
 *   a, b: words 2 (item / 16) and the next of row, or column, item % 16 */
#define FM 16
#define FN 16
#define GANG 64
#define C_COUNT 4
#define C_ROWS 4
#define C_SHARES 16
#define SLOT(e) (e)
#define C_ROW(item, slot) (item / 16 * 4 + (slot))
#define C_COL(item, e) (item % 16)
#define C_SHARE(item) (item % 16)
typedef float4 frag_c;
typedef uint2 frag_a, frag_b;
INLINE uint2 frag_load_a(frag_words t, int pitch, int item)
{
    return *(__local const uint2 *)(t + item % 16 * pitch + item / 16 * 2);
}
#define frag_load_b frag_load_a

#elif LAYOUT == 5
/*   c:  items  0 1 2 ... 15       elements 0; in the next row those of items 16 ... 31; then elements 1, and so on
 *   a, b: all words of row, or column, item % 16: two items hold the same */
#define FM 16
#define FN 16
#define GANG 32
#define C_COUNT 8
#define C_ROWS 8
#define C_SHARES 16
#define SLOT(e) (e)
#define C_ROW(item, slot) (2 * (slot) + item / 16)
#define C_COL(item, e) (item % 16)
#define C_SHARE(item) (item % 16)
typedef float8 frag_c;
typedef uint8 frag_a, frag_b;
INLINE uint8 frag_load_a(frag_words t, int pitch, int item)
{
    __local const uint4 *four = (__local const uint4 *)(t + item % 16 * pitch);
    return (uint8)(four[0], four[1]);
}
#define frag_load_b frag_load_a

#else
/*   c:  items  0 1 2 ...          elements 0; in the next rows 1, 2 ... 7
 *   a: word number item (LAYOUT 3), or element number item (LAYOUT 4), of each row;  b: all words of column item */
#define FM 8
#define FN GANG
#define GANG (LAYOUT == 3 ? 8 : 16)
#define C_COUNT 8
#define C_ROWS 8
#define C_SHARES GANG
#define SLOT(e) (e)
#define C_ROW(item, slot) (slot)
#define C_COL(item, e) (item)
#define C_SHARE(item) (item)
typedef float8 frag_c;
typedef uint8 frag_b;
#if LAYOUT == 3
typedef uint8 frag_a;
typedef uint a_word;
#else
typedef ushort8 frag_a;
typedef ushort a_word;
#endif
INLINE frag_a frag_load_a(frag_words words, int pitch, int item)
{
    __local const a_word *t = (__local const a_word *)words + item;
    pitch *= sizeof(uint) / sizeof(a_word);
    return (frag_a)(t[0], t[pitch], t[2 * pitch], t[3 * pitch], t[4 * pitch], t[5 * pitch], t[6 * pitch], t[7 * pitch]);
}
INLINE frag_b frag_load_b(frag_words t, int pitch, int item)
{
    __local const uint4 *four = (__local const uint4 *)(t + item * pitch);
    return (frag_b)(four[0], four[1]);
}
#endif

/* Element number i of 16-bit ones in local memory. */
INLINE float value_of(__local const ushort *t, int i)
{
#if STORAGE == 1
    return vload_half(i, (__local const half *)t);
#else
    return as_float((uint)t[i] << 16);
#endif
}

#if ENGINE == 0
/* Word w of an item's a is row A_AT(item, w) / 16, elements from number A_AT(item, w) % 16 on; of its b likewise the column; element e of its c is
 * row C_AT(item, e) / FN, column C_AT(item, e) % FN, said once more, apart from C_ROW and C_COL, so that a slip in either is seen: as the PTX manual
 * (Matrix Fragments for mma.m16n8k16), AMD's (Dense Matrix Layouts; RDNA3 ISA, 7.9) and cl_intel_subgroup_matrix_multiply_accumulate have it. */
#define TWIN_WORDS (8 * (FM + FN))
#define TWIN_PARAM , __local uint *twin
#define TWIN , twin
#if LAYOUT == 1
#define A_AT(item, w) ((item / 4 + w % 2 * 8) * 16 + item % 4 * 2 + w / 2 * 8)
#define B_AT(item, w) (item / 4 * 16 + item % 4 * 2 + w * 8)
#define C_AT(item, e) ((item / 4 + e / 2 * 8) * FN + item % 4 * 2 + e % 2)
#define A_WORDS 4
#define B_WORDS 2
#elif LAYOUT == 2
#define A_AT(item, w) (item % 16 * 16 + item / 16 * 4 + w * 2)
#define C_AT(item, e) ((item / 16 * 4 + e) * FN + item % 16)
#define B_AT(item, w) A_AT(item, w)
#define A_WORDS 2
#define B_WORDS 2
#elif LAYOUT == 5
#define A_AT(item, w) (item % 16 * 16 + w * 2)
#define C_AT(item, e) ((2 * e + item / 16) * FN + item % 16)
#define B_AT(item, w) A_AT(item, w)
#define A_WORDS 8
#define B_WORDS 8
#else
#define A_AT(item, w) (w * 16 + (LAYOUT == 3 ? item * 2 : item))
#define B_AT(item, w) (item * 16 + w * 2)
#define C_AT(item, e) (e * FN + item)
#define A_WORDS 8
#define B_WORDS 8
#endif
#if LAYOUT == 4
#define PUT_A(w) x[A_AT(item, w)] = a.s##w;
#else
#define PUT_A(w) ((__local uint *)x)[A_AT(item, w) / 2] = a.s##w;
#endif
#define PUT_B(w) ((__local uint *)y)[B_AT(item, w) / 2] = b.s##w;
#define TWIN_ADD(e) c.s##e = fma(value_of(x, C_AT(item, e) / FN * 16 + k), value_of(y, C_AT(item, e) % FN * 16 + k), c.s##e);

INLINE frag_c frag_mma(frag_a a, frag_b b, frag_c c, int item TWIN_PARAM)
{
    __local ushort *x = (__local ushort *)twin, *y = x + FM * 16;
    REPEAT(A_WORDS, PUT_A)
    REPEAT(B_WORDS, PUT_B)
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int k = 0; k < 16; k++) {
        REPEAT(C_COUNT, TWIN_ADD)
    }
    barrier(CLK_LOCAL_MEM_FENCE); /* the next product's words come to the same place */
    return c;
}

#else
#define TWIN_WORDS 0
#define TWIN_PARAM
#define TWIN
#if LAYOUT == 1
#define MMA(type) "mma.sync.aligned.m16n8k16.row.col.f32." type "." type ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
#if STORAGE == 1
#define MMA_TYPE "f16"
#else
#define MMA_TYPE "bf16"
#endif
#elif (LAYOUT == 2 || LAYOUT == 5) && STORAGE == 1
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
#elif LAYOUT == 3 || LAYOUT == 4
/* Intel's compiler of 2022 has the functions, but not their declarations. */
#if LAYOUT == 3
typedef int8 dpas_a;
#define as_dpas_a as_int8
#else
typedef short8 dpas_a;
#define as_dpas_a as_short8
#endif
float8 __attribute__((overloadable)) intel_sub_group_f16_f16_matrix_mad_k16(dpas_a a, int8 b, float8 c);
float8 __attribute__((overloadable)) intel_sub_group_bf16_bf16_matrix_mad_k16(dpas_a a, int8 b, float8 c);
#endif

INLINE frag_c frag_mma(frag_a a, frag_b b, frag_c c, int item)
{
    (void)item;
#if LAYOUT == 1
    __asm__ volatile(MMA(MMA_TYPE) : "+f"(c.s0), "+f"(c.s1), "+f"(c.s2), "+f"(c.s3)
                     : "r"(a.s0), "r"(a.s1), "r"(a.s2), "r"(a.s3), "r"(b.s0), "r"(b.s1));
    return c;
#elif LAYOUT == 2 && STORAGE == 1
    return __builtin_amdgcn_mfma_f32_16x16x16f16(as_half4(a), as_half4(b), c, 0, 0, 0);
#elif LAYOUT == 2
    return __builtin_amdgcn_mfma_f32_16x16x16bf16_1k(as_short4(a), as_short4(b), c, 0, 0, 0);
#elif LAYOUT == 5 && STORAGE == 1
    return __builtin_amdgcn_wmma_f32_16x16x16_f16_w32(as_half16(a), as_half16(b), c);
#elif LAYOUT == 5
    return __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32(as_short16(a), as_short16(b), c);
#elif STORAGE == 1
    return intel_sub_group_f16_f16_matrix_mad_k16(as_dpas_a(a), as_int8(b), c);
#else
    return intel_sub_group_bf16_bf16_matrix_mad_k16(as_dpas_a(a), as_int8(b), c);
#endif
}
#endif

#endif
