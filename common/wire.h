/* SPDX-License-Identifier: ISC */
/*
 * Bounds-checked cursors over bytes, for DNS and for messages between
 * processes.  The error is sticky: a read past the end yields 0 and every
 * later read does too, so that code reads straight down and tests the error
 * once, at the end.  All numbers are in network byte order.
 */
#ifndef COMMON_WIRE_H
#define COMMON_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct wire_reader {
	const uint8_t *data;
	size_t pos; /* <= len */
	size_t len;
	bool error;
};

struct wire_writer {
	uint8_t *data;
	size_t pos; /* <= cap */
	size_t cap;
	bool error;
};

static inline uint16_t
wire_load_u16(const uint8_t *p)
{
	return (uint16_t)((p[0] << 8) | p[1]);
}

static inline void
wire_store_u16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline uint32_t
wire_load_u32(const uint8_t *p)
{
	return ((uint32_t)wire_load_u16(p) << 16) | wire_load_u16(p + 2);
}

static inline void
wire_store_u32(uint8_t *p, uint32_t v)
{
	wire_store_u16(p, (uint16_t)(v >> 16));
	wire_store_u16(p + 2, (uint16_t)v);
}

static inline uint64_t
wire_load_u64(const uint8_t *p)
{
	return ((uint64_t)wire_load_u32(p) << 32) | wire_load_u32(p + 4);
}

static inline void
wire_store_u64(uint8_t *p, uint64_t v)
{
	wire_store_u32(p, (uint32_t)(v >> 32));
	wire_store_u32(p + 4, (uint32_t)v);
}

static inline void
wire_reader_init(struct wire_reader *r, const uint8_t *data, size_t len)
{
	r->data = data;
	r->pos = 0;
	r->len = len;
	r->error = false;
}

static inline size_t
wire_remaining(const struct wire_reader *r)
{
	return r->error ? 0 : r->len - r->pos;
}

/* Returns the next n bytes and steps over them; NULL if there are fewer. */
static inline const uint8_t *
wire_get_bytes(struct wire_reader *r, size_t n)
{
	const uint8_t *p;

	if (r->error || n > r->len - r->pos) {
		r->error = true;
		return NULL;
	}
	p = r->data + r->pos;
	r->pos += n;
	return p;
}

static inline uint8_t
wire_get_u8(struct wire_reader *r)
{
	const uint8_t *p = wire_get_bytes(r, 1);

	return p != NULL ? *p : 0;
}

static inline uint16_t
wire_get_u16(struct wire_reader *r)
{
	const uint8_t *p = wire_get_bytes(r, 2);

	return p != NULL ? wire_load_u16(p) : 0;
}

static inline uint32_t
wire_get_u32(struct wire_reader *r)
{
	const uint8_t *p = wire_get_bytes(r, 4);

	return p != NULL ? wire_load_u32(p) : 0;
}

static inline uint64_t
wire_get_u64(struct wire_reader *r)
{
	const uint8_t *p = wire_get_bytes(r, 8);

	return p != NULL ? wire_load_u64(p) : 0;
}

/* Copies n bytes out; on error dst is zeroed. */
static inline void
wire_get_copy(struct wire_reader *r, void *dst, size_t n)
{
	const uint8_t *p = wire_get_bytes(r, n);

	if (p != NULL)
		memcpy(dst, p, n);
	else
		memset(dst, 0, n);
}

/*
 * Reads a string of 16-bit length into dst as a C string.  Too long for dst
 * or with a NUL inside is an error, and leaves dst empty.
 */
static inline void
wire_get_str(struct wire_reader *r, char *dst, size_t dstsize)
{
	size_t n = wire_get_u16(r);
	const uint8_t *p = wire_get_bytes(r, n);

	dst[0] = '\0';
	if (p == NULL)
		return;
	if (n >= dstsize || memchr(p, '\0', n) != NULL) {
		r->error = true;
		return;
	}
	memcpy(dst, p, n);
	dst[n] = '\0';
}

/* True if everything was read, without error: the end of every decoder. */
static inline bool
wire_done(const struct wire_reader *r)
{
	return !r->error && r->pos == r->len;
}

static inline void
wire_writer_init(struct wire_writer *w, uint8_t *data, size_t cap)
{
	w->data = data;
	w->pos = 0;
	w->cap = cap;
	w->error = false;
}

/* Returns room for n bytes and steps over it; NULL if it does not fit. */
static inline uint8_t *
wire_put_space(struct wire_writer *w, size_t n)
{
	uint8_t *p;

	if (w->error || n > w->cap - w->pos) {
		w->error = true;
		return NULL;
	}
	p = w->data + w->pos;
	w->pos += n;
	return p;
}

static inline void
wire_put_u8(struct wire_writer *w, uint8_t v)
{
	uint8_t *p = wire_put_space(w, 1);

	if (p != NULL)
		*p = v;
}

static inline void
wire_put_u16(struct wire_writer *w, uint16_t v)
{
	uint8_t *p = wire_put_space(w, 2);

	if (p != NULL)
		wire_store_u16(p, v);
}

static inline void
wire_put_u32(struct wire_writer *w, uint32_t v)
{
	uint8_t *p = wire_put_space(w, 4);

	if (p != NULL)
		wire_store_u32(p, v);
}

static inline void
wire_put_u64(struct wire_writer *w, uint64_t v)
{
	uint8_t *p = wire_put_space(w, 8);

	if (p != NULL)
		wire_store_u64(p, v);
}

static inline void
wire_put_bytes(struct wire_writer *w, const void *src, size_t n)
{
	uint8_t *p = wire_put_space(w, n);

	if (p != NULL && n > 0)
		memcpy(p, src, n);
}

/* Writes a C string with a 16-bit length. */
static inline void
wire_put_str(struct wire_writer *w, const char *s)
{
	size_t n = strlen(s);

	if (n > UINT16_MAX) {
		w->error = true;
		return;
	}
	wire_put_u16(w, (uint16_t)n);
	wire_put_bytes(w, s, n);
}

#endif
