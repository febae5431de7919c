/* SPDX-License-Identifier: ISC */
/*
 * When an upstream is dialled, when it is out, and what the log says of it, see
 * upstream.h.  Runs in the pool.  It must never dial faster than the pauses in
 * upstream.h allow one that fails, nor log faster than an operator can read,
 * nor log anything about a query.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/loop.h"
#include "common/util.h"
#include "dotproxy/pool/pool.h"

/* Between two warnings about one upstream; about the same trouble. */
#define WARN_PAUSE_MS 5000u
#define WARN_AGAIN_MS 600000u
#define FAILURE_HINT_MAX 80

/* Tells the parent whether it is up, if that is known, and news. */
static void
tell_parent(struct upstream *up)
{
	struct msg_health h = { .up = true };

	if (up->failed)
		h = up->fault;
	else if (up->nready == 0 && up->n.opened == 0)
		return;
	if (up->has_told && h.up == up->told.up && h.phase == up->told.phase &&
	    h.cause == up->told.cause && h.err == up->told.err)
		return;
	/* One that has no room is told the next time. */
	up->has_told = msg_send_health(&up->pool->parent, up->id, &h);
	up->told = h;
}

void
upstream_refresh(struct upstream *up)
{
	if (up->index == UPSTREAM_NO_INDEX)
		return;
	policy_set_up(&up->pool->policy, up->index, upstream_usable(up));
	policy_set_doubt(&up->pool->policy, up->index, up->doubt);
	tell_parent(up);
}

static uint64_t
later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/*
 * The earliest time for the next dial.  An upstream that fails has its
 * back-off, but if queries wait and there is nothing else it is tried sooner.
 */
static uint64_t
dial_after(const struct upstream *up)
{
	uint64_t pause_ms = up->backoff.delay_ms;
	bool urgent;

	if (!up->suspect)
		return up->quota_ms;
	urgent = up->nready == 0 && (up->nwaiting > 0 || up->pool->nparked > 0);
	if (!urgent)
		return later(up->quota_ms, up->backoff.until_ms);
	if (pause_ms < UPSTREAM_PAUSE_MIN_MS)
		pause_ms = UPSTREAM_PAUSE_MIN_MS;
	if (pause_ms > UPSTREAM_PAUSE_MAX_MS)
		pause_ms = UPSTREAM_PAUSE_MAX_MS;
	return later(up->quota_ms, up->dialled_ms + pause_ms);
}

void
upstream_dial(struct upstream *up, enum upstream_use use)
{
	struct pool *pool = up->pool;
	struct conn *c = conn_new(up, pool->last_request + 1);
	bool plain =
	    up->plain && pool->now_ms - up->plain_ms < UPSTREAM_PLAIN_MS;

	/* Who dials for everybody does not wait for who asks for transfers. */
	if (use != USE_TRANSFER || up->suspect)
		up->dialled_ms = pool->now_ms;
	if (c == NULL || !msg_send_u32(&pool->parent,
			     plain ? MSG_TP_CONNECT_PLAIN : MSG_TP_CONNECT,
			     c->request, up->id)) {
		free(c);
		up->quota_ms = pool->now_ms + UPSTREAM_QUOTA_MS;
		return;
	}
	/* The parent makes the socket while we make what is sent first. */
	(void)imsg_flush(&pool->parent); /* on_down exits */
	pool->last_request++;
	pool_count(pool, TSTAT_connect_requests);
	TAILQ_INSERT_TAIL(&up->conns, c, all);
	TAILQ_INSERT_TAIL(&pool->asked, c, place);
	up->nconnecting += use != USE_TRANSFER;
	pool->ndials++;
	c->plain = plain;
	c->lone = use != USE_MANY;
	c->apart = use == USE_TRANSFER;
	if (use == USE_MANY)
		up->nconns++;
	else if (use == USE_LONE)
		up->lone = c;
	else
		up->napart++;
	conn_prepare(c);
}

/*
 * When a dial that is under way has had its time, so that another is begun
 * beside it: a SYN that is lost costs a second, and the path may be back.
 */
