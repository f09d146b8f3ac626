/* status.c -- names of statuses, the last message, the version. */
#include "api/api.h"
#include "runtime/opencl.h"

static const struct { clattn_status code; const char *name; } names[] = {
#define NAME(code) { code, #code }
    NAME(CLATTN_OK), NAME(CLATTN_E_ARGUMENT), NAME(CLATTN_E_UNSUPPORTED), NAME(CLATTN_E_MEMORY),
    NAME(CLATTN_E_TOO_LARGE), NAME(CLATTN_E_NO_DEVICE), NAME(CLATTN_E_BUILD), NAME(CLATTN_E_DEVICE_LOST),
    NAME(CLATTN_E_TIMEOUT), NAME(CLATTN_E_FORKED), NAME(CLATTN_E_IO), NAME(CLATTN_E_INTERNAL),
#undef NAME
};

const char *clattn_status_name(clattn_status status)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].code == status) return names[i].name;
    const char *name = ca_cl_code_name(status);
    return name ? name : "unknown status";
}

const char *clattn_last_message(void) { return ca_message(); }

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
const char *clattn_version(void)
{
    return TEXT(CLATTN_VERSION_MAJOR) "." TEXT(CLATTN_VERSION_MINOR) "." TEXT(CLATTN_VERSION_PATCH);
}
