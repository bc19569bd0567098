/* skew.c - preloaded into a worker: its clocks are not those of the others.
 *
 * SP_SKEW_REALTIME=S    seconds added to the time of day, as on a host whose clock is wrong
 * SP_SKEW_MONOTONIC=S   seconds added to the monotonic clock, as on a host that was booted earlier;
 *                       below 10^8
 *
 * Deadlines that a program made from a shifted clock are shifted back before they are waited for. */
#include <math.h>
#include <pthread.h>
#include <sys/time.h>
#include <time.h>

#include "preload.h"

static double skew_of(clockid_t clock) {
  const char *text = NULL;
  switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_TAI:
      text = getenv("SP_SKEW_REALTIME");
      break;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_BOOTTIME:
      text = getenv("SP_SKEW_MONOTONIC");
      break;
    default:
      break;
  }
  return text ? strtod(text, NULL) : 0.0;
}

static void shift(struct timespec *time, double seconds) {
  double whole = floor(seconds);
  time->tv_sec += (time_t)whole;
  time->tv_nsec += (long)((seconds - whole) * 1e9);
  if (time->tv_nsec >= 1000000000) {
    time->tv_sec++;
    time->tv_nsec -= 1000000000;
  }
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  SP_REAL(clock_gettime);
  int result = real(clock, now);
  if (result == 0) {
    shift(now, skew_of(clock));
  }
  return result;
}

time_t time(time_t *out) {
  struct timespec now = {0};
  clock_gettime(CLOCK_REALTIME, &now);
  if (out) {
    *out = now.tv_sec;
  }
  return now.tv_sec;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone) {
  (void)zone;
  struct timespec now = {0};
  clock_gettime(CLOCK_REALTIME, &now);
  *out = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
  return 0;
}

/* A condition does not tell its clock; the size of the time does: no machine is up for 30 years. */
static clockid_t clock_of(const struct timespec *deadline) {
  return deadline->tv_sec > 1000000000 ? CLOCK_REALTIME : CLOCK_MONOTONIC;
}

static struct timespec shifted_back(clockid_t clock, struct timespec deadline) {
  shift(&deadline, -skew_of(clock));
  return deadline;
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict deadline) {
  SP_REAL(pthread_cond_timedwait);
  struct timespec until = shifted_back(clock_of(deadline), *deadline);
  return real(condition, mutex, &until);
}

int pthread_cond_clockwait(pthread_cond_t *condition, pthread_mutex_t *mutex, clockid_t clock,
                           const struct timespec *deadline) {
  SP_REAL(pthread_cond_clockwait);
  struct timespec until = shifted_back(clock, *deadline);
  return real(condition, mutex, clock, &until);
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *wish,
                    struct timespec *left) {
  SP_REAL(clock_nanosleep);
  struct timespec until = flags & TIMER_ABSTIME ? shifted_back(clock, *wish) : *wish;
  return real(clock, flags, &until, left);
}