static uint64_t
overlap_after(const struct upstream *up)
{
	uint64_t at = later(up->dialled_ms, up->quota_ms);
	const struct conn *c;

	TAILQ_FOREACH (c, &up->conns, all)
		if (c->state == CONN_HANDSHAKE)
			at = later(at, c->phase_us / 1000);
	return at + UPSTREAM_PAUSE_MAX_MS;
}

/* True if one more may be dialled beside those under way. */
static bool
may_overlap(const struct upstream *up)
{
	return up->nconnecting < UPSTREAM_DIALS_MAX &&
	       up->nconns < up->conf.pool_size &&
	       (up->nconnecting == 0 || up->pool->ndials < POOL_DIALS_MAX);
}

void
upstream_relieve(struct upstream *up)
{
	uint64_t now_ms = up->pool->now_ms;

	if (up->index == UPSTREAM_NO_INDEX || !TAILQ_EMPTY(&up->avail) ||
	    !may_overlap(up) || overlap_after(up) > now_ms)
		return;
	upstream_dial(up, USE_MANY);
}

void
upstream_grow(struct upstream *up)
{
	uint32_t want = up->nwaiting / CONN_SOFT_MAX + 1;

	if (want > UPSTREAM_DIALS_MAX)
		want = UPSTREAM_DIALS_MAX;
	while (up->nconnecting < want && up->nconns < up->conf.pool_size &&
	       (up->nconnecting == 0 || up->pool->ndials < POOL_DIALS_MAX) &&
	       dial_after(up) <= up->pool->now_ms)
		upstream_dial(up, USE_MANY);
	/* Also for the one after those that get nowhere. */
	if (up->nready == 0 && up->nwaiting > 0 &&
	    (up->nconnecting == 0 ||
		!event_pending(&up->timer, EV_TIMEOUT, NULL)))
		upstream_poke(up);
}

void
upstream_keep(struct upstream *up)
{
	uint32_t want = overdue_wanted(up);

	while (up->nready > 0 && up->nready + up->nconnecting < want &&
	       up->nconns < up->conf.pool_size && !up->suspect &&
	       up->pool->ndials < POOL_DIALS_MAX &&
	       up->index != UPSTREAM_NO_INDEX &&
	       dial_after(up) <= up->pool->now_ms)
		upstream_dial(up, USE_MANY);
}

/*
 * Puts queries of up->alone on the connection for these, as many as each of
 * them may have beside it.
 */
static void
place_alone(struct upstream *up, struct conn *c)
{
	struct query *q;
	uint32_t company;

	if (conn_inflight(c) == 0) {
		/* What was given up may end it yet. */
		if (conn_load(c) > 0) {
			conn_close(c);
			return;
		}
		up->lone_max = QUERY_COMPANY_MAX;
	}
	while ((q = TAILQ_FIRST(&up->alone)) != NULL) {
		company = query_company(q);
		if (company > up->lone_max)
			company = up->lone_max;
		if (conn_load(c) >= company)
			return;
		up->lone_max = company;
		upstream_forget(up, q);
		conn_submit(c, q);
	}
}

/*
 * Gives the next of up->alone to the connection for these, or dials one.
 * Returns when to come back, UINT64_MAX if something else will.
 */
static uint64_t
serve_alone(struct upstream *up)
{
	struct conn *c = up->lone;
	uint64_t at;

	if (TAILQ_EMPTY(&up->alone))
		return UINT64_MAX;
	if (c == NULL) {
		at = later(up->lone_ms, dial_after(up));
		if (at > up->pool->now_ms)
			return at;
		upstream_dial(up, USE_LONE);
		return up->lone != NULL ? UINT64_MAX : up->quota_ms;
	}
	if (c->state == CONN_READY)
		place_alone(up, c);
	return UINT64_MAX;
}

/* The same for up->transfers: a connection for each, a few at a time. */
static uint64_t
serve_transfers(struct upstream *up)
{
	uint32_t want = up->ntransfers, before;
	uint64_t at;

	if (want > UPSTREAM_DIALS_MAX)
		want = UPSTREAM_DIALS_MAX;
	while (up->napart < want) {
		at = later(up->lone_ms, dial_after(up));
		if (at > up->pool->now_ms)
			return at;
		before = up->napart;
		upstream_dial(up, USE_TRANSFER);
		if (up->napart == before)
			return up->quota_ms;
	}
	return UINT64_MAX;
}

