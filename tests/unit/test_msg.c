/* SPDX-License-Identifier: ISC */
/*
 * The message catalogue: every message but the answers to control requests has
 * its codec in the table below and goes through codec_test(), or a test of its
 * own.  A type without a test fails.
 */
/* LINK: common/msg%.c common/imsg.c */
/* LIBS: -levent_core */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/msg_codec.h"

/* --- PX_SETUP --- */

static void
setup_fill(void *x, enum variant v)
{
	struct msg_setup *s = x;
	uint64_t next = 1;

	NUMBER(s->uid, 0, UINT32_MAX);
	NUMBER(s->gid, 0, UINT32_MAX);
	NUMBER(s->nofile, 0, UINT32_MAX);
	NUMBER(s->confine, 0, 1);
	NUMBER(s->log_level, 0, LOG_LEVEL_COUNT - 1);
}

static bool
setup_send(struct imsg_chan *ch, const void *x)
{
	return msg_send_setup(ch, x);
}

static int
setup_read(const struct imsg *m, void *x)
{
	return msg_read_setup(m, x);
}

static bool
setup_spoil(void *x, int n)
{
	((struct msg_setup *)x)->log_level = LOG_LEVEL_COUNT;
	return n == 0;
}

/* --- XP_READY --- */

static void
ready_fill(void *x, enum variant v)
{
	uint32_t *absent = x;
	uint64_t next = 11;

	NUMBER(*absent, 0, (1u << LAYER_COUNT) - 1);
}

static bool
ready_send(struct imsg_chan *ch, const void *x)
{
	return msg_send_ready(ch, *(const uint32_t *)x);
}

static int
ready_read(const struct imsg *m, void *x)
{
	return msg_read_ready(m, x);
}

static bool
ready_spoil(void *x, int n)
{
	*(uint32_t *)x = n == 0 ? 1u << LAYER_COUNT : 1u << 31;
	return n < 2;
}

/* --- XP_LOG --- */

static void
log_fill(void *x, enum variant v)
{
	struct msg_log *l = x;
	uint64_t next = 2;

	NUMBER(l->level, 0, LOG_LEVEL_COUNT - 1);
	text(v, l->line, sizeof(l->line), &next);
}

static bool
log_send(struct imsg_chan *ch, const void *x)
{
	const struct msg_log *l = x;

	return msg_send_log(ch, l->level, l->line);
}

static int
log_read(const struct imsg *m, void *x)
{
	return msg_read_log(m, x);
}

static bool
log_spoil(void *x, int n)
{
	((struct msg_log *)x)->level = LOG_LEVEL_COUNT;
	return n == 0;
}

/* --- XP_CONF_DONE --- */

static void
result_fill(void *x, enum variant v)
{
	struct msg_result *r = x;
	uint64_t next = 3;

	NUMBER(r->ok, 0, 1);
	text(v, r->text, sizeof(r->text), &next);
}

static bool
result_send(struct imsg_chan *ch, const void *x)
{
	const struct msg_result *r = x;

	return msg_send_result(ch, MSG_XP_CONF_DONE, 9, r->ok, r->text);
}

static int
result_read(const struct imsg *m, void *x)
{
	return msg_read_result(m, x);
}

/* --- TL_FAILED --- */

static void
failed_fill(void *x, enum variant v)
{
	struct msg_failed *f = x;
	uint64_t next = 10;

	NUMBER(f->cause, 0, CAUSE_COUNT - 1);
	NUMBER(f->upstream, 0, CONF_UPSTREAMS_MAX - 1);
	if (v == LARGE)
		f->upstream = MSG_NO_UPSTREAM;
}

static bool
failed_send(struct imsg_chan *ch, const void *x)
{
	return msg_send_failed(ch, 77, x);
}

static int
failed_read(const struct imsg *m, void *x)
{
	return msg_read_failed(m, x);
}

