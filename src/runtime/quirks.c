/* quirks.c -- devices that depart from the standard, or are better treated otherwise: one table.
 *
 * Keyed on the names of platform, device and driver, never on the vendor's number (PoCL reports
 * Intel's).  Give versions where a later driver may be cured; the self-test decides what no row knows.
 * CLATTN_QUIRKS=off disables the table. */
#define _GNU_SOURCE
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include "runtime/device.h"

static const struct quirk {
    const char *platform, *device, *driver; /* as in file names, any case; NULL: any */
    unsigned flags;
    const char *reason;
} quirks[] = {
    { "Clover", NULL, NULL, CA_QUIRK_REFUSE,
      "Clover is abandoned and has only OpenCL C 1.1; Mesa has rusticl in its place" },
    { "Oclgrind*", NULL, NULL, CA_QUIRK_SIMULATED | CA_QUIRK_SLOW | CA_QUIRK_NO_BINARY | CA_QUIRK_COPY,
      "Oclgrind is a simulator for finding defects" },
    /* It also takes memory behind CL_MEM_USE_HOST_PTR for uninitialised, hence COPY. */
    { NULL, "Oclgrind*", NULL, CA_QUIRK_SIMULATED | CA_QUIRK_SLOW | CA_QUIRK_NO_BINARY | CA_QUIRK_COPY,
      "Oclgrind is a simulator for finding defects" },
    { "*FPGA*Emulation*", NULL, NULL, CA_QUIRK_SIMULATED, "an FPGA emulator: the CPU in disguise" },
    { NULL, "*FPGA*Emulation*", NULL, CA_QUIRK_SIMULATED, "an FPGA emulator: the CPU in disguise" },
    { NULL, "*llvmpipe*", NULL, CA_QUIRK_SIMULATED | CA_QUIRK_SLOW | CA_QUIRK_ROUNDS, "llvmpipe draws graphics on the CPU" },
    { NULL, "*swrast*", NULL, CA_QUIRK_SIMULATED | CA_QUIRK_SLOW, "a software rasteriser" },
    { NULL, "*softpipe*", NULL, CA_QUIRK_SIMULATED | CA_QUIRK_SLOW, "a software rasteriser" },
    { NULL, "*SwiftShader*", NULL, CA_QUIRK_SIMULATED | CA_QUIRK_SLOW, "a software rasteriser" },
    { NULL, "*Basic Render*", NULL, CA_QUIRK_SIMULATED | CA_QUIRK_SLOW, "WARP draws graphics on the CPU" },
    { "Portable Computing Language", NULL, NULL, CA_QUIRK_LATE_BINARY, "PoCL compiles once more for a binary" },
    { "rusticl", NULL, NULL, CA_QUIRK_NO_BINARY, "rusticl aborts the process on a binary that it does not know" },
};

static bool matches(const char *pattern, const char *text)
{
    return !pattern || fnmatch(pattern, text, FNM_CASEFOLD) == 0;
}

bool ca_quirks_off(void)
{
    const char *wanted = ca_getenv("CLATTN_QUIRKS");
    return wanted && !strcmp(wanted, "off");
}

void ca_device_quirks(struct device *d)
{
    d->quirks = 0;
    d->quirk_reason[0] = 0;
    if (ca_quirks_off()) return;
    for (size_t i = 0; i < sizeof quirks / sizeof *quirks; i++) {
        const struct quirk *q = &quirks[i];
        if (!matches(q->platform, d->platform_name) || !matches(q->device, d->name) || !matches(q->driver, d->driver))
            continue;
        d->quirks |= q->flags;
        if (!d->quirk_reason[0]) snprintf(d->quirk_reason, sizeof d->quirk_reason, "%s", q->reason);
    }
}
