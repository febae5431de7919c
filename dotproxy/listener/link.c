/* SPDX-License-Identifier: ISC */
/*
 * The channel to the pool.  Runs in the listener.  The pool speaks with the
 * internet and may have been taken over: what it sends can end a query it was
 * given, or fill in what a control client asked it, and nothing else.  When it
 * breaks the protocol or goes away, queries wait here for the next one.
 */

#include "common/log.h"
#include "dotproxy/listener/listener.h"

static int
on_answer(void *arg, struct imsg *m)
{
	query_answer(arg, m->id, m->data, m->len);
	return 0;
}

static int
on_part(void *arg, struct imsg *m)
{
	query_part(arg, m->id, m->data, m->len);
	return 0;
}

static int
on_failed(void *arg, struct imsg *m)
{
	struct msg_failed f;

	if (msg_read_failed(m, &f) == -1)
		return -1;
	query_failed(arg, m->id, &f);
	return 0;
}

/* Answers to those who asked: a control client, or metrics. */
static void
relay(struct listener *l, struct imsg *m)
{
	if (m->id == STATSD_HANDLE)
		statsd_on_info(l, m);
	else
		control_relay(l, ROLE_POOL, m);
}

static int
on_counters(void *arg, struct imsg *m)
{
	struct info_counters c;

	if (msg_read_info_counters(m, &c) == -1 || c.source != SOURCE_POOL)
		return -1;
	relay(arg, m);
	return 0;
}

static int
on_info(void *arg, struct imsg *m)
{
	relay(arg, m);
	return 0;
}

/* What is of the listener is nobody else's to say. */
static int
on_hist(void *arg, struct imsg *m)
{
	struct info_hist h;

	if (msg_read_info_hist(m, &h) == -1 || h.which >= INFO_HIST_OF_UPSTREAM)
		return -1;
	relay(arg, m);
	return 0;
}

static int
on_info_end(void *arg, struct imsg *m)
{
	struct msg_result res;

	if (msg_read_result(m, &res) == -1)
		return -1;
	if (m->id == STATSD_HANDLE)
		statsd_on_info(arg, m);
	else
		control_end(arg, ROLE_POOL, m->id, res.ok, res.text);
	return 0;
}

/* What is accepted from the pool. */
static const struct imsg_rule link_rules[IMSG_TYPES_MAX] = {
	[MSG_TL_ANSWER] = { on_answer, DNS_HDR_LEN, DNS_MSG_MAX, 1,
	    IMSG_FD_NONE },
	[MSG_TL_PART] = { on_part, DNS_HDR_LEN, DNS_MSG_MAX, 1, IMSG_FD_NONE },
	[MSG_TL_FAILED] = { on_failed, 1, 16, 1, IMSG_FD_NONE },
	[MSG_INFO_COUNTERS] = { on_counters, 1, MSG_INFO_MAX, 1, IMSG_FD_NONE },
	[MSG_INFO_POOL] = { on_info, 1, MSG_INFO_MAX, 1, IMSG_FD_NONE },
	[MSG_INFO_UPSTREAM] = { on_info, 1, MSG_INFO_MAX, 1, IMSG_FD_NONE },
	[MSG_INFO_CONN] = { on_info, 1, MSG_INFO_MAX, 1, IMSG_FD_NONE },
	[MSG_INFO_PIN] = { on_info, 1, MSG_INFO_MAX, 1, IMSG_FD_NONE },
	[MSG_INFO_ERROR] = { on_info, 1, MSG_INFO_MAX, 1, IMSG_FD_NONE },
	[MSG_INFO_HIST] = { on_hist, 1, MSG_INFO_MAX, 1, IMSG_FD_NONE },
	[MSG_INFO_PROBE] = { on_info, 1, MSG_INFO_MAX, 1, IMSG_FD_NONE },
	[MSG_INFO_END] = { on_info_end, 1, MSG_INFO_MAX, 1, IMSG_FD_NONE },
};

