/* delayed.c - preloaded into a worker: it sees late what others change in a shared directory.
 *
 * SP_DELAYED_DIR=DIR       the directory, as the program is given it (an absolute path)
 * SP_DELAYED_SECONDS=S     the longest delay
 * SP_DELAYED_REFRESH=1     an own change to a directory shows all that others did in it before, as
 *                          NFS 4 does; without it only the own change is seen
 * SP_DELAYED_ABSENT=A:B..   names in DIR that are remembered as absent from the start, for the longest delay
 * SP_DELAYED_STOP=TEXT     the process stops itself before it first syncs a file with TEXT in its name
 * SP_DELAYED_REPORT=FILE   gets a letter a time that an answer was not what was true, at once: most processes are
 *                          killed
 *
 * What network file systems promise, and no more.  Names are looked up in a cache: one that was
 * absent stays absent, one that was there keeps its size and times, for a time drawn anew for every
 * name, so that later names may show before earlier ones.  Listings are kept in the same way; what a new
 * one shows is no longer absent.  What changes names (link, rename, unlink, mkdir, open that creates) asks
 * the server and is told the truth; opening a file that is there gives its present bytes.  An open file
 * whose name another process removed is stale. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "preload.h"

enum { max_names = 1024, max_listings = 16, max_open = 32, path_bytes = 512 };

/* A name that was looked up; unused while its path is empty. */
struct name {
  char path[path_bytes];
  double until;
  bool absent;
  struct stat info; /* of one that is there */
};

struct listing {
  char path[path_bytes]; /* of the directory */
  double until;
  char **names;
  size_t n;
};

/* A directory being read: its own copy of the names. */
struct reading {
  DIR *directory;
  char **names;
  size_t n, at;
  struct dirent entry;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct name names[max_names];
static struct listing listings[max_listings];
static struct reading readings[max_open];
static ino_t removed[max_names]; /* files whose names this process removed: those stay usable */
static size_t n_removed;

/* ---- time, paths ---- */

static double now_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* The end of a cache entry's life. */
static double draw_until(void) {
  static unsigned short state[3];
  if (state[0] == 0) {
    state[0] = (unsigned short)(getpid() | 1);
  }
  const char *seconds = getenv("SP_DELAYED_SECONDS");
  return now_seconds() + erand48(state) * (seconds ? strtod(seconds, NULL) : 1.0);
}

/* Below the shared directory, or itself. */
static bool is_shared(const char *path) {
  const char *shared = getenv("SP_DELAYED_DIR");
  size_t len = shared ? strlen(shared) : 0;
  return len > 0 && strncmp(path, shared, len) == 0 && (path[len] == '/' || path[len] == '\0') &&
         strlen(path) < path_bytes;
}

static size_t parent_length(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? (size_t)(slash - path) : 0;
}

static bool is_in(const char *path, const char *directory) {
  size_t len = parent_length(path);
  return strlen(directory) == len && strncmp(path, directory, len) == 0;
}

/* ---- names ---- */

static int real_lstat(const char *path, struct stat *info) {
  SP_REAL(lstat);
  return real(path, info);
}

/* Under the mutex, so not by calls that come back here. */
static void note_untruth(void) {
  const char *path = getenv("SP_DELAYED_REPORT");
  long fd = path ? syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND, 0666) : -1;
  if (fd >= 0) {
    (void)!write((int)fd, "x", 1);
    syscall(SYS_close, fd);
  }
}

static struct name *find_name(const char *path) {
  double now = now_seconds();
  for (size_t k = 0; k < max_names; k++) {
    if (strcmp(names[k].path, path) != 0) {
      continue;
    }
    if (names[k].until > now) {
      struct stat truth;
      if (names[k].absent != (real_lstat(path, &truth) != 0)) {
        note_untruth();
      }
      return &names[k];
    }
    names[k].path[0] = '\0';
    break;
  }
  return NULL;
}

/* Remembers what the server said; a full cache forgets. */
static void keep_name(const char *path, const struct stat *info) {
  struct name *slot = NULL;
  double now = now_seconds();
  for (size_t k = 0; k < max_names; k++) {
    if (strcmp(names[k].path, path) == 0) {
      slot = &names[k];
      break;
    }
    if (!slot && (names[k].path[0] == '\0' || names[k].until <= now)) {
      slot = &names[k];
    }
  }
  if (slot) {
    strcpy(slot->path, path);
    slot->absent = !info;
    slot->info = info ? *info : (struct stat){0};
    slot->until = draw_until();
  }
}

