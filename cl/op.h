/* op.h -- what every kernel of the operations around attention is told, by value: one struct shared by the host
 * compiler and OpenCL C, so that the two cannot disagree. */
#ifndef CA_OP_H
#define CA_OP_H

#include "args.h"

#define CA_OPERANDS 14      /* that an operation may have */
#define CA_ITEM_OPERANDS 6  /* that the kernels of item.h take */
#define CA_SIZES 8

typedef struct ca_op {
    ca_long at[CA_OPERANDS]; /* operand K begins at this element of its buffer */
    ca_long n[CA_SIZES];     /* sizes: each kernel says which */
    ca_long units;
    ca_int type[CA_OPERANDS]; /* a clattn_dtype; -1: not given, reads are 0 and writes are lost */
    ca_int flag[3];
    float eps;
} ca_op;

/* What CLATTN_ACTIVATION_... mean, and the types: the header's numbers. */
enum { TYPE_F32, TYPE_F16, TYPE_BF16 };
enum { ACT_NONE, ACT_SILU, ACT_GELU, ACT_GELU_TANH };

#endif