/* May be called in the middle of anything; so it only takes note. */
static void
on_down(void *arg, enum imsg_status status, const char *why)
{
	struct listener *l = arg;

	l->link_broken = true;
	if (status == IMSG_VIOLATION)
		log_warnx("pool broke the protocol: %s", why);
	else if (status == IMSG_FAILED)
		log_warnx("link to the pool: %s", why);
	else
		log_debug("link to the pool: %s", why);
}

/*
 * Those the old pool had are to be sent again, oldest first, where that does
 * no harm, and where it may get them done.  Who waits for a turn keeps it.
 */
static void
requeue(struct listener *l)
{
	struct inflight_slot *s, *next;

	for (s = inflight_first(&l->inflight); s != NULL; s = next) {
		next = inflight_next(s);
		if (s->waiting || s->lined)
			continue;
		if (dns_may_repeat(&s->query) && !s->gone)
			inflight_wait(&l->inflight, s);
		else
			query_lost(l, s);
	}
}

void
link_open(struct listener *l, uint64_t id, const struct imsg_ends *ends)
{
	const struct imsg_chan_opts opts = {
		.rules = link_rules,
		.in_cap = MSG_LINK_BUF,
		.out_cap = MSG_LINK_BUF,
		.phase = 1,
		.arg = l,
		.on_down = on_down,
	};

	imsg_close(&l->link);
	control_pool_gone(l);
	transfer_drop_all(l);
	l->link_broken = false;
	l->owe_link_down = false;
	l->link_id = id;
	if (imsg_open(&l->link, ends->in, &opts) == -1)
		fatalx("out of memory");
	imsg_set_out(&l->link, ends->out);
	if (imsg_attach(&l->link, l->base) == -1)
		fatalx("out of memory");
	window_init(&l->turns.window);
	requeue(l); /* they are sent at the end of the turn */
}

void
link_drop(struct listener *l)
{
	imsg_close(&l->link);
	l->link_broken = false;
	l->owe_link_down = true;
	l->owed_link_id = l->link_id;
	control_pool_gone(l);
	transfer_drop_all(l);
}

/* Tells the pool that the client has taken what came; or returns false. */
static bool
try_pay(struct listener *l, struct inflight_slot *s)
{
	if (!msg_send_u32(&l->link, MSG_LT_CREDIT,
		inflight_handle(&l->inflight, s), s->unpaid))
		return false;
	inflight_unwait(&l->inflight, s);
	s->unpaid = 0;
	return true;
}

static bool
send_query(struct listener *l, const struct inflight_slot *s, uint32_t left_ms)
{
	uint64_t handle = inflight_handle(&l->inflight, s);

	if (s->transfer)
		return msg_send_transfer(
		    &l->link, handle, left_ms, inflight_wire(s), s->wire_len);
	return msg_send_query(
	    &l->link, handle, left_ms, inflight_wire(s), s->wire_len);
}

/* What the pool has left to answer a query in. */
static uint64_t
time_left(struct listener *l, const struct inflight_slot *s)
{
	uint64_t now_ms = listener_now(l);
	uint64_t until_ms = s->deadline_ms - LISTENER_GRACE_MS;

	return until_ms > now_ms ? until_ms - now_ms : 0;
}

/* Returns false if the link has no room, or is not there. */
static bool
try_send(struct listener *l, struct inflight_slot *s)
{
	uint64_t left_ms;

	if (s->begun)
		return try_pay(l, s);
	left_ms = time_left(l, s);
	if (left_ms == 0) {
		inflight_unwait(&l->inflight, s);
		return true; /* in vain; our own deadline is near */
	}
	if (!send_query(l, s, (uint32_t)left_ms))
		return false;
	inflight_unwait(&l->inflight, s);
	if (s->sent)
		l->counters[LSTAT_resent]++;
	s->sent = true;
	s->sent_ms = listener_now(l);
	return true;
}

/* How many queries are with the pool, or wait for nothing but room. */
static uint32_t
link_load(const struct listener *l)
{
	uint64_t others = l->turns.n + l->counters[LSTAT_transfers_open];

	return l->inflight.count - (uint32_t)others;
}

