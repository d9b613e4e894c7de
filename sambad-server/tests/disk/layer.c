// A disk that fails on demand: preloaded into the server (LD_PRELOAD), between SQLite and libc.
//
// It looks at the files of one database only. Every operation on them is counted against the rules in a shared file,
// which the test fills in and may change at any time, and is recorded in a log, with its data and in order. What is
// tested is therefore the shipped binary: nothing in it knows of tests.
//
//   SAMBAD_DISK_DATABASE  path of the database, as SQLite will open it (no symlinks)
//   SAMBAD_DISK_CONTROL   the rules: `struct rule` four times, native byte order
//   SAMBAD_DISK_LOG       optional; what was done is appended: `struct record`, then the data of a write
//
// Only calls that are made on these files are here; a test checks that what the log says is what the files hold.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

// What is done. OPEN is opening an existing file for writing; it changes nothing and is not recorded.
enum { CREATE = 1, WRITE = 2, TRUNCATE = 4, UNLINK = 8, SYNC = 16, OPEN = 32, FAILED_SYNC = 64 };
// To what: the database, its write-ahead log, its rollback journal, the index of the log, the folder of all these.
enum { MAIN = 1, WAL = 2, JOURNAL = 4, SHM = 8, FOLDER = 16 };
// What a rule does to an operation. SHORTEN writes half; LIE answers an fsync without doing or recording it.
enum { PASS, KILL_BEFORE, KILL_AFTER, FAIL, SHORTEN, DELAY, LIE };

enum { RULES = 4 };
#define FOR_EVER UINT64_MAX

struct rule {
    uint64_t action;    // written last by the test
    uint64_t ops;       // which operations, as bits
    uint64_t files;     // on which files, as bits
    uint64_t skip;      // how many of them pass first
    uint64_t times;     // how many of them are hit then
    uint64_t argument;  // FAIL: errno; DELAY: milliseconds
    uint64_t hits;      // how many were hit
    uint64_t unused;
};

struct record {
    uint64_t op, file;
    uint64_t offset;  // of a write; the new length for TRUNCATE
    uint64_t length;  // of the data that follows
};

