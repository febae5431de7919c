/* SPDX-License-Identifier: ISC */
/*
 * The ways in which the test upstream can be told to misbehave, and the bytes
 * of the answers that come of it.  A knob is an int: 0 is off, 1 on, or the
 * number it was given.
 */
#ifndef TESTS_SUPPORT_KNOB_H
#define TESTS_SUPPORT_KNOB_H

#include <stdlib.h>
#include <strings.h>

#include "answer.h"

enum knob {
	/* These may also stand as a label in the name of a query. */
	K_ALERT,    /* a fatal TLS alert instead of an answer */
	K_BADMAC,   /* a record that was changed on its way */
	K_CLOSE,    /* close instead of answering */
	K_DELAY,    /* answer after N ms */
	K_DROP,     /* never answer */
	K_DUP,      /* answer twice */
	K_ECHO,     /* the query itself with QR set */
	K_FLAGS,    /* set the bits of N in the header's flags, too */
	K_GARBAGE,  /* a frame of noise */
	K_HALF,     /* half of the answer, then close */
	K_JITTER,   /* answer after a random time below N ms */
	K_NOQ,      /* an answer without question */
	K_OVERSIZE, /* a frame that says it has 65,535 bytes, and has not */
	K_RAW,      /* noise which is no TLS record */
	K_REKEY,    /* ask for new keys first: renegotiation, in TLS 1.2 */
	K_RCODE,    /* answer with RCODE N; above 15 it takes an OPT */
	K_RST,      /* reset the connection instead of answering */
	K_SIZE,     /* an answer of N bytes */
	K_TRUNC,    /* TC set, no records */
	K_WRONGID,
	K_WRONGQ,
	K_ZERO, /* a frame of length zero */
	K_LABELS,

	K_ACCEPT_DELAY = K_LABELS, /* accept after N ms */
	K_BYTE,                    /* one record and one send for each byte */
	K_CLOSE_AFTER,             /* close after N answers */
	K_DRIP,                    /* a byte every N ms, for one query */
	K_FAST_OPEN,               /* TCP Fast Open, with a queue of N */
	K_FREEZE,                  /* after N queries neither read nor write */
	K_IDLE,                    /* close N ms after the last read */
	K_HELLO_ALERT,             /* a fatal TLS alert to each ClientHello */
	K_KEEPALIVE,               /* RFC 7828: N * 100 ms in each OPT */
	K_NO_NOTIFY,               /* close without close_notify */
	K_NO_TICKETS,
	K_RATE,    /* N answers a second at most, in order */
	K_RESET,   /* whatever closes, closes with RST */
	K_SINGLE,  /* one answer a record */
	K_STALL,   /* accept, then no handshake */
	K_TICKETS, /* N session tickets a handshake */
	K_TLS12,   /* no TLS 1.3 */
	K_UDP,     /* answer plain UDP, too */
	K_MAX
};

static const char *const knob_name[K_MAX] = {
	[K_ALERT] = "alert",
	[K_BADMAC] = "badmac",
	[K_CLOSE] = "close",
	[K_DELAY] = "delay",
	[K_DROP] = "drop",
	[K_DUP] = "dup",
	[K_ECHO] = "echo",
	[K_FLAGS] = "flags",
	[K_GARBAGE] = "garbage",
	[K_HALF] = "half",
	[K_JITTER] = "jitter",
	[K_NOQ] = "noq",
	[K_OVERSIZE] = "oversize",
	[K_RAW] = "raw",
	[K_REKEY] = "rekey",
	[K_RCODE] = "rcode",
	[K_RST] = "rst",
	[K_SIZE] = "size",
	[K_TRUNC] = "trunc",
	[K_WRONGID] = "wrongid",
	[K_WRONGQ] = "wrongq",
	[K_ZERO] = "zero",
	[K_ACCEPT_DELAY] = "accept-delay",
	[K_BYTE] = "byte",
	[K_CLOSE_AFTER] = "close-after",
	[K_DRIP] = "drip",
	[K_FAST_OPEN] = "fast-open",
	[K_FREEZE] = "freeze-after",
	[K_IDLE] = "idle",
	[K_HELLO_ALERT] = "hello-alert",
	[K_KEEPALIVE] = "keepalive",
	[K_NO_NOTIFY] = "no-notify",
	[K_NO_TICKETS] = "no-tickets",
	[K_RATE] = "rate",
	[K_RESET] = "reset",
	[K_SINGLE] = "single",
	[K_STALL] = "stall",
	[K_TICKETS] = "tickets",
	[K_TLS12] = "tls12",
	[K_UDP] = "udp",
};

