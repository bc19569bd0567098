#include "fake_devices.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "backend.h"
#include "cpu.h"

namespace sp_test {
namespace {

constexpr size_t kMost = 16;

FakeOrders orders;
std::atomic<size_t> calls[kMost], batches[kMost];
std::atomic<long> alive;

struct Weight;

struct FakeDevice {
  sp_device base;  // first: the contract's view
  size_t index;
  std::shared_ptr<sp_device> cpu;  // all devices compute on one
  std::vector<Weight *> weights;   // in the order of their making, for share_weights
  std::atomic<bool> dead{false};
  std::mutex mutex;  // of what follows
  std::map<const char *, size_t> memory, pinned;
};

struct Weight {
  FakeDevice *device;
  const char *kind;
  std::vector<size_t> shape;
  std::shared_ptr<void> inner;  // those that it was shared with have the same
};

using Op = std::function<sp_status(sp_error *)>;

struct FakeStream {
  FakeDevice *device;
  sp_stream *inner;
  std::vector<Op> queue;
  size_t finishes = 0;
};

FakeDevice *Fake(sp_device *device) {
  return reinterpret_cast<FakeDevice *>(device);
}
FakeStream *Fake(sp_stream *stream) {
  return reinterpret_cast<FakeStream *>(stream);
}

sp_status Die(FakeDevice *device, sp_error *err, const char *what) {
  device->dead = true;
  return sp_fail(err, SP_EDEVICE, "%s of %s failed as ordered", what, device->base.name);
}

// Every call of the contract that may fail comes through here.
sp_status Enter(FakeDevice *device, sp_error *err) {
  size_t call = ++calls[device->index];
  auto order = orders.fail_call.find(device->index);
  bool fails = order != orders.fail_call.end() && call >= order->second;
  return fails || device->dead ? Die(device, err, "a call") : SP_OK;
}

// ---- memory ----

bool Holds(const std::map<const char *, size_t> &blocks, const void *data, size_t bytes) {
  const char *at = static_cast<const char *>(data);
  auto next = blocks.upper_bound(at);
  if (next == blocks.begin())
    return false;
  --next;
  return at + bytes <= next->first + next->second;
}

void ExpectOnDevice(FakeDevice *device, const void *data, size_t bytes, const char *what) {
  std::lock_guard<std::mutex> hold(device->mutex);
  EXPECT_TRUE(Holds(device->memory, data, bytes))
      << what << " is not in the memory of " << device->base.name;
}
#define ON_DEVICE(data, bytes) ExpectOnDevice(device, data, bytes, __func__)

sp_status AllocIn(sp_device *base, std::map<const char *, size_t> FakeDevice::*blocks, size_t bytes,
                  void **out, sp_error *err) {
  FakeDevice *device = Fake(base);
  SP_TRY(Enter(device, err));
  SP_TRY(sp_cpu_backend.alloc(device->cpu.get(), bytes, out, err));
  alive++;
  std::lock_guard<std::mutex> hold(device->mutex);
  (device->*blocks)[static_cast<char *>(*out)] = bytes;
  return SP_OK;
}

void FreeIn(sp_device *base, std::map<const char *, size_t> FakeDevice::*blocks, void *data) {
  FakeDevice *device = Fake(base);
  {
    std::lock_guard<std::mutex> hold(device->mutex);
    EXPECT_EQ((device->*blocks).erase(static_cast<char *>(data)), 1u);
  }
  sp_cpu_backend.free(device->cpu.get(), data);
  alive--;
}

sp_status Alloc(sp_device *device, size_t bytes, void **out, sp_error *err) {
  return AllocIn(device, &FakeDevice::memory, bytes, out, err);
}
void Free(sp_device *device, void *data) {
  FreeIn(device, &FakeDevice::memory, data);
}
sp_status AllocHost(sp_device *device, size_t bytes, void **out, sp_error *err) {
  return AllocIn(device, &FakeDevice::pinned, bytes, out, err);
}
void FreeHost(sp_device *device, void *data) {
  FreeIn(device, &FakeDevice::pinned, data);
}

// ---- weights ----

template <typename T>
sp_status MakeWeight(sp_device *base, const char *kind, std::vector<size_t> shape, bool has_source,
                     void (*destroy)(T *), const std::function<sp_status(sp_device *, T **)> &make,
                     T **out, sp_error *err) {
  FakeDevice *device = Fake(base);
  SP_TRY(Enter(device, err));
  EXPECT_TRUE(has_source || orders.share) << kind;
  auto weight = std::make_unique<Weight>();
  weight->device = device;
  weight->kind = kind;
  weight->shape = std::move(shape);
  if (has_source) {
    T *inner;
    SP_TRY(make(device->cpu.get(), &inner));
    weight->inner.reset(
        inner, [destroy, cpu = device->cpu](void *data) { destroy(static_cast<T *>(data)); });
  }
  alive++;
  device->weights.push_back(weight.get());
  *out = reinterpret_cast<T *>(weight.release());
  return SP_OK;
}

void DestroyWeight(void *handle) {
  std::unique_ptr<Weight> weight(static_cast<Weight *>(handle));
  if (!weight)
    return;
  auto &siblings = weight->device->weights;
  siblings.erase(std::find(siblings.begin(), siblings.end(), weight.get()));
  alive--;
}

template <typename T>
void Destroy(T *weight) {
  DestroyWeight(weight);
}

template <typename T>
const T *Inner(const T *handle, const FakeDevice *device) {
  const Weight *weight = reinterpret_cast<const Weight *>(handle);
  EXPECT_EQ(weight->device, device) << weight->kind << " of another device";
  EXPECT_NE(weight->inner, nullptr) << weight->kind << " that was never filled";
  return static_cast<const T *>(weight->inner.get());
}

sp_status LinearCreate(sp_device *device, const float *weight, const float *bias, size_t n,
                       size_t k, sp_activation activation, sp_row_kind rows, bool out_res,
                       sp_linear **out, sp_error *err) {
  return MakeWeight<sp_linear>(
      device, "linear", {n, k, activation, rows, out_res}, weight && bias,
      sp_cpu_backend.linear_destroy,
      [=](sp_device *cpu, sp_linear **to) {
        return sp_cpu_backend.linear_create(cpu, weight, bias, n, k, activation, rows, out_res, to,
                                            err);
      },
      out, err);
}

sp_status VocabCreate(sp_device *device, const float *weight, const float *bias, size_t v, size_t d,
                      sp_vocab **out, sp_error *err) {
  return MakeWeight<sp_vocab>(
      device, "vocab", {v, d}, weight && bias, sp_cpu_backend.vocab_destroy,
      [=](sp_device *cpu, sp_vocab **to) {
        return sp_cpu_backend.vocab_create(cpu, weight, bias, v, d, to, err);
      },
      out, err);
}

sp_status NormCreate(sp_device *device, const float *gamma, const float *beta, size_t d, float eps,
                     sp_norm **out, sp_error *err) {
  return MakeWeight<sp_norm>(
      device, "norm", {d}, gamma && beta, sp_cpu_backend.norm_destroy,
      [=](sp_device *cpu, sp_norm **to) {
        return sp_cpu_backend.norm_create(cpu, gamma, beta, d, eps, to, err);
      },
      out, err);
}

sp_status EmbeddingCreate(sp_device *device, const float *words, const float *positions,
                          const float *type0, size_t v, size_t p, size_t d, sp_embedding **out,
                          sp_error *err) {
  return MakeWeight<sp_embedding>(
      device, "embedding", {v, p, d}, words && positions && type0, sp_cpu_backend.embedding_destroy,
      [=](sp_device *cpu, sp_embedding **to) {
        return sp_cpu_backend.embedding_create(cpu, words, positions, type0, v, p, d, to, err);
      },
      out, err);
}

sp_status DenseCreate(sp_device *device, const float *weight, const float *bias, size_t n, size_t k,
                      sp_activation activation, sp_dense **out, sp_error *err) {
  return MakeWeight<sp_dense>(
      device, "dense", {n, k, activation}, weight && bias, sp_cpu_backend.dense_destroy,
      [=](sp_device *cpu, sp_dense **to) {
        return sp_cpu_backend.dense_create(cpu, weight, bias, n, k, activation, to, err);
      },
      out, err);
}

// Ranks are threads here: what rank 0 has can be seen by all, as long as it waits.
sp_status ShareWeights(sp_device *const *devices, size_t n, sp_share_job *job, sp_error *err) {
  FakeDevice *first = Fake(devices[0]);
  double nothing = 0;
  for (size_t i = 0; i < n; i++)
    SP_TRY(Enter(Fake(devices[i]), err));
  if (job)
    SP_TRY(job->broadcast(job->context, &first, sizeof first, err));
  for (size_t i = 0; i < n; i++) {
    FakeDevice *device = Fake(devices[i]);
    EXPECT_EQ(device->weights.size(), first->weights.size());
    for (size_t w = 0; w < first->weights.size(); w++) {
      EXPECT_STREQ(device->weights[w]->kind, first->weights[w]->kind);
      EXPECT_EQ(device->weights[w]->shape, first->weights[w]->shape);
      EXPECT_EQ(device->weights[w]->inner != nullptr, device == first) << "who reads?";
      if (device != first)
        device->weights[w]->inner = first->weights[w]->inner;
    }
  }
  return job ? job->sum(job->context, &nothing, 1, err) : SP_OK;
}

// ---- streams ----

sp_status StreamCreate(sp_device *base, sp_stream **out, sp_error *err) {
  FakeDevice *device = Fake(base);
  SP_TRY(Enter(device, err));
  auto stream = std::make_unique<FakeStream>();
  stream->device = device;
  SP_TRY(sp_cpu_backend.stream_create(device->cpu.get(), &stream->inner, err));
  alive++;
  *out = reinterpret_cast<sp_stream *>(stream.release());
  return SP_OK;
}

void StreamDestroy(sp_stream *handle) {
  std::unique_ptr<FakeStream> stream(Fake(handle));
  EXPECT_TRUE(stream->queue.empty() || stream->device->dead) << "nobody waited for the stream";
  sp_cpu_backend.stream_destroy(stream->inner);
  alive--;
}

sp_status Queue(sp_stream *stream, sp_error *err, Op op) {
  SP_TRY(Enter(Fake(stream)->device, err));
  Fake(stream)->queue.push_back(std::move(op));
  return SP_OK;
}

sp_status Finish(sp_stream *handle, sp_error *err) {
  FakeStream *stream = Fake(handle);
  FakeDevice *device = stream->device;
  SP_TRY(Enter(device, err));
  if (orders.delay_us.count(device->index))
    usleep(orders.delay_us.at(device->index));
  for (const Op &op : stream->queue)
    SP_TRY(op(err));
  if (!stream->queue.empty()) {
    size_t batch = ++batches[device->index];
    if (orders.fail_finish.count(device->index) && batch >= orders.fail_finish.at(device->index))
      return Die(device, err, "waiting");
  }
  stream->queue.clear();
  return SP_OK;
}

sp_status Upload(sp_stream *handle, void *to, const void *from, size_t bytes, sp_error *err) {
  FakeStream *stream = Fake(handle);
  FakeDevice *device = stream->device;
  ON_DEVICE(to, bytes);
  return Queue(handle, err, [=](sp_error *) {
    memcpy(to, from, bytes);
    return SP_OK;
  });
}

sp_status Download(sp_stream *handle, void *to, const void *from, size_t bytes, sp_error *err) {
  FakeStream *stream = Fake(handle);
  FakeDevice *device = stream->device;
  ON_DEVICE(from, bytes);
  {
    std::lock_guard<std::mutex> hold(device->mutex);
    EXPECT_TRUE(Holds(device->pinned, to, bytes)) << "results arrive in memory that is not pinned";
  }
  bool lies = orders.lying.count(device->index) > 0;
  return Queue(handle, err, [=](sp_error *) {
    memcpy(to, from, bytes);
    for (size_t i = 0; lies && i < bytes / sizeof(float); i++)
      static_cast<float *>(to)[i] -= 1;
    return SP_OK;
  });
}

// ---- ops ----

sp_status Expand(sp_stream *handle, const sp_expand_args *given, sp_error *err) {
  FakeStream *stream = Fake(handle);
  FakeDevice *device = stream->device;
  sp_expand_args args = *given;
  for (const void *array :
       {static_cast<const void *>(args.base_start), static_cast<const void *>(args.len),
        static_cast<const void *>(args.mask_lo), static_cast<const void *>(args.mask_hi),
        static_cast<const void *>(args.token_start)}) {
    ON_DEVICE(array, args.sequences * 4);
  }
  ON_DEVICE(args.base_ids, 4);
  ON_DEVICE(args.ids, 4);
  ON_DEVICE(args.positions, 4);
  return Queue(handle, err,
               [=](sp_error *e) { return sp_cpu_backend.expand(stream->inner, &args, e); });
}

sp_status Embed(sp_stream *handle, const sp_embedding *embedding, const sp_norm *norm,
                const int32_t *ids, const uint32_t *positions, size_t rows, void *res, void *act,
                sp_error *err) {
  FakeStream *stream = Fake(handle);
  FakeDevice *device = stream->device;
  ON_DEVICE(ids, rows * 4);
  ON_DEVICE(positions, rows * 4);
  ON_DEVICE(res, rows * 4);
  ON_DEVICE(act, rows * 2);
  const sp_embedding *e = Inner(embedding, device);
  const sp_norm *n = Inner(norm, device);
  return Queue(handle, err, [=](sp_error *error) {
    return sp_cpu_backend.embed(stream->inner, e, n, ids, positions, rows, res, act, error);
  });
}

sp_status Linear(sp_stream *handle, const sp_linear *linear, const void *in, const void *residual,
                 size_t rows, void *out, sp_error *err) {
  FakeStream *stream = Fake(handle);
  FakeDevice *device = stream->device;
  ON_DEVICE(in, rows * 2);
  ON_DEVICE(out, rows * 2);
  EXPECT_EQ(residual, nullptr) << "the device does not add residuals";
  const sp_linear *l = Inner(linear, device);
  return Queue(handle, err, [=](sp_error *e) {
    return sp_cpu_backend.linear(stream->inner, l, in, nullptr, rows, out, e);
  });
}

sp_status Mask(sp_stream *handle, const sp_mask_args *given, sp_error *err) {
  FakeStream *stream = Fake(handle);
  sp_mask_args args = *given;
  return Queue(handle, err,
               [=](sp_error *e) { return sp_cpu_backend.mask(stream->inner, &args, e); });
}

sp_status Schedule(sp_stream *handle, const sp_schedule_args *given, sp_error *err) {
  FakeStream *stream = Fake(handle);
  FakeDevice *device = stream->device;
  sp_schedule_args args = *given;
  sp_mask_args mask = given->mask ? *given->mask : sp_mask_args{};
  bool masks = given->mask != nullptr;
  std::vector<const sp_dense *> layers;
  for (size_t i = 0; i < args.n_layers; i++)
    layers.push_back(Inner(args.layers[i], device));
  ON_DEVICE(args.rows_res, args.rows * 4);
  ON_DEVICE(args.bits, args.rows * 4);
  ON_DEVICE(args.nan, 4);
  return Queue(handle, err, [=](sp_error *e) {
    sp_schedule_args inner = args;
    inner.layers = layers.data();
    inner.mask = masks ? &mask : nullptr;
    return sp_cpu_backend.schedule(stream->inner, &inner, e);
  });
}

sp_status Attention(sp_stream *handle, const sp_attention_args *given, sp_error *err) {
  FakeStream *stream = Fake(handle);
  FakeDevice *device = stream->device;
  sp_attention_args args = *given;
  for (const void *array :
       {args.q, args.k, args.v, static_cast<const void *>(args.out),
        static_cast<const void *>(args.row_start), static_cast<const void *>(args.key_start),
        static_cast<const void *>(args.key_len)}) {
    ON_DEVICE(array, 4);
  }
  return Queue(handle, err,
               [=](sp_error *e) { return sp_cpu_backend.attention(stream->inner, &args, e); });
}

sp_status AddNorm(sp_stream *handle, const sp_norm *norm, const void *x, const void *residual,
                  size_t rows, void *res, void *act, sp_error *err) {
  FakeStream *stream = Fake(handle);
  FakeDevice *device = stream->device;
  ON_DEVICE(x, rows * 4);
  ON_DEVICE(residual ? residual : x, rows * 4);
  ON_DEVICE(res, rows * 4);
  ON_DEVICE(act, rows * 2);
  const sp_norm *n = Inner(norm, device);
  return Queue(handle, err, [=](sp_error *e) {
    return sp_cpu_backend.add_norm(stream->inner, n, x, residual, rows, res, act, e);
  });
}

sp_status Gather(sp_stream *handle, const void *from, size_t row_bytes, const uint32_t *index,
                 size_t rows, void *to, sp_error *err) {
  FakeStream *stream = Fake(handle);
  FakeDevice *device = stream->device;
  ON_DEVICE(from, row_bytes);
  ON_DEVICE(index, rows * 4);
  ON_DEVICE(to, rows * row_bytes);
  return Queue(handle, err, [=](sp_error *e) {
    return sp_cpu_backend.gather(stream->inner, from, row_bytes, index, rows, to, e);
  });
}

sp_status VocabLogp(sp_stream *handle, const sp_vocab *vocab, const void *h, size_t rows,
                    const uint32_t *target_row, const int32_t *target_id, size_t targets,
                    float *logp, sp_error *err) {
  FakeStream *stream = Fake(handle);
  FakeDevice *device = stream->device;
  ON_DEVICE(h, rows * 2);
  ON_DEVICE(target_row, targets * 4);
  ON_DEVICE(target_id, targets * 4);
  ON_DEVICE(logp, targets * 4);
  const sp_vocab *v = Inner(vocab, device);
  return Queue(handle, err, [=](sp_error *e) {
    return sp_cpu_backend.vocab_logp(stream->inner, v, h, rows, target_row, target_id, targets,
                                     logp, e);
  });
}

sp_status ScoreHead(sp_stream *handle, const sp_dense *const *layers, size_t n_layers,
                    const void *rows_res, size_t rows, float *score, sp_error *err) {
  FakeStream *stream = Fake(handle);
  FakeDevice *device = stream->device;
  ON_DEVICE(rows_res, rows * 4);
  ON_DEVICE(score, rows * 4);
  std::vector<const sp_dense *> inner;
  for (size_t i = 0; i < n_layers; i++)
    inner.push_back(Inner(layers[i], device));
  return Queue(handle, err, [=](sp_error *e) {
    return sp_cpu_backend.score_head(stream->inner, inner.data(), n_layers, rows_res, rows, score,
                                     e);
  });
}

// ---- devices ----

size_t List(char (*lines)[SP_DEVICE_LINE], size_t room) {
  size_t n = std::min(room, orders.devices);
  for (size_t i = 0; i < n; i++)
    snprintf(lines[i], SP_DEVICE_LINE, "fake:%zu", i);
  return n;
}

sp_backend given_backend;  // as ordered

// The one that computes, also of ranks that are threads.
sp_status OpenCpu(sp_compute compute, std::shared_ptr<sp_device> *out, sp_error *err) {
  static std::mutex mutex;
  static std::weak_ptr<sp_device> open[2];
  std::lock_guard<std::mutex> hold(mutex);
  *out = open[compute].lock();
  if (!*out) {
    sp_device *cpu;
    size_t opened;
    SP_TRY(sp_cpu_backend.open("", compute, &cpu, 1, &opened, err));
    out->reset(cpu, sp_cpu_backend.close);
    open[compute] = *out;
  }
  return SP_OK;
}

sp_status Open(const char *, sp_compute compute, sp_device **out, size_t room, size_t *n,
               sp_error *err) {
  std::shared_ptr<sp_device> cpu;
  SP_TRY(OpenCpu(compute, &cpu, err));
  *n = std::min(room, orders.devices);
  for (size_t i = 0; i < *n; i++) {
    auto *device = new FakeDevice;
    device->base = *cpu;
    device->base.backend = &given_backend;
    device->base.host_memory = false;
    device->base.lanes = orders.lanes;
    snprintf(device->base.name, sizeof device->base.name, "fake:%zu", i);
    device->index = i;
    device->cpu = cpu;
    out[i] = &device->base;
    alive++;
  }
  return SP_OK;
}

void Close(sp_device *device) {
  if (!device)
    return;
  delete Fake(device);
  alive--;
}

size_t BatchTokens(const sp_device *, size_t) {
  return orders.batch_tokens;
}

sp_backend MakeBackend() {
  sp_backend b{};
  b.name = "fake";
  b.list = List;
  b.open = Open;
  b.close = Close;
  b.batch_tokens = BatchTokens;
  b.linear_create = LinearCreate;
  b.linear_destroy = Destroy<sp_linear>;
  b.vocab_create = VocabCreate;
  b.vocab_destroy = Destroy<sp_vocab>;
  b.norm_create = NormCreate;
  b.norm_destroy = Destroy<sp_norm>;
  b.embedding_create = EmbeddingCreate;
  b.embedding_destroy = Destroy<sp_embedding>;
  b.dense_create = DenseCreate;
  b.dense_destroy = Destroy<sp_dense>;
  b.stream_create = StreamCreate;
  b.stream_destroy = StreamDestroy;
  b.alloc = Alloc;
  b.free = Free;
  b.alloc_host = AllocHost;
  b.free_host = FreeHost;
  b.upload = Upload;
  b.download = Download;
  b.finish = Finish;
  b.expand = Expand;
  b.embed = Embed;
  b.linear = Linear;
  b.mask = Mask;
  b.schedule = Schedule;
  b.attention = Attention;
  b.add_norm = AddNorm;
  b.gather = Gather;
  b.vocab_logp = VocabLogp;
  b.score_head = ScoreHead;
  return b;
}

}  // namespace

void GiveOrders(const FakeOrders &given) {
  orders = given;
  given_backend = MakeBackend();
  given_backend.share_weights = given.share ? ShareWeights : nullptr;
  for (size_t i = 0; i < kMost; i++)
    calls[i] = batches[i] = 0;
}

FakeDeeds Deeds() {
  FakeDeeds deeds;
  for (size_t i = 0; i < kMost; i++) {
    deeds.calls[i] = calls[i];
    deeds.batches[i] = batches[i];
  }
  return deeds;
}

long Alive() {
  return alive;
}

}  // namespace sp_test

// The registry of these tests; that of the program is not linked.
extern "C" const sp_backend *const *sp_backend_list(size_t *count) {
  static const sp_backend *const list[] = {&sp_cpu_backend, &sp_test::given_backend};
  *count = 2;
  return list;
}

extern "C" sp_status sp_backend_find(const char *device, const sp_backend **out, const char **spec,
                                     sp_error *err) {
  *spec = "";
  if (strcmp(device, "fake") == 0) {
    *out = &sp_test::given_backend;
    return SP_OK;
  }
  if (strcmp(device, "cpu") == 0 || strcmp(device, "auto") == 0) {
    *out = &sp_cpu_backend;
    return SP_OK;
  }
  return sp_fail(err, SP_EUSAGE, "unknown device '%s'", device);
}
