/* SPDX-License-Identifier: ISC */
/*
 * What becomes of a query: dropped, answered here, or forwarded; and of what
 * the pool says to it.  Runs in the listener.  Whatever the pool sends, a
 * client must never get an answer that does not match its question, nor two;
 * whatever a client sends, it must get one, if it is a query.  Names and
 * addresses must not reach the log.
 */
#include <stdio.h>
#include <string.h>

#include <event2/event.h>

#include "common/dns.h"
#include "common/log.h"
#include "dotproxy/listener/keepalive.h"
#include "dotproxy/listener/listener.h"

/* What the client is told, and how it is counted. */
struct verdict {
	enum listener_counter outcome;
	enum dns_rcode rcode;
	enum dns_ede ede;
	const char *text;
};

static const struct verdict verdict_acl = {
	.outcome = LSTAT_refused_acl,
	.rcode = DNS_RCODE_REFUSED,
	.ede = DNS_EDE_PROHIBITED,
};

/* DSO speaks of the connection, which ends here: RFC 8490. */
static const struct verdict verdict_dso = {
	.outcome = LSTAT_refused_unsupported,
	.rcode = DNS_RCODE_NOTIMP,
	.ede = DNS_EDE_NONE,
};

/* There is no such thing: RFC 5936 4.2. */
static const struct verdict verdict_axfr_udp = {
	.outcome = LSTAT_refused_unsupported,
	.rcode = DNS_RCODE_NOTIMP,
	.ede = DNS_EDE_NOT_SUPPORTED,
	.text = "AXFR is done over TCP",
};

static const struct verdict verdict_transfers = {
	.outcome = LSTAT_refused_unsupported,
	.rcode = DNS_RCODE_REFUSED,
	.ede = DNS_EDE_OTHER,
	.text = "too many zone transfers",
};

/* Nothing but TC, see query_is_limited(). */
static const struct verdict verdict_limited = {
	.outcome = LSTAT_refused_limited,
	.rcode = DNS_RCODE_NOERROR,
	.ede = DNS_EDE_NONE,
};

static const struct verdict verdict_full = {
	.outcome = LSTAT_failed_busy,
	.rcode = DNS_RCODE_SERVFAIL,
	.ede = DNS_EDE_OTHER,
	.text = "too many queries",
};

static const struct verdict verdict_timeout = {
	.outcome = LSTAT_failed_timeout,
	.rcode = DNS_RCODE_SERVFAIL,
	.ede = DNS_EDE_NO_REACHABLE_AUTHORITY,
	.text = "no answer in time",
};

static const struct verdict verdict_not_ready = {
	.outcome = LSTAT_failed_not_ready,
	.rcode = DNS_RCODE_SERVFAIL,
	.ede = DNS_EDE_NOT_READY,
};

static const struct verdict verdict_lost = {
	.outcome = LSTAT_failed_not_ready,
	.rcode = DNS_RCODE_SERVFAIL,
	.ede = DNS_EDE_NOT_READY,
	.text = "lost, and may not be sent twice",
};

/* How the causes the pool gives are counted and named. */
static const struct {
	enum listener_counter outcome;
	enum dns_ede ede;
} causes[CAUSE_COUNT] = {
	[CAUSE_NONE] = { LSTAT_failed_other, DNS_EDE_OTHER },
	[CAUSE_TIMEOUT] = { LSTAT_failed_timeout,
	    DNS_EDE_NO_REACHABLE_AUTHORITY },
	[CAUSE_NETWORK] = { LSTAT_failed_network, DNS_EDE_NETWORK_ERROR },
	[CAUSE_TLS] = { LSTAT_failed_tls, DNS_EDE_OTHER },
	[CAUSE_NAME] = { LSTAT_failed_tls, DNS_EDE_OTHER },
	[CAUSE_EXPIRED] = { LSTAT_failed_tls, DNS_EDE_OTHER },
	[CAUSE_UNTRUSTED] = { LSTAT_failed_tls, DNS_EDE_OTHER },
	[CAUSE_PIN] = { LSTAT_failed_tls, DNS_EDE_OTHER },
	[CAUSE_CLIENT_CERT] = { LSTAT_failed_tls, DNS_EDE_OTHER },
	[CAUSE_PROTOCOL] = { LSTAT_failed_other, DNS_EDE_OTHER },
	[CAUSE_BUSY] = { LSTAT_failed_busy, DNS_EDE_OTHER },
	[CAUSE_NOT_REPEATABLE] = { LSTAT_failed_other, DNS_EDE_OTHER },
};

