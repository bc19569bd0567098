/* hosts.c - preloaded into a worker: flock reaches no other host, as on many shared file systems.
 *
 * SP_HOSTS_DIR=DIR     files under this directory are shared by all hosts
 * SP_HOSTS_LOCKS=DIR   where the locks of each host are kept; not below the first
 *
 * A lock on a shared file becomes one on a file of its own for every host name and inode, which is
 * closed with the descriptor that it stands for. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "preload.h"

enum { max_fd = 1024 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int shadows[max_fd]; /* descriptor of the lock of that descriptor, plus 1; 0: none */

static bool is_shared(int fd) {
  const char *shared = getenv("SP_HOSTS_DIR");
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t len = readlink(link, path, sizeof path);
  size_t want = shared ? strlen(shared) : 0;
  return want > 0 && len > (ssize_t)want && memcmp(path, shared, want) == 0 && path[want] == '/';
}

/* Inodes are used again, so that the time of birth belongs to the name. */
static int open_shadow(int fd) {
  const char *locks = getenv("SP_HOSTS_LOCKS");
  struct statx info;
  char host[256] = "", path[4096];
  if (!locks || gethostname(host, sizeof host - 1) != 0 ||
      statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &info) != 0) {
    return -1;
  }
  snprintf(path, sizeof path, "%s/%s-%llu-%lld.%u", locks, host, (unsigned long long)info.stx_ino,
           (long long)info.stx_btime.tv_sec, info.stx_btime.tv_nsec);
  return open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
}

static int shadow_of(int fd) {
  pthread_mutex_lock(&mutex);
  if (shadows[fd] == 0) {
    shadows[fd] = open_shadow(fd) + 1;
  }
  int shadow = shadows[fd] - 1;
  pthread_mutex_unlock(&mutex);
  return shadow;
}

int flock(int fd, int operation) {
  SP_REAL(flock);
  if (fd < 0 || fd >= max_fd || !is_shared(fd)) {
    return real(fd, operation);
  }
  int shadow = shadow_of(fd);
  if (shadow < 0) {
    errno = ENOLCK;
    return -1;
  }
  return real(shadow, operation);
}

int close(int fd) {
  SP_REAL(close);
  if (fd >= 0 && fd < max_fd) {
    pthread_mutex_lock(&mutex);
    int shadow = shadows[fd] - 1;
    shadows[fd] = 0;
    pthread_mutex_unlock(&mutex);
    if (shadow >= 0) {
      real(shadow);
    }
  }
  return real(fd);
}
