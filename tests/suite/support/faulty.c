/* Loaded before the C library: reads, writes and clocks that fail as disks, kernels and clocks do.
 *
 * FAULT_SHORT=1          every read gives one byte, every write takes three
 * FAULT_INTERRUPT=1      every other read and write is interrupted first
 * FAULT_READ_AFTER=N     reads of FAULT_FILE fail (EIO) after N bytes
 * FAULT_WRITE_AFTER=N    writes fail (ENOSPC) after N bytes
 * FAULT_SYNC=1           fsync fails (EIO)
 * FAULT_CLOCK=1          the time of day jumps by a day, back and forth
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *text(const char *name) { return getenv(name); }
static long number(const char *name) { return text(name) ? atol(text(name)) : -1; }

/* Whether a descriptor is the file whose reads fail. */
static int is_chosen(int fd) {
    char link[64], path[4096];
    const char *file = text("FAULT_FILE");
    if (!file) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return strcmp(path, file) == 0;
}

static int is_interrupted(int *count) {
    if (!text("FAULT_INTERRUPT") || (*count)++ % 2) return 0;
    errno = EINTR;
    return 1;
}

ssize_t read(int fd, void *buffer, size_t length) {
    static ssize_t (*real)(int, void *, size_t);
    static int count;
    static long done;
    if (!real) real = (ssize_t(*)(int, void *, size_t))dlsym(RTLD_NEXT, "read");
    if (is_interrupted(&count)) return -1;
    long limit = number("FAULT_READ_AFTER");
    int chosen = limit >= 0 && is_chosen(fd);
    if (chosen && done >= limit) return errno = EIO, -1;
    if (chosen && (long)length > limit - done) length = limit - done;
    if (text("FAULT_SHORT") && length > 1) length = 1;
    ssize_t n = real(fd, buffer, length);
    if (chosen && n > 0) done += n;
    return n;
}

ssize_t write(int fd, const void *buffer, size_t length) {
    static ssize_t (*real)(int, const void *, size_t);
    static int count;
    static long done;
    if (!real) real = (ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    if (fd == 2) return real(fd, buffer, length);
    if (is_interrupted(&count)) return -1;
    long limit = number("FAULT_WRITE_AFTER");
    if (limit >= 0 && length > 0 && done >= limit) return errno = ENOSPC, -1;
    if (limit >= 0 && (long)length > limit - done) length = limit - done;
    if (text("FAULT_SHORT") && length > 3) length = 3;
    ssize_t n = real(fd, buffer, length);
    if (n > 0) done += n;
    return n;
}

int fsync(int fd) {
    static int (*real)(int);
    if (text("FAULT_SYNC")) return errno = EIO, -1;
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    return real(fd);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    static int count;
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (clock == CLOCK_REALTIME && text("FAULT_CLOCK")) now->tv_sec += count++ % 2 ? 86400 : -86400;
    return result;
}