static void forget_name(const char *path, bool only_absent) {
  for (size_t k = 0; k < max_names; k++) {
    if (strcmp(names[k].path, path) == 0 && (names[k].absent || !only_absent)) {
      names[k].path[0] = '\0';
    }
  }
}

__attribute__((constructor)) static void remember_absent(void) {
  const char *shared = getenv("SP_DELAYED_DIR"), *list = getenv("SP_DELAYED_ABSENT");
  const char *seconds = getenv("SP_DELAYED_SECONDS");
  char copy[1 << 16], *rest = copy, *name;
  snprintf(copy, sizeof copy, "%s", list ? list : "");
  for (size_t k = 0; shared && k < max_names && (name = strsep(&rest, ":")); k++) {
    snprintf(names[k].path, path_bytes, "%s/%s", shared, name);
    names[k].absent = true;
    names[k].until = now_seconds() + (seconds ? strtod(seconds, NULL) : 1.0);
  }
}

/* lstat through the cache. */
static int look_up(const char *path, struct stat *info) {
  pthread_mutex_lock(&mutex);
  struct name *known = find_name(path);
  int result = 0;
  if (known && known->absent) {
    errno = ENOENT;
    result = -1;
  } else if (known) {
    *info = known->info;
  } else {
    result = real_lstat(path, info);
    if (result == 0 || errno == ENOENT) {
      int reason = errno;
      keep_name(path, result == 0 ? info : NULL);
      errno = reason;
    }
  }
  pthread_mutex_unlock(&mutex);
  return result;
}

static bool seems_absent(const char *path) {
  pthread_mutex_lock(&mutex);
  struct name *known = find_name(path);
  bool absent = known && known->absent;
  pthread_mutex_unlock(&mutex);
  return absent;
}

/* ---- listings ---- */

static void free_names(char **list, size_t n) {
  for (size_t k = 0; k < n; k++) {
    free(list[k]);
  }
  free(list);
}

static void append_name(char ***list, size_t *n, const char *name) {
  char **grown = realloc(*list, (*n + 1) * sizeof *grown);
  if (!grown || !(grown[*n] = strdup(name))) {
    abort();
  }
  *list = grown;
  ++*n;
}

static void drop_listing(struct listing *listing) {
  free_names(listing->names, listing->n);
  *listing = (struct listing){0};
}

static struct listing *find_listing(const char *directory) {
  for (size_t k = 0; k < max_listings; k++) {
    if (strcmp(listings[k].path, directory) == 0) {
      return &listings[k];
    }
  }
  return NULL;
}

/* The listing as it is kept, or as it is now. NULL: too many directories are kept already. */
static struct listing *take_listing(const char *path, DIR *directory) {
  SP_REAL(readdir);
  struct listing *listing = find_listing(path);
  if (listing && listing->until > now_seconds()) {
    return listing;
  }
  if (listing) {
    drop_listing(listing);
  } else if (!(listing = find_listing(""))) {
    return NULL;
  }
  struct dirent *entry;
  while ((entry = real(directory))) {
    char name[path_bytes + sizeof entry->d_name];
    append_name(&listing->names, &listing->n, entry->d_name);
    snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
    forget_name(name, true);
  }
  strcpy(listing->path, path);
  listing->until = draw_until();
  return listing;
}

/* The own change to a name, in the listing of its directory. */
static void edit_listing(const char *path, bool there) {
  const char *name = path + parent_length(path) + 1;
  for (size_t k = 0; k < max_listings; k++) {
    struct listing *listing = &listings[k];
    if (listing->path[0] == '\0' || !is_in(path, listing->path)) {
      continue;
    }
    size_t at = 0;
    while (at < listing->n && strcmp(listing->names[at], name) != 0) {
      at++;
    }
    if (there && at == listing->n) {
      append_name(&listing->names, &listing->n, name);
    } else if (!there && at < listing->n) {
      free(listing->names[at]);
      listing->names[at] = listing->names[--listing->n];
    }
  }
}

/* ---- own changes ---- */

