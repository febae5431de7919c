/* SPDX-License-Identifier: ISC */
/*
 * Puts the codec of one message through everything: decode(encode(x)) == x
 * for small, large and odd x; what is out of range, cut short or one byte too
 * long does not decode; and whatever decodes, with any one byte changed, is
 * what the encoder would have made of it.
 */
#ifndef TESTS_MSG_CODEC_H
#define TESTS_MSG_CODEC_H

#include <stdlib.h>
#include <string.h>

#include "common/msg.h"

#define CODEC_BUF 70000

enum variant {
	SMALL, /* every field at its least */
	LARGE, /* at its most */
	MIXED, /* no two fields the same */
	VARIANTS
};

struct codec {
	uint16_t type;
	size_t size; /* of the struct */
	void (*fill)(void *x, enum variant);
	bool (*send)(struct imsg_chan *, const void *x);
	int (*read)(const struct imsg *, void *x);
	/*
	 * Puts the nth wrong value into a valid x; false when there are no
	 * more.  NULL: no value of a field is wrong.
	 */
	bool (*spoil)(void *x, int nth);
};

#define CODEC_OF(TYPE, name, st, spoiler)                                  \
	{                                                                  \
		.type = TYPE, .size = sizeof(st), .fill = name##_fill,     \
		.send = name##_send, .read = name##_read, .spoil = spoiler \
	}

/* A channel that ends in its output buffer. */
struct codec_chan {
	struct imsg_chan ch;
	uint8_t buf[CODEC_BUF];
};

static inline struct codec_chan *
codec_chan_new(void)
{
	struct codec_chan *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	c->ch.out = c->buf;
	c->ch.out_cap = sizeof(c->buf);
	return c;
}

static inline void
codec_chan_reset(struct codec_chan *c)
{
	c->ch.out_len = 0;
	c->ch.out_nfds = 0;
}

/*
 * Decodes len bytes, in a copy of just that length, and with whatever was in
 * the struct before.
 */
static inline int
codec_read(const struct codec *codec, uint64_t id, const uint8_t *data,
    size_t len, void *x)
{
	struct imsg m = { .type = codec->type, .id = id, .len = len, .fd = -1 };
	uint8_t *copy = malloc(len > 0 ? len : 1);
	int ret;

	assert_non_null(copy);
	memcpy(copy, data, len);
	m.data = copy;
	ret = codec->read(&m, x);
	free(copy);
	return ret;
}

/* Encodes x; returns the payload's length.  The header must be right. */
static inline size_t
codec_send(const struct codec *codec, struct codec_chan *c, const void *x)
{
	codec_chan_reset(c);
	assert_true(codec->send(&c->ch, x));
	assert_int_equal(wire_load_u16(c->buf), codec->type);
	assert_int_equal(
	    wire_load_u32(c->buf + 4) + IMSG_HDR_LEN, c->ch.out_len);
	return c->ch.out_len - IMSG_HDR_LEN;
}

static inline void
codec_round_trip(const struct codec *codec, struct codec_chan *c, const void *x)
{
	const uint8_t *payload = c->buf + IMSG_HDR_LEN;
	void *y = calloc(1, codec->size);
	size_t len, cut;

	assert_non_null(y);
	len = codec_send(codec, c, x);
	assert_true(len <= MSG_INFO_MAX);
	assert_int_equal(
	    codec_read(codec, wire_load_u64(c->buf + 8), payload, len, y), 0);
	assert_memory_equal(x, y, codec->size);
	for (cut = 0; cut < len; cut++)
		assert_int_equal(codec_read(codec, 0, payload, cut, y), -1);
	c->buf[IMSG_HDR_LEN + len] = 0;
	assert_int_equal(codec_read(codec, 0, payload, len + 1, y), -1);
	free(y);
}

/*
 * Changes one byte at a time; to every value, as some are of an enum.  The
 * long ones get a few values only: they are of strings.
 */
