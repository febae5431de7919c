/* SPDX-License-Identifier: ISC */
/*
 * The clients of a replay, see world.h: over UDP and TCP, from any address.  A
 * test's.  They hold against the daemon what any client could: a reply nobody
 * has asked for, a second one, one to another question or with another's
 * answer, none in time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/dns.h"
#include "dotproxy/listener/listener.h"
#include "tests/replay/world.h"
#include "tests/unit/dns_build.h"

#define PORT_FIRST 10000u
#define PORTS 50000u
/* What timers of the daemon may add: of both processes. */
#define SLACK_US 10000u

struct ask *
client_find(struct world *w, const char *label)
{
	uint32_t i;

	for (i = w->nasks; i-- > 0;)
		if (strcmp(w->asks[i]->label, label) == 0)
			return w->asks[i];
	return NULL;
}

/* The index is the second label of the name, if it is not given. */
struct ask *
client_of(struct world *w, const uint8_t *wire, size_t len)
{
	const uint8_t *name = wire + DNS_HDR_LEN;
	unsigned int index, skip;
	struct ask *a = NULL;
	char digits[16];
	uint32_t i;

	if (len > DNS_HDR_LEN + 20 && name[0] == 1 && name[1] == 'n' &&
	    name[2] < sizeof(digits)) {
		memcpy(digits, name + 3, name[2]);
		digits[name[2]] = '\0';
		index = (unsigned int)strtoul(digits, NULL, 10);
		a = index < w->nasks ? w->asks[index] : NULL;
	}
	skip = DNS_HDR_LEN;
	if (a != NULL && len <= a->len + 64 &&
	    memcmp(a->wire + skip, wire + skip, 8) == 0)
		return a;
	for (i = w->nasks; i-- > 0;) {
		a = w->asks[i];
		if (a->len > skip + 5 && len >= a->len &&
		    memcmp(a->wire + skip, wire + skip, a->len - skip) == 0)
			return a;
	}
	return NULL;
}

/* --- asking --- */

static struct client_conn *
conn_open(struct world *w, const char *label, const struct sockaddr_in *from)
{
	struct client_conn *c = calloc(1, sizeof(*c));

	if (c == NULL)
		abort();
	(void)snprintf(c->label, sizeof(c->label), "%s", label);
	c->from = *from;
	c->sock = vnet_connect(w->tcp, from);
	TAILQ_INSERT_TAIL(&w->conns, c, entry);
	return c;
}

struct client_conn *
client_conn_find(struct world *w, const char *label)
{
	struct client_conn *c;

	TAILQ_FOREACH (c, &w->conns, entry)
		if (strcmp(c->label, label) == 0)
			return c;
	return NULL;
}

static void
make_wire(struct ask *a, const struct ask_how *how)
{
	static struct pkt p;
	char name[64];
	bool edns = how->udp_size != 0;
	uint8_t *option;

	(void)snprintf(name, sizeof(name), "n.%u.test", (unsigned int)a->index);
	pkt_start(
	    &p, (uint16_t)(QUERY_FLAGS | how->opcode << 11), 1, 0, 0, edns);
	pkt_question(&p, how->name != NULL ? how->name : name, how->type);
	if (edns)
		pkt_opt(&p, how->udp_size, 0,
		    (uint16_t)(how->bytes > 0 ? 4 + how->bytes : 0));
	if (edns && how->bytes > 0) {
		option = p.buf + p.w.pos - how->bytes - 4;
		wire_store_u16(option, 65001); /* for local use */
		wire_store_u16(option + 2, how->bytes);
	}
	dns_set_id(p.buf, a->id);
	a->len = p.w.pos;
	a->wire = malloc(a->len);
	if (a->wire == NULL)
		abort();
	memcpy(a->wire, p.buf, a->len);
}

static struct ask *
ask_new(struct world *w, const char *label, const struct ask_how *how)
{
	struct ask *a = calloc(1, sizeof(*a));

	if ((w->nasks & (w->nasks - 1)) == 0)
		w->asks =
		    realloc(w->asks, (2 * (size_t)w->nasks + 1) * sizeof(a));
	if (a == NULL || w->asks == NULL)
		abort();
	(void)snprintf(a->label, sizeof(a->label), "%s", label);
	a->index = w->nasks;
	w->asks[w->nasks++] = a;
	a->from = how->from;
	a->from.sin_family = AF_INET;
	if (a->from.sin_addr.s_addr == 0)
		a->from.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (a->from.sin_port == 0)
		a->from.sin_port =
		    htons((uint16_t)(PORT_FIRST + a->index % PORTS));
	a->id =
	    how->id >= 0 ? (uint16_t)how->id : (uint16_t)(a->index * 7919 + 1);
	a->may_repeat = how->opcode == 0;
	a->times = 1;
	return a;
}