/*
 * Dials if there is no connection and somebody wants one: a query waiting
 * here, or, after a failure, any query; and again, beside it, if the dial gets
 * nowhere.  Returns as serve_alone() does.
 */
static uint64_t
serve_waiting(struct upstream *up)
{
	struct pool *pool = up->pool;
	bool wanted = up->nwaiting > 0 || pool->nparked > 0;
	uint64_t at;

	if (up->nready > 0)
		return UINT64_MAX;
	if (up->nconnecting > 0 && (!wanted || !may_overlap(up)))
		return UINT64_MAX;
	if (up->nwaiting == 0 && up->nconnecting == 0) {
		if (!up->failed)
			return UINT64_MAX;
		if (pool->nparked == 0 &&
		    pool->counters[TSTAT_queries] == up->queries_seen) {
			pool->probe_due |= (uint64_t)1 << up->index;
			return UINT64_MAX;
		}
	}
	at = dial_after(up);
	if (up->nconnecting > 0)
		at = later(at, overlap_after(up));
	if (at > pool->now_ms)
		return at;
	upstream_dial(up, USE_MANY);
	if (up->nconnecting == 0)
		return up->quota_ms;
	return wanted && may_overlap(up) ? overlap_after(up) : UINT64_MAX;
}

void
upstream_poke(struct upstream *up)
{
	uint64_t now_ms = up->pool->now_ms;
	uint64_t at, when;
	struct timeval tv;

	if (up->index == UPSTREAM_NO_INDEX || up->disabled)
		return;
	/* In this order: a dial may be the last for now. */
	when = serve_waiting(up);
	at = serve_alone(up);
	if (at < when)
		when = at;
	at = serve_transfers(up);
	if (at < when)
		when = at;
	if (when == UINT64_MAX)
		return;
	tv = pool_timeval(when > now_ms ? when - now_ms : 1);
	loop_watch(&up->timer, &tv);
}

/* What a failure is called: the cause says more than the phase. */
static const char *
failure_name(const struct conn_end *end)
{
	switch (end->cause) {
	case CAUSE_NAME:
		return "name";
	case CAUSE_EXPIRED:
		return "expiry";
	case CAUSE_UNTRUSTED:
		return "chain";
	case CAUSE_PIN:
		return "pin";
	case CAUSE_CLIENT_CERT:
		return "client certificate";
	default:
		return msg_phase_name((uint8_t)end->phase);
	}
}

/*
 * What to look at.  Between two machines that both work it is mostly the path,
 * or a port that is for something else.
 */
static void
failure_hint(const struct upstream *up, const struct conn_end *end,
    char hint[FAILURE_HINT_MAX])
{
	unsigned int port = sockaddr_port(&up->conf.addr);

	hint[0] = '\0';
	if (end->phase == PHASE_CONNECT)
		(void)snprintf(hint, FAILURE_HINT_MAX,
		    " (is there a route, and does the firewall let TCP port "
		    "%u out?)",
		    port);
	else if (end->phase == PHASE_HANDSHAKE && end->cause == CAUSE_TLS)
		(void)snprintf(hint, FAILURE_HINT_MAX,
		    " (does it speak DNS over TLS at port %u?)", port);
}

static void
log_failure(
    struct upstream *up, const struct conn *c, const struct conn_end *end)
{
	struct upstream_log *log = &up->log;
	uint64_t now_ms = up->pool->now_ms, age_ms = now_ms - log->warned_ms;
	char addr[SOCKADDR_TEXT_MAX], life[80] = "", more[64] = "";
	char hint[FAILURE_HINT_MAX];
	bool news = (up->failed && !log->down) || log->phase != end->phase ||
		    log->cause != end->cause || age_ms >= WARN_AGAIN_MS;