/* Hands a reply, whoever made it, to the transport the query came over. */
static void
query_reply(struct listener *l, const struct client *client, uint16_t id,
    const uint8_t *wire, size_t len, enum listener_counter outcome)
{
	metrics_answer(&l->metrics, client->conn != NULL, len);
	if (l->busiest != NULL &&
	    (outcome == LSTAT_answered || outcome == LSTAT_truncated))
		busiest_answer(l->busiest, &l->prefixes, &client->peer,
		    client->conn != NULL);
	l->counters[metrics_rcode(wire[3] & 0xf)]++;
	if (client->conn != NULL)
		tcp_reply(l, client->conn, id, wire, len, outcome);
	else
		udp_reply(l, client, id, wire, len, outcome);
}

/* The longest reply this client can take. */
static size_t
reply_limit(const struct client *client, const struct dns_query *q)
{
	size_t max;

	if (client->conn != NULL)
		return DNS_MSG_MAX;
	max = udp_payload_max(client);
	return q->udp_size < max ? q->udp_size : max;
}

static void
reply_error(struct listener *l, const struct client *client,
    const struct dns_query *q, const uint8_t *wire, const struct verdict *v)
{
	size_t limit = reply_limit(client, q), len;

	if (limit > DNS_ERROR_REPLY_MAX)
		limit = DNS_ERROR_REPLY_MAX;
	len = dns_error_reply(
	    wire, q, v->rcode, v->ede, v->text, l->scratch, limit);
	if (v == &verdict_limited)
		dns_set_truncated(l->scratch);
	query_reply(l, client, q->id, l->scratch, len, v->outcome);
}

/* The pool need not go on with it. */
static void
query_cancel(struct listener *l, const struct inflight_slot *s)
{
	uint64_t handle = inflight_handle(&l->inflight, s);

	/* If there is no room it goes on in vain, up to its deadline. */
	if (s->transfer)
		link_cancel(l, handle);
	else
		(void)imsg_send_empty(&l->link, MSG_LT_CANCEL, handle, -1);
}

/* The client of a query in flight is told now, by an answer or an error. */
static void
query_note_told(struct listener *l, const struct inflight_slot *s)
{
	uint64_t now_ms = listener_now(l);

	metrics_rtt(&l->metrics, s->client.conn != NULL, now_ms,
	    l->now_us - s->arrived_us);
}

/* True if the pool knows of it. */
static bool
query_is_with_pool(const struct inflight_slot *s)
{
	return s->sent && (!s->waiting || s->begun);
}

/*
 * Takes a query out of the table; its slot stays readable for now.  told: the
 * pool knows that it has ended.
 */
static void
query_unhook(struct listener *l, struct inflight_slot *s, bool told)
{
	if (!told && query_is_with_pool(s))
		query_cancel(l, s);
	if (s->transfer)
		transfer_end(l, s);
	if (s->lined)
		turns_leave(&l->turns, s);
	if (s->client.conn != NULL)
		tcp_release(s->client.conn);
	else if (!s->gone)
		udp_release(s->client.sock);
	if (s->wire_long != NULL)
		s->prefix->stored[s->tcp] -= s->wire_len;
	prefixes_release(&l->prefixes, s->prefix, s->tcp);
	inflight_remove(&l->inflight, s);
}

/*
 * An answer that has begun cannot become an error any more: what the client
 * can tell from a whole one, signed or not, is that its connection closes.
 */
