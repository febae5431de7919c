/* SPDX-License-Identifier: ISC */
/*
 * The answers to control requests: every INFO message has its codec in the
 * table below and goes through codec_test(), or a test of its own.  A type
 * without a test fails.
 */
/* LINK: common/msg%.c common/imsg.c */
/* LIBS: -levent_core */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/msg_codec.h"

#define ID UINT64_C(0x1122334455667788)

/* --- INFO_COUNTERS --- */

static void
counters_fill(void *x, enum variant v)
{
	struct info_counters *c = x;
	uint64_t next = 1;
	uint32_t i;

	NUMBER(c->source, 0, SOURCE_COUNT - 1);
	NUMBER(c->uptime_ms, 0, UINT64_MAX - 1);
	NUMBER(c->n, 0, INFO_COUNTERS_MAX);
	for (i = 0; i < c->n; i++)
		NUMBER(c->values[i], 0, UINT64_MAX - 1);
}

static bool
counters_send(struct imsg_chan *ch, const void *x)
{
	return msg_send_info_counters(ch, ID, x);
}

static int
counters_read(const struct imsg *m, void *x)
{
	return msg_read_info_counters(m, x);
}

static bool
counters_spoil(void *x, int n)
{
	struct info_counters *c = x;

	if (n == 0)
		c->source = SOURCE_COUNT;
	else
		c->n = INFO_COUNTERS_MAX + 1;
	return n < 2;
}

/* --- INFO_POOL --- */

static void
pool_fill(void *x, enum variant v)
{
	struct info_pool *p = x;
	uint64_t next = 2;

	NUMBER(p->policy, 0, POLICY_COUNT - 1);
	NUMBER(p->nupstreams, 0, UINT32_MAX);
	NUMBER(p->inflight, 0, UINT32_MAX);
	NUMBER(p->parked, 0, UINT32_MAX);
	NUMBER(p->max_inflight, 0, UINT32_MAX);
}

static bool
pool_send(struct imsg_chan *ch, const void *x)
{
	return msg_send_info_pool(ch, ID, x);
}

static int
pool_read(const struct imsg *m, void *x)
{
	return msg_read_info_pool(m, x);
}

static bool
pool_spoil(void *x, int n)
{
	((struct info_pool *)x)->policy = POLICY_COUNT;
	return n == 0;
}

/* --- INFO_UPSTREAM --- */

static void
upstream_fill(void *x, enum variant v)
{
	struct info_upstream *u = x;
	uint64_t next = 3;
	size_t i;

	NUMBER(u->index, 0, CONF_UPSTREAMS_MAX - 1);
	text(v, u->name, sizeof(u->name), &next);
	text(v, u->server_name, sizeof(u->server_name), &next);
	address(v, &u->addr, &next);
	NUMBER(u->state, 0, STATE_COUNT - 1);
	NUMBER(u->last_cause, 0, CAUSE_COUNT - 1);
	NUMBER(u->backoff_left_ms, 0, UINT32_MAX);
	NUMBER(u->pool_size, 0, UINT32_MAX);
	NUMBER(u->open, 0, UINT32_MAX);
	NUMBER(u->idle, 0, UINT32_MAX);
	NUMBER(u->connecting, 0, UINT32_MAX);
	NUMBER(u->inflight, 0, UINT32_MAX);
	NUMBER(u->waiting, 0, UINT32_MAX);
	NUMBER(u->queries, 0, UINT64_MAX - 1);
	NUMBER(u->answers, 0, UINT64_MAX - 1);
	NUMBER(u->opened, 0, UINT64_MAX - 1);
	NUMBER(u->resumed, 0, UINT64_MAX - 1);
	NUMBER(u->closed_by_peer, 0, UINT64_MAX - 1);
	NUMBER(u->warm_dials, 0, UINT64_MAX - 1);
	NUMBER(u->idle_limit_ms, 0, UINT32_MAX);
	NUMBER(u->warm_left_ms, 0, UINT32_MAX);
	NUMBER(u->retries, 0, UINT64_MAX - 1);
	NUMBER(u->hedges, 0, UINT64_MAX - 1);
	NUMBER(u->hedges_won, 0, UINT64_MAX - 1);
	NUMBER(u->hedges_lost, 0, UINT64_MAX - 1);
	NUMBER(u->hedges_denied, 0, UINT64_MAX - 1);
	NUMBER(u->rescues, 0, UINT64_MAX - 1);
	for (i = 0; i < PHASE_COUNT; i++)
		NUMBER(u->failures[i], 0, UINT64_MAX - 1);
	NUMBER(u->latency_mean_us, 0, UINT64_MAX - 1);
	NUMBER(u->latency_p50_us, 0, UINT64_MAX - 1);
	NUMBER(u->latency_p99_us, 0, UINT64_MAX - 1);
	NUMBER(u->connect_p50_us, 0, UINT64_MAX - 1);
	NUMBER(u->handshake_p50_us, 0, UINT64_MAX - 1);
}

