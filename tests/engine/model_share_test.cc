// A model's files, read by one rank: what it sends is recorded, and played to another.
#include "model_share.h"

#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <functional>
#include <string>

#include "checkpoint.h"
#include "engine_fixture.h"
#include "tokenizer.h"

namespace {

// Broadcasts of rank 0 are kept, those of rank 1 take them in order.
class ModelShare : public ::testing::Test {
 protected:
  void SetUp() override {
    sp_test::MakeModel(Model());
  }
  std::string Model() const {
    return scratch_ / "model";
  }

  static sp_status Broadcast(void *context, void *data, size_t bytes, sp_error *err) {
    auto *self = static_cast<ModelShare *>(context);
    if (self->calls_++ == self->fail_at_)
      return sp_fail(err, SP_EDEVICE, "rank 1 is gone");
    if (self->ranks_.rank == 0) {
      self->sent_.emplace_back(static_cast<char *>(data), bytes);
      if (self->on_send_)
        self->on_send_();
      return SP_OK;
    }
    if (self->sent_.empty() || self->sent_.front().size() != bytes)
      return sp_fail(err, SP_EDEVICE, "rank 0 sent nothing of %zu bytes", bytes);
    if (bytes > 0)
      memcpy(data, self->sent_.front().data(), bytes);
    self->sent_.pop_front();
    return SP_OK;
  }

  sp_status Open(size_t rank, const std::string &directory, sp_model_share *share) {
    ranks_.rank = rank;
    ranks_.count = 2;
    ranks_.context = this;
    ranks_.broadcast = Broadcast;
    calls_ = 0;
    err_ = {};
    directory_ = directory;
    return sp_model_share_open(&ranks_, directory_.c_str(), values_, share, &err_);
  }
  static std::string Hash(const sp_folder *folder) {
    sp_checkpoint *checkpoint;
    sp_error err{};
    EXPECT_EQ(sp_checkpoint_open_in(folder, &checkpoint, &err), SP_OK) << err.message;
    std::string hash = err.status == SP_OK ? checkpoint->hash : "";
    if (err.status == SP_OK) {
      EXPECT_EQ(sp_checkpoint_check_unchanged(checkpoint, folder, &err), SP_OK) << err.message;
      sp_checkpoint_close(checkpoint);
    }
    return hash;
  }