/* True if a query, which is in the table, has to wait for its turn. */
static bool
has_to_wait(struct listener *l)
{
	struct turns *t = &l->turns;

	if (t->n > 0)
		return true;
	if (link_load(l) <= window_limit(&t->window) ||
	    !window_begins_line(&t->window, listener_now(l)))
		return false;
	lazy_timer_arm(
	    &l->turn, l->now_ms, l->now_ms + window_patience_ms(&t->window));
	return true;
}

void
link_send(struct listener *l, struct inflight_slot *s)
{
	if (!turns_are_off(&l->turns) && !s->transfer && has_to_wait(l)) {
		turns_wait(&l->turns, s);
		l->counters[LSTAT_in_turn]++;
	} else if (!try_send(l, s)) {
		inflight_wait(&l->inflight, s);
	}
}

void
link_judge(struct listener *l)
{
	window_judge(&l->turns.window, l->turns.n > 0, listener_now(l));
}

void
link_turn_due(int fd, short what, void *arg)
{
	struct listener *l = arg;
	struct window *w = &l->turns.window;
	uint64_t now_ms = listener_now(l), due_ms;

	(void)fd;
	(void)what;
	l->turn.due_ms = 0;
	if (l->turns.n == 0)
		return;
	if (now_ms >= w->answered_ms + window_patience_ms(w))
		window_stalled(w, now_ms);
	due_ms = w->answered_ms + window_patience_ms(w);
	lazy_timer_arm(&l->turn, now_ms, due_ms);
}

void
link_cancel(struct listener *l, uint64_t handle)
{
	if (imsg_send_empty(&l->link, MSG_LT_CANCEL, handle, -1) ||
	    !imsg_is_open(&l->link))
		return;
	/* There is room: each is in place of a transfer, see transfer.c. */
	if (l->ncancels < CONF_TRANSFERS_MAX)
		l->cancels[l->ncancels++] = handle;
}

static void
send_cancels(struct listener *l)
{
	while (l->ncancels > 0 && imsg_send_empty(&l->link, MSG_LT_CANCEL,
				      l->cancels[l->ncancels - 1], -1))
		l->ncancels--;
}

/* True if something may be sent now. */
static bool
link_has_room(struct listener *l)
{
	return !imsg_congested(&l->link) || imsg_flush(&l->link) == IMSG_OK;
}

/*
 * True if an answer would hardly come in time.  It costs the upstream as much
 * as any other, and the place here would be free again before the upstream has
 * done with it: so more and more would be with it, until all come too late.
 */
static bool
is_too_late(struct listener *l, const struct inflight_slot *s)
{
	/* Twice what they took lately: twice as many may be tried now. */
	uint64_t takes_ms = 2 * (l->turns.window.mean_us / 1000);
	uint64_t most_ms = l->conf.query_timeout_ms / 2;

	/* But it may be less again, and somebody has to find out. */
	if (takes_ms > most_ms)
		takes_ms = most_ms;
	return time_left(l, s) <= takes_ms;
}

/* Those whose turn it is, as many as may be with the pool. */
static void
send_in_turn(struct listener *l)
{
	struct turns *t = &l->turns;
	struct inflight_slot *s;

	while ((s = turns_next(t)) != NULL &&
	       link_load(l) < window_limit(&t->window)) {
		if (is_too_late(l, s)) {
			query_expire(l, s);
			continue;
		}
		if (!link_has_room(l) || !try_send(l, s))
			return;
		turns_take(t, s);
	}
	t->window.bound_ms = listener_now(l);
}

void
link_send_waiting(struct listener *l)
{
	struct inflight_slot *s;

	if (!imsg_is_open(&l->link))
		return;
	send_cancels(l);
	while ((s = TAILQ_FIRST(&l->inflight.wait)) != NULL)
		if (!link_has_room(l) || !try_send(l, s))
			return;
	if (l->turns.n > 0)
		send_in_turn(l);
	window_loaded(&l->turns.window, link_load(l), l->prefixes.nheld,
	    prefixes_take_most(&l->prefixes), listener_now(l));
}