static bool
failed_spoil(void *x, int n)
{
	struct msg_failed *f = x;

	if (n == 0)
		f->cause = CAUSE_COUNT;
	else if (n == 1)
		f->upstream = CONF_UPSTREAMS_MAX;
	else
		f->upstream = MSG_NO_UPSTREAM - 1;
	return n < 3;
}

enum kind {
	UNTESTED, /* what a new type is */
	NOTHING,  /* no payload: imsg_send_empty() */
	BYTE,
	WORD,
	WIRE,   /* a DNS message: see the tests of their own */
	CONF,   /* in test_msg_conf.c */
	CHANGE, /* in test_msg_change.c */
	RECORD
};

#define RECORD_OF(...)                                         \
	{                                                      \
		.kind = RECORD, .codec = CODEC_OF(__VA_ARGS__) \
	}

static void
health_fill(void *x, enum variant v)
{
	struct msg_health *h = x;
	uint64_t next = 3;

	if (v == SMALL)
		h->up = true;
	else
		NUMBER(h->phase, 0, PHASE_COUNT - 1);
	if (v == LARGE)
		h->cause = CAUSE_COUNT - 1;
	if (v == MIXED) {
		h->cause = CAUSE_NETWORK;
		h->err = MSG_ERRNO_MAX;
	}
}

static bool
health_send(struct imsg_chan *ch, const void *x)
{
	return msg_send_health(ch, 77, x);
}

static int
health_read(const struct imsg *m, void *x)
{
	return msg_read_health(m, x);
}

static bool
health_spoil(void *x, int n)
{
	struct msg_health *h = x;

	switch (n) {
	case 0:
		h->phase = PHASE_COUNT;
		return true;
	case 1:
		h->cause = CAUSE_COUNT;
		h->err = 0;
		return true;
	case 2:
		h->err++;
		return true;
	case 3: /* an errno of what is none */
		h->cause = CAUSE_TLS;
		return true;
	case 4: /* up, with a reason why not */
		h->up = true;
		h->cause = CAUSE_NONE;
		h->err = 0;
		return true;
	default:
		return false;
	}
}

