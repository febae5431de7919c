/* SPDX-License-Identifier: ISC */
/*
 * The message catalogue but for the answers to control requests: every
 * message has its codec in the table below and goes through codec_test(), or
 * a test of its own.  A type without a test fails.
 */
/* LINK: common/msg.c common/msg_info.c common/msg_upstream.c common/imsg.c */
/* LINK: common/msg_change.c */
/* LIBS: -levent_core */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/msg_codec.h"
#include "tests/unit/msg_records.h"

enum kind {
	UNTESTED, /* what a new type is */
	NOTHING,  /* no payload: imsg_send_empty() */
	BYTE,
	WORD,
	WIRE, /* a DNS message: see the tests of their own */
	RECORD
};

#define FILE_RECORD(TYPE, name)                             \
	{                                                   \
		.kind = RECORD, .codec = {                  \
			.type = TYPE,                       \
			.size = sizeof(struct file_record), \
			.fill = file_fill,                  \
			.send = name##_send,                \
			.read = file_read,                  \
		}                                           \
	}

#define RECORD_OF(TYPE, name, st, spoiler)   \
	{                                    \
		.kind = RECORD, .codec = {   \
			.type = TYPE,        \
			.size = sizeof(st),  \
			.fill = name##_fill, \
			.send = name##_send, \
			.read = name##_read, \
			.spoil = spoiler     \
		}                            \
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
	[MSG_PL_CLIENT] =
	    RECORD_OF(MSG_PL_CLIENT, client, struct msg_client, client_spoil),
	[MSG_PL_LISTEN] =
	    RECORD_OF(MSG_PL_LISTEN, listen, struct msg_listen, listen_spoil),
	[MSG_PL_ALLOW] =
	    RECORD_OF(MSG_PL_ALLOW, allow, struct msg_allow, allow_spoil),
	[MSG_PL_CONTROL] = { .kind = NOTHING },
	[MSG_PL_STATSD] =
	    RECORD_OF(MSG_PL_STATSD, statsd, struct msg_statsd, statsd_spoil),
	[MSG_PL_FINISH] = { .kind = NOTHING },
	[MSG_PL_UPSTREAM] =
	    RECORD_OF(MSG_PL_UPSTREAM, named, struct named, named_spoil),
	[MSG_LP_RELOAD] = { .kind = NOTHING },
	[MSG_LP_LOG_LEVEL] = { .kind = BYTE },
	[MSG_LP_PROCESSES] = { .kind = NOTHING },
	[MSG_LP_CONFIG] = { .kind = NOTHING },
	[MSG_LP_CHANGE] =
	    RECORD_OF(MSG_LP_CHANGE, change, struct change, change_spoil),
	[MSG_PT_POOL] =
	    RECORD_OF(MSG_PT_POOL, pool, struct msg_pool, pool_spoil),
	[MSG_PT_CA] = FILE_RECORD(MSG_PT_CA, ca),
	[MSG_PT_UPSTREAM] = RECORD_OF(
	    MSG_PT_UPSTREAM, upstream, struct msg_upstream, upstream_spoil),
	[MSG_PT_CERT] = FILE_RECORD(MSG_PT_CERT, cert),
	[MSG_PT_KEY] = FILE_RECORD(MSG_PT_KEY, key),
	[MSG_PT_DECIDE] = { .kind = BYTE },
	[MSG_PT_CONNECTED] = { .kind = NOTHING },
	[MSG_PT_CONNECT_FAILED] = { .kind = WORD },
	[MSG_TP_CONNECT] = { .kind = WORD },
	[MSG_TP_CONNECT_PLAIN] = { .kind = WORD },
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
	[MSG_CL_CHANGE] = RECORD_OF(
	    MSG_CL_CHANGE, request, struct msg_request, request_spoil),
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
	/* A name is part of the configuration, and fits or is refused. */
	codec_chan_reset(c);
	assert_false(msg_send_upstream_name(&c->ch, 0, line));
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

/* A descriptor is consumed whether the message can be sent or not. */
static void
listen_consumes_descriptor(void **state)
{
	struct codec_chan *c = codec_chan_new();
	struct msg_listen l;
	int fd[3], i;

	(void)state;
	memset(&l, 0, sizeof(l));
	listen_fill(&l, MIXED);
	for (i = 0; i < 3; i++) {
		fd[i] = open("/dev/null", O_RDONLY);
		assert_int_not_equal(fd[i], -1);
	}
	assert_false(msg_send_listen(&c->ch, &l, fd[0])); /* not for fds */
	assert_int_equal(fcntl(fd[0], F_GETFD), -1);
	c->ch.fdpass = true;
	assert_true(msg_send_listen(&c->ch, &l, fd[1]));
	assert_int_equal(c->ch.out_nfds, 1);
	assert_int_equal(c->ch.out_fds[0].fd, fd[1]);
	close(fd[1]);
	c->ch.out_cap = c->ch.out_len; /* no room */
	assert_false(msg_send_listen(&c->ch, &l, fd[2]));
	assert_int_equal(fcntl(fd[2], F_GETFD), -1);
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
		cmocka_unit_test(listen_consumes_descriptor),
		cmocka_unit_test(names),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
