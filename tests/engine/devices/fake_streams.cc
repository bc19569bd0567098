// Streams of the fake devices and their ops, which wait in a queue for finish.
#include <unistd.h>

#include <cstring>
#include <functional>

#include "fake_parts.h"

namespace sp_test {
namespace {

struct FakeStream {
  FakeDevice *device;
  sp_stream *inner;  // the CPU's
  std::vector<std::function<sp_status(sp_stream *inner, sp_error *)>> queue;
};

FakeStream *StreamOf(sp_stream *stream) {
  return reinterpret_cast<FakeStream *>(stream);
}
FakeDevice *DeviceOf(sp_stream *stream) {
  return StreamOf(stream)->device;
}

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
  std::unique_ptr<FakeStream> stream(StreamOf(handle));
  EXPECT_TRUE(stream->queue.empty() || stream->device->dead) << "nobody waited for the stream";
  sp_cpu_backend.stream_destroy(stream->inner);
  alive--;
}

// To be called as op(inner stream, args.., error).
template <typename Op, typename... Args>
sp_status Queue(sp_stream *stream, sp_error *err, Op op, Args... args) {
  SP_TRY(Enter(DeviceOf(stream), err));
  StreamOf(stream)->queue.push_back(
      [=](sp_stream *inner, sp_error *e) { return op(inner, args..., e); });
  return SP_OK;
}

// The same with a copy of the struct that has the arguments.
template <typename Op, typename Struct>
sp_status QueueWith(sp_stream *stream, sp_error *err, Op op, const Struct *given) {
  return Queue(stream, err,
               [op, args = *given](sp_stream *inner, sp_error *e) { return op(inner, &args, e); });
}

sp_status Finish(sp_stream *handle, sp_error *err) {
  FakeStream *stream = StreamOf(handle);
  FakeDevice *device = stream->device;
  SP_TRY(Enter(device, err));
  if (orders.delay_us.count(device->index))
    usleep(orders.delay_us.at(device->index));
  for (const auto &op : stream->queue)
    SP_TRY(op(stream->inner, err));
  if (!stream->queue.empty()) {
    size_t batch = ++batches[device->index];
    if (orders.fail_finish.count(device->index) && batch >= orders.fail_finish.at(device->index))
      return Die(device, err, "waiting");
  }
  stream->queue.clear();
  return SP_OK;
}

// ---- what ops are given ----

#define ON_DEVICE(data, bytes)                                           \
  EXPECT_TRUE(Holds(DeviceOf(stream), &FakeDevice::memory, data, bytes)) \
      << #data " is not in the memory of " << DeviceOf(stream)->base.name

using Arrays = std::initializer_list<const void *>;

// The CPU's weight behind a handle.
template <typename T>
const T *Inner(sp_stream *stream, const T *handle) {
  const FakeWeight *weight = reinterpret_cast<const FakeWeight *>(handle);
  EXPECT_EQ(weight->device, DeviceOf(stream)) << weight->kind << " of another device";
  EXPECT_NE(weight->inner, nullptr) << weight->kind << " that was never filled";
  return static_cast<const T *>(weight->inner.get());
}

std::vector<const sp_dense *> Inner(sp_stream *stream, const sp_dense *const *layers, size_t n) {
  std::vector<const sp_dense *> inner;
  for (size_t i = 0; i < n; i++)
    inner.push_back(Inner(stream, layers[i]));
  return inner;
}

// ---- copies ----

sp_status Upload(sp_stream *stream, void *to, const void *from, size_t bytes, sp_error *err) {
  ON_DEVICE(to, bytes);
  return Queue(stream, err, [=](sp_stream *, sp_error *) {
    memcpy(to, from, bytes);
    return SP_OK;
  });
}

sp_status Download(sp_stream *stream, void *to, const void *from, size_t bytes, sp_error *err) {
  ON_DEVICE(from, bytes);
  FakeDevice *device = DeviceOf(stream);
  EXPECT_TRUE(Holds(device, &FakeDevice::pinned, to, bytes))
      << "results arrive in memory that is not pinned";
  bool lies = orders.lying.count(device->index) > 0;
  return Queue(stream, err, [=](sp_stream *, sp_error *) {
    memcpy(to, from, bytes);
    for (size_t i = 0; lies && i < bytes / sizeof(float); i++)
      static_cast<float *>(to)[i] -= 1;
    return SP_OK;
  });
}

// ---- ops ----

sp_status Expand(sp_stream *stream, const sp_expand_args *args, sp_error *err) {
  for (const void *array :
       Arrays{args->base_start, args->len, args->mask_lo, args->mask_hi, args->token_start})
    ON_DEVICE(array, args->sequences * 4);
  for (const void *array : Arrays{args->base_ids, args->ids, args->positions})
    ON_DEVICE(array, 4);
  return QueueWith(stream, err, sp_cpu_backend.expand, args);
}

sp_status Embed(sp_stream *stream, const sp_embedding *embedding, const sp_norm *norm,
                const int32_t *ids, const uint32_t *positions, size_t rows, void *res, void *act,
                sp_error *err) {
  ON_DEVICE(ids, rows * 4);
  ON_DEVICE(positions, rows * 4);
  ON_DEVICE(res, rows * 4);
  ON_DEVICE(act, rows * 2);
  return Queue(stream, err, sp_cpu_backend.embed, Inner(stream, embedding), Inner(stream, norm),
               ids, positions, rows, res, act);
}

sp_status Linear(sp_stream *stream, const sp_linear *linear, const void *in, const void *residual,
                 size_t rows, void *out, sp_error *err) {
  ON_DEVICE(in, rows * 2);
  ON_DEVICE(out, rows * 2);
  EXPECT_EQ(residual, nullptr) << "the device does not add residuals";
  return Queue(stream, err, sp_cpu_backend.linear, Inner(stream, linear), in, nullptr, rows, out);
}

sp_status Mask(sp_stream *stream, const sp_mask_args *args, sp_error *err) {
  return QueueWith(stream, err, sp_cpu_backend.mask, args);
}

sp_status Schedule(sp_stream *stream, const sp_schedule_args *given, sp_error *err) {
  sp_schedule_args args = *given;
  sp_mask_args mask = given->mask ? *given->mask : sp_mask_args{};
  ON_DEVICE(args.rows_res, args.rows * 4);
  ON_DEVICE(args.bits, args.rows * 4);
  ON_DEVICE(args.nan, 4);
  std::vector<const sp_dense *> layers = Inner(stream, args.layers, args.n_layers);
  return Queue(stream, err, [=](sp_stream *inner, sp_error *e) {
    sp_schedule_args copy = args;
    copy.layers = layers.data();
    copy.mask = args.mask ? &mask : nullptr;
    return sp_cpu_backend.schedule(inner, &copy, e);
  });
}

sp_status Attention(sp_stream *stream, const sp_attention_args *args, sp_error *err) {
  for (const void *array : Arrays{args->q, args->k, args->v, args->out, args->row_start,
                                  args->key_start, args->key_len})
    ON_DEVICE(array, 4);
  return QueueWith(stream, err, sp_cpu_backend.attention, args);
}

sp_status AddNorm(sp_stream *stream, const sp_norm *norm, const void *x, const void *residual,
                  size_t rows, void *res, void *act, sp_error *err) {
  ON_DEVICE(x, rows * 4);
  ON_DEVICE(residual ? residual : x, rows * 4);
  ON_DEVICE(res, rows * 4);
  ON_DEVICE(act, rows * 2);
  return Queue(stream, err, sp_cpu_backend.add_norm, Inner(stream, norm), x, residual, rows, res,
               act);
}

sp_status Gather(sp_stream *stream, const void *from, size_t row_bytes, const uint32_t *index,
                 size_t rows, void *to, sp_error *err) {
  ON_DEVICE(from, row_bytes);
  ON_DEVICE(index, rows * 4);
  ON_DEVICE(to, rows * row_bytes);
  return Queue(stream, err, sp_cpu_backend.gather, from, row_bytes, index, rows, to);
}

sp_status VocabLogp(sp_stream *stream, const sp_vocab *vocab, const void *h, size_t rows,
                    const uint32_t *target_row, const int32_t *target_id, size_t targets,
                    float *logp, sp_error *err) {
  ON_DEVICE(h, rows * 2);
  ON_DEVICE(target_row, targets * 4);
  ON_DEVICE(target_id, targets * 4);
  ON_DEVICE(logp, targets * 4);
  return Queue(stream, err, sp_cpu_backend.vocab_logp, Inner(stream, vocab), h, rows, target_row,
               target_id, targets, logp);
}

sp_status ScoreHead(sp_stream *stream, const sp_dense *const *layers, size_t n_layers,
                    const void *rows_res, size_t rows, float *score, sp_error *err) {
  ON_DEVICE(rows_res, rows * 4);
  ON_DEVICE(score, rows * 4);
  std::vector<const sp_dense *> own = Inner(stream, layers, n_layers);
  return Queue(stream, err, [=](sp_stream *inner, sp_error *e) {
    return sp_cpu_backend.score_head(inner, own.data(), n_layers, rows_res, rows, score, e);
  });
}

}  // namespace

void AddStreams(sp_backend *backend) {
  backend->stream_create = StreamCreate;
  backend->stream_destroy = StreamDestroy;
  backend->upload = Upload;
  backend->download = Download;
  backend->finish = Finish;
  backend->expand = Expand;
  backend->embed = Embed;
  backend->linear = Linear;
  backend->mask = Mask;
  backend->schedule = Schedule;
  backend->attention = Attention;
  backend->add_norm = AddNorm;
  backend->gather = Gather;
  backend->vocab_logp = VocabLogp;
  backend->score_head = ScoreHead;
}

}  // namespace sp_test