/* The same from the same client, and still open. */
static bool
is_pending(const struct world *w, const struct ask *a)
{
	const struct ask *o;

	TAILQ_FOREACH (o, &w->pending, pending)
		if (o->conn == NULL && a->conn == NULL && o->id == a->id &&
		    o->len == a->len && memcmp(o->wire, a->wire, o->len) == 0 &&
		    memcmp(&o->from, &a->from, sizeof(a->from)) == 0)
			return true;
	return false;
}

/*
 * How often the time for an answer goes by before a query over TCP is read: of
 * one connection so many may be in flight (TCP_QUERIES_MAX).
 */
static uint32_t
rounds(const struct world *w, const struct client_conn *c)
{
	const struct ask *a;
	uint32_t n = 0;

	TAILQ_FOREACH (a, &w->pending, pending)
		n += c != NULL && a->conn == c;
	return 1 + n / 256;
}

void
client_ask(struct world *w, const char *label, const struct ask_how *how)
{
	struct ask_how h = *how;
	uint64_t given_us;
	uint8_t frame[2];
	struct ask *a;

	if (how->again != NULL) {
		h.from = how->again->from;
		h.id = how->again->id;
	}
	a = ask_new(w, label, &h);
	if (how->again != NULL) {
		client_of(w, how->again->wire, how->again->len)->times++;
		a->len = how->again->len;
		a->wire = malloc(a->len);
		if (a->wire == NULL)
			abort();
		memcpy(a->wire, how->again->wire, a->len);
	} else
		make_wire(a, &h);
	a->asked_us = vclock_us();
	given_us = 1000u * ((uint64_t)w->query_timeout_ms + LISTENER_GRACE_MS);
	a->due = !(w->limited && h.conn == NULL) &&
		 !(w->draining && h.conn != NULL) && w->listener != NULL &&
		 (how->again == NULL || !is_pending(w, a));
	if (h.conn != NULL) {
		a->conn = client_conn_find(w, h.conn);
		if (a->conn == NULL)
			a->conn = conn_open(w, h.conn, &a->from);
		given_us *= rounds(w, a->conn);
		if (a->conn->sock == NULL || a->conn->closed) {
			a->due = false;
			a->state = ASK_GONE;
			return;
		}
		wire_store_u16(frame, (uint16_t)a->len);
		vnet_write(a->conn->sock, frame, 2);
		vnet_write(a->conn->sock, a->wire, a->len);
	} else
		vnet_arrive(w->udp, &a->from, a->wire, a->len);
	a->limit_us = a->asked_us + SLACK_US + given_us;
	TAILQ_INSERT_TAIL(&w->pending, a, pending);
}

/* --- replies --- */

/* Text of the Extended DNS Error, which is the last thing in a reply. */
static void
note_text(struct ask *a, const uint8_t *msg, size_t len)
{
	size_t i, n = 0;

	for (i = len; i > a->len && msg[i - 1] >= ' ' && msg[i - 1] < 127; i--)
		n++;
	if (n >= sizeof(a->text))
		n = sizeof(a->text) - 1;
	memcpy(a->text, msg + len - n, n);
	a->text[n] = '\0';
}

/*
 * The answer of an upstream says which, and to which query: in the address of
 * its only record.  Of queries with the same name the other's will do.
 */
static void
check_answer(
    struct world *w, struct ask *a, const uint8_t *msg, size_t question)
{
	const uint8_t *rr = msg + question;
	uint32_t index;

	/* Name (a pointer), type, class, TTL, length. */
	a->by = rr[12];
	index = (uint32_t)rr[13] << 16 | (uint32_t)rr[14] << 8 | rr[15];
	if (a->by >= w->nfars || index >= w->nasks ||
	    memcmp(w->asks[index]->wire + DNS_HDR_LEN, a->wire + DNS_HDR_LEN,
		question - DNS_HDR_LEN) != 0)
		world_fail(w, "%s gets the answer to another query", a->label);
}

static void
take_reply(struct world *w, struct ask *a, const uint8_t *msg, size_t len)
{
	size_t question = DNS_HDR_LEN;

	while (question < a->len && a->wire[question] != 0)
		question += 1u + a->wire[question];
	question += 5;
	TAILQ_REMOVE(&w->pending, a, pending);
	a->replied_us = vclock_us();
	if (len < question || !dns_is_response(msg) ||
	    memcmp(msg + DNS_HDR_LEN, a->wire + DNS_HDR_LEN,
		question - DNS_HDR_LEN) != 0) {
		world_fail(w, "%s gets a reply to another question", a->label);
		return;
	}
	switch (dns_rcode(msg)) {
	case DNS_RCODE_SERVFAIL:
		a->state = ASK_SERVFAIL;
		note_text(a, msg, len);
		return;
	case DNS_RCODE_REFUSED:
		a->state = ASK_REFUSED;
		note_text(a, msg, len);
		return;
	case DNS_RCODE_NOERROR:
		break;
	default:
		a->state = ASK_OTHER;
		return;
	}
	if ((msg[2] & 2) != 0) {
		a->state = ASK_TRUNCATED;
		return;
	}
	a->state = ASK_ANSWERED;
	if (len < question + 16)
		world_fail(w, "%s gets an answer without an answer", a->label);
	else
		check_answer(w, a, msg, question);
}

