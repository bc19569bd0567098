// simt_host.h - the emulator for those who launch and check: tests, and the fake runtime.
#ifndef SP_TESTS_SIMT_HOST_H
#define SP_TESTS_SIMT_HOST_H

#include <cuda_runtime_api.h>

#include <functional>
#include <string>

// Who runs a launch: null, and SP_LAUNCH runs it at once; or the fake runtime, which may queue
// it, count it or fail it. `run` holds copies of the kernel's arguments and may be called from any
// thread; it gives cudaErrorLaunchFailure where the emulator found something.
extern cudaError_t (*sp_simt_submit)(cudaStream_t stream, const char *kernel,
                                     std::function<cudaError_t()> run);

namespace sp_simt {

// The message of the calling thread's last launch that failed; empty after ClearFailure.
const std::string &Failure();
void ClearFailure();
// Blocks, warps and lanes run last to first from now on, in this OS thread.
void SetReverse(bool reverse);

}  // namespace sp_simt
#endif
