// op_bench.h - a device and a stream for one benchmark; failures stop it with the message.
#ifndef SP_BENCH_OP_BENCH_H
#define SP_BENCH_OP_BENCH_H

#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "backend.h"
#include "bf16.h"

namespace sp_bench {

// SP_BENCH_DEVICE names the device, "cpu" without it.
class Device {
 public:
  explicit Device(sp_compute compute) {
    const char *name = getenv("SP_BENCH_DEVICE");
    const char *spec = nullptr;
    Check(sp_backend_find(name ? name : "cpu", &backend, &spec, &err));
    size_t opened;
    Check(backend->open(spec, compute, &device, 1, &opened, &err));
  }
  ~Device() {
    if (stream)
      backend->stream_destroy(stream);
    for (void *data : memory_)
      backend->free(device, data);
    backend->close(device);
  }
  Device(const Device &) = delete;
  Device &operator=(const Device &) = delete;

  void Check(sp_status status) {
    if (status != SP_OK) {
      fprintf(stderr, "%s\n", err.message);
      abort();
    }
  }
  void BeginStream() {
    Check(backend->stream_create(device, &stream, &err));
  }

  // Rows of the compute type, or f32, filled with small numbers.
  void *Rows(size_t rows, size_t columns, bool f32 = false) {
    size_t q = device->row_quantum;
    size_t n = (rows + q - 1) / q * q * columns;
    bool half = !f32 && device->compute == SP_COMPUTE_BF16;
    void *data = nullptr;
    Check(backend->alloc(device, n * (half ? 2 : 4), &data, &err));
    memory_.push_back(data);
    for (size_t i = 0; i < n; i++) {
      float x = Number(i);
      if (half) {
        static_cast<uint16_t *>(data)[i] = sp_bf16_from_f32(x);
      } else {
        static_cast<float *>(data)[i] = x;
      }
    }
    return data;
  }
  static float Number(size_t i) {
    return static_cast<float>((i * 2654435761u >> 8) % 20001) * 1e-4f - 1.0f;
  }
  static std::vector<float> Numbers(size_t n, float scale) {
    std::vector<float> v(n);
    for (size_t i = 0; i < n; i++)
      v[i] = scale * Number(i);
    return v;
  }

  const sp_backend *backend = nullptr;
  sp_device *device = nullptr;
  sp_stream *stream = nullptr;
  sp_error err{};

 private:
  std::vector<void *> memory_;
};

inline void Rate(benchmark::State &state, const char *name, double per_iteration) {
  state.counters[name] = benchmark::Counter(per_iteration * static_cast<double>(state.iterations()),
                                            benchmark::Counter::kIsRate);
}

// Nanoseconds a row.
inline void PerRow(benchmark::State &state, double rows) {
  state.counters["s/row"] =
      benchmark::Counter(rows * static_cast<double>(state.iterations()),
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

}  // namespace sp_bench
#endif
