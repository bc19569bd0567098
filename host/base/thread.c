#include "thread.h"

void sp_signals_hold(sigset_t *before) {
  static const int own[] = {SIGABRT, SIGBUS, SIGFPE,  SIGILL, SIGPIPE,
                            SIGSEGV, SIGSYS, SIGTRAP, SIGXFSZ};
  sigset_t sent;
  sigfillset(&sent);
  for (size_t k = 0; k < sizeof own / sizeof *own; k++) {
    sigdelset(&sent, own[k]);
  }
  pthread_sigmask(SIG_BLOCK, &sent, before);
}

void sp_signals_release(const sigset_t *before) {
  pthread_sigmask(SIG_SETMASK, before, NULL);
}

int sp_thread_start(pthread_t *thread, void *(*work)(void *argument), void *argument) {
  sigset_t before;
  sp_signals_hold(&before);
  int failed = pthread_create(thread, NULL, work, argument);
  sp_signals_release(&before);
  return failed;
}