static bool
upstream_send(struct imsg_chan *ch, const void *x)
{
	return msg_send_info_upstream(ch, ID, x);
}

static int
upstream_read(const struct imsg *m, void *x)
{
	return msg_read_info_upstream(m, x);
}

static bool
upstream_spoil(void *x, int n)
{
	struct info_upstream *u = x;

	switch (n) {
	case 0:
		u->index = CONF_UPSTREAMS_MAX;
		return true;
	case 1:
		u->state = STATE_COUNT;
		return true;
	case 2:
		u->last_cause = CAUSE_COUNT;
		return true;
	case 3:
		u->addr.ss_family = AF_UNSPEC;
		return true;
	default:
		return false;
	}
}

/* --- INFO_CONN --- */

static void
conn_fill(void *x, enum variant v)
{
	struct info_conn *c = x;
	uint64_t next = 4;

	NUMBER(c->upstream, 0, CONF_UPSTREAMS_MAX - 1);
	NUMBER(c->state, 0, CONN_STATE_COUNT - 1);
	NUMBER(c->resumed, 0, 1);
	NUMBER(c->age_ms, 0, UINT64_MAX - 1);
	NUMBER(c->idle_ms, 0, UINT64_MAX - 1);
	NUMBER(c->inflight, 0, UINT32_MAX);
	NUMBER(c->served, 0, UINT64_MAX - 1);
	text(v, c->version, sizeof(c->version), &next);
	text(v, c->cipher, sizeof(c->cipher), &next);
}

static bool
conn_send(struct imsg_chan *ch, const void *x)
{
	return msg_send_info_conn(ch, ID, x);
}

static int
conn_read(const struct imsg *m, void *x)
{
	return msg_read_info_conn(m, x);
}

static bool
conn_spoil(void *x, int n)
{
	struct info_conn *c = x;

	if (n == 0)
		c->upstream = CONF_UPSTREAMS_MAX;
	else
		c->state = CONN_STATE_COUNT;
	return n < 2;
}

/* --- INFO_PIN --- */

static void
pin_fill(void *x, enum variant v)
{
	struct info_pin *p = x;
	uint64_t next = 3;
	size_t i;

	memset(p, 0, sizeof(*p));
	NUMBER(p->upstream, 0, CONF_UPSTREAMS_MAX - 1);
	NUMBER(p->depth, 0, INFO_PINS_MAX - 1);
	NUMBER(p->configured, 0, 1);
	for (i = 0; i < sizeof(p->pin); i++)
		NUMBER(p->pin[i], 0, 255);
	text(v, p->subject, sizeof(p->subject), &next);
}

static bool
pin_send(struct imsg_chan *ch, const void *x)
{
	return msg_send_info_pin(ch, ID, x);
}

static int
pin_read(const struct imsg *m, void *x)
{
	return msg_read_info_pin(m, x);
}

static bool
pin_spoil(void *x, int n)
{
	struct info_pin *p = x;

	if (n == 0)
		p->upstream = CONF_UPSTREAMS_MAX;
	else
		p->depth = INFO_PINS_MAX;
	return n < 2;
}

/* --- INFO_ERROR --- */

static void
error_fill(void *x, enum variant v)
{
	struct info_error *e = x;
	uint64_t next = 3;

	memset(e, 0, sizeof(*e));
	NUMBER(e->upstream, 0, CONF_UPSTREAMS_MAX - 1);
	NUMBER(e->phase, 0, PHASE_COUNT - 1);
	NUMBER(e->cause, 0, CAUSE_COUNT - 1);
	NUMBER(e->count, 1, UINT64_MAX - 1);
	NUMBER(e->last_ms, 0, UINT32_MAX);
	NUMBER(e->first_ms, UINT32_MAX, UINT64_MAX - 1);
	text(v, e->text, sizeof(e->text), &next);
}

static bool
error_send(struct imsg_chan *ch, const void *x)
{
	return msg_send_info_error(ch, ID, x);
}

static int
error_read(const struct imsg *m, void *x)
{
	return msg_read_info_error(m, x);
}

