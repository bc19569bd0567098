// Which devices there are, which are opened, and what is said of those that are not.
#include <set>

#include "cuda_fixture.h"

namespace {

using sp_test::CudaTest;

class DeviceTest : public CudaTest {
 protected:
  std::string Refused(const char *spec, sp_status status, size_t room = SP_MAX_DEVICES) {
    EXPECT_EQ(Open(spec, room), status) << spec;
    EXPECT_EQ(opened_, 0u) << spec;
    return err_.message;
  }
};

TEST_F(DeviceTest, ListDescribesEachDevice) {
  options_.devices = 3;
  options_.names = {"Fake H100"};
  Restart();
  char lines[4][SP_DEVICE_LINE];
  ASSERT_EQ(cuda_.list(lines, 4), 3u);
  EXPECT_STREQ(lines[2], "cuda:2 Fake H100, compute capability 9.0, 4 SMs, 1.0 GiB");
  EXPECT_EQ(cuda_.list(lines, 1), 1u);
  EXPECT_EQ(cuda_.list(lines, 0), 0u);
}

// Processes that see other GPUs under the same numbers know them apart.
TEST_F(DeviceTest, IdentityIsTheHostsAndNotTheProcesss) {
  sp_device_identity two[4], later[4];
  options_.devices = 2;
  Restart();
  ASSERT_EQ(cuda_.identify(two, 4), 2u);
  EXPECT_EQ(cuda_.identify(later, 1), 1u);
  options_.first = 1;
  Restart();
  ASSERT_EQ(cuda_.identify(later, 4), 2u);
  EXPECT_NE(two[0].id, two[1].id);
  EXPECT_EQ(two[1].id, later[0].id);
  EXPECT_EQ(two[1].number, 1u);
  EXPECT_EQ(later[0].number, 0u);
}

TEST_F(DeviceTest, WithoutDevicesThereIsNoneAndOpenSaysWhy) {
  options_.devices = 0;
  Restart();
  char lines[1][SP_DEVICE_LINE];
  EXPECT_EQ(cuda_.list(lines, 1), 0u);
  EXPECT_EQ(Refused("", SP_EDEVICE), "no usable CUDA device: no CUDA-capable device is detected");
  const sp_backend *backend;
  const char *spec;
  ASSERT_EQ(sp_backend_find("auto", &backend, &spec, &err_), SP_OK);
  EXPECT_STREQ(backend->name, "cpu");
}

TEST_F(DeviceTest, OldDevicesAreNotUsable) {
  options_.major = 7;
  Restart();
  EXPECT_NE(Refused("", SP_EDEVICE).find("compute capability 8.0"), std::string::npos);
}

TEST_F(DeviceTest, AutoIsCudaWhereItHasADevice) {
  const sp_backend *backend;
  const char *spec;
  ASSERT_EQ(sp_backend_find("auto", &backend, &spec, &err_), SP_OK);
  EXPECT_STREQ(backend->name, "cuda");
  EXPECT_STREQ(spec, "");
  ASSERT_EQ(sp_backend_find("cuda:0,2", &backend, &spec, &err_), SP_OK);
  EXPECT_STREQ(spec, "0,2");
}

TEST_F(DeviceTest, OpensThoseThatAreNamed) {
  options_.devices = 4;
  Restart();
  ASSERT_EQ(Open(""), SP_OK) << err_.message;
  EXPECT_EQ(opened_, 4u);
  Close();
  ASSERT_EQ(Open("", 2), SP_OK) << err_.message;
  EXPECT_EQ(opened_, 2u);
  Close();
  ASSERT_EQ(Open("3,0"), SP_OK) << err_.message;
  ASSERT_EQ(opened_, 2u);
  EXPECT_STREQ(devices_[0]->name, "cuda:3");
  EXPECT_STREQ(devices_[1]->name, "cuda:0");
  EXPECT_STREQ(devices_[0]->type, devices_[1]->type);
  Close();
}

TEST_F(DeviceTest, RefusesWhatIsNoList) {
  options_.devices = 3;
  Restart();
  for (const char *spec : {"a", "0,", ",0", "0,,1", "0 1", "-1", "0x1", "1.0", "0,1,a", "9999"}) {
    EXPECT_NE(Refused(spec, SP_EUSAGE).find("no list of numbers"), std::string::npos) << spec;
  }
  EXPECT_EQ(Refused("1,0,1", SP_EUSAGE), "device 'cuda:1,0,1' names device 1 twice");
  EXPECT_EQ(Refused("0,7", SP_EDEVICE),
            "device 'cuda:0,7': there is no usable device 7; usable are 0,1,2");
  EXPECT_EQ(Refused("0,1", SP_EUSAGE, 1), "device 'cuda:0,1' names more than 1 devices");
  Refused("0", SP_EDEVICE, 0);
}

TEST_F(DeviceTest, DevicesMustBeOfOneType) {
  options_.devices = 3;
  options_.names = {"Fake A", "Fake B"};
  Restart();
  std::string message = Refused("", SP_EDEVICE);
  EXPECT_NE(message.find("cuda:0 is 'Fake A"), std::string::npos) << message;
  EXPECT_NE(message.find("cuda:1 is 'Fake B"), std::string::npos) << message;
  ASSERT_EQ(Open("1,2"), SP_OK) << err_.message;
  Close();
}

TEST_F(DeviceTest, FullMemoryIsSaidWithNumbers) {
  options_.memory = size_t{8} << 20;
  Restart();
  ASSERT_EQ(Open("0"), SP_OK);
  void *data = nullptr;
  EXPECT_EQ(cuda_.alloc(devices_[0], size_t{9} << 20, &data, &err_), SP_EDEVICE);
  EXPECT_STREQ(err_.message, "cuda:0: out of memory: 9 MiB wanted, 8 of 8 MiB free");
  ASSERT_EQ(cuda_.alloc(devices_[0], size_t{7} << 20, &data, &err_), SP_OK);
  cuda_.free(devices_[0], data);
  Close();
}

// The type is complete with the weights, a function of their shapes alone.
TEST_F(DeviceTest, TheTypeRecordsTheAlgorithms) {
  options_.devices = 2;
  Restart();
  ASSERT_EQ(Open(""), SP_OK);
  std::vector<float> zeros(64 * 64);
  std::set<std::string> types = {devices_[0]->type};
  std::vector<sp_linear *> linears;
  for (size_t n : {32, 64}) {
    for (int d = 0; d < 2; d++) {
      sp_linear *linear = nullptr;
      const float *source = d == 0 ? zeros.data() : nullptr;
      ASSERT_EQ(cuda_.linear_create(devices_[d], source, source, n, 64, SP_ACT_NONE, SP_ROWS_TOKENS,
                                    false, &linear, &err_),
                SP_OK)
          << err_.message;
      linears.push_back(linear);
    }
    EXPECT_STREQ(devices_[0]->type, devices_[1]->type);
    EXPECT_TRUE(types.insert(devices_[0]->type).second) << devices_[0]->type;
  }
  for (sp_linear *linear : linears)
    cuda_.linear_destroy(linear);
  Close();
}

TEST_F(DeviceTest, BatchesAreWholeWaves) {
  ASSERT_EQ(Open("0"), SP_OK);
  for (size_t hidden : {32, 312, 512, 768, 1024, 4096}) {
    size_t tokens = cuda_.batch_tokens(devices_[0], hidden);
    EXPECT_GE(tokens, 128u);
    EXPECT_LE(tokens, 65536u);
    EXPECT_EQ(tokens % devices_[0]->row_quantum, 0u);
    EXPECT_EQ(tokens / 128 * ((hidden + 255) / 256) % 4, 0u) << hidden;  // 4 SMs
  }
  Close();
}

TEST_F(DeviceTest, AProductWithoutAnyAlgorithmIsTheModelsFault) {
  options_.refuse_all = true;
  Restart();
  ASSERT_EQ(Open("0"), SP_OK);
  std::vector<float> zeros(12);
  sp_linear *linear = nullptr;
  EXPECT_EQ(cuda_.linear_create(devices_[0], zeros.data(), zeros.data(), 3, 4, SP_ACT_NONE,
                                SP_ROWS_TOKENS, false, &linear, &err_),
            SP_EMODEL);
  EXPECT_STREQ(err_.message, "cuda:0: cuBLASLt has no algorithm for a product of 3 x 4");
  Close();
}

}  // namespace
