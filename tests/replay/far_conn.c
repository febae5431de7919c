/* SPDX-License-Identifier: ISC */
/*
 * A connection at its upstream's end: TCP that stands after a while, a
 * handshake that does, records with frames in them, and an end when nobody
 * asks. A test's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/dns.h"
#include "common/msg.h"
#include "common/wire.h"
#include "tests/replay/far.h"

struct far_conn *
far_conn_new(struct far *f, int *fd)
{
	struct far_conn *c = calloc(1, sizeof(*c));

	if (c == NULL)
		abort();
	c->record = malloc(VTLS_HDR_LEN + VTLS_RECORD_MAX);
	c->plain = malloc(2 + DNS_MSG_MAX + VTLS_RECORD_MAX);
	if (c->record == NULL || c->plain == NULL)
		abort();
	c->far = f;
	c->number = f->ndials;
	c->sock = vnet_stream(fd);
	c->next_us = vclock_us() + f->connect_us;
	TAILQ_INIT(&c->queries);
	TAILQ_INSERT_TAIL(&f->conns, c, entry);
	vnet_set_connecting(c->sock, true);
	return c;
}

void
far_conn_record(
    struct far_conn *c, enum vtls_record type, const void *p, size_t len)
{
	const uint8_t *bytes = p;
	uint8_t hdr[VTLS_HDR_LEN];
	size_t n;

	do {
		n = len < VTLS_RECORD_MAX ? len : VTLS_RECORD_MAX;
		hdr[0] = (uint8_t)type;
		wire_store_u16(hdr + 1, (uint16_t)n);
		vnet_write(c->sock, hdr, sizeof(hdr));
		vnet_write(c->sock, bytes, n);
		len -= n;
		if (len > 0) /* of nothing there may be no address */
			bytes += n;
	} while (len > 0);
}

/* The socket is err for the pool, or at its end if that is 0. */
static void
conn_free(struct world *w, struct far_conn *c, int err)
{
	while (!TAILQ_EMPTY(&c->queries))
		far_query_free(w, TAILQ_FIRST(&c->queries));
	if (c->state == FAR_CONN_READY)
		c->far->nopen--;
	vnet_close(c->sock, err);
	TAILQ_REMOVE(&c->far->conns, c, entry);
	free(c->record);
	free(c->plain);
	free(c);
}

void
far_conn_end(struct world *w, struct far_conn *c, bool reset)
{
	if (c->state == FAR_CONN_READY && !reset)
		far_conn_record(c, VTLS_CLOSE, NULL, 0);
	conn_free(w, c, reset ? ECONNRESET : 0);
}

/* TCP stands, or does not; false if it is gone. */
static bool
connected(struct world *w, struct far_conn *c)
{
	c->next_us = VNET_NEVER;
	if (c->far->connect == FAR_REFUSES) {
		conn_free(w, c, ECONNREFUSED);
		return false;
	}
	c->state = FAR_CONN_HELLO;
	vnet_set_connecting(c->sock, false);
	return true;
}

static void
refuse(struct far_conn *c, enum msg_cause cause)
{
	const uint8_t why[2] = { PHASE_VERIFY, (uint8_t)cause };

	far_conn_record(c, VTLS_REFUSED, why, sizeof(why));
}

/* The handshake is done, or not; false if the connection is gone. */
static bool
shaken(struct world *w, struct far_conn *c)
{
	uint8_t resumed = c->ticket;

	c->next_us = VNET_NEVER;
	switch (c->far->handshake) {
	case FAR_SHAKE_CLOSE:
	case FAR_SHAKE_RESET:
		conn_free(w, c,
		    c->far->handshake == FAR_SHAKE_RESET ? ECONNRESET : 0);
		return false;
	case FAR_UNTRUSTED:
		refuse(c, CAUSE_UNTRUSTED);
		return true;
	case FAR_EXPIRED:
		refuse(c, CAUSE_EXPIRED);
		return true;
	case FAR_OTHER_NAME:
		refuse(c, CAUSE_NAME);
		return true;
	case FAR_SHAKE_LOST:
		return true;
	case FAR_SHAKES:
		break;
	}
	far_conn_record(c, VTLS_DONE, &resumed, 1);
	far_conn_record(c, VTLS_TICKET, NULL, 0);
	c->far->nresumed += resumed;
	c->state = FAR_CONN_READY;
	c->far->nopen++;
	c->used_us = vclock_us();
	return true;
}

/* Cuts what came into messages. */
static void
take_plain(struct world *w, struct far_conn *c, const uint8_t *p, size_t len)
{
	size_t n;

	memcpy(c->plain + c->plain_len, p, len);
	c->plain_len += len;
	while (c->plain_len >= 2 &&
	       c->plain_len >= (n = 2u + wire_load_u16(c->plain))) {
		if (n < 2 + DNS_HDR_LEN)
			world_fail(w, "a query of %zu bytes", n - 2);
		else
			far_take_query(w, c, c->plain + 2, n - 2);
		memmove(c->plain, c->plain + n, c->plain_len - n);
		c->plain_len -= n;
	}
}

static void
take_record(struct world *w, struct far_conn *c)
{
	const uint8_t *body = c->record + VTLS_HDR_LEN;
	size_t len = wire_load_u16(c->record + 1);

	switch (c->record[0]) {
	case VTLS_HELLO:
		c->ticket = body[0] != 0;
		c->next_us = vclock_us() + c->far->handshake_us;
		break;
	case VTLS_DATA:
		if (c->state != FAR_CONN_READY)
			world_fail(w, "a query before the handshake is done");
		take_plain(w, c, body, len);
		break;
	default: /* close_notify: the end follows */
		break;
	}
}

/* Reads records; true if there was anything. */
static bool
receive(struct world *w, struct far_conn *c)
{
	size_t want = VTLS_HDR_LEN, n;
	bool more = false;

	for (;;) {
		if (c->have >= VTLS_HDR_LEN)
			want = VTLS_HDR_LEN + wire_load_u16(c->record + 1);
		if (c->have == want) {
			take_record(w, c);
			c->have = 0;
			want = VTLS_HDR_LEN;
			continue;
		}
		n = vnet_read(c->sock, c->record + c->have, want - c->have);
		if (n == 0)
			return more;
		c->have += n;
		more = true;
	}
}

bool
far_conn_turn(struct world *w, struct far_conn *c)
{
	bool more = receive(w, c);

	if (vnet_is_closed(c->sock)) {
		conn_free(w, c, 0);
		return true;
	}
	if (far_conn_next(c) > vclock_us())
		return more;
	if (c->state == FAR_CONN_SYN)
		(void)connected(w, c);
	else if (c->state == FAR_CONN_HELLO)
		(void)shaken(w, c);
	else
		far_conn_end(w, c, false); /* idle for long enough */
	return true;
}

uint64_t
far_conn_next(const struct far_conn *c)
{
	if (c->state != FAR_CONN_READY)
		return c->next_us;
	if (c->far->idle_us == VNET_NEVER || !TAILQ_EMPTY(&c->queries))
		return VNET_NEVER;
	return c->used_us + c->far->idle_us;
}