static inline void
codec_mutate(const struct codec *codec, struct codec_chan *c, const void *x)
{
	uint8_t *payload = malloc(CODEC_BUF), *again = c->buf + IMSG_HDR_LEN;
	void *y = calloc(1, codec->size);
	size_t len, i, step;
	unsigned int v;

	assert_non_null(payload);
	assert_non_null(y);
	len = codec_send(codec, c, x);
	memcpy(payload, again, len);
	step = len > 512 ? 51 : 1;
	for (i = 0; i < len; i++) {
		uint8_t was = payload[i];

		for (v = 0; v < 256; v += (unsigned int)step) {
			payload[i] = (uint8_t)v;
			memset(y, 0, codec->size);
			if (codec_read(codec, 0, payload, len, y) == -1)
				continue;
			assert_int_equal(codec_send(codec, c, y), len);
			assert_memory_equal(again, payload, len);
		}
		payload[i] = was;
	}
	free(payload);
	free(y);
}

/* A wrong value is refused by the encoder, or by the decoder. */
static inline void
codec_spoil(const struct codec *codec, struct codec_chan *c)
{
	void *x = calloc(1, codec->size), *y = calloc(1, codec->size);
	int n;

	assert_non_null(x);
	assert_non_null(y);
	for (n = 0; codec->spoil != NULL; n++) {
		codec->fill(x, MIXED);
		if (!codec->spoil(x, n))
			break;
		codec_chan_reset(c);
		if (!codec->send(&c->ch, x)) {
			assert_int_equal(c->ch.out_len, 0);
			continue;
		}
		if (codec_read(codec, wire_load_u64(c->buf + 8),
			c->buf + IMSG_HDR_LEN, c->ch.out_len - IMSG_HDR_LEN,
			y) != -1)
			fail_msg("%s: wrong value %d was accepted",
			    msg_type_name(codec->type), n);
	}
	free(x);
	free(y);
}

/* No room: nothing is sent, nothing changes. */
static inline void
codec_no_room(const struct codec *codec, struct codec_chan *c, const void *x)
{
	size_t cap = c->ch.out_cap;

	codec_chan_reset(c);
	for (c->ch.out_cap = 0; c->ch.out_cap <= IMSG_HDR_LEN; c->ch.out_cap++)
		if (codec->send(&c->ch, x))
			break;
	/* Only what has no payload fits into a header. */
	if (c->ch.out_cap <= IMSG_HDR_LEN) {
		assert_int_equal(c->ch.out_cap, IMSG_HDR_LEN);
		assert_int_equal(c->ch.out_len, IMSG_HDR_LEN);
	} else
		assert_int_equal(c->ch.out_len, 0);
	c->ch.out_cap = cap;
}

static inline void
codec_test(const struct codec *codec)
{
	struct codec_chan *c = codec_chan_new();
	void *x = calloc(1, codec->size);
	int v;

	assert_non_null(x);
	for (v = 0; v < VARIANTS; v++) {
		memset(x, 0, codec->size);
		codec->fill(x, (enum variant)v);
		codec_round_trip(codec, c, x);
		codec_mutate(codec, c, x);
		codec_no_room(codec, c, x);
	}
	codec_spoil(codec, c);
	free(x);
	free(c);
}

/* --- how fields are filled in --- */

/* 0, the largest, or a number of its own for each call. */
static inline uint64_t
number(enum variant v, uint64_t least, uint64_t most, uint64_t *next)
{
	if (v == SMALL)
		return least;
	if (v == LARGE)
		return most;
	*next = *next * 37 + 11;
	return least + *next % (most - least + 1);
}

/* Empty, as long as can be, or something; bytes are anything but 0. */
static inline void
text(enum variant v, char *dst, size_t size, uint64_t *next)
{
	size_t i, len = v == SMALL ? 0 : v == LARGE ? size - 1 : size / 3;

	for (i = 0; i < len; i++)
		dst[i] = (char)(1 + number(MIXED, 0, 254, next));
	dst[len] = '\0';
}

#define NUMBER(field, least, most) \
	((field) = (__typeof__(field))number(v, (least), (most), &next))

static inline void
address(enum variant v, struct sockaddr_storage *ss, uint64_t *next)
{
	struct sockaddr_in *sin = (struct sockaddr_in *)ss;
	struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)ss;
	size_t i;

	memset(ss, 0, sizeof(*ss));
	if (v == SMALL) {
		sin->sin_family = AF_INET;
		return;
	}
	sin6->sin6_family = AF_INET6;
	for (i = 0; i < 16; i++)
		sin6->sin6_addr.s6_addr[i] = (uint8_t)number(v, 0, 255, next);
	sin6->sin6_port = (uint16_t)number(v, 0, 65535, next);
	sin6->sin6_scope_id = (uint32_t)number(v, 0, UINT32_MAX, next);
}

#endif
