/* Reads an array that Python writes, live, and prints each new frame: format v1 in C11, for Linux.

       cc -std=c11 -O2 -o reader reader.c
       ./reader [--transport=mmap|posix_shm] [--count] NAME

   docs/format.md specifies the format, docs/protocol.md the order of loads; the fences have their
   names here as well (R0, R1 ...). Memory is mapped read-only, so neither the writer nor other
   readers notice this program, whatever it does. See README.md. */

#define _XOPEN_SOURCE 700
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pwd.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "names.h"

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "a word must be loaded by one instruction");

/* Word indices in a control segment, in a table, in a slot. */
enum { MAGIC, VERSION, READY, INSTANCE, NAME_LENGTH = 8, NAME, TABLE = 48, STATE = 72, LAST_FRAME,
       NEWEST = 80 };
enum { SEGMENT, SLOTS, STRIDE, TABLE_WORDS = 8 };
enum { SEQ, FRAME, HEADER = 3, PAYLOAD, RECORD = 8 };
static const uint64_t MAGIC_NUMBER = 0x5252414853444e93; /* 93 'NDSHARR', lowest byte first */
enum { CONTROL_BYTES = 4096, CLOSED = 2, MAX_HEADER = 1 << 17 };

typedef const _Atomic uint64_t word;
typedef struct { word *words; size_t size; } segment;

static const char *directory, *name;             /* of the segments; of the array */
static char control_file[CONTROL_NAME + 1];
static segment control, frames;
static uint64_t followed, slots, stride;         /* the id of the segment `frames`, and its table */
static uint64_t number, header, payload, *record; /* the frame read last: a private copy */
static size_t room;                              /* words in `record` */

/* Every load of shared memory is one of these two, or comes before this fence. */
static uint64_t load(word *at) { return atomic_load_explicit(at, memory_order_relaxed); }
static uint64_t load_first(word *at) { return atomic_load_explicit(at, memory_order_acquire); }
static void loaded_so_far_first(void) { atomic_thread_fence(memory_order_acquire); }

static void give_up(const char *what, const char *why) {
    fprintf(stderr, "reader: %s: %s\n", what, why);
    exit(1);
}

static void unmap(segment *it) {
    if (it->words)
        munmap((void *)it->words, it->size);
    it->words = NULL;
}

/* Map a segment; false: it does not exist yet, or no longer exists. */
static bool map(segment *it, const char *file) {
    char path[2048];
    struct stat found;
    unmap(it);
    snprintf(path, sizeof path, "%s/%s", directory, file);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return false;
    if (fd < 0 || fstat(fd, &found) != 0)
        give_up(path, strerror(errno));
    it->size = (size_t)found.st_size;
    void *start = it->size ? mmap(NULL, it->size, PROT_READ, MAP_SHARED, fd, 0) : NULL;
    if (start == MAP_FAILED)
        give_up(path, strerror(errno));
    close(fd);
    it->words = start;
    return start != NULL;
}

static bool find(void) {
    if (!map(&control, control_file) || control.size < CONTROL_BYTES)
        return false;
    word *w = control.words;
    if (load_first(w + READY) != 1) /* R0: ready before all of it */
        return false;
    if (load(w + MAGIC) != MAGIC_NUMBER || load(w + VERSION) != 1)
        give_up(name, "not an array of format 1 and this byte order");
    if (load(w + NAME_LENGTH) != strlen(name) || memcmp((void *)(w + NAME), name, strlen(name)))
        give_up(name, "this memory belongs to another array");
    return true;
}

/* Map the segment that newest names as `frames`; false: begin again. */
static bool follow(uint64_t newest) {
    word *table = control.words + TABLE + (newest & 1) * TABLE_WORDS;
    uint64_t id = load(table + SEGMENT);
    slots = load(table + SLOTS), stride = load(table + STRIDE);
    loaded_so_far_first();                      /* R7: the table before newest */
    if (load(control.words + NEWEST) != newest) /* the table may be half changed */
        return false;
    if (slots < 2 || slots > 250 || stride < 128 || stride % 128 || stride >> 56)
        give_up("table", "cannot be true");
    if (id == followed) /* an id is never used twice */
        return true;
    char file[FRAME_NAME + 1];
    followed = 0;
    frame_name(file, control_file, load(control.words + INSTANCE), id);
    if (!map(&frames, file)) /* the writer has begun another one, or closed */
        return false;
    if (frames.size < slots * stride)
        give_up("frame segment", "smaller than its table says");
    followed = id;
    return true;
}