/* How each type is tested; those of INFO messages are in test_msg_info.c. */
static const struct {
	enum kind kind;
	struct codec codec;
} catalogue[MSG_INFO_COUNTERS] = {
	[MSG_PX_SETUP] =
	    RECORD_OF(MSG_PX_SETUP, setup, struct msg_setup, setup_spoil),
	[MSG_PX_CONF_BEGIN] = { .kind = NOTHING },
	[MSG_PX_CONF_END] = { .kind = NOTHING },
	[MSG_PX_LINK_OUT] = { .kind = NOTHING },
	[MSG_PX_LINK] = { .kind = NOTHING },
	[MSG_PX_LOG_LEVEL] = { .kind = BYTE },
	[MSG_PX_CHANGE] = { .kind = BYTE },
	[MSG_PX_PING] = { .kind = NOTHING },
	[MSG_XP_READY] = RECORD_OF(MSG_XP_READY, ready, uint32_t, ready_spoil),
	[MSG_XP_LOG] = RECORD_OF(MSG_XP_LOG, log, struct msg_log, log_spoil),
	[MSG_XP_CONF_DONE] =
	    RECORD_OF(MSG_XP_CONF_DONE, result, struct msg_result, NULL),
	[MSG_XP_LINK_DOWN] = { .kind = NOTHING },
	[MSG_XP_PONG] = { .kind = NOTHING },
	[MSG_PL_CLIENT] = { .kind = CONF },
	[MSG_PL_LISTEN] = { .kind = CONF },
	[MSG_PL_ALLOW] = { .kind = CONF },
	[MSG_PL_CONTROL] = { .kind = NOTHING },
	[MSG_PL_STATSD] = { .kind = CONF },
	[MSG_PL_FINISH] = { .kind = NOTHING },
	[MSG_PL_UPSTREAM] = { .kind = CONF },
	[MSG_LP_RELOAD] = { .kind = NOTHING },
	[MSG_LP_LOG_LEVEL] = { .kind = BYTE },
	[MSG_LP_PROCESSES] = { .kind = NOTHING },
	[MSG_LP_CONFIG] = { .kind = NOTHING },
	[MSG_LP_CHANGE] = { .kind = CHANGE },
	[MSG_PT_POOL] = { .kind = CONF },
	[MSG_PT_CA] = { .kind = CONF },
	[MSG_PT_UPSTREAM] = { .kind = CONF },
	[MSG_PT_CERT] = { .kind = CONF },
	[MSG_PT_KEY] = { .kind = CONF },
	[MSG_PT_DECIDE] = { .kind = BYTE },
	[MSG_PT_CONNECTED] = { .kind = NOTHING },
	[MSG_PT_CONNECT_FAILED] = { .kind = WORD },
	[MSG_TP_CONNECT] = { .kind = WORD },
	[MSG_TP_CONNECT_PLAIN] = { .kind = WORD },
	[MSG_TP_HEALTH] =
	    RECORD_OF(MSG_TP_HEALTH, health, struct msg_health, health_spoil),
	[MSG_LT_QUERY] = { .kind = WIRE },
	[MSG_LT_TRANSFER] = { .kind = WIRE },
	[MSG_LT_CREDIT] = { .kind = WORD },
	[MSG_LT_CANCEL] = { .kind = NOTHING },
	[MSG_LT_SHOW] = { .kind = BYTE },
	[MSG_LT_PROBE] = { .kind = WORD },
	[MSG_TL_ANSWER] = { .kind = WIRE },
	[MSG_TL_PART] = { .kind = WIRE },
	[MSG_TL_FAILED] =
	    RECORD_OF(MSG_TL_FAILED, failed, struct msg_failed, failed_spoil),
	[MSG_CL_SHOW] = { .kind = BYTE },
	[MSG_CL_RELOAD] = { .kind = NOTHING },
	[MSG_CL_LOG_LEVEL] = { .kind = BYTE },
	[MSG_CL_CHANGE] = { .kind = CHANGE },
};

static void
test_byte(uint16_t type)
{
	struct codec_chan *c = codec_chan_new();
	struct imsg m = { .type = type, .fd = -1 };
	unsigned int v, limit;
	uint8_t got;

	for (v = 0; v < 256; v++) {
		codec_chan_reset(c);
		assert_true(msg_send_u8(&c->ch, type, v, (uint8_t)v));
		assert_memory_equal(c->buf + 4, "\0\0\0\1", 4);
		assert_int_equal(wire_load_u64(c->buf + 8), v);
		m.data = c->buf + IMSG_HDR_LEN;
		for (limit = 0; limit < 256; limit++) {
			m.len = 1;
			assert_int_equal(msg_read_u8(&m, &got, (uint8_t)limit),
			    v < limit ? 0 : -1);
			if (v < limit)
				assert_int_equal(got, v);
		}
		m.len = 0;
		assert_int_equal(msg_read_u8(&m, &got, 255), -1);
		m.len = 2;
		assert_int_equal(msg_read_u8(&m, &got, 255), -1);
	}
	c->ch.out_cap = c->ch.out_len + IMSG_HDR_LEN;
	assert_false(msg_send_u8(&c->ch, type, 1, 1));
	free(c);
}

static void
test_word(uint16_t type)
{
	const uint32_t values[] = { 0, 1, 0x01020304, UINT32_MAX };
	struct codec_chan *c = codec_chan_new();
	struct imsg m = { .type = type, .fd = -1 };
	uint32_t got;
	size_t i;

	for (i = 0; i < 4; i++) {
		codec_chan_reset(c);
		assert_true(msg_send_u32(&c->ch, type, 1, values[i]));
		m.data = c->buf + IMSG_HDR_LEN;
		for (m.len = 0; m.len <= 5; m.len++)
			assert_int_equal(
			    msg_read_u32(&m, &got), m.len == 4 ? 0 : -1);
		m.len = 4;
		assert_int_equal(msg_read_u32(&m, &got), 0);
		assert_true(got == values[i]);
	}
	c->ch.out_cap = c->ch.out_len + IMSG_HDR_LEN + 3;
	assert_false(msg_send_u32(&c->ch, type, 1, 1));
	free(c);
}