	sockaddr_text(&up->conf.addr, addr);
	if (c->ready_ms != 0)
		(void)snprintf(life, sizeof(life),
		    " (connection %llu ms old, %llu answers)",
		    (unsigned long long)(now_ms - c->ready_ms),
		    (unsigned long long)c->served);
	if (log->warned_ms != 0 && (!news || age_ms < WARN_PAUSE_MS)) {
		log->unsaid++;
		log_debug("upstream \"%s\" (%s): %s: %s%s", up->conf.name, addr,
		    failure_name(end), end->text, life);
		return;
	}
	if (log->unsaid > 0)
		(void)snprintf(more, sizeof(more),
		    "; %llu failures since the last warning",
		    (unsigned long long)log->unsaid + 1);
	failure_hint(up, end, hint);
	log_warnx("upstream \"%s\" (%s): %s: %s%s%s%s", up->conf.name, addr,
	    failure_name(end), end->text, hint, life, more);
	log->unsaid = 0;
	log->warned_ms = now_ms;
	log->phase = (uint8_t)end->phase;
	log->cause = (uint8_t)end->cause;
	if (up->failed && !log->down) {
		log->down = true;
		log->down_since_ms = now_ms;
	}
}

void
upstream_fail(
    struct upstream *up, const struct conn *c, const struct conn_end *end)
{
	struct pool *pool = up->pool;

	if (up->index == UPSTREAM_NO_INDEX)
		return;
	pool->last_cause = (uint8_t)end->cause;
	pool->last_failed = up->id;
	up->fault.phase = (uint8_t)end->phase;
	up->fault.cause = (uint8_t)end->cause;
	up->fault.err = 0;
	if (end->cause == CAUSE_NETWORK && end->err > 0 &&
	    (unsigned int)end->err <= MSG_ERRNO_MAX)
		up->fault.err = (uint16_t)end->err;
	/* Several connections that die together are one failure. */
	if (!backoff_active(&up->backoff, pool->now_ms))
		(void)backoff_fail(&up->backoff, pool->now_ms);
	up->suspect = true;
	up->failed_ms = pool->now_ms;
	/* To be accepted and never answered must not look like success. */
	if (c->ready_ms != 0 && c->served == 0)
		up->need_answer = true;
	if (up->nready == 0) {
		up->failed = true;
		up->queries_seen = pool->counters[TSTAT_queries];
	}
	log_failure(up, c, end);
}

void
upstream_succeed(struct upstream *up, const struct conn *c)
{
	struct upstream_log *log = &up->log;
	char addr[SOCKADDR_TEXT_MAX];

	if (log->down) {
		log_info("upstream \"%s\" (%s): up again after %llu ms",
		    up->conf.name, sockaddr_text(&up->conf.addr, addr),
		    (unsigned long long)(up->pool->now_ms -
					 log->down_since_ms));
		log->down = false;
	}
	if (c->asked_ms < up->failed_ms)
		return;
	backoff_clear(&up->backoff);
	up->suspect = up->need_answer = false;
}

static struct conn *
find_asked(struct pool *pool, uint64_t request)
{
	struct conn *c;

	TAILQ_FOREACH (c, &pool->asked, place)
		if (c->request == request)
			return c;
	return NULL;
}

int
upstream_on_connected(struct pool *pool, uint64_t request, int fd)
{
	struct conn *c = find_asked(pool, request);

	if (c == NULL) {
		close(fd);
		/* It may have gone with its upstream in a reload. */
		return request <= pool->last_request ? 0 : -1;
	}
	TAILQ_REMOVE(&pool->asked, c, place);
	conn_start(c, fd);
	return 0;
}

int
upstream_on_connect_failed(struct pool *pool, uint64_t request, int err)
{
	const struct conn_end end = { .cause = CAUSE_NETWORK,
		.text = "not now" };
	struct conn *c = find_asked(pool, request);

	if (c == NULL)
		return request <= pool->last_request ? 0 : -1;
	switch (err) {
	case EAGAIN: /* the parent's limit */
	case ENOENT: /* a reload is on its way */
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		c->up->quota_ms = pool->now_ms + UPSTREAM_QUOTA_MS;
		conn_end(c, &end);
		break;
	default:
		conn_fail_errno(c, PHASE_CONNECT, err);
	}
	return 0;
}