static void refresh_directory(const char *path) {
  for (size_t k = 0; k < max_names; k++) {
    if (names[k].path[0] != '\0' && parent_length(names[k].path) == parent_length(path) &&
        strncmp(names[k].path, path, parent_length(path)) == 0) {
      names[k].path[0] = '\0';
    }
  }
  for (size_t k = 0; k < max_listings; k++) {
    if (listings[k].path[0] != '\0' && is_in(path, listings[k].path)) {
      drop_listing(&listings[k]);
    }
  }
}

/* The server has just made or removed this name for us. */
static void changed(const char *path, bool there) {
  if (!is_shared(path)) {
    return;
  }
  int reason = errno;
  pthread_mutex_lock(&mutex);
  struct stat info;
  if (getenv("SP_DELAYED_REFRESH")) {
    refresh_directory(path);
  }
  edit_listing(path, there);
  keep_name(path, there && real_lstat(path, &info) == 0 ? &info : NULL);
  pthread_mutex_unlock(&mutex);
  errno = reason;
}

/* The server no longer knows the file that the cache has under this name. */
static bool seems_there(const char *path) {
  pthread_mutex_lock(&mutex);
  struct name *known = is_shared(path) ? find_name(path) : NULL;
  bool there = known && !known->absent;
  pthread_mutex_unlock(&mutex);
  return there;
}

int link(const char *from, const char *to) {
  SP_REAL(link);
  int result = real(from, to);
  if (result == 0 || errno == EEXIST) {
    changed(to, true);
  } else if (errno == ENOENT && seems_there(from)) {
    changed(from, false);
    errno = ESTALE;
  }
  return result;
}

int rename(const char *from, const char *to) {
  SP_REAL(rename);
  int result = real(from, to);
  if (result == 0) {
    changed(from, false);
    changed(to, true);
  }
  return result;
}

int mkdir(const char *path, mode_t mode) {
  SP_REAL(mkdir);
  int result = real(path, mode);
  if (result == 0 || errno == EEXIST) {
    changed(path, true);
  }
  return result;
}

/* Removing asks the server only about a name that seems to be there. */
static int remove_name(int (*real)(const char *), const char *path) {
  if (is_shared(path) && seems_absent(path)) {
    errno = ENOENT;
    return -1;
  }
  struct stat info;
  bool known = is_shared(path) && real_lstat(path, &info) == 0;
  int result = real(path);
  if (result == 0 || errno == ENOENT) {
    changed(path, false);
  }
  if (result == 0 && known) {
    pthread_mutex_lock(&mutex);
    removed[n_removed++ % max_names] = info.st_ino;
    pthread_mutex_unlock(&mutex);
  }
  return result;
}

int unlink(const char *path) {
  SP_REAL(unlink);
  return remove_name(real, path);
}

int rmdir(const char *path) {
  SP_REAL(rmdir);
  return remove_name(real, path);
}

/* ---- opening ---- */

static int open_shared(int (*real)(const char *, int, ...), const char *path, int flags,
                       mode_t mode) {
  if (!is_shared(path)) {
    return real(path, flags, mode);
  }
  if (!(flags & O_CREAT) && seems_absent(path)) {
    errno = ENOENT;
    return -1;
  }
  int fd = real(path, flags, mode);
  if (fd >= 0 && (flags & O_CREAT)) {
    changed(path, true);
    return fd;
  }
  struct stat info;
  int reason = errno;
  if (fd >= 0 ? fstat(fd, &info) == 0 : reason == ENOENT) {
    pthread_mutex_lock(&mutex);
    keep_name(path, fd >= 0 ? &info : NULL);
    pthread_mutex_unlock(&mutex);
  }
  errno = reason;
  return fd;
}

static mode_t mode_of(int flags, va_list list) {
  return flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0;
}

int open(const char *path, int flags, ...) {
  SP_REAL(open);
  va_list list;
  va_start(list, flags);
  mode_t mode = mode_of(flags, list);
  va_end(list);
  return open_shared(real, path, flags, mode);
}

/* ---- open files ---- */

/* The name that an open file has or had; false for one that is not shared. */
static bool name_of(int fd, char name[path_bytes]) {
  char link_name[64];
  snprintf(link_name, sizeof link_name, "/proc/self/fd/%d", fd);
  ssize_t len = readlink(link_name, name, path_bytes - 1);
  name[len > 0 ? len : 0] = '\0';
  char *deleted = strstr(name, " (deleted)");
  if (deleted) {
    *deleted = '\0';
  }
  return is_shared(name);
}

