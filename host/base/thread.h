/* thread.h - threads that leave signals to those who were there before them.
 *
 * A signal to the process is then handled by the thread that called the library.  In any other it would cut a system
 * call short: on file systems of a user's or a cluster's making open, link, fsync and close too end with EINTR,
 * whatever SA_RESTART says. */
#ifndef SP_BASE_THREAD_H
#define SP_BASE_THREAD_H

#include <pthread.h>
#include <signal.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Blocks in this thread, and so in all that it makes until sp_signals_release(before), the signals that others send;
 * those of what a thread itself does (a fault, a write to a closed pipe) are not. */
void sp_signals_hold(sigset_t *before);
void sp_signals_release(const sigset_t *before);

/* pthread_create with signals held: 0, or a number of errno.h. */
int sp_thread_start(pthread_t *thread, void *(*work)(void *argument), void *argument);

#ifdef __cplusplus
}
#endif
#endif