static struct rule none[RULES];
static struct rule *rules = none;
static int log_fd = -1;
static char database[4096], folder[4096];
// Which of the files a descriptor stands for; descriptors beyond are nobody's database.
static _Atomic unsigned char file_of[1 << 16];
// Orders operations and their records: the log tells them in the order in which they took effect.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) \
    static __typeof__(&name) real_##name; \
    if (!real_##name) real_##name = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("SAMBAD_DISK_DATABASE"), *control = getenv("SAMBAD_DISK_CONTROL"), *log = getenv("SAMBAD_DISK_LOG");
    if (!path || !control || strlen(path) >= sizeof database) return;
    REAL(open);
    int fd = real_open(control, O_RDWR | O_CLOEXEC);
    if (fd < 0) abort();
    rules = mmap(NULL, sizeof none, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (rules == MAP_FAILED) abort();
    if (log && (log_fd = real_open(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644)) < 0) abort();
    strcpy(folder, path);
    char *slash = strrchr(folder, '/');
    if (slash) *slash = 0;
    strcpy(database, path);
}

// Which of the files `path` names; 0 for any other.
static int file_at(const char *path) {
    size_t length = strlen(database);
    if (!length) return 0;
    if (!strcmp(path, folder)) return FOLDER;
    if (strncmp(path, database, length)) return 0;
    const char *rest = path + length;
    return !*rest ? MAIN : !strcmp(rest, "-wal") ? WAL : !strcmp(rest, "-journal") ? JOURNAL : !strcmp(rest, "-shm") ? SHM : 0;
}

static int file_behind(int fd) {
    return fd >= 0 && fd < (int)(sizeof file_of) ? file_of[fd] : 0;
}

static void die(void) {
    for (kill(getpid(), SIGKILL);;) pause();
}

struct verdict { int action, error; };

// What the rules say to one operation. Each counts what it matches, whichever is applied; delays add up.
static struct verdict judge(int op, int file, uint64_t *delay_ms) {
    struct verdict verdict = { PASS, 0 };
    for (int i = 0; i < RULES; i++) {
        struct rule *rule = &rules[i];
        uint64_t action = __atomic_load_n(&rule->action, __ATOMIC_ACQUIRE);
        if (action == PASS || !(rule->ops & op) || !(rule->files & file)) continue;
        if (rule->skip && rule->skip--) continue;
        if (!rule->times) continue;
        if (rule->times != FOR_EVER) rule->times--;
        rule->hits++;
        if (action == DELAY) {
            *delay_ms += rule->argument;
        } else if (verdict.action == PASS) {
            verdict = (struct verdict){ (int)action, (int)rule->argument };
        }
    }
    return verdict;
}

// Begins an operation: returns with the lock held. A delay is slept through without it, as a slow disk holds up who
// waits for it and nobody else.
static struct verdict enter(int op, int file) {
    uint64_t delay_ms = 0;
    pthread_mutex_lock(&lock);
    struct verdict verdict = judge(op, file, &delay_ms);
    if (verdict.action == KILL_BEFORE) die();
    if (delay_ms) {
        pthread_mutex_unlock(&lock);
        struct timespec time = { (time_t)(delay_ms / 1000), (long)(delay_ms % 1000) * 1000000 };
        nanosleep(&time, NULL);
        pthread_mutex_lock(&lock);
    }
    return verdict;
}

static void leave(struct verdict verdict) {
    if (verdict.action == KILL_AFTER) die();
    pthread_mutex_unlock(&lock);
}

// Ends an operation that a rule fails.
static int refuse(struct verdict verdict) {
    pthread_mutex_unlock(&lock);
    errno = verdict.error;
    return -1;
}

static void record(int op, int file, uint64_t offset, const void *data, uint64_t length) {
    if (log_fd < 0) return;
    struct record record = { (uint64_t)op, (uint64_t)file, offset, length };
    struct iovec parts[2] = { { &record, sizeof record }, { (void *)data, length } };
    // The log lies on another disk; one that cannot take it would make every conclusion from it wrong.
    if (writev(log_fd, parts, length ? 2 : 1) != (ssize_t)(sizeof record + length)) abort();
}

static int open_as(int (*real)(const char *, int, ...), const char *path, int flags, mode_t mode) {
    int file = file_at(path), writing = (flags & O_ACCMODE) != O_RDONLY;
    if (!file) return real(path, flags, mode);
    int op = (flags & O_CREAT) && access(path, F_OK) ? CREATE : writing ? OPEN : 0;
    struct verdict verdict = enter(op, file);
    if (verdict.action == FAIL) return refuse(verdict);
    int fd = real(path, flags, mode);
    if (fd >= 0 && fd < (int)(sizeof file_of)) file_of[fd] = (unsigned char)file;
    if (fd >= 0 && op == CREATE) record(CREATE, file, 0, NULL, 0);
    leave(verdict);
    return fd;
}

#define OPEN_LIKE(name) \
    int name(const char *path, int flags, ...) { \
        REAL(name); \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        return open_as(real_##name, path, flags, mode); \
    }
OPEN_LIKE(open)
OPEN_LIKE(open64)

int close(int fd) {
    REAL(close);
    if (file_behind(fd)) file_of[fd] = 0;
    return real_close(fd);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
    REAL(pwrite64);
    int file = file_behind(fd);
    if (!file) return real_pwrite64(fd, data, length, offset);
    struct verdict verdict = enter(WRITE, file);
    if (verdict.action == FAIL) return refuse(verdict);
    ssize_t done = real_pwrite64(fd, data, verdict.action == SHORTEN ? length / 2 : length, offset);
    if (done > 0) record(WRITE, file, (uint64_t)offset, data, (uint64_t)done);
    leave(verdict);
    return done;
}

int ftruncate64(int fd, off64_t length) {
    REAL(ftruncate64);
    int file = file_behind(fd);
    if (!file) return real_ftruncate64(fd, length);
    struct verdict verdict = enter(TRUNCATE, file);
    if (verdict.action == FAIL) return refuse(verdict);
    int done = real_ftruncate64(fd, length);
    if (!done) record(TRUNCATE, file, (uint64_t)length, NULL, 0);
    leave(verdict);
    return done;
}

int unlink(const char *path) {
    REAL(unlink);
    int file = file_at(path);
    if (!file) return real_unlink(path);
    struct verdict verdict = enter(UNLINK, file);
    if (verdict.action == FAIL) return refuse(verdict);
    int done = real_unlink(path);
    if (!done) record(UNLINK, file, 0, NULL, 0);
    leave(verdict);
    return done;
}

static int sync_as(int (*real)(int), int fd) {
    int file = file_behind(fd);
    if (!file) return real(fd);
    struct verdict verdict = enter(SYNC, file);
    if (verdict.action == FAIL) {
        record(FAILED_SYNC, file, 0, NULL, 0);
        return refuse(verdict);
    }
    int done = verdict.action == LIE ? 0 : real(fd);
    if (!done && verdict.action != LIE) record(SYNC, file, 0, NULL, 0);
    leave(verdict);
    return done;
}

int fsync(int fd) {
    REAL(fsync);
    return sync_as(real_fsync, fd);
}

int fdatasync(int fd) {
    REAL(fdatasync);
    return sync_as(real_fdatasync, fd);
}