/* Written to, and its name removed by another process. The client notices, and forgets the name. */
static bool is_stale(int fd) {
  struct stat info;
  char name[path_bytes];
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_nlink > 0 ||
      (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY || !name_of(fd, name)) {
    return false;
  }
  bool own = false;
  pthread_mutex_lock(&mutex);
  for (size_t k = 0; k < max_names; k++) {
    own = own || removed[k] == info.st_ino;
  }
  if (!own) {
    forget_name(name, false);
  }
  pthread_mutex_unlock(&mutex);
  return !own;
}

static void stop_once(int fd) {
  static atomic_bool stopped;
  const char *text = getenv("SP_DELAYED_STOP");
  char name[path_bytes];
  if (text && name_of(fd, name) && strstr(name, text) && !atomic_exchange(&stopped, true)) {
    raise(SIGSTOP);
  }
}

int fsync(int fd) {
  SP_REAL(fsync);
  stop_once(fd);
  if (is_stale(fd)) {
    errno = ESTALE;
    return -1;
  }
  return real(fd);
}

int close(int fd) {
  SP_REAL(close);
  int reason = errno;
  bool stale = is_stale(fd);
  errno = reason;
  int result = real(fd);
  if (result == 0 && stale) {
    errno = ESTALE;
    return -1;
  }
  return result;
}

/* ---- looking ---- */

static bool is_plain(const struct stat *info) {
  return !S_ISLNK(info->st_mode);
}

int stat(const char *restrict path, struct stat *restrict info) {
  SP_REAL(stat);
  struct stat kept;
  if (!is_shared(path)) {
    return real(path, info);
  }
  int result = look_up(path, &kept);
  if (result == 0 && !is_plain(&kept)) {
    return real(path, info);
  }
  if (result == 0) {
    *info = kept;
  }
  return result;
}

int lstat(const char *restrict path, struct stat *restrict info) {
  return is_shared(path) ? look_up(path, info) : real_lstat(path, info);
}

int access(const char *path, int mode) {
  SP_REAL(access);
  struct stat info;
  if (is_shared(path) && look_up(path, &info) != 0) {
    return -1;
  }
  return real(path, mode);
}

DIR *opendir(const char *path) {
  SP_REAL(opendir);
  if (is_shared(path) && seems_absent(path)) {
    errno = ENOENT;
    return NULL;
  }
  DIR *directory = real(path);
  if (!directory || !is_shared(path)) {
    return directory;
  }
  pthread_mutex_lock(&mutex);
  struct listing *listing = take_listing(path, directory);
  for (size_t k = 0; listing && k < max_open; k++) {
    if (!readings[k].directory) {
      readings[k] = (struct reading){.directory = directory};
      for (size_t i = 0; i < listing->n; i++) {
        append_name(&readings[k].names, &readings[k].n, listing->names[i]);
      }
      break;
    }
  }
  pthread_mutex_unlock(&mutex);
  return directory;
}

static struct reading *find_reading(DIR *directory) {
  for (size_t k = 0; k < max_open; k++) {
    if (readings[k].directory == directory) {
      return &readings[k];
    }
  }
  return NULL;
}

struct dirent *readdir(DIR *directory) {
  SP_REAL(readdir);
  pthread_mutex_lock(&mutex);
  struct reading *reading = find_reading(directory);
  struct dirent *entry = NULL;
  if (reading && reading->at < reading->n) {
    entry = &reading->entry;
    *entry = (struct dirent){.d_type = DT_UNKNOWN};
    snprintf(entry->d_name, sizeof entry->d_name, "%s", reading->names[reading->at++]);
  } else if (!reading) {
    entry = real(directory);
  }
  pthread_mutex_unlock(&mutex);
  return entry;
}

int closedir(DIR *directory) {
  SP_REAL(closedir);
  pthread_mutex_lock(&mutex);
  struct reading *reading = find_reading(directory);
  if (reading) {
    free_names(reading->names, reading->n);
    *reading = (struct reading){0};
  }
  pthread_mutex_unlock(&mutex);
  return real(directory);
}
