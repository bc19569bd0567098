// rank_threads.h - ranks of one job as threads: the table of ranks.h over a room in which all meet.
#ifndef SP_TESTS_RANK_THREADS_H
#define SP_TESTS_RANK_THREADS_H

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <functional>
#include <mutex>
#include <vector>

#include "ranks.h"

namespace sp_test {

class RankRoom {
 public:
  explicit RankRoom(size_t count) : ranks_(count), data_(count), amounts_(count) {
    for (size_t i = 0; i < count; i++) {
      ranks_[i].room = this;
      sp_ranks &table = ranks_[i].table;
      table.rank = table.local_rank = i;
      table.count = table.local_count = count;
      snprintf(table.node, sizeof table.node, "here");
      table.context = &ranks_[i];
      table.ticket = Ticket;
      table.broadcast = Broadcast;
      table.sum = Sum;
      table.agree = Agree;
    }
  }
  RankRoom(const RankRoom &) = delete;
  RankRoom &operator=(const RankRoom &) = delete;

  const sp_ranks *Table(size_t rank) const {
    return &ranks_[rank].table;
  }
  size_t Count() const {
    return ranks_.size();
  }
  // The second rank gets no ticket.
  std::atomic<bool> fails{false};
  // That rank 0 handed to the others so far, and the most at once.
  std::atomic<size_t> broadcast_bytes{0}, largest_broadcast{0};

 private:
  struct Rank {
    RankRoom *room = nullptr;
    sp_ranks table{};
  };

  // The last to come runs `last` before anybody leaves, or ends the job when a rank came with a failure:
  // that of the first one is told to all from then on.
  sp_status Meet(const Rank &rank, sp_status own, sp_error *err, void *data, size_t amount,
                 const std::function<void()> &last) {
    std::unique_lock<std::mutex> lock(mutex_);
    if (ended_.status != SP_OK) {
      *err = ended_;
      return ended_.status;
    }
    if (own != SP_OK && (failure_.status == SP_OK || rank.table.rank < failed_)) {
      failure_ = *err;
      failed_ = rank.table.rank;
    }
    data_[rank.table.rank] = data;
    amounts_[rank.table.rank] = amount;
    size_t turn = turns_;
    if (++here_ == ranks_.size()) {
      if (failure_.status == SP_OK)
        last();
      ended_ = failure_;
      here_ = 0;
      turns_++;
      all_.notify_all();
    } else {
      all_.wait(lock, [&] { return turns_ != turn; });
    }
    if (ended_.status != SP_OK)
      *err = ended_;
    return ended_.status;
  }
  void ExpectAlike() const {
    for (size_t amount : amounts_)
      EXPECT_EQ(amount, amounts_[0]) << "ranks do not do the same";
  }

  static sp_status Ticket(void *context, uint64_t *ticket, sp_error *err) {
    const Rank *rank = static_cast<Rank *>(context);
    if (rank->room->fails && rank->table.rank == 1)
      return sp_fail(err, SP_EDEVICE, "the network is down");
    *ticket = rank->room->tickets_++;
    return SP_OK;
  }
  static sp_status Broadcast(void *context, void *data, size_t bytes, sp_error *err) {
    const Rank *rank = static_cast<Rank *>(context);
    RankRoom *room = rank->room;
    return room->Meet(*rank, SP_OK, err, data, bytes, [&] {
      room->ExpectAlike();
      room->broadcast_bytes += bytes;
      room->largest_broadcast = std::max<size_t>(room->largest_broadcast, bytes);
      for (size_t i = 1; i < room->data_.size() && bytes > 0; i++)
        memcpy(room->data_[i], room->data_[0], bytes);
    });
  }
  static sp_status Sum(void *context, double *values, size_t n, sp_error *err) {
    const Rank *rank = static_cast<Rank *>(context);
    RankRoom *room = rank->room;
    return room->Meet(*rank, SP_OK, err, values, n, [&] {
      room->ExpectAlike();
      std::vector<double> total(n);
      for (const void *of : room->data_) {
        for (size_t i = 0; i < n; i++)
          total[i] += static_cast<const double *>(of)[i];
      }
      for (void *of : room->data_)
        std::copy(total.begin(), total.end(), static_cast<double *>(of));
    });
  }
  static sp_status Agree(void *context, sp_status status, sp_error *err) {
    const Rank *rank = static_cast<Rank *>(context);
    return rank->room->Meet(*rank, status, err, nullptr, 0, [&] { rank->room->ExpectAlike(); });
  }

  std::vector<Rank> ranks_;
  std::mutex mutex_;
  std::condition_variable all_;
  std::vector<void *> data_;
  std::vector<size_t> amounts_;
  size_t here_ = 0, turns_ = 0, failed_ = 0;
  sp_error failure_{}, ended_{};
  std::atomic<uint64_t> tickets_{0};
};

}  // namespace sp_test
#endif
