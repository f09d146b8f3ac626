/* row.h -- what the kernels whose work-item does one row have in common (steps.cl, prepare.cl, gather.cl): decode.h for a row, and up to DK
 * keys, at a time.
 * Options: DQK, DV, UNIT, PACK; VL and STORAGE of dialect.h. */
#ifndef DQK
#define DQK 64   /* dims of q and k */
#endif
#ifndef DV
#define DV DQK   /* dims of v and out */
#endif
#ifndef UNIT
#define UNIT 1   /* every dim stride is 1 */
#endif
#ifndef PACK
#define PACK 1   /* rows of scores together, where keys are taken by them */
#endif
#define RB 1
#define DK 64
#define LONGER (DQK > DV ? DQK : DV) /* dims of the longer row */
#include "args.h"
#include "dialect.h"
#include "decode.h"
