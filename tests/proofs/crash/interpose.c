/* Counts what a process does to files in one folder, writes it down, and at a chosen point kills the process or fails.
 *
 * Preloaded before libc. Armed by crash_arm(); every write, truncation, flush, removal, renaming and linking in the folder is one
 * point. Flushes are real. At point `at`:
 *   1 die before it   2 do half of a write, or the whole of anything else, then die
 *   3 fail it with EIO, once   4 fail it and every later write with ENOSPC, half of the first having been written
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static char folder[1024];
static long at, count;
static int mode, trace = -1, full;
static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;

void crash_arm(const char *where, long point, int how, int descriptor) {
  snprintf(folder, sizeof folder, "%s/", where);
  at = point, mode = how, trace = descriptor, count = 0, full = 0;
}

long crash_count(void) { return count; }

static void die(void) { syscall(SYS_kill, getpid(), SIGKILL); }

static const char *inside(const char *path) {
  size_t n = strlen(folder);
  return folder[0] && !strncmp(path, folder, n) ? path + n : NULL;
}

static const char *of(int fd, char *path) {
  char link[64];
  if (!folder[0]) return NULL;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, path, 1023);
  if (n < 0) return NULL;
  path[n] = 0;
  return inside(path);
}

static void note(char what, const char *name, int64_t offset, const void *data, uint32_t size) {
  uint16_t length = (uint16_t)strlen(name);
  if (trace < 0) return;
  syscall(SYS_write, trace, &what, 1);
  syscall(SYS_write, trace, &length, 2);
  syscall(SYS_write, trace, name, length);
  syscall(SYS_write, trace, &offset, 8);
  syscall(SYS_write, trace, &size, 4);
  if (size) syscall(SYS_write, trace, data, size);
}

/* Whether the point fails; errno is set. */
static int fails(int writes) {
  if (full && writes) { errno = ENOSPC; return 1; }
  if (++count < at || !at) return 0;
  if (count == at && mode == 1) die();
  if (count == at && mode == 3) { errno = EIO; return 1; }
  if (mode == 4 && writes && !full) { full = 1; errno = ENOSPC; return 1; }
  return 0;
}

static void after(void) { if (count == at && mode == 2) die(); }

static ssize_t put(int fd, const void *data, size_t size, off_t offset, int here) {
  return here ? syscall(SYS_write, fd, data, size) : syscall(SYS_pwrite64, fd, data, size, offset);
}

static ssize_t writing(int fd, const void *data, size_t size, off_t offset, int here) {
  char path[1024];
  const char *name = of(fd, path);
  if (!name) return put(fd, data, size, offset, here);
  pthread_mutex_lock(&one);
  off_t place = here ? lseek(fd, 0, fcntl(fd, F_GETFL) & O_APPEND ? SEEK_END : SEEK_CUR) : offset;
  int was = full;
  ssize_t done;
  if (fails(1)) {
    int why = errno;
    if (why == ENOSPC && !was && size > 1) {
      done = put(fd, data, size / 2, offset, here);
      if (done > 0) note('w', name, place, data, (uint32_t)done);
    }
    errno = why, done = -1;
  } else if (count == at && mode == 2) {
    put(fd, data, size / 2, offset, here);
    die();
    done = -1;
  } else {
    done = put(fd, data, size, offset, here);
    if (done > 0) note('w', name, place, data, (uint32_t)done);
  }
  pthread_mutex_unlock(&one);
  return done;
}

ssize_t write(int fd, const void *data, size_t size) { return writing(fd, data, size, 0, 1); }
ssize_t pwrite64(int fd, const void *data, size_t size, off_t offset) { return writing(fd, data, size, offset, 0); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return writing(fd, data, size, offset, 0); }

static int other(char what, const char *name, int64_t offset, const char *to, long call, long a, long b, long c, long d,
                 long e) {
  int done = -1;
  pthread_mutex_lock(&one);
  if (!fails(0)) {
    done = (int)syscall(call, a, b, c, d, e);
    if (!done) note(what, name, offset, to, to ? (uint32_t)strlen(to) : 0);
    after();
  } else if (what == 's') {
    note('e', name, 0, NULL, 0);
  }
  pthread_mutex_unlock(&one);
  return done;
}

int fsync(int fd) {
  char path[1024];
  const char *name = of(fd, path);
  return name ? other('s', name, 0, NULL, SYS_fsync, fd, 0, 0, 0, 0) : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd) {
  char path[1024];
  const char *name = of(fd, path);
  return name ? other('s', name, 0, NULL, SYS_fdatasync, fd, 0, 0, 0, 0) : (int)syscall(SYS_fdatasync, fd);
}

int ftruncate64(int fd, off_t size) {
  char path[1024];
  const char *name = of(fd, path);
  return name ? other('t', name, size, NULL, SYS_ftruncate, fd, size, 0, 0, 0) : (int)syscall(SYS_ftruncate, fd, size);
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

int unlink(const char *path) {
  const char *name = inside(path);
  return name ? other('u', name, 0, NULL, SYS_unlinkat, AT_FDCWD, (long)path, 0, 0, 0)
              : (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int rename(const char *from, const char *to) {
  const char *name = inside(from), *into = inside(to);
  return name && into ? other('r', name, 0, into, SYS_renameat, AT_FDCWD, (long)from, AT_FDCWD, (long)to, 0)
                      : (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
}

int link(const char *from, const char *to) {
  const char *name = inside(from), *into = inside(to);
  return name && into ? other('l', name, 0, into, SYS_linkat, AT_FDCWD, (long)from, AT_FDCWD, (long)to, 0)
                      : (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
}