static void
query_end(struct listener *l, struct inflight_slot *s, const struct verdict *v,
    bool told)
{
	if (s->begun) {
		tcp_break(s->client.conn);
		listener_count_out(l, LSTAT_dropped_send);
	} else if (!s->gone) {
		query_note_told(l, s);
		reply_error(l, &s->client, &s->query, inflight_wire(s), v);
	}
	query_unhook(l, s, told);
}

/* What is answered here rather than forwarded; NULL: forward it. */
static const struct verdict *
query_judge(
    struct listener *l, const struct client *client, const struct dns_query *q)
{
	if (!acl_admits(&l->acl, &client->peer.sa))
		return &verdict_acl;
	if (q->opcode == DNS_OPCODE_DSO)
		return &verdict_dso;
	if (!dns_is_transfer(q))
		return NULL;
	/* Over UDP an IXFR is one message (RFC 1995 2): like any query. */
	if (client->conn == NULL)
		return q->qtype == DNS_TYPE_AXFR ? &verdict_axfr_udp : NULL;
	return transfer_admits(l, client->conn) ? NULL : &verdict_transfers;
}

/* What a query is given in all, up to its deadline. */
static uint64_t
query_given_ms(const struct listener *l)
{
	return l->conf.query_timeout_ms + LISTENER_GRACE_MS;
}

static inline struct shed_wait
query_wait(struct listener *l, const struct inflight_slot *s)
{
	const struct shed_wait w = {
		.sent_ms = s->sent ? s->sent_ms : listener_now(l),
		.deadline_ms = s->deadline_ms,
		.timeout_ms = query_given_ms(l),
		.now_ms = listener_now(l),
		.ahead = s->ahead,
		.stalled_ms = s->stalled_ms,
		.total = l->inflight.count,
	};

	return w;
}

static void
query_note_answer(struct listener *l, const struct inflight_slot *s)
{
	const struct shed_wait w = query_wait(l, s);

	if (window_answered(&l->turns.window, w.now_ms - s->sent_ms, w.now_ms))
		link_judge(l);
	/* Beside lines, who has none does not see how long they are. */
	if (l->turns.n > 0 && s->prefix->nline == 0)
		shed_heard(&l->shed, w.now_ms);
	else
		shed_answered(&l->shed, &w);
}

static void
query_note_timeout(struct listener *l, const struct inflight_slot *s)
{
	const struct shed_wait w = query_wait(l, s);

	shed_timed_out(&l->shed, &w);
}

/* True if a query over UDP is in flight already; *hash is for its index. */
static bool
query_is_repeated(struct listener *l, const struct client *client,
    const struct dns_query *q, const uint8_t *wire, size_t len, uint32_t *hash)
{
	/* The port is at the same place in both kinds of addresses. */
	*hash = keyhash(&l->hash, prefix_addr(&client->peer),
	    (uint32_t)client->peer.in.sin_port << 16 | q->id);
	return inflight_repeats(&l->inflight, *hash, client, wire, len);
}

/* Gives a query its slot and its place in line; NULL if there is none. */
static struct inflight_slot *
query_admit(struct listener *l, const struct client *client,
    const struct dns_query *q, const uint8_t *wire, size_t len)
{
	struct prefix *p = prefixes_find(&l->prefixes, &client->peer);
	struct tcp_conn *conn = client->conn;
	struct inflight_slot *s = NULL;
	bool tcp = conn != NULL;

	prefixes_hold(&l->prefixes, p, tcp);
	if (query_make_room(l, client, p, len))
		s = inflight_add(&l->inflight, client,
		    conn != NULL ? tcp_queries(conn) : NULL, q, wire, len,
		    listener_now(l) + query_given_ms(l));
	if (s == NULL) {
		prefixes_release(&l->prefixes, p, tcp);
		return NULL;
	}
	s->prefix = p;
	if (s->wire_long != NULL)
		p->stored[tcp] += s->wire_len;
	s->arrived_us = l->now_us;
	s->stalled_ms = shed_asked(&l->shed, s->ahead, listener_now(l));
	if (conn != NULL)
		tcp_hold(conn);
	else
		udp_hold(client->sock);
	return s;
}

