/* Preloaded into the processes of a soaked lab: a wall clock that jumps, and writes that fail.
 *
 * Both are told by a file that is mapped into every process: nanoseconds that are added to the wall
 * clock, and the number of writes to files below the lab's home until one fails. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct orders {
    _Atomic long long ahead_ns;
    _Atomic long long writes_left;
    _Atomic long long failed;
};

static struct orders *orders;
static const char *home;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FERROLAB_SOAK_ORDERS");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *mapped = mmap(NULL, sizeof(struct orders), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    home = getenv("FERROLAB_HOME");
    if (mapped != MAP_FAILED && home) orders = mapped;
}

int clock_gettime(clockid_t id, struct timespec *now) {
    int done = (int)syscall(SYS_clock_gettime, id, now);
    long long ahead = orders ? atomic_load(&orders->ahead_ns) : 0;
    if (done == 0 && ahead != 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        long long nanoseconds = now->tv_nsec + ahead % 1000000000;
        now->tv_sec += ahead / 1000000000 + (nanoseconds >= 1000000000) - (nanoseconds < 0);
        now->tv_nsec = (nanoseconds + 1000000000) % 1000000000;
    }
    return done;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec exact;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *told) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (told) *told = exact.tv_sec;
    return exact.tv_sec;
}

/* Whether this write is the one that fails. */
static int fails(int file) {
    if (!orders || atomic_load(&orders->writes_left) <= 0) return 0;
    struct stat facts;
    if (fstat(file, &facts) != 0 || !S_ISREG(facts.st_mode)) return 0;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    if (strncmp(path, home, strlen(home)) != 0) return 0;
    if (atomic_fetch_sub(&orders->writes_left, 1) != 1) return 0;
    atomic_fetch_add(&orders->failed, 1);
    errno = ENOSPC;
    return 1;
}

ssize_t write(int file, const void *bytes, size_t count) {
    return fails(file) ? -1 : syscall(SYS_write, file, bytes, count);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at) {
    return fails(file) ? -1 : syscall(SYS_pwrite64, file, bytes, count, at);
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t at) {
    return pwrite64(file, bytes, count, at);
}

ssize_t writev(int file, const struct iovec *parts, int count) {
    return fails(file) ? -1 : syscall(SYS_writev, file, parts, count);
}
