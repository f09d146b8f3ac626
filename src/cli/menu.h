/* menu.h -- the words of CASES.md as tables: every operation with its attributes, inputs and outputs.
 * One row says a name, what it may be, and whether it is computed yet; case.c reads cases by these rows.
 * Adding a feature is: write what computes it, then widen its row's "works". */
#ifndef CA_CLI_MENU_H
#define CA_CLI_MENU_H

#include <stdbool.h>

struct case_file;
struct runner;

enum value {
    V_BOOL,
    V_INT,       /* words: the least value */
    V_NUMBER,    /* or "inf", "-inf", "nan"; words: the least value */
    V_WORD,      /* words: the choices */
    V_TEXT,
    V_INTS,
    V_NUMBERS,   /* a number or a list of numbers */
    V_NAMES,     /* a list of strings */
    V_SCALARS,   /* an object name -> number */
    V_WINDOW,    /* [left, right], each >= -1 */
    V_PATTERN    /* an object with a type and that type's fields */
};

/* An attribute.  null always means its default. */
struct attr_row {
    const char *name;
    enum value type;
    const char *words;
    const char *works;   /* what is computed: NULL = any value; else the values, "0" or "dot" or "BHSD BSHD"; "" none */
    bool required;
};

/* A tensor.
 *   kind   f floating, i integer, m mask (bool or u8), c cache bytes or floating, s f32 statistics (outputs)
 *   when   the form of the case for which the row holds, a set of W_ bits; the first row that fits is taken
 *   shape  alternatives divided by |, of axes divided by blanks:
 *            Nq      a size that is the same wherever the name stands
 *            Hq*D    a multiple of the size known as Hq
 *            N+1     one more than the size known as N
 *            H/1     that size, or 1
 *            _       any        ...   any number of axes
 *          a leading ~ broadcasts: right-aligned, each axis 1 or the size, the last one perhaps shorter
 *          =x      as input x
 *   needs  what must be there too: "align=offset", "pattern=csr", "score=additive|general", "page_size",
 *          "+dout" (an input) */
struct slot_row {
    const char *name;
    char kind;
    unsigned when;
    const char *shape;
    const char *needs;
    bool required, works;
};

enum { W_BSHD = 1, W_THD = 2, W_FLAT = 4 /* rank 3: [B,N,H*D] */, W_PAGED = 8, W_QUANT = 16 };

struct pattern_row {
    const char *name;
    const struct attr_row *fields;
};

struct op_row {
    const char *name;
    const struct attr_row *attrs[2];
    const struct slot_row *inputs[2];
    const struct slot_row *outputs[2];
    const char *gradients;   /* inputs x that have an output dx when dout is given; "*" = every floating one */
    /* Rules beyond the rows; false with a message.  May be NULL. */
    bool (*check)(struct case_file *c);
    /* Computes the outputs; NULL: known, not computed yet. */
    int (*run)(struct runner *r, struct case_file *c);
};

const struct op_row *ca_menu_op(const char *name);
const struct pattern_row *ca_menu_pattern(const char *name);
const char *ca_menu_op_name(unsigned i);   /* NULL after the last */

#endif
