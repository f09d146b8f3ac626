/* plot.h -- labelled points on two logarithmic axes, as a PNG file. */
#ifndef CA_CLI_PLOT_H
#define CA_CLI_PLOT_H

#include <stdbool.h>
#include <stddef.h>
#include "clattn.h"

struct ca_plot_point { const char *name; double x, y; }; /* both above 0; no label where the name is "" */
struct ca_plot {
    const char *title, *x_label, *y_label;
    const struct ca_plot_point *point;
    size_t count;
    bool joined;              /* those with names, by lines */
    double line;              /* an upright line at this x, if it has a name */
    const char *line_name;
};

/* E_UNSUPPORTED when this build cannot plot. */
clattn_status ca_plot_possible(void);
clattn_status ca_plot_write(const char *path, const struct ca_plot *p);

#endif