/*
 * Ends a query over UDP of a client that asks too many; true if it has.  Every
 * second one is told to come by TCP, which proves the address: in a reply that
 * is not larger than the query.  Whatever else than a query can be asked for
 * (an UPDATE, say) must not be told NOERROR.
 */
static bool
query_is_limited(struct listener *l, const struct client *client,
    const struct dns_query *q, const uint8_t *wire)
{
	enum rate_verdict v;

	(void)listener_now(l);
	v = rate_judge(&l->rate, prefix_net(&client->peer),
	    client->peer.sa.sa_family, l->now_us);
	if (v == RATE_PASS)
		return false;
	if (v == RATE_TRUNCATE && q->opcode == DNS_OPCODE_QUERY)
		reply_error(l, client, q, wire, &verdict_limited);
	else
		listener_count_out(l, LSTAT_dropped_limited);
	return true;
}

void
query_receive(struct listener *l, const struct client *client,
    const uint8_t *wire, size_t len)
{
	struct tcp_conn *conn = client->conn;
	const struct verdict *v;
	struct inflight_slot *s;
	struct dns_query q;
	uint32_t hash;

	listener_count_in(
	    l, conn != NULL ? LSTAT_queries_tcp : LSTAT_queries_udp);
	metrics_query(&l->metrics, conn != NULL, len);
	if (dns_query_parse(wire, len, &q) == DNS_DROP) {
		listener_count_out(l, LSTAT_dropped_malformed);
		return;
	}
	if (conn == NULL && rate_is_on(&l->rate) &&
	    query_is_limited(l, client, &q, wire))
		return;
	v = query_judge(l, client, &q);
	/* Who may not ask could be anybody, and forged. */
	if (l->busiest != NULL && v != &verdict_acl)
		busiest_query(l->busiest, &l->prefixes, &client->peer,
		    conn != NULL, listener_now(l));
	if (v != NULL) {
		reply_error(l, client, &q, wire, v);
		if (v == &verdict_acl && conn != NULL)
			tcp_close_when_sent(conn);
		return;
	}
	if (conn == NULL &&
	    query_is_repeated(l, client, &q, wire, len, &hash)) {
		listener_count_out(l, LSTAT_dropped_repeated);
		return;
	}
	s = query_admit(l, client, &q, wire, len);
	if (s == NULL) {
		reply_error(l, client, &q, wire, &verdict_full);
		return;
	}
	if (conn == NULL)
		inflight_index(&l->inflight, s, hash);
	else if (dns_is_transfer(&q))
		transfer_begin(l, s);
	lazy_timer_arm(&l->deadline, listener_now(l),
	    inflight_first(&l->inflight)->deadline_ms);
	link_send(l, s);
}

/* The query of a handle, if the pool can know it. */
static struct inflight_slot *
query_with_pool(struct listener *l, uint64_t handle)
{
	struct inflight_slot *s = inflight_find(&l->inflight, handle);

	if (s != NULL && query_is_with_pool(s))
		return s;
	l->counters[LSTAT_stale_answers]++;
	return NULL;
}

/* True if the client is to hear how long its connection may be idle. */
static bool
query_asks_keepalive(struct listener *l, const struct inflight_slot *s)
{
	if (s->client.conn == NULL || s->transfer || !s->query.has_edns ||
	    !l->conf.client.edns_keepalive)
		return false;
	memcpy(l->scratch, inflight_wire(s), s->wire_len);
	return keepalive_is_asked(l->scratch, s->wire_len);
}

void
query_answer(
    struct listener *l, uint64_t handle, const uint8_t *wire, size_t len)
{
	enum listener_counter outcome = LSTAT_answered;
	struct inflight_slot *s;
	size_t limit;