/* Copy the frame that newest names; false: the writer has overrun it, so begin again. */
static bool take(uint64_t newest) {
    uint64_t stable = newest & ~1ull; /* 2 * position */
    word *slot = frames.words + (newest >> 1) % slots * (stride / 8);
    if (load_first(slot + SEQ) != stable) /* R1: seq before the rest of the slot */
        return false;
    number = load(slot + FRAME), header = load(slot + HEADER), payload = load(slot + PAYLOAD);
    /* Lengths of two different frames may lead out of the slot. */
    bool fits = header >= 64 && header % 64 == 0 && header <= MAX_HEADER &&
                header <= stride - 64 && payload <= stride - 64 - header;
    size_t size = fits ? (header + payload + 7) / 8 : 0; /* words; slots have whole ones */
    if (size > room) {
        free(record);
        if (!(record = malloc(8 * (room = size))))
            give_up("frame", "no memory");
    }
    for (size_t i = 0; i < size; i++)
        record[i] = load(slot + RECORD + i);
    loaded_so_far_first(); /* R2: all that before seq */
    if (load(slot + SEQ) != stable)
        return false;
    if (!fits)
        give_up("slot", "lengths that cannot be true");
    return true;
}

/* Print the frame. The header: {'descr': <dtype>, 'fortran_order': False, 'shape': <shape>, } */
static void tell(uint64_t sum) {
    static const char middle[] = ", 'fortran_order': False, 'shape': ";
    char *text = (char *)record, *dtype = text + (text[6] == 1 ? 20 : 22), *shape = NULL;
    text[header - 1] = 0; /* its newline */
    for (char *at = dtype; (at = strstr(at, middle)); at++)
        shape = at; /* the last one: a field of a structured dtype may be called anything */
    char *end = shape ? strstr(shape, ", }") : NULL;
    if (!end)
        give_up(".npy header", dtype);
    *shape = *end = 0;
    printf("frame %" PRIu64 ": dtype %s, shape %s, sum %" PRIu64 "\n", number, dtype,
           shape + strlen(middle), sum);
}

/* Without an entry no writer wakes us: poll, less often the longer nothing happens. */
static void nap(long *ns) {
    nanosleep(&(struct timespec){0, *ns}, NULL);
    *ns = *ns < 5000000 ? *ns + *ns / 8 : *ns;
}

/* NDSHARRAY_DIR without the white space around it, ~ and ~user expanded; else the default root. */
static void choose_root(char *out) {
    const char *space = " \t\n\v\f\r", *given = getenv("NDSHARRAY_DIR"), *home = "";
    given = given ? given + strspn(given, space) : "";
    int length = (int)strlen(given);
    while (length && strchr(space, given[length - 1]))
        length--;
    if (length >= PATH_MAX)
        give_up("NDSHARRAY_DIR", "too long");
    snprintf(out, PATH_MAX, "%.*s", length, given);
    if (*out == '~') {
        size_t user = strcspn(out, "/");
        char login[PATH_MAX];
        snprintf(login, sizeof login, "%.*s", (int)user - 1, out + 1);
        struct passwd *entry = *login ? getpwnam(login) : getpwuid(getuid());
        home = !*login && getenv("HOME") ? getenv("HOME") : entry ? entry->pw_dir : "~";
        snprintf(out, PATH_MAX, "%s%.*s", home, length - (int)user, given + user);
    }
    if (!length)
        sprintf(out, "/dev/shm/ndsharray-%u", (unsigned)getuid());
    else if (*out != '/')
        give_up("NDSHARRAY_DIR", "not an absolute path");
}

int main(int argc, char **argv) {
    bool in_files = true, only_count = false;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) != 0 && !name)
            name = argv[i];
        else if (strcmp(argv[i], "--count") == 0)
            only_count = true;
        else if (strcmp(argv[i], "--transport=posix_shm") == 0)
            in_files = false;
        else if (strcmp(argv[i], "--transport=mmap") != 0)
            give_up(argv[i], "usage: reader [--transport=mmap|posix_shm] [--count] NAME");
    }
    if (!name || strlen(name) > 255)
        give_up("NAME", "one array's name, of 255 bytes at most");

    char given[PATH_MAX], root[PATH_MAX];
    long pause = 50000;
    choose_root(given);
    while (!realpath(given, root))
        nap(&pause); /* the first writer makes it */
    if (strlen(root) > 1024)
        give_up(root, "longer than 1024 bytes");
    directory = in_files ? root : "/dev/shm";
    control_name(control_file, root, name);
    while (!find())
        nap(&pause);

    uint64_t last = 0, seen = 0, missed = 0, mixed = 0, before = 0;
    for (;;) {
        bool closed = load_first(control.words + STATE) == CLOSED; /* R9: before the last newest */
        uint64_t newest = load_first(control.words + NEWEST);      /* R6: before the table */
        if (newest >> 1 != last >> 1 && follow(newest) && take(newest)) {
            const unsigned char *data = (const unsigned char *)record + header;
            uint64_t sum = 0, others = 0;
            for (uint64_t i = 0; i < payload; i++)
                sum += data[i], others += data[i] != data[0];
            if (!only_count)
                tell(sum);
            fflush(stdout);
            missed += seen++ ? number - before - 1 : 0;
            mixed += others > 0;
            last = newest, before = number, pause = 50000;
        } else if (closed) {
            missed += seen ? load(control.words + LAST_FRAME) - before : 0;
            printf("closed: %" PRIu64 " frames, %" PRIu64 " missed, %" PRIu64 " of mixed bytes\n",
                   seen, missed, mixed);
            return 0;
        } else if (load(control.words + NEWEST) == newest) {
            nap(&pause);
        }
    }
}