  sp_test::Scratch scratch_;
  sp_ranks ranks_{};
  std::string directory_;
  std::deque<std::string> sent_;
  std::function<void()> on_send_;
  bool values_ = true;
  int calls_ = 0, fail_at_ = -1;
  sp_error err_{};
};

TEST_F(ModelShare, AnotherRankNeedsNoDirectory) {
  for (size_t shards : {1, 3}) {
    sp_random_model model = sp_test::TinyModel();
    model.shards = shards;
    std::string directory = scratch_ / ("model" + std::to_string(shards));
    sp_test::MakeModel(directory, model);
    sp_folder disk = sp_folder_at(directory.c_str());
    std::string want = Hash(&disk);
    for (size_t rank : {0, 1}) {
      sp_model_share share;
      ASSERT_EQ(Open(rank, rank ? "/nowhere" : directory, &share), SP_OK) << err_.message;
      EXPECT_EQ(Hash(&share.folder), want) << rank;
      sp_tokenizer *tokenizer;
      ASSERT_EQ(sp_tokenizer_open_in(&share.folder, &tokenizer, &err_), SP_OK) << err_.message;
      EXPECT_EQ(sp_tokenizer_get_info(tokenizer)->vocab_size, model.vocab);
      sp_tokenizer_close(tokenizer);
      sp_model_share_close(&share);
    }
    EXPECT_TRUE(sent_.empty());
  }
}

// What tells of tensors goes over, and no byte of theirs.
TEST_F(ModelShare, ValuesStayOnRank0) {
  values_ = false;
  for (size_t shards : {1, 3}) {
    sp_random_model model = sp_test::TinyModel();
    model.shards = shards;
    model.arch = SP_RANDOM_BOTH;
    std::string directory = scratch_ / ("model" + std::to_string(shards));
    sp_test::MakeModel(directory, model);
    sp_model_share share;
    sp_checkpoint *whole, *shapes;
    ASSERT_EQ(Open(0, directory, &share), SP_OK) << err_.message;
    ASSERT_EQ(sp_checkpoint_open_in(&share.folder, &whole, &err_), SP_OK) << err_.message;
    for (size_t i = 0; i < sp_safetensors_count(whole->tensors); i++) {
      const sp_tensor *tensor = sp_safetensors_at(whole->tensors, i);
      if (tensor->bytes < 1000)
        continue;  // zeros or ones, which are everywhere
      std::string values(static_cast<const char *>(tensor->data), tensor->bytes);
      for (const std::string &sent : sent_)
        EXPECT_EQ(sent.find(values), std::string::npos) << tensor->name;
    }
    sp_model_share other;
    ASSERT_EQ(Open(1, "/nowhere", &other), SP_OK) << err_.message;
    EXPECT_TRUE(sent_.empty());
    ASSERT_EQ(sp_checkpoint_open_shapes(&other.folder, whole->hash, &shapes, &err_), SP_OK)
        << err_.message;
    EXPECT_STREQ(shapes->hash, whole->hash);
    EXPECT_EQ(shapes->parameters, whole->parameters);
    EXPECT_EQ(shapes->has_mlm, whole->has_mlm);
    EXPECT_EQ(shapes->has_cls, whole->has_cls);
    sp_checkpoint_close(shapes);
    sp_checkpoint_close(whole);
    sp_model_share_close(&other);
    sp_model_share_close(&share);
  }
}

// Its values are read later: that they are still those of the directory is asked again then.
TEST_F(ModelShare, AModelThatChangesAfterItWasSentIsNoticed) {
  values_ = false;
  sp_model_share share;
  ASSERT_EQ(Open(0, Model(), &share), SP_OK) << err_.message;
  EXPECT_EQ(sp_model_share_check(&share, &err_), SP_OK);
  sp_test::WriteFile(Model() + "/vocab.txt", "[UNK]\n");
  EXPECT_EQ(sp_model_share_check(&share, &err_), SP_EMODEL);
  sp_model_share_close(&share);
}

TEST_F(ModelShare, ALoneProcessReadsTheDirectory) {
  sp_model_share share;
  ASSERT_EQ(sp_model_share_open(nullptr, Model().c_str(), true, &share, &err_), SP_OK);
  EXPECT_FALSE(share.folder.in_memory);
  sp_model_share_close(&share);
  ranks_.count = 1;
  ASSERT_EQ(sp_model_share_open(&ranks_, Model().c_str(), true, &share, &err_), SP_OK);
  EXPECT_FALSE(share.folder.in_memory);
  sp_model_share_close(&share);
}

TEST_F(ModelShare, ADirectoryThatIsNoModelIsNotSent) {
  sp_model_share share;
  EXPECT_EQ(Open(0, scratch_ / "nowhere", &share), SP_EMODEL);
  EXPECT_TRUE(strstr(err_.message, "nowhere is not a model directory")) << err_.message;
  EXPECT_TRUE(sent_.empty());
}

TEST_F(ModelShare, WhatIsRefusedOnDiskIsRefusedElsewhere) {
  sp_test::WriteFile(Model() + "/bpe.codes", "a b\n");
  for (size_t rank : {0, 1}) {
    sp_model_share share;
    sp_tokenizer *tokenizer;
    ASSERT_EQ(Open(rank, rank ? "/nowhere" : Model(), &share), SP_OK) << err_.message;
    EXPECT_EQ(sp_tokenizer_open_in(&share.folder, &tokenizer, &err_), SP_EMODEL);
    EXPECT_TRUE(strstr(err_.message, "a BPE tokenizer (bpe.codes)")) << err_.message;
    sp_model_share_close(&share);
  }
}

TEST_F(ModelShare, AModelThatChangesMeanwhileIsRefused) {
  on_send_ = [&] { sp_test::WriteFile(Model() + "/vocab.txt", "[UNK]\n"); };
  sp_model_share share;
  EXPECT_EQ(Open(0, Model(), &share), SP_EMODEL);
  EXPECT_TRUE(strstr(err_.message, "the model changed while it was being read")) << err_.message;
}

TEST_F(ModelShare, AFailedBroadcastIsPassedOn) {
  for (size_t rank : {0, 1}) {
    sp_status status = SP_EDEVICE;
    for (fail_at_ = 0; status != SP_OK && fail_at_ < 50; fail_at_++) {
      std::deque<std::string> sent = sent_;
      sp_model_share share;
      if (rank == 0)
        sent_.clear();
      status = Open(rank, rank ? "/nowhere" : Model(), &share);
      if (status == SP_OK) {
        sp_model_share_close(&share);
      } else {
        EXPECT_STREQ(err_.message, "rank 1 is gone");
        if (rank == 1)
          sent_ = sent;
      }
    }
    EXPECT_EQ(status, SP_OK);
    EXPECT_GE(fail_at_, 5);
  }
}

}  // namespace
