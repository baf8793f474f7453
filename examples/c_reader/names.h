/* What the system calls the segments of an array (in Python: ndsharray/backends/base.py).

   The control segment: "nd" and 16 hex digits, the 8-byte BLAKE2b of root, a NUL and the array's
   name. A frame segment: that, 6 base-32 digits of the instance id and 5 of the segment id. */

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { CONTROL_NAME = 18, FRAME_NAME = 29, DIGEST = 8 };

static uint64_t turned(uint64_t word, int bits) { return word >> bits | word << (64 - bits); }

static void mix(uint64_t *v, int a, int b, int c, int d, uint64_t x, uint64_t y) {
    v[a] += v[b] + x;
    v[d] = turned(v[d] ^ v[a], 32);
    v[c] += v[d];
    v[b] = turned(v[b] ^ v[c], 24);
    v[a] += v[b] + y;
    v[d] = turned(v[d] ^ v[a], 16);
    v[c] += v[d];
    v[b] = turned(v[b] ^ v[c], 63);
}

/* BLAKE2b (RFC 7693) without a key; the first byte of the digest is the lowest one here. */
static uint64_t digest_of(const unsigned char *data, size_t length) {
    static const uint64_t start[8] = {
        0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
        0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};
    static const unsigned char order[10][16] = {
        {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
        {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
        {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
        {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
        {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
        {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
        {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
        {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
        {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
        {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0}};
    uint64_t h[8], v[16], m[16];
    memcpy(h, start, sizeof h);
    h[0] ^= 0x01010000 ^ DIGEST;
    size_t done = 0;
    do {
        size_t part = length - done < 128 ? length - done : 128;
        memset(m, 0, sizeof m);
        for (size_t i = 0; i < part; i++)
            m[i / 8] |= (uint64_t)data[done + i] << i % 8 * 8;
        done += part;
        memcpy(v, h, sizeof h);
        memcpy(v + 8, start, sizeof start);
        v[12] ^= done;
        if (done == length)
            v[14] = ~v[14];
        for (int round = 0; round < 12; round++) {
            const unsigned char *s = order[round % 10];
            for (int i = 0; i < 4; i++)
                mix(v, i, i + 4, i + 8, i + 12, m[s[2 * i]], m[s[2 * i + 1]]);
            for (int i = 0; i < 4; i++)
                mix(v, i, (i + 1) % 4 + 4, (i + 2) % 4 + 8, (i + 3) % 4 + 12, m[s[2 * i + 8]],
                    m[s[2 * i + 9]]);
        }
        for (int i = 0; i < 8; i++)
            h[i] ^= v[i] ^ v[i + 8];
    } while (done < length);
    return h[0];
}

static void control_name(char *out, const char *root, const char *name) {
    unsigned char text[2048];
    size_t roots = strlen(root) + 1, names = strlen(name); /* 1025 and 255 at most */
    memcpy(text, root, roots);
    memcpy(text + roots, name, names);
    uint64_t digest = digest_of(text, roots + names);
    out += sprintf(out, "nd");
    for (int i = 0; i < DIGEST; i++, digest >>= 8)
        out += sprintf(out, "%02x", (unsigned)(digest & 255));
}

static void frame_name(char *out, const char *control, uint64_t instance, uint64_t segment) {
    static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
    memcpy(out, control, CONTROL_NAME);
    for (int i = 0; i < 6; i++)
        out[CONTROL_NAME + i] = digits[instance >> (25 - 5 * i) & 31];
    for (int i = 0; i < 5; i++)
        out[CONTROL_NAME + 6 + i] = digits[segment >> (20 - 5 * i) & 31];
    out[FRAME_NAME] = 0;
}