static void
every_type(void **state)
{
	uint16_t type;

	(void)state;
	for (type = MSG_NONE + 1; type < MSG_INFO_COUNTERS; type++) {
		switch (catalogue[type].kind) {
		case UNTESTED:
			fail_msg("%s has no test", msg_type_name(type));
			break;
		case RECORD:
			codec_test(&catalogue[type].codec);
			break;
		case BYTE:
			test_byte(type);
			break;
		case WORD:
			test_word(type);
			break;
		case NOTHING:
		case WIRE:
		case CONF:
		case CHANGE:
			break;
		}
	}
}

/* Longer lines and texts are cut, not refused. */
static void
long_texts_are_cut(void **state)
{
	struct codec_chan *c = codec_chan_new();
	struct imsg m = { .fd = -1, .data = c->buf + IMSG_HDR_LEN };
	struct msg_result *result = malloc(sizeof(*result));
	struct msg_log log;
	char *line = malloc(2 * MSG_TEXT_MAX);

	(void)state;
	assert_non_null(result);
	assert_non_null(line);
	memset(line, 'x', 2 * MSG_TEXT_MAX);
	line[2 * MSG_TEXT_MAX - 1] = '\0';
	assert_true(msg_send_log(&c->ch, LOG_LEVEL_INFO, line));
	m.len = wire_load_u32(c->buf + 4);
	assert_int_equal(msg_read_log(&m, &log), 0);
	assert_int_equal(strlen(log.line), LOG_LINE_MAX - 1);
	codec_chan_reset(c);
	assert_true(msg_send_result(&c->ch, MSG_INFO_END, 5, false, line));
	m.len = wire_load_u32(c->buf + 4);
	assert_int_equal(msg_read_result(&m, result), 0);
	assert_int_equal(strlen(result->text), MSG_TEXT_MAX - 1);
	codec_chan_reset(c);
	assert_true(msg_send_result(&c->ch, MSG_INFO_END, 5, true, NULL));
	m.len = wire_load_u32(c->buf + 4);
	assert_int_equal(msg_read_result(&m, result), 0);
	assert_string_equal(result->text, "");
	free(line);
	free(result);
	free(c);
}

static void
queries_and_answers(void **state)
{
	const size_t lens[] = { 0, 11, 12, 13, 512, 65534, 65535, 65536 };
	struct codec_chan *c = codec_chan_new();
	struct imsg m = { .fd = -1 };
	uint8_t *dns = malloc(65536);
	const uint8_t *wire;
	uint32_t left;
	size_t i, len;
	bool fits;

	(void)state;
	assert_non_null(dns);
	for (i = 0; i < 65536; i++)
		dns[i] = (uint8_t)(i * 7);
	for (i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		fits = lens[i] >= DNS_HDR_LEN && lens[i] <= DNS_MSG_MAX;
		codec_chan_reset(c);
		assert_int_equal(
		    msg_send_query(&c->ch, 99, 0x01020304, dns, lens[i]), fits);
		if (!fits) {
			assert_int_equal(c->ch.out_len, 0);
			assert_false(msg_send_answer(&c->ch, 1, dns, lens[i]));
			assert_false(msg_send_part(&c->ch, 1, dns, lens[i]));
			assert_false(
			    msg_send_transfer(&c->ch, 1, 1, dns, lens[i]));
			continue;
		}
		assert_int_equal(wire_load_u16(c->buf), MSG_LT_QUERY);
		m.len = wire_load_u32(c->buf + 4);
		m.data = c->buf + IMSG_HDR_LEN;
		assert_in_range(m.len, MSG_QUERY_MIN, MSG_QUERY_MAX);
		msg_read_query(&m, &left, &wire, &len);
		assert_int_equal(left, 0x01020304);
		assert_int_equal(len, lens[i]);
		assert_memory_equal(wire, dns, len);
		codec_chan_reset(c);
		assert_true(msg_send_answer(&c->ch, 98, dns, lens[i]));
		assert_int_equal(wire_load_u16(c->buf), MSG_TL_ANSWER);
		assert_int_equal(wire_load_u64(c->buf + 8), 98);
		assert_int_equal(c->ch.out_len, IMSG_HDR_LEN + lens[i]);
		assert_memory_equal(c->buf + IMSG_HDR_LEN, dns, lens[i]);
		codec_chan_reset(c);
		assert_true(msg_send_part(&c->ch, 97, dns, lens[i]));
		assert_int_equal(wire_load_u16(c->buf), MSG_TL_PART);
		assert_int_equal(wire_load_u64(c->buf + 8), 97);
		assert_memory_equal(c->buf + IMSG_HDR_LEN, dns, lens[i]);
		codec_chan_reset(c);
		assert_true(msg_send_transfer(&c->ch, 96, 5, dns, lens[i]));
		assert_int_equal(wire_load_u16(c->buf), MSG_LT_TRANSFER);
		assert_int_equal(wire_load_u64(c->buf + 8), 96);
		m.len = wire_load_u32(c->buf + 4);
		msg_read_query(&m, &left, &wire, &len);
		assert_int_equal(left, 5);
		assert_int_equal(len, lens[i]);
		assert_memory_equal(wire, dns, len);
	}
	free(dns);
	free(c);
}

