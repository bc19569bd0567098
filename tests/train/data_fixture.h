// data_fixture.h - a small vocabulary and files of data in a scratch folder.
#ifndef SP_TESTS_TRAIN_DATA_FIXTURE_H
#define SP_TESTS_TRAIN_DATA_FIXTURE_H

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "data.h"
#include "scratch.h"

namespace sp_test {

// Pieces: the five special tokens, then letters a to z and "##" a to z, then words w0 .. w99.
class DataTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Vocabulary("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n");
    settings_.holdout_every = 0;
    settings_.max_tokens = 16;
    settings_.mask_rate = 0.25;
    settings_.mask_as_mask = 0.8;
    settings_.mask_as_random = 0.1;
    settings_.seed = 3;
    settings_.scratch_dir = scratch_.path().c_str();
  }
  void TearDown() override {
    sp_train_data_close(data_);
    sp_tokenizer_close(tokenizer_);
  }

  void Vocabulary(const std::string &specials) {
    std::string vocab = specials;
    for (char c = 'a'; c <= 'z'; c++)
      vocab += std::string(1, c) + "\n##" + std::string(1, c) + "\n";
    for (int i = 0; i < 100; i++)
      vocab += "w" + std::to_string(i) + "\n";
    WriteFile(scratch_ / "vocab.txt", vocab);
    sp_tokenizer_close(tokenizer_);
    tokenizer_ = nullptr;
    ASSERT_EQ(sp_tokenizer_open(scratch_.path().c_str(), &tokenizer_, &err_), SP_OK)
        << err_.message;
  }

  // Path of a new file.
  std::string File(const std::string &name, const std::string &bytes) {
    WriteFile(scratch_ / name, bytes);
    return scratch_ / name;
  }

  sp_status Open(sp_objective objective, const std::vector<std::string> &files,
                 const std::vector<std::string> &teacher = {},
                 const std::vector<std::string> &holdout = {},
                 const std::vector<std::string> &holdout_teacher = {}) {
    std::vector<const char *> lists[4];
    const std::vector<std::string> *from[] = {&files, &teacher, &holdout, &holdout_teacher};
    for (int i = 0; i < 4; i++)
      for (const std::string &path : *from[i])
        lists[i].push_back(path.c_str());
    settings_.objective = objective;
    settings_.files = lists[0].data();
    settings_.n_files = lists[0].size();
    settings_.teacher = lists[1].data();
    settings_.n_teacher = lists[1].size();
    settings_.holdout = lists[2].data();
    settings_.n_holdout = lists[2].size();
    settings_.holdout_teacher = lists[3].data();
    settings_.n_holdout_teacher = lists[3].size();
    sp_train_data_close(data_);
    data_ = nullptr;
    err_ = sp_error{};
    return sp_train_data_open(tokenizer_, &settings_, &data_, &err_);
  }
  const sp_train_data_counts &Counts() {
    return *sp_train_data_get_counts(data_);
  }

  // A batch with what it points to.
  struct Batch {
    std::vector<int32_t> ids, target_id;
    std::vector<uint32_t> row_start, positions, target_row, list_start;
    std::vector<uint64_t> item;
    std::vector<float> first_pass, errors, teacher, ref_words;
    bool operator==(const Batch &b) const {
      return ids == b.ids && target_id == b.target_id && row_start == b.row_start &&
             positions == b.positions && target_row == b.target_row && list_start == b.list_start &&
             item == b.item;
    }
    // Ids before they were masked.
    std::vector<int32_t> Plain() const {
      std::vector<int32_t> plain = ids;
      for (size_t t = 0; t < target_row.size(); t++)
        plain[target_row[t]] = target_id[t];
      return plain;
    }
  };
  static Batch Copy(const sp_train_batch &b) {
    Batch copy;
    copy.ids.assign(b.ids, b.ids + b.tokens);
    copy.positions.assign(b.positions, b.positions + b.tokens);
    copy.row_start.assign(b.row_start, b.row_start + b.sequences + 1);
    copy.item.assign(b.item, b.item + b.sequences);
    copy.target_row.assign(b.target_row, b.target_row + b.targets);
    copy.target_id.assign(b.target_id, b.target_id + b.targets);
    if (b.list_start)
      copy.list_start.assign(b.list_start, b.list_start + b.lists + 1);
    if (b.first_pass)
      copy.first_pass.assign(b.first_pass, b.first_pass + b.sequences);
    if (b.errors)
      copy.errors.assign(b.errors, b.errors + b.sequences);
    if (b.teacher)
      copy.teacher.assign(b.teacher, b.teacher + b.sequences);
    if (b.ref_words)
      copy.ref_words.assign(b.ref_words, b.ref_words + b.lists);
    return copy;
  }
  Batch Next(sp_train_position *at, size_t budget) {
    sp_train_batch batch;
    EXPECT_EQ(sp_train_data_next(data_, at, budget, &batch, &err_), SP_OK) << err_.message;
    return Copy(batch);
  }
  // All batches of the held-out part as one.
  std::vector<Batch> Holdout(size_t budget) {
    std::vector<Batch> all;
    uint64_t at = 0;
    for (;;) {
      sp_train_batch batch;
      bool found;
      EXPECT_EQ(sp_train_data_next_holdout(data_, &at, budget, &batch, &found, &err_), SP_OK);
      if (!found)
        return all;
      all.push_back(Copy(batch));
    }
  }
  std::string Name(bool holdout, uint64_t item) {
    return sp_train_data_item_name(data_, holdout, item);
  }
  std::string Text(const Batch &batch, size_t sequence) {
    std::string text;
    std::vector<int32_t> plain = batch.Plain();
    for (uint32_t r = batch.row_start[sequence]; r < batch.row_start[sequence + 1]; r++) {
      sp_text piece = sp_tokenizer_piece(tokenizer_, plain[r]);
      text += (text.empty() ? "" : " ") + std::string(piece.data, piece.len);
    }
    return text;
  }
  void ExpectFault(sp_status got, sp_status status, const std::string &part) {
    EXPECT_EQ(got, status);
    EXPECT_NE(std::string(err_.message).find(part), std::string::npos) << err_.message;
  }

  Scratch scratch_;
  sp_tokenizer *tokenizer_ = nullptr;
  sp_train_data *data_ = nullptr;
  sp_train_data_settings settings_{};
  sp_error err_{};
};

}  // namespace sp_test
#endif