/* Takes NAME or NAME=N; returns -1 if there is no such knob. */
static inline int
knob_set(int *knob, const char *arg)
{
	size_t i, len = strcspn(arg, "=");

	for (i = 0; i < K_MAX; i++) {
		if (strlen(knob_name[i]) != len ||
		    strncmp(arg, knob_name[i], len) != 0)
			continue;
		knob[i] = arg[len] == '=' ? atoi(arg + len + 1) : 1;
		return 0;
	}
	return -1;
}

/* A label is a knob's name, and "-N" if it takes a number. */
static inline void
knob_from_label(int *knob, const uint8_t *label, size_t len)
{
	size_t i, n;
	int value;

	for (i = 0; i < K_LABELS; i++) {
		if ((label[0] | 0x20) != knob_name[i][0])
			continue;
		n = strlen(knob_name[i]);
		if (len < n ||
		    strncasecmp((const char *)label, knob_name[i], n) != 0)
			continue;
		if (len == n) {
			knob[i] = 1;
		} else if (label[n] == '-') {
			for (value = 0; ++n < len && value < 100000;)
				value = value * 10 + (label[n] & 15);
			knob[i] = value;
		}
	}
}

/* Fills an answer up to size bytes, as text if text was asked for. */
static inline uint8_t *
answer_pad(uint8_t *out, uint8_t *p, size_t size, const struct question *q)
{
	size_t rdlen, n, fixed = (size_t)(p - out) + DNS_RR_SIZE;
	uint16_t type = q->type == TYPE_TXT ? TYPE_TXT : 65280;

	if (fixed > size)
		return p;
	rdlen = size - fixed;
	p = record_put(p, type, rdlen);
	for (; rdlen > 0; rdlen -= n) {
		n = rdlen < 256 ? rdlen : 256;
		*p++ = (uint8_t)(n - 1);
		memset(p, 'x', n - 1);
		p += n - 1;
	}
	put16(out + 6, 1);
	return p;
}

/* Writes the answer to a query with a readable question; returns its length. */
static inline size_t
answer_make(uint8_t *out, const uint8_t *msg, size_t len,
    const struct question *q, const int *knob)
{
	bool opt = message_has_opt(msg, len, q);
	size_t size = (size_t)knob[K_SIZE], optlen = opt ? DNS_OPT_SIZE : 0;
	bool keepalive = opt && knob[K_KEEPALIVE] > 0;
	uint8_t *p;

	if (knob[K_ECHO]) {
		memcpy(out, msg, len);
		out[2] |= 0x80;
		return len;
	}
	if (keepalive)
		optlen += DNS_KEEPALIVE_SIZE;
	p = answer_start(out, msg, q);
	if (knob[K_NOQ]) {
		p = out + DNS_HEADER;
		put16(out + 4, 0);
	} else if (size > optlen) {
		size = size < DNS_MESSAGE_MAX ? size : DNS_MESSAGE_MAX;
		p = answer_pad(out, p, size - optlen, q);
	} else if (!knob[K_TRUNC] && knob[K_RCODE] == 0) {
		p = answer_put_record(out, p, q);
	}
	if (opt) {
		p = opt_put(p);
		p[-6] = (uint8_t)(knob[K_RCODE] >> 4); /* of its TTL */
		if (keepalive)
			p = keepalive_put(p, (size_t)knob[K_KEEPALIVE]);
		put16(out + 10, 1);
	}
	if (knob[K_TRUNC])
		out[2] |= 0x02;
	out[3] |= knob[K_RCODE] & 0x0f;
	put16(out + 2, get16(out + 2) | (size_t)knob[K_FLAGS]);
	if (knob[K_WRONGID])
		out[1] ^= 1;
	if (knob[K_WRONGQ] && !knob[K_NOQ])
		out[DNS_HEADER + 1] ^= 0x03;
	return (size_t)(p - out);
}

/*
 * Makes the frame for a query, whose question is NULL if it cannot be read;
 * returns its length.  The frame has room for two answers of any size.
 */
static inline size_t
answer_frame(uint8_t *frame, const uint8_t *msg, size_t len,
    const struct question *q, const int *knob)
{
	uint8_t *out = frame + 2;
	size_t n, i;

	if (q == NULL) {
		n = DNS_HEADER;
		memset(out, 0, n);
		memcpy(out, msg, len < 2 ? len : 2);
		out[2] = 0x80 | (len > 2 ? msg[2] & 0x79 : 0);
		out[3] = 0x81;
	} else {
		n = answer_make(out, msg, len, q, knob);
	}
	for (i = 0; knob[K_GARBAGE] && i < n; i++)
		out[i] = (uint8_t)random();
	if (knob[K_ZERO])
		n = 0;
	put16(frame, n);
	n += 2;
	if (knob[K_OVERSIZE])
		put16(frame, DNS_MESSAGE_MAX);
	if (knob[K_DUP]) {
		memcpy(frame + n, frame, n);
		n *= 2;
	}
	return knob[K_HALF] ? n / 2 : n;
}

#endif
