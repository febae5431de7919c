/* SPDX-License-Identifier: ISC */
/* LINK: common/msg%.c common/imsg.c */
/* LIBS: -levent_core */
/*
 * The codec of each message: what decodes, encodes to the same bytes.  So a
 * decoder accepts nothing that its encoder cannot make.  Input: the type (one
 * octet), the id (eight), the payload.
 */
#include "common/msg.h"

#include "tests/fuzz/fuzz.h"

#define PREFIX_LEN 9
#define BUF_LEN 16384

struct named {
	char text[CONF_PATH_MAX];
};

struct text {
	const uint8_t *data;
	size_t len;
};

struct change {
	uint8_t change;
	uint32_t upstream;
};

/* Type, name, struct, how it is read, how it is sent. */
#define RECORDS(X)                                                            \
	X(MSG_PX_SETUP, setup, struct msg_setup, msg_read_setup(m, x),        \
	    msg_send_setup(ch, x))                                            \
	X(MSG_PX_LOG_LEVEL, px_level, uint8_t,                                \
	    msg_read_u8(m, x, LOG_LEVEL_COUNT),                               \
	    msg_send_u8(ch, m->type, m->id, *x))                              \
	X(MSG_PX_CHANGE, px_change, uint8_t, msg_read_u8(m, x, CHANGE_COUNT), \
	    msg_send_u8(ch, m->type, m->id, *x))                              \
	X(MSG_XP_READY, ready, uint32_t, msg_read_ready(m, x),                \
	    msg_send_ready(ch, *x))                                           \
	X(MSG_XP_LOG, log, struct msg_log, msg_read_log(m, x),                \
	    msg_send_log(ch, x->level, x->line))                              \
	X(MSG_XP_CONF_DONE, conf_done, struct msg_result,                     \
	    msg_read_result(m, x),                                            \
	    msg_send_result(ch, m->type, m->id, x->ok, x->text))              \
	X(MSG_PL_CLIENT, client, struct msg_client, msg_read_client(m, x),    \
	    msg_send_client(ch, x))                                           \
	X(MSG_PL_LISTEN, listen, struct msg_listen, msg_read_listen(m, x),    \
	    msg_send_listen(ch, x, -1))                                       \
	X(MSG_PL_ALLOW, allow, struct msg_allow, msg_read_allow(m, x),        \
	    msg_send_allow(ch, x))                                            \
	X(MSG_PL_UPSTREAM, named, struct named,                               \
	    msg_read_upstream_name(m, x->text),                               \
	    msg_send_upstream_name(ch, m->id, x->text))                       \
	X(MSG_PL_STATSD, statsd, struct msg_statsd, msg_read_statsd(m, x),    \
	    msg_send_statsd(ch, x, -1))                                       \
	X(MSG_LP_CHANGE, lp_change, struct change,                            \
	    msg_read_change(m, &x->change, &x->upstream),                     \
	    msg_send_change(ch, m->id, x->change, x->upstream))               \
	X(MSG_PT_POOL, pool, struct msg_pool, msg_read_pool(m, x),            \
	    msg_send_pool(ch, x))                                             \
	X(MSG_PT_CA, ca, struct named, msg_read_file(m, x->text),             \
	    msg_send_file(ch, m->type, m->id, x->text, -1))                   \
	X(MSG_PT_UPSTREAM, upstream, struct msg_upstream,                     \
	    msg_read_upstream(m, x), msg_send_upstream(ch, x))                \
	X(MSG_TP_CONNECT, dial, uint32_t, msg_read_u32(m, x),                 \
	    msg_send_u32(ch, m->type, m->id, *x))                             \
	X(MSG_TL_FAILED, failed, struct msg_failed, msg_read_failed(m, x),    \
	    msg_send_failed(ch, m->id, x))                                    \
	X(MSG_CL_CHANGE, request, struct msg_request, msg_read_request(m, x), \
	    msg_send_request(ch, m->id, x))                                   \
	X(MSG_INFO_COUNTERS, counters, struct info_counters,                  \
	    msg_read_info_counters(m, x),                                     \
	    msg_send_info_counters(ch, m->id, x))                             \
	X(MSG_INFO_POOL, info_pool, struct info_pool,                         \
	    msg_read_info_pool(m, x), msg_send_info_pool(ch, m->id, x))       \
	X(MSG_INFO_UPSTREAM, info_upstream, struct info_upstream,             \
	    msg_read_info_upstream(m, x),                                     \
	    msg_send_info_upstream(ch, m->id, x))                             \
	X(MSG_INFO_CONN, info_conn, struct info_conn,                         \
	    msg_read_info_conn(m, x), msg_send_info_conn(ch, m->id, x))       \
	X(MSG_INFO_HIST, info_hist, struct info_hist,                         \
	    msg_read_info_hist(m, x),                                         \
	    msg_send_info_hist(ch, m->id, x->upstream,                        \
		(enum info_hist_kind)x->which, x->recent, &x->hist))          \
	X(MSG_INFO_PIN, info_pin, struct info_pin, msg_read_info_pin(m, x),   \
	    msg_send_info_pin(ch, m->id, x))                                  \
	X(MSG_INFO_ERROR, info_error, struct info_error,                      \
	    msg_read_info_error(m, x), msg_send_info_error(ch, m->id, x))     \
	X(MSG_INFO_CLIENT, info_client, struct info_client,                   \
	    msg_read_info_client(m, x), msg_send_info_client(ch, m->id, x))   \
	X(MSG_INFO_PROCESS, info_process, struct info_process,                \
	    msg_read_info_process(m, x), msg_send_info_process(ch, m->id, x)) \
	X(MSG_INFO_PROBE, info_probe, struct info_probe,                      \
	    msg_read_info_probe(m, x), msg_send_info_probe(ch, m->id, x))     \
	X(MSG_INFO_END, info_end, struct msg_result, msg_read_result(m, x),   \
	    msg_send_result(ch, m->type, m->id, x->ok, x->text))              \
	X(MSG_TP_HEALTH, health, struct msg_health, msg_read_health(m, x),    \
	    msg_send_health(ch, m->id, x))