static bool
error_spoil(void *x, int n)
{
	struct info_error *e = x;

	if (n == 0)
		e->upstream = CONF_UPSTREAMS_MAX;
	else if (n == 1)
		e->phase = PHASE_COUNT;
	else if (n == 2)
		e->cause = CAUSE_COUNT;
	else if (n == 3)
		e->count = 0;
	else
		e->last_ms = e->first_ms + 1;
	return n < 5;
}

/* --- INFO_CLIENT --- */

static void
client_fill(void *x, enum variant v)
{
	struct info_client *c = x;
	uint64_t next = 3;
	size_t i, size = v == MIXED ? 4 : 16;

	memset(c, 0, sizeof(*c));
	c->net.family = v == MIXED ? AF_INET : AF_INET6;
	NUMBER(c->net.len, 0, size * 8);
	for (i = 0; i < size; i++)
		NUMBER(c->net.addr[i], 0, 255);
	NUMBER(c->excess, 0, UINT32_MAX);
	NUMBER(c->queries, (uint64_t)UINT32_MAX + 1, UINT64_MAX - 1);
	NUMBER(c->answers, 0, UINT64_MAX - 1);
	NUMBER(c->last_minute, 0, UINT64_MAX - 1);
	NUMBER(c->inflight, 0, UINT32_MAX - 1);
}

static bool
client_send(struct imsg_chan *ch, const void *x)
{
	return msg_send_info_client(ch, ID, x);
}

static int
client_read(const struct imsg *m, void *x)
{
	return msg_read_info_client(m, x);
}

static bool
client_spoil(void *x, int n)
{
	struct info_client *c = x;

	if (n == 0)
		c->net.family = AF_UNIX;
	else if (n == 1)
		c->net.len = c->net.family == AF_INET ? 33 : 129;
	else
		c->excess = c->queries;
	return n < 3;
}

/* --- INFO_PROCESS --- */

static void
process_fill(void *x, enum variant v)
{
	struct info_process *p = x;
	uint64_t next = 5;

	NUMBER(p->role, 0, ROLE_COUNT - 1);
	NUMBER(p->worker, 0, CONF_WORKERS_MAX - 1);
	if (p->role == ROLE_PARENT)
		p->worker = 0;
	NUMBER(p->pid, 0, UINT32_MAX);
	NUMBER(p->uptime_ms, 0, UINT64_MAX - 1);
	NUMBER(p->restarts, 0, UINT64_MAX - 1);
	NUMBER(p->absent, 0, (1u << LAYER_COUNT) - 1);
	text(v, p->last_death, sizeof(p->last_death), &next);
}

static bool
process_send(struct imsg_chan *ch, const void *x)
{
	return msg_send_info_process(ch, ID, x);
}

static int
process_read(const struct imsg *m, void *x)
{
	return msg_read_info_process(m, x);
}

static bool
process_spoil(void *x, int n)
{
	struct info_process *p = x;

	switch (n) {
	case 0:
		p->role = ROLE_COUNT;
		break;
	case 1:
		p->role = ROLE_POOL;
		p->worker = CONF_WORKERS_MAX;
		break;
	case 2: /* there is one */
		p->role = ROLE_PARENT;
		p->worker = 1;
		break;
	default:
		p->absent = n == 3 ? 1u << LAYER_COUNT : UINT32_MAX;
	}
	return n < 5;
}

/* --- INFO_LISTENER --- */

static void
listener_fill(void *x, enum variant v)
{
	*(uint8_t *)x = v == SMALL ? 0 : 1;
}

static bool
listener_send(struct imsg_chan *ch, const void *x)
{
	return msg_send_u8(ch, MSG_INFO_LISTENER, ID, *(const uint8_t *)x);
}

static int
listener_read(const struct imsg *m, void *x)
{
	return msg_read_u8(m, x, 2);
}

/* --- INFO_END --- */

static void
end_fill(void *x, enum variant v)
{
	struct msg_result *r = x;
	uint64_t next = 6;

	NUMBER(r->ok, 0, 1);
	text(v, r->text, sizeof(r->text), &next);
}

static bool
end_send(struct imsg_chan *ch, const void *x)
{
	const struct msg_result *r = x;

	return msg_send_result(ch, MSG_INFO_END, ID, r->ok, r->text);
}

static int
end_read(const struct imsg *m, void *x)
{
	return msg_read_result(m, x);
}