	s = query_with_pool(l, handle);
	if (s == NULL)
		return;
	/* The pool has checked this; but what if it is not the pool we know? */
	if (!dns_answer_matches(inflight_wire(s), s->wire_len, wire, len)) {
		l->counters[LSTAT_bad_answers]++;
		return;
	}
	if (!s->transfer)
		query_note_answer(l, s);
	if (s->gone) {
		query_unhook(l, s, true);
		return;
	}
	if (!s->transfer)
		query_note_told(l, s);
	limit = reply_limit(&s->client, &s->query);
	if (len > limit) {
		len = dns_truncate(wire, len, &s->query, limit, l->scratch);
		wire = l->scratch;
		outcome = LSTAT_truncated;
	} else if (query_asks_keepalive(l, s)) {
		memcpy(l->scratch, wire, len);
		len = keepalive_put(l->scratch, len, limit, tcp_keepalive(l));
		wire = l->scratch;
	}
	query_reply(l, &s->client, s->query.id, wire, len, outcome);
	query_unhook(l, s, true);
}

void
query_part(struct listener *l, uint64_t handle, const uint8_t *wire, size_t len)
{
	struct inflight_slot *s = query_with_pool(l, handle);

	if (s == NULL)
		return;
	if ((!s->transfer && s->tcp) ||
	    !dns_answer_matches(inflight_wire(s), s->wire_len, wire, len)) {
		l->counters[LSTAT_bad_answers]++;
		return;
	}
	if (s->transfer) {
		transfer_part(l, s, wire, len);
		return;
	}
	/* An IXFR of several messages: there is TCP for it. */
	query_note_told(l, s);
	len = dns_truncate(wire, len, &s->query,
	    reply_limit(&s->client, &s->query), l->scratch);
	query_reply(
	    l, &s->client, s->query.id, l->scratch, len, LSTAT_truncated);
	query_unhook(l, s, true);
}

void
query_failed(struct listener *l, uint64_t handle, const struct msg_failed *f)
{
	char text[DNS_EDE_TEXT_MAX + 1];
	struct inflight_slot *s;
	struct verdict v;
	const char *name;

	s = query_with_pool(l, handle);
	if (s == NULL)
		return;
	if (f->cause == CAUSE_TIMEOUT && !s->transfer)
		query_note_timeout(l, s);
	v.outcome = causes[f->cause].outcome;
	v.ede = causes[f->cause].ede;
	v.rcode = DNS_RCODE_SERVFAIL;
	v.text = msg_cause_name(f->cause);
	if (f->upstream < CONF_UPSTREAMS_MAX &&
	    l->upstreams[f->upstream][0] != '\0') {
		name = l->upstreams[f->upstream];
		(void)snprintf(
		    text, sizeof(text), "upstream \"%s\": %s", name, v.text);
		v.text = text;
	}
	query_end(l, s, &v, true);
}

void
query_lost(struct listener *l, struct inflight_slot *s)
{
	query_end(l, s, &verdict_lost, true);
}

void
query_yield(struct listener *l, struct inflight_slot *s)
{
	query_end(l, s, &verdict_full, false);
}

void
query_expire(struct listener *l, struct inflight_slot *s)
{
	query_note_timeout(l, s);
	query_end(l, s, &verdict_timeout, false);
}

void
query_abandon(struct listener *l, struct inflight_slot *s)
{
	listener_count_out(l, LSTAT_abandoned);
	if (!query_is_with_pool(s) || s->transfer) {
		query_unhook(l, s, false);
		return;
	}
	/* An upstream has it to do all the same: so it keeps its place. */
	tcp_release(s->client.conn);
	inflight_leave(&l->inflight, s);
}

void
query_deadline(int fd, short what, void *arg)
{
	struct listener *l = arg;
	struct inflight_slot *s;
	uint64_t now_ms = listener_now(l);
	bool asked;

	(void)fd;
	(void)what;
	l->deadline.due_ms = 0;
	while ((s = inflight_first(&l->inflight)) != NULL &&
	       s->deadline_ms <= now_ms) {
		if (transfer_excused(l, s))
			continue;
		/* Or about to be, see link.c. */
		asked = !s->waiting && imsg_is_open(&l->link);
		if (asked && !s->transfer)
			query_note_timeout(l, s);
		query_end(
		    l, s, asked ? &verdict_timeout : &verdict_not_ready, false);
	}
	if (s != NULL)
		lazy_timer_arm(&l->deadline, now_ms, s->deadline_ms);
}
