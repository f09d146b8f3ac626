/* repeat.h -- text repeated with literal indices.  Private arrays live in registers only where every index is a
 * constant; compilers that leave "#pragma unroll" for later (Intel's for GPUs) otherwise put them in memory.
 *
 *   REPEAT(n, X)      X(0) X(1) ... X(n - 1)              n is a number or a macro that is one
 *   AGAIN(n, X, a)    X(a, 0) X(a, 1) ... X(a, n - 1)     may stand within what REPEAT repeats */
#ifndef CA_REPEAT_H
#define CA_REPEAT_H

#define REPEAT(n, X) REPEAT_(n, X)
#define REPEAT_(n, X) REPEAT_##n(X)
#define REPEAT_1(X) X(0)
#define REPEAT_2(X) REPEAT_1(X) X(1)
#define REPEAT_3(X) REPEAT_2(X) X(2)
#define REPEAT_4(X) REPEAT_3(X) X(3)
#define REPEAT_5(X) REPEAT_4(X) X(4)
#define REPEAT_6(X) REPEAT_5(X) X(5)
#define REPEAT_7(X) REPEAT_6(X) X(6)
#define REPEAT_8(X) REPEAT_7(X) X(7)
#define REPEAT_9(X) REPEAT_8(X) X(8)
#define REPEAT_10(X) REPEAT_9(X) X(9)
#define REPEAT_11(X) REPEAT_10(X) X(10)
#define REPEAT_12(X) REPEAT_11(X) X(11)
#define REPEAT_13(X) REPEAT_12(X) X(12)
#define REPEAT_14(X) REPEAT_13(X) X(13)
#define REPEAT_15(X) REPEAT_14(X) X(14)
#define REPEAT_16(X) REPEAT_15(X) X(15)
#define REPEAT_17(X) REPEAT_16(X) X(16)
#define REPEAT_18(X) REPEAT_17(X) X(17)

#define AGAIN(n, X, a) AGAIN_(n, X, a)
#define AGAIN_(n, X, a) AGAIN_##n(X, a)
#define AGAIN_1(X, a) X(a, 0)
#define AGAIN_2(X, a) AGAIN_1(X, a) X(a, 1)
#define AGAIN_3(X, a) AGAIN_2(X, a) X(a, 2)
#define AGAIN_4(X, a) AGAIN_3(X, a) X(a, 3)
#define AGAIN_5(X, a) AGAIN_4(X, a) X(a, 4)
#define AGAIN_6(X, a) AGAIN_5(X, a) X(a, 5)
#define AGAIN_7(X, a) AGAIN_6(X, a) X(a, 6)
#define AGAIN_8(X, a) AGAIN_7(X, a) X(a, 7)
#define AGAIN_9(X, a) AGAIN_8(X, a) X(a, 8)
#define AGAIN_10(X, a) AGAIN_9(X, a) X(a, 9)
#define AGAIN_11(X, a) AGAIN_10(X, a) X(a, 10)
#define AGAIN_12(X, a) AGAIN_11(X, a) X(a, 11)
#define AGAIN_13(X, a) AGAIN_12(X, a) X(a, 12)
#define AGAIN_14(X, a) AGAIN_13(X, a) X(a, 13)
#define AGAIN_15(X, a) AGAIN_14(X, a) X(a, 14)
#define AGAIN_16(X, a) AGAIN_15(X, a) X(a, 15)
#define AGAIN_17(X, a) AGAIN_16(X, a) X(a, 16)
#define AGAIN_18(X, a) AGAIN_17(X, a) X(a, 17)

#endif