/* From the first INFO message on; one of type 0 is one without a test. */
static const struct codec infos[MSG_TYPE_COUNT - MSG_INFO_COUNTERS] = {
	CODEC_OF(
	    MSG_INFO_COUNTERS, counters, struct info_counters, counters_spoil),
	CODEC_OF(MSG_INFO_POOL, pool, struct info_pool, pool_spoil),
	CODEC_OF(
	    MSG_INFO_UPSTREAM, upstream, struct info_upstream, upstream_spoil),
	CODEC_OF(MSG_INFO_CONN, conn, struct info_conn, conn_spoil),
	{ .type = MSG_INFO_HIST }, /* in test_msg_hist.c */
	CODEC_OF(MSG_INFO_PIN, pin, struct info_pin, pin_spoil),
	CODEC_OF(MSG_INFO_ERROR, error, struct info_error, error_spoil),
	CODEC_OF(MSG_INFO_CLIENT, client, struct info_client, client_spoil),
	CODEC_OF(MSG_INFO_PROCESS, process, struct info_process, process_spoil),
	{ .type = MSG_INFO_PROBE }, /* in test_msg_change.c */
	CODEC_OF(MSG_INFO_LISTENER, listener, uint8_t, NULL),
	{ .type = MSG_INFO_TEXT }, /* has a test of its own */
	CODEC_OF(MSG_INFO_END, end, struct msg_result, NULL),
};

static void
every_type(void **state)
{
	uint16_t i;

	(void)state;
	for (i = 0; i < MSG_TYPE_COUNT - MSG_INFO_COUNTERS; i++) {
		if (infos[i].type != MSG_INFO_COUNTERS + i)
			fail_msg("%s has no test",
			    msg_type_name((uint16_t)(MSG_INFO_COUNTERS + i)));
		if (infos[i].fill != NULL)
			codec_test(&infos[i]);
	}
}

/* The counters there are today have room. */
static void
counters_have_room(void **state)
{
	(void)state;
	assert_true(LSTAT_COUNT <= INFO_COUNTERS_MAX);
	assert_true(TSTAT_COUNT <= INFO_COUNTERS_MAX);
}

static void
text_pieces(void **state)
{
	struct codec_chan *c = codec_chan_new();
	char piece[MSG_TEXT_MAX + 1];
	size_t len;

	(void)state;
	memset(piece, '\0', sizeof(piece)); /* any byte may be in it */
	for (len = 0; len <= MSG_TEXT_MAX; len += len < 3 ? 1 : 4093) {
		codec_chan_reset(c);
		assert_true(msg_send_info_text(&c->ch, ID, piece, len));
		assert_int_equal(wire_load_u16(c->buf), MSG_INFO_TEXT);
		assert_true(wire_load_u64(c->buf + 8) == ID);
		assert_int_equal(c->ch.out_len, IMSG_HDR_LEN + len);
		assert_memory_equal(c->buf + IMSG_HDR_LEN, piece, len);
	}
	codec_chan_reset(c);
	assert_false(msg_send_info_text(&c->ch, ID, piece, MSG_TEXT_MAX + 1));
	c->ch.out_cap = IMSG_HDR_LEN + 9;
	assert_false(msg_send_info_text(&c->ch, ID, piece, 10));
	assert_int_equal(c->ch.out_len, 0);
	free(c);
}

/* Passed on: all but the ID stays. */
static void
relay(void **state)
{
	struct codec_chan *from = codec_chan_new(), *to = codec_chan_new();
	struct info_process p;
	struct imsg m = { .type = MSG_INFO_PROCESS, .id = ID, .fd = -1 };

	(void)state;
	memset(&p, 0, sizeof(p));
	process_fill(&p, MIXED);
	assert_true(msg_send_info_process(&from->ch, ID, &p));
	m.data = from->buf + IMSG_HDR_LEN;
	m.len = from->ch.out_len - IMSG_HDR_LEN;
	assert_true(msg_relay(&to->ch, &m, 42));
	assert_int_equal(to->ch.out_len, from->ch.out_len);
	assert_memory_equal(to->buf, from->buf, 8);
	assert_true(wire_load_u64(to->buf + 8) == 42);
	assert_memory_equal(to->buf + IMSG_HDR_LEN, m.data, m.len);
	to->ch.out_cap = to->ch.out_len + IMSG_HDR_LEN + m.len - 1;
	assert_false(msg_relay(&to->ch, &m, 42));
	to->ch.out_cap++;
	assert_true(msg_relay(&to->ch, &m, 42));
	free(from);
	free(to);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type),
		cmocka_unit_test(counters_have_room),
		cmocka_unit_test(text_pieces),
		cmocka_unit_test(relay),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
