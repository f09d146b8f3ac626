/* opencl.c -- the table of OpenCL functions, and the names of OpenCL's codes. */
#include "runtime/opencl.h"

struct ca_opencl ca_cl = {
#define X(name) .name = cl##name,
    CA_CL_CALLS(X)
#undef X
};

static const struct { cl_int code; const char *name; } codes[] = {
#define CODE(name) { name, #name }
    CODE(CL_SUCCESS), CODE(CL_DEVICE_NOT_FOUND), CODE(CL_DEVICE_NOT_AVAILABLE), CODE(CL_COMPILER_NOT_AVAILABLE),
    CODE(CL_MEM_OBJECT_ALLOCATION_FAILURE), CODE(CL_OUT_OF_RESOURCES), CODE(CL_OUT_OF_HOST_MEMORY),
    CODE(CL_PROFILING_INFO_NOT_AVAILABLE), CODE(CL_MEM_COPY_OVERLAP), CODE(CL_IMAGE_FORMAT_MISMATCH),
    CODE(CL_IMAGE_FORMAT_NOT_SUPPORTED), CODE(CL_BUILD_PROGRAM_FAILURE), CODE(CL_MAP_FAILURE),
    CODE(CL_MISALIGNED_SUB_BUFFER_OFFSET), CODE(CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST),
    CODE(CL_COMPILE_PROGRAM_FAILURE), CODE(CL_LINKER_NOT_AVAILABLE), CODE(CL_LINK_PROGRAM_FAILURE),
    CODE(CL_DEVICE_PARTITION_FAILED), CODE(CL_KERNEL_ARG_INFO_NOT_AVAILABLE), CODE(CL_INVALID_VALUE),
    CODE(CL_INVALID_DEVICE_TYPE), CODE(CL_INVALID_PLATFORM), CODE(CL_INVALID_DEVICE), CODE(CL_INVALID_CONTEXT),
    CODE(CL_INVALID_QUEUE_PROPERTIES), CODE(CL_INVALID_COMMAND_QUEUE), CODE(CL_INVALID_HOST_PTR),
    CODE(CL_INVALID_MEM_OBJECT), CODE(CL_INVALID_IMAGE_FORMAT_DESCRIPTOR), CODE(CL_INVALID_IMAGE_SIZE),
    CODE(CL_INVALID_SAMPLER), CODE(CL_INVALID_BINARY), CODE(CL_INVALID_BUILD_OPTIONS), CODE(CL_INVALID_PROGRAM),
    CODE(CL_INVALID_PROGRAM_EXECUTABLE), CODE(CL_INVALID_KERNEL_NAME), CODE(CL_INVALID_KERNEL_DEFINITION),
    CODE(CL_INVALID_KERNEL), CODE(CL_INVALID_ARG_INDEX), CODE(CL_INVALID_ARG_VALUE), CODE(CL_INVALID_ARG_SIZE),
    CODE(CL_INVALID_KERNEL_ARGS), CODE(CL_INVALID_WORK_DIMENSION), CODE(CL_INVALID_WORK_GROUP_SIZE),
    CODE(CL_INVALID_WORK_ITEM_SIZE), CODE(CL_INVALID_GLOBAL_OFFSET), CODE(CL_INVALID_EVENT_WAIT_LIST),
    CODE(CL_INVALID_EVENT), CODE(CL_INVALID_OPERATION), CODE(CL_INVALID_GL_OBJECT), CODE(CL_INVALID_BUFFER_SIZE),
    CODE(CL_INVALID_MIP_LEVEL), CODE(CL_INVALID_GLOBAL_WORK_SIZE), CODE(CL_INVALID_PROPERTY),
    CODE(CL_INVALID_IMAGE_DESCRIPTOR), CODE(CL_INVALID_COMPILER_OPTIONS), CODE(CL_INVALID_LINKER_OPTIONS),
    CODE(CL_INVALID_DEVICE_PARTITION_COUNT),
#undef CODE
    /* From extensions and later versions, whose headers we do not need. */
    { -69, "CL_INVALID_PIPE_SIZE" }, { -70, "CL_INVALID_DEVICE_QUEUE" }, { -71, "CL_INVALID_SPEC_ID" },
    { -72, "CL_MAX_SIZE_RESTRICTION_EXCEEDED" }, { -1001, "CL_PLATFORM_NOT_FOUND_KHR" },
    { -9999, "illegal access by a kernel (NVIDIA)" },
};

const char *ca_cl_code_name(cl_int code)
{
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (codes[i].code == code) return codes[i].name;
    return NULL;
}

bool ca_cl_code_is_lost(cl_int code)
{
    return code == CL_INVALID_COMMAND_QUEUE || code == CL_INVALID_CONTEXT ||
           code == CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST || code == -9999;
}

clattn_status ca_cl_fail(cl_int code, const char *call, const char *what)
{
    const char *name = ca_cl_code_name(code);
    /* Drivers have private codes, even positive ones; a status of ours must be neither 0 nor positive. */
    clattn_status st = code == -9999 ? CLATTN_E_DEVICE_LOST : code < 0 && code > -2000 ? code : CL_OUT_OF_RESOURCES;
    if (what) return ca_fail(st, "%s (%s): %s (%d)", call, what, name ? name : "unknown code", (int)code);
    return ca_fail(st, "%s: %s (%d)", call, name ? name : "unknown code", (int)code);
}
