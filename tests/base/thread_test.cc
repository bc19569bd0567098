#include "thread.h"

#include <gtest/gtest.h>
#include <string.h>
#include <unistd.h>

#include <atomic>

namespace {

std::atomic<int> handled{0};

void *AskMask(void *mask) {
  pthread_sigmask(SIG_BLOCK, nullptr, static_cast<sigset_t *>(mask));
  return nullptr;
}

TEST(Thread, LeavesWhatIsSentToThoseBefore) {
  sigset_t before, within, after;
  pthread_t thread;
  pthread_sigmask(SIG_BLOCK, nullptr, &before);
  ASSERT_EQ(sp_thread_start(&thread, AskMask, &within), 0);
  pthread_join(thread, nullptr);
  pthread_sigmask(SIG_BLOCK, nullptr, &after);
  for (int number : {SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGHUP, SIGALRM, SIGCHLD}) {
    EXPECT_EQ(sigismember(&within, number), 1) << strsignal(number);
  }
  for (int number : {SIGSEGV, SIGBUS, SIGFPE, SIGPIPE, SIGXFSZ}) {
    EXPECT_EQ(sigismember(&within, number), 0) << strsignal(number);
  }
  for (int number = 1; number < 32; number++) {
    EXPECT_EQ(sigismember(&after, number), sigismember(&before, number)) << strsignal(number);
  }
}

void *ReadPipe(void *end) {
  char byte;
  ssize_t got = read(*static_cast<int *>(end), &byte, 1);
  return reinterpret_cast<void *>(got);
}

// A system call of the thread is not cut short, while this one handles the signal.
TEST(Thread, IsNotInterrupted) {
  int ends[2];
  pthread_t thread;
  struct sigaction action {
  }, old;
  action.sa_handler = [](int) { handled++; };
  ASSERT_EQ(pipe(ends), 0);
  sigaction(SIGUSR1, &action, &old);
  ASSERT_EQ(sp_thread_start(&thread, ReadPipe, &ends[0]), 0);
  usleep(20000);
  sigset_t held;
  sp_signals_hold(&held);
  kill(getpid(), SIGUSR1);
  usleep(20000);
  EXPECT_EQ(handled, 0) << "no thread takes it";
  sp_signals_release(&held);
  EXPECT_EQ(handled, 1);
  EXPECT_EQ(write(ends[1], "x", 1), 1);
  void *got = nullptr;
  pthread_join(thread, &got);
  EXPECT_EQ(reinterpret_cast<ssize_t>(got), 1);
  sigaction(SIGUSR1, &old, nullptr);
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