static void
names(void **state)
{
	unsigned int i, j;

	(void)state;
	for (i = 0; i < MSG_TYPE_COUNT; i++) {
		assert_string_not_equal(msg_type_name((uint16_t)i), "?");
		for (j = 0; j < i; j++)
			assert_string_not_equal(msg_type_name((uint16_t)i),
			    msg_type_name((uint16_t)j));
	}
	for (i = 0; i < CAUSE_COUNT; i++)
		assert_string_not_equal(msg_cause_name((uint8_t)i), "?");
	for (i = 0; i < STATE_COUNT; i++)
		assert_string_not_equal(msg_state_name((uint8_t)i), "?");
	for (i = 0; i < PHASE_COUNT; i++)
		assert_string_not_equal(msg_phase_name((uint8_t)i), "?");
	for (i = 0; i < CONN_STATE_COUNT; i++)
		assert_string_not_equal(msg_conn_state_name((uint8_t)i), "?");
	for (i = 0; i < ROLE_COUNT; i++)
		assert_string_not_equal(msg_role_name((uint8_t)i), "?");
	for (i = 0; i < LAYER_COUNT; i++)
		assert_string_not_equal(msg_layer_name(i), "?");
	assert_string_equal(msg_layer_name(LAYER_COUNT), "?");
	assert_string_equal(msg_type_name(MSG_TYPE_COUNT), "?");
	assert_string_equal(msg_type_name(UINT16_MAX), "?");
	assert_string_equal(msg_cause_name(CAUSE_COUNT), "?");
	assert_string_equal(msg_state_name(STATE_COUNT), "?");
	assert_string_equal(msg_phase_name(PHASE_COUNT), "?");
	assert_string_equal(msg_conn_state_name(CONN_STATE_COUNT), "?");
	assert_string_equal(msg_role_name(UINT8_MAX), "?");
	assert_string_equal(msg_type_name(MSG_TL_ANSWER), "TL_ANSWER");
	assert_string_equal(msg_state_name(STATE_BACKOFF), "back-off");
	assert_string_equal(msg_conn_state_name(CONN_STATE_READY), "ready");
	assert_string_equal(msg_role_name(ROLE_POOL), "pool");
	assert_string_equal(msg_phase_name(PHASE_TIMEOUT), "timeout");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type),
		cmocka_unit_test(long_texts_are_cut),
		cmocka_unit_test(queries_and_answers),
		cmocka_unit_test(names),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
