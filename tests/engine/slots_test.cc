// slots_test.cc - which device gets which batch, and what is done again when one is lost.
#include "slots.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace {

class Slots : public testing::Test {
 protected:
  // Jobs of so many batches, in order of submission, running and nobody's.
  void Make(const std::vector<size_t> &batches) {
    slot_.resize(batches.size());
    for (size_t i = 0; i < batches.size(); i++) {
      ranges_.push_back(std::vector<sp_batch_range>(batches[i]));
      slot_[i].job.batches = ranges_[i].data();
      slot_[i].job.n_batches = batches[i];
      slot_[i].order = i;
      sp_error err{};
      ASSERT_EQ(sp_slot_mark(&slot_[i], &err), SP_OK);
      sp_slot_start(&slot_[i]);
    }
    slots_ = {slot_.data(), slot_.size()};
  }
  void TearDown() override {
    for (sp_slot &slot : slot_)
      sp_arena_release(&slot.job.tokens);
  }
  // "job.batch", or "" when there is none.
  std::string Take(size_t device) {
    sp_slot *slot;
    size_t which;
    if (!sp_slots_take(&slots_, device, &slot, &which))
      return "";
    return std::to_string(slot - slot_.data()) + "." + std::to_string(which);
  }

  std::vector<sp_slot> slot_;
  std::vector<std::vector<sp_batch_range>> ranges_;
  sp_slots slots_{};
};

TEST_F(Slots, ADevicePrefersItsOwnJobThenANewOneThenTheOldest) {
  Make({3, 2, 2});
  EXPECT_EQ(Take(0), "0.0");
  EXPECT_EQ(Take(1), "1.0");
  EXPECT_EQ(Take(0), "0.1");
  EXPECT_EQ(Take(1), "1.1");
  EXPECT_EQ(Take(1), "2.0");
  EXPECT_EQ(Take(2), "0.2") << "helps the oldest";
  EXPECT_EQ(Take(2), "2.1");
  EXPECT_EQ(Take(2), "");
  EXPECT_EQ(Take(0), "");
}

TEST_F(Slots, AJobIsScoredWhenAllItsBatchesAreThere) {
  Make({2});
  EXPECT_EQ(Take(0), "0.0");
  EXPECT_EQ(Take(1), "0.1");
  EXPECT_FALSE(sp_slot_has_batches(&slot_[0]));
  sp_slot_done(&slot_[0], 1);
  EXPECT_FALSE(sp_slot_is_scored(&slot_[0]));
  sp_slot_done(&slot_[0], 0);
  EXPECT_TRUE(sp_slot_is_scored(&slot_[0]));
}

TEST_F(Slots, WhatALostDeviceHadGoesToOthers) {
  Make({4, 2});
  EXPECT_EQ(Take(0), "0.0");
  EXPECT_EQ(Take(0), "0.1");
  EXPECT_EQ(Take(1), "1.0");
  EXPECT_EQ(Take(1), "1.1");
  EXPECT_EQ(Take(1), "0.2");
  EXPECT_EQ(Take(0), "0.3");
  sp_slot_done(&slot_[0], 0);
  sp_slot_done(&slot_[0], 2);
  sp_slot_done(&slot_[1], 0);
  sp_slot_done(&slot_[1], 1);
  slot_[1].state = SP_SLOT_FINISHING;
  sp_slots_forget(&slots_, 0);
  EXPECT_EQ(slot_[0].batches_done, 1u) << "that of device 1";
  EXPECT_EQ(Take(1), "0.0");
  EXPECT_EQ(Take(1), "0.1");
  EXPECT_EQ(Take(1), "0.3");
  EXPECT_EQ(Take(1), "");
  sp_slots_forget(&slots_, 1);
  EXPECT_EQ(slot_[1].batches_done, 2u) << "what is being written stays";
  EXPECT_EQ(slot_[0].batches_done, 0u);
  for (const char *batch : {"0.0", "0.1", "0.2", "0.3", ""})
    EXPECT_EQ(Take(2), batch);
}

TEST_F(Slots, AJobWithoutBatchesIsScoredAtOnce) {
  Make({0, 1});
  EXPECT_TRUE(sp_slot_is_scored(&slot_[0]));
  EXPECT_EQ(Take(0), "1.0");
}

// Of 100 tokens each; the oldest is half done.
class LateSlots : public Slots {
 protected:
  void SetUp() override {
    Make({2, 2, 2});
    for (size_t i = 0; i < slot_.size(); i++) {
      slot_[i].job.index = 10 + i;
      slot_[i].job.plan.tokens = 100;
    }
    slot_[0].seq_tokens_done = 50;
  }
  std::vector<size_t> Drop(double speed, size_t devices, double seconds) {
    std::vector<size_t> dropped(slot_.size());
    dropped.resize(sp_slots_drop_late(&slots_, speed, devices, seconds, dropped.data()));
    return dropped;
  }
};

TEST_F(LateSlots, WhatEndsInTimeIsKept) {
  EXPECT_EQ(Drop(10, 1, 25), (std::vector<size_t>{}));
  EXPECT_EQ(Drop(10, 1, 24.9), (std::vector<size_t>{12}));
  EXPECT_EQ(Drop(10, 1, 15), (std::vector<size_t>{}));
  EXPECT_EQ(Drop(10, 1, 14), (std::vector<size_t>{11}));
  EXPECT_TRUE(sp_slots_any_open(&slots_));
  EXPECT_EQ(Drop(10, 1, 0), (std::vector<size_t>{10}));
  EXPECT_FALSE(sp_slots_any_open(&slots_));
  EXPECT_EQ(Take(0), "") << "nobody computes what is dropped";
}

// With three devices each job has a third of the speed.
TEST_F(LateSlots, AJobIsNotFasterThanItsDevice) {
  EXPECT_EQ(Drop(10, 3, 29), (std::vector<size_t>{12, 11}));
  EXPECT_EQ(Drop(10, 3, 15), (std::vector<size_t>{}));
}

TEST_F(LateSlots, WhatIsNotBegunIsDroppedAndWhatIsWrittenIsNot) {
  slot_[0].state = SP_SLOT_FINISHING;
  slot_[1].state = SP_SLOT_PREPARING;
  slot_[2].state = SP_SLOT_READY;
  EXPECT_EQ(Drop(1e9, 1, 1e9), (std::vector<size_t>{12, 11}));
  EXPECT_TRUE(sp_slots_any_open(&slots_));
  EXPECT_EQ(slot_[0].state, SP_SLOT_FINISHING);
}

TEST_F(LateSlots, WithoutAMeasuredSpeedNothingEnds) {
  EXPECT_EQ(Drop(0, 1, 100), (std::vector<size_t>{12, 11, 10}));
}

TEST_F(LateSlots, BeforeTheFirstBatchWhatRunsIsKeptToTheEnd) {
  EXPECT_EQ(Drop(INFINITY, 1, 0.1), (std::vector<size_t>{}));
  EXPECT_EQ(Drop(INFINITY, 1, 0), (std::vector<size_t>{12, 11, 10}));
}

}  // namespace
