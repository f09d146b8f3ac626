/* opencl.h -- the one door to OpenCL: every call of this library goes through this table,
 * so that tests can make any of them fail.  The ICD loader is linked in the ordinary way. */
#ifndef CA_OPENCL_H
#define CA_OPENCL_H

#define CL_TARGET_OPENCL_VERSION 120
#define CL_USE_DEPRECATED_OPENCL_1_1_APIS
#include <CL/cl.h>
#include "base/status.h"

#define CA_CL_CALLS(X) \
    X(GetPlatformIDs) X(GetPlatformInfo) X(GetDeviceIDs) X(GetDeviceInfo) \
    X(CreateContext) X(RetainContext) X(ReleaseContext) X(GetContextInfo) \
    X(CreateCommandQueue) X(RetainCommandQueue) X(ReleaseCommandQueue) X(GetCommandQueueInfo) \
    X(CreateBuffer) X(ReleaseMemObject) X(GetMemObjectInfo) X(EnqueueMigrateMemObjects) \
    X(CreateProgramWithSource) X(CreateProgramWithBinary) X(BuildProgram) X(GetProgramBuildInfo) \
    X(GetProgramInfo) X(ReleaseProgram) \
    X(CreateKernel) X(SetKernelArg) X(ReleaseKernel) X(GetKernelWorkGroupInfo) \
    X(EnqueueNDRangeKernel) X(EnqueueReadBuffer) X(EnqueueWriteBuffer) X(EnqueueCopyBuffer) X(EnqueueMapBuffer) \
    X(EnqueueUnmapMemObject) X(EnqueueMarkerWithWaitList) X(EnqueueBarrierWithWaitList) \
    X(RetainEvent) X(ReleaseEvent) X(GetEventInfo) X(GetEventProfilingInfo) X(WaitForEvents) \
    X(Flush) X(Finish)

struct ca_opencl {
#define X(name) __typeof__(cl##name) *name;
    CA_CL_CALLS(X)
#undef X
};
extern struct ca_opencl ca_cl;

/* Turns an OpenCL code into a status with a message that names the call and WHAT. */
clattn_status ca_cl_fail(cl_int code, const char *call, const char *what);
#define CA_CL(call_, ...) ca_cl_check(ca_cl.call_(__VA_ARGS__), "cl" #call_)
static inline clattn_status ca_cl_check(cl_int code, const char *call)
{
    return code == CL_SUCCESS ? CLATTN_OK : ca_cl_fail(code, call, NULL);
}
const char *ca_cl_code_name(cl_int code); /* NULL when unknown */

/* Codes after which a context is dead (research: -36, -34, -14 inside, -9999). */
#include <stdbool.h>
bool ca_cl_code_is_lost(cl_int code);

#endif
