// test_device.cc - the device of one program of op tests: SP_TEST_DEVICE ("cpu"), SP_TEST_SLOW on the
// emulator.
#include "op_test.h"

#ifndef SP_TEST_DEVICE
#define SP_TEST_DEVICE "cpu"
#endif
#ifndef SP_TEST_SLOW
#define SP_TEST_SLOW 0
#endif

namespace sp_test {

const char kTestDevice[] = SP_TEST_DEVICE;
const bool kSlowDevice = SP_TEST_SLOW;

}  // namespace sp_test