/* Returns -1 if it does not decode, else 0; encoded into ch then. */
#define CODEC(TYPE, name, type, READ, SEND)                                 \
	static int codec_##name(struct imsg_chan *ch, const struct imsg *m) \
	{                                                                   \
		type *x = fuzz_alloc(sizeof(*x));                           \
		int ret;                                                    \
                                                                            \
		memset(x, (int)(m->id & 0xff), sizeof(*x));                 \
		ret = (READ);                                               \
		FUZZ_ASSERT(ret == 0 || ret == -1);                         \
		if (ret == 0)                                               \
			FUZZ_ASSERT(SEND);                                  \
		free(x);                                                    \
		return ret;                                                 \
	}

RECORDS(CODEC)

#define ENTRY(TYPE, name, type, READ, SEND) { TYPE, codec_##name },

static const struct {
	uint16_t type;
	int (*run)(struct imsg_chan *, const struct imsg *);
} codecs[] = { RECORDS(ENTRY) };

#define NCODECS (sizeof(codecs) / sizeof(codecs[0]))

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct imsg m = { .fd = -1 };
	struct imsg_chan *ch;
	struct wire_reader r;
	uint8_t *payload;
	size_t which;

	wire_reader_init(&r, data, len);
	which = wire_get_u8(&r) % NCODECS;
	m.type = codecs[which].type;
	m.id = wire_get_u64(&r);
	if (r.error)
		return 0;
	data = fuzz_rest(&r, &m.len);
	if (m.len > MSG_INFO_MAX) /* no rule admits more */
		return 0;
	m.data = payload = fuzz_copy(data, m.len);
	ch = fuzz_alloc(sizeof(*ch));
	ch->out_cap = BUF_LEN;
	ch->out = fuzz_alloc(ch->out_cap);
	if (codecs[which].run(ch, &m) == 0) {
		FUZZ_ASSERT(ch->out_len == IMSG_HDR_LEN + m.len);
		FUZZ_ASSERT(wire_load_u16(ch->out) == m.type);
		FUZZ_ASSERT(wire_load_u32(ch->out + 4) == m.len);
		FUZZ_ASSERT(
		    memcmp(ch->out + IMSG_HDR_LEN, payload, m.len) == 0);
	} else
		FUZZ_ASSERT(ch->out_len == 0);
	FUZZ_ASSERT(msg_type_name(m.type)[0] != '?');
	free(ch->out);
	free(ch);
	free(payload);
	return 0;
}