static struct ask *
pending_of(struct world *w, const struct client_conn *c,
    const struct sockaddr_in *to, uint16_t id)
{
	struct ask *a;
	uint32_t guess;

	if (c == NULL && ntohs(to->sin_port) >= PORT_FIRST) {
		guess = ntohs(to->sin_port) - PORT_FIRST;
		a = guess < w->nasks ? w->asks[guess] : NULL;
		if (a != NULL && a->state == ASK_PENDING && a->conn == NULL &&
		    a->id == id && memcmp(&a->from, to, sizeof(*to)) == 0)
			return a;
	}
	TAILQ_FOREACH (a, &w->pending, pending)
		if (a->conn == c && a->id == id &&
		    (c != NULL || memcmp(&a->from, to, sizeof(*to)) == 0))
			return a;
	return NULL;
}

static void
on_reply(struct world *w, const struct client_conn *c,
    const struct sockaddr_in *to, const uint8_t *msg, size_t len)
{
	struct ask *a;

	a = len >= DNS_HDR_LEN ? pending_of(w, c, to, dns_id(msg)) : NULL;
	if (a == NULL)
		world_fail(
		    w, "a client gets a reply that it does not wait for");
	else
		take_reply(w, a, msg, len);
}

void
client_datagram(
    void *arg, const struct sockaddr_in *to, const uint8_t *msg, size_t len)
{
	on_reply(arg, NULL, to, msg, len);
}

/* What its connection had open is lost to a client. */
static void
conn_lost(struct world *w, struct client_conn *c)
{
	struct ask *a, *next;

	for (a = TAILQ_FIRST(&w->pending); a != NULL; a = next) {
		next = TAILQ_NEXT(a, pending);
		if (a->conn != c)
			continue;
		/* It may have been closed while the query was on its way. */
		if (a->due && c->sock != NULL && a->asked_us < vclock_us())
			world_fail(w, "%s: its connection is closed", a->label);
		a->state = ASK_GONE;
		TAILQ_REMOVE(&w->pending, a, pending);
	}
}

void
client_close(struct world *w, const char *label, bool reset)
{
	struct client_conn *c = client_conn_find(w, label);

	if (c == NULL || c->sock == NULL)
		return;
	vnet_close(c->sock, reset ? 104 : 0);
	c->sock = NULL;
	conn_lost(w, c);
}

static bool
conn_turn(struct world *w, struct client_conn *c)
{
	size_t n, want;

	n = vnet_read(c->sock, c->buf + c->len, sizeof(c->buf) - c->len);
	c->len += n;
	while (c->len >= 2 && c->len >= (want = 2u + wire_load_u16(c->buf))) {
		on_reply(w, c, NULL, c->buf + 2, want - 2);
		memmove(c->buf, c->buf + want, c->len - want);
		c->len -= want;
	}
	if (n > 0 || c->closed || !vnet_is_closed(c->sock))
		return n > 0;
	c->closed = true;
	conn_lost(w, c);
	return true;
}

bool
client_turn(struct world *w)
{
	struct client_conn *c;
	bool more = false;

	TAILQ_FOREACH (c, &w->conns, entry)
		if (c->sock != NULL && !w->failed)
			more |= conn_turn(w, c);
	return more;
}

uint64_t
client_next(const struct world *w)
{
	const struct ask *a;

	TAILQ_FOREACH (a, &w->pending, pending)
		if (a->due)
			return a->limit_us + 1;
	return VNET_NEVER;
}

void
client_check(struct world *w)
{
	const struct ask *a;

	TAILQ_FOREACH (a, &w->pending, pending) {
		if (!a->due)
			continue;
		if (vclock_us() <= a->limit_us)
			return; /* those that follow have come later */
		world_fail(w, "%s has no reply after %llu ms", a->label,
		    (unsigned long long)(vclock_us() - a->asked_us) / 1000);
	}
}

void
client_free_all(struct world *w)
{
	struct client_conn *c;
	uint32_t i;

	while ((c = TAILQ_FIRST(&w->conns)) != NULL) {
		TAILQ_REMOVE(&w->conns, c, entry);
		vnet_close(c->sock, 0);
		free(c);
	}
	for (i = 0; i < w->nasks; i++) {
		free(w->asks[i]->wire);
		free(w->asks[i]);
	}
	free(w->asks);
}
