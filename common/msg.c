/* SPDX-License-Identifier: ISC */
/*
 * The names of the message catalogue, the fast path, and the codecs of what is
 * no configuration (msg_conf.c, msg_upstream.c), no change (msg_change.c) and
 * no answer to dotproxyctl (msg_info.c and others).  Encoder and decoder of a
 * message stand side by side and name the same fields in the same order.  A
 * decoder must accept nothing that its encoder cannot make: every field is
 * checked, every byte consumed.
 */
#include "common/msg.h"

#include <netinet/in.h>
#include <string.h>

#include "common/msg_wire.h"

static const char *const type_names[MSG_TYPE_COUNT] = {
	[MSG_NONE] = "NONE",
	[MSG_PX_SETUP] = "PX_SETUP",
	[MSG_PX_CONF_BEGIN] = "PX_CONF_BEGIN",
	[MSG_PX_CONF_END] = "PX_CONF_END",
	[MSG_PX_LINK_OUT] = "PX_LINK_OUT",
	[MSG_PX_LINK] = "PX_LINK",
	[MSG_PX_LOG_LEVEL] = "PX_LOG_LEVEL",
	[MSG_PX_CHANGE] = "PX_CHANGE",
	[MSG_PX_PING] = "PX_PING",
	[MSG_XP_READY] = "XP_READY",
	[MSG_XP_LOG] = "XP_LOG",
	[MSG_XP_CONF_DONE] = "XP_CONF_DONE",
	[MSG_XP_LINK_DOWN] = "XP_LINK_DOWN",
	[MSG_XP_PONG] = "XP_PONG",
	[MSG_PL_CLIENT] = "PL_CLIENT",
	[MSG_PL_LISTEN] = "PL_LISTEN",
	[MSG_PL_ALLOW] = "PL_ALLOW",
	[MSG_PL_CONTROL] = "PL_CONTROL",
	[MSG_PL_UPSTREAM] = "PL_UPSTREAM",
	[MSG_PL_STATSD] = "PL_STATSD",
	[MSG_PL_FINISH] = "PL_FINISH",
	[MSG_LP_RELOAD] = "LP_RELOAD",
	[MSG_LP_LOG_LEVEL] = "LP_LOG_LEVEL",
	[MSG_LP_PROCESSES] = "LP_PROCESSES",
	[MSG_LP_CONFIG] = "LP_CONFIG",
	[MSG_LP_CHANGE] = "LP_CHANGE",
	[MSG_PT_POOL] = "PT_POOL",
	[MSG_PT_CA] = "PT_CA",
	[MSG_PT_UPSTREAM] = "PT_UPSTREAM",
	[MSG_PT_CERT] = "PT_CERT",
	[MSG_PT_KEY] = "PT_KEY",
	[MSG_PT_DECIDE] = "PT_DECIDE",
	[MSG_PT_CONNECTED] = "PT_CONNECTED",
	[MSG_PT_CONNECT_FAILED] = "PT_CONNECT_FAILED",
	[MSG_TP_CONNECT] = "TP_CONNECT",
	[MSG_TP_CONNECT_PLAIN] = "TP_CONNECT_PLAIN",
	[MSG_TP_HEALTH] = "TP_HEALTH",
	[MSG_LT_QUERY] = "LT_QUERY",
	[MSG_LT_TRANSFER] = "LT_TRANSFER",
	[MSG_LT_CREDIT] = "LT_CREDIT",
	[MSG_LT_CANCEL] = "LT_CANCEL",
	[MSG_LT_SHOW] = "LT_SHOW",
	[MSG_LT_PROBE] = "LT_PROBE",
	[MSG_TL_ANSWER] = "TL_ANSWER",
	[MSG_TL_PART] = "TL_PART",
	[MSG_TL_FAILED] = "TL_FAILED",
	[MSG_CL_SHOW] = "CL_SHOW",
	[MSG_CL_RELOAD] = "CL_RELOAD",
	[MSG_CL_LOG_LEVEL] = "CL_LOG_LEVEL",
	[MSG_CL_CHANGE] = "CL_CHANGE",
	[MSG_INFO_COUNTERS] = "INFO_COUNTERS",
	[MSG_INFO_POOL] = "INFO_POOL",
	[MSG_INFO_UPSTREAM] = "INFO_UPSTREAM",
	[MSG_INFO_CONN] = "INFO_CONN",
	[MSG_INFO_HIST] = "INFO_HIST",
	[MSG_INFO_PIN] = "INFO_PIN",
	[MSG_INFO_ERROR] = "INFO_ERROR",
	[MSG_INFO_CLIENT] = "INFO_CLIENT",
	[MSG_INFO_PROCESS] = "INFO_PROCESS",
	[MSG_INFO_PROBE] = "INFO_PROBE",
	[MSG_INFO_LISTENER] = "INFO_LISTENER",
	[MSG_INFO_TEXT] = "INFO_TEXT",
	[MSG_INFO_END] = "INFO_END",
};

static const char *const cause_names[CAUSE_COUNT] = {
	[CAUSE_NONE] = "none",
	[CAUSE_TIMEOUT] = "no answer in time",
	[CAUSE_NETWORK] = "network error",
	[CAUSE_TLS] = "TLS handshake failed",
	[CAUSE_NAME] = "certificate is for another name",
	[CAUSE_EXPIRED] = "certificate has expired or is not yet valid",
	[CAUSE_UNTRUSTED] = "certificate is not signed by a trusted CA",
	[CAUSE_PIN] = "no certificate matches a pin",
	[CAUSE_PROTOCOL] = "bad answer",
	[CAUSE_BUSY] = "too many queries",
	[CAUSE_NOT_REPEATABLE] = "connection lost, not sent again",
	[CAUSE_CLIENT_CERT] = "client certificate missing or not accepted",
};

static const char *const phase_names[PHASE_COUNT] = {
	[PHASE_CONNECT] = "connect",
	[PHASE_HANDSHAKE] = "handshake",
	[PHASE_VERIFY] = "verify",
	[PHASE_WRITE] = "write",
	[PHASE_READ] = "read",
	[PHASE_TIMEOUT] = "timeout",
	[PHASE_PROTOCOL] = "protocol",
};

static const char *
name_of(const char *const *names, size_t n, size_t i)
{
	return i < n && names[i] != NULL ? names[i] : "?";
}

const char *
msg_type_name(uint16_t type)
{
	return name_of(type_names, MSG_TYPE_COUNT, type);
}

const char *
msg_cause_name(unsigned int cause)
{
	return name_of(cause_names, CAUSE_COUNT, cause);
}

const char *
msg_state_name(unsigned int state)
{
	static const char *const names[STATE_COUNT] = { "idle", "up",
		"connecting", "back-off", "disabled" };

	return name_of(names, STATE_COUNT, state);
}

const char *
msg_phase_name(unsigned int phase)
{
	return name_of(phase_names, PHASE_COUNT, phase);
}

const char *
msg_hist_name(unsigned int which)
{
	static const char *const names[INFO_HIST_COUNT] = { "latency",
		"connect", "handshake", "open", "rtt_udp", "rtt_tcp",
		"query_size_udp", "query_size_tcp", "answer_size_udp",
		"answer_size_tcp" };

	return name_of(names, INFO_HIST_COUNT, which);
}

const char *
msg_conn_state_name(unsigned int state)
{
	static const char *const names[CONN_STATE_COUNT] = { "connect",
		"handshake", "ready", "draining" };

	return name_of(names, CONN_STATE_COUNT, state);
}

const char *
msg_role_name(unsigned int role)
{
	static const char *const names[ROLE_COUNT] = { "parent", "listener",
		"pool" };

	return name_of(names, ROLE_COUNT, role);
}

const char *
msg_layer_name(unsigned int layer)
{
	static const char *const names[LAYER_COUNT] = {
		[LAYER_USER] = "user",
		[LAYER_ROOT_DIR] = "root directory",
		[LAYER_CAPABILITIES] = "capabilities",
		[LAYER_NAMESPACES] = "namespaces",
		[LAYER_LANDLOCK] = "Landlock",
		[LAYER_MDWE] = "memory-deny-write-execute",
	};

	return name_of(names, LAYER_COUNT, layer);
}

void
msg_put_sockaddr(struct wire_writer *w, const struct sockaddr_storage *ss)
{
	const struct sockaddr_in *sin = (const struct sockaddr_in *)ss;
	const struct sockaddr_in6 *sin6 = (const struct sockaddr_in6 *)ss;

	switch (ss->ss_family) {
	case AF_INET:
		wire_put_u8(w, 4);
		wire_put_bytes(w, &sin->sin_addr, 4);
		wire_put_u16(w, ntohs(sin->sin_port));
		break;
	case AF_INET6:
		wire_put_u8(w, 6);
		wire_put_bytes(w, &sin6->sin6_addr, 16);
		wire_put_u16(w, ntohs(sin6->sin6_port));
		wire_put_u32(w, sin6->sin6_scope_id);
		break;
	default:
		w->error = true;
	}
}

void
msg_get_sockaddr(struct wire_reader *r, struct sockaddr_storage *ss)
{
	struct sockaddr_in *sin = (struct sockaddr_in *)ss;
	struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)ss;

	memset(ss, 0, sizeof(*ss));
	switch (wire_get_u8(r)) {
	case 4:
		sin->sin_family = AF_INET;
		wire_get_copy(r, &sin->sin_addr, 4);
		sin->sin_port = htons(wire_get_u16(r));
		break;
	case 6:
		sin6->sin6_family = AF_INET6;
		wire_get_copy(r, &sin6->sin6_addr, 16);
		sin6->sin6_port = htons(wire_get_u16(r));
		sin6->sin6_scope_id = wire_get_u32(r);
		break;
	default:
		r->error = true;
	}
}

void
msg_put_bool(struct wire_writer *w, bool v)
{
	wire_put_u8(w, v ? 1 : 0);
}

bool
msg_get_bool(struct wire_reader *r)
{
	uint8_t v = wire_get_u8(r);

	if (v > 1)
		r->error = true;
	return v == 1;
}

static inline bool
send_query(struct imsg_chan *ch, uint16_t type, uint64_t handle,
    uint32_t left_ms, const uint8_t *wire, size_t len)
{
	struct wire_writer w;

	if (len < DNS_HDR_LEN || len > DNS_MSG_MAX ||
	    !imsg_begin(ch, &w, 4 + len))
		return false;
	wire_put_u32(&w, left_ms);
	wire_put_bytes(&w, wire, len);
	return imsg_commit(ch, &w, type, handle, -1);
}

bool
msg_send_query(struct imsg_chan *ch, uint64_t handle, uint32_t left_ms,
    const uint8_t *wire, size_t len)
{
	return send_query(ch, MSG_LT_QUERY, handle, left_ms, wire, len);
}

bool
msg_send_transfer(struct imsg_chan *ch, uint64_t handle, uint32_t left_ms,
    const uint8_t *wire, size_t len)
{
	return send_query(ch, MSG_LT_TRANSFER, handle, left_ms, wire, len);
}

void
msg_read_query(
    const struct imsg *m, uint32_t *left_ms, const uint8_t **wire, size_t *len)
{
	*left_ms = wire_load_u32(m->data);
	*wire = m->data + 4;
	*len = m->len - 4;
}

static inline bool
send_message(struct imsg_chan *ch, uint16_t type, uint64_t handle,
    const uint8_t *wire, size_t len)
{
	struct wire_writer w;

	if (len < DNS_HDR_LEN || len > DNS_MSG_MAX || !imsg_begin(ch, &w, len))
		return false;
	wire_put_bytes(&w, wire, len);
	return imsg_commit(ch, &w, type, handle, -1);
}

bool
msg_send_answer(
    struct imsg_chan *ch, uint64_t handle, const uint8_t *wire, size_t len)
{
	return send_message(ch, MSG_TL_ANSWER, handle, wire, len);
}

bool
msg_send_part(
    struct imsg_chan *ch, uint64_t handle, const uint8_t *wire, size_t len)
{
	return send_message(ch, MSG_TL_PART, handle, wire, len);
}

bool
msg_send_u8(struct imsg_chan *ch, uint16_t type, uint64_t id, uint8_t v)
{
	struct wire_writer w;

	if (!imsg_begin(ch, &w, 1))
		return false;
	wire_put_u8(&w, v);
	return imsg_commit(ch, &w, type, id, -1);
}

int
msg_read_u8(const struct imsg *m, uint8_t *v, uint8_t limit)
{
	struct wire_reader r;

	wire_reader_init(&r, m->data, m->len);
	*v = wire_get_u8(&r);
	return wire_done(&r) && *v < limit ? 0 : -1;
}

bool
msg_send_u32(struct imsg_chan *ch, uint16_t type, uint64_t id, uint32_t v)
{
	struct wire_writer w;

	if (!imsg_begin(ch, &w, 4))
		return false;
	wire_put_u32(&w, v);
	return imsg_commit(ch, &w, type, id, -1);
}

int
msg_read_u32(const struct imsg *m, uint32_t *v)
{
	struct wire_reader r;

	wire_reader_init(&r, m->data, m->len);
	*v = wire_get_u32(&r);
	return wire_done(&r) ? 0 : -1;
}

bool
msg_send_ready(struct imsg_chan *ch, uint32_t absent)
{
	return msg_send_u32(ch, MSG_XP_READY, 0, absent);
}

int
msg_read_ready(const struct imsg *m, uint32_t *absent)
{
	return msg_read_u32(m, absent) == 0 && *absent >> LAYER_COUNT == 0 ? 0
									   : -1;
}

bool
msg_send_setup(struct imsg_chan *ch, const struct msg_setup *s)
{
	struct wire_writer w;

	if (!imsg_begin(ch, &w, 64))
		return false;
	wire_put_u32(&w, s->uid);
	wire_put_u32(&w, s->gid);
	wire_put_u32(&w, s->nofile);
	msg_put_bool(&w, s->confine);
	wire_put_u8(&w, s->log_level);
	return imsg_commit(ch, &w, MSG_PX_SETUP, 0, -1);
}

int
msg_read_setup(const struct imsg *m, struct msg_setup *s)
{
	struct wire_reader r;

	wire_reader_init(&r, m->data, m->len);
	s->uid = wire_get_u32(&r);
	s->gid = wire_get_u32(&r);
	s->nofile = wire_get_u32(&r);
	s->confine = msg_get_bool(&r);
	s->log_level = wire_get_u8(&r);
	return wire_done(&r) && s->log_level < LOG_LEVEL_COUNT ? 0 : -1;
}

bool
msg_send_log(struct imsg_chan *ch, uint8_t level, const char *line)
{
	struct wire_writer w;
	size_t len = strnlen(line, LOG_LINE_MAX - 1);

	if (!imsg_begin(ch, &w, 3 + len))
		return false;
	wire_put_u8(&w, level);
	wire_put_u16(&w, (uint16_t)len);
	wire_put_bytes(&w, line, len);
	return imsg_commit(ch, &w, MSG_XP_LOG, 0, -1);
}

int
msg_read_log(const struct imsg *m, struct msg_log *log)
{
	struct wire_reader r;

	wire_reader_init(&r, m->data, m->len);
	log->level = wire_get_u8(&r);
	wire_get_str(&r, log->line, sizeof(log->line));
	return wire_done(&r) && log->level < LOG_LEVEL_COUNT ? 0 : -1;
}

bool
msg_send_result(
    struct imsg_chan *ch, uint16_t type, uint64_t id, bool ok, const char *text)
{
	struct wire_writer w;
	size_t len = text == NULL ? 0 : strnlen(text, MSG_TEXT_MAX - 1);

	if (!imsg_begin(ch, &w, 3 + len))
		return false;
	msg_put_bool(&w, ok);
	wire_put_u16(&w, (uint16_t)len);
	wire_put_bytes(&w, text, len);
	return imsg_commit(ch, &w, type, id, -1);
}

int
msg_read_result(const struct imsg *m, struct msg_result *res)
{
	struct wire_reader r;

	wire_reader_init(&r, m->data, m->len);
	res->ok = msg_get_bool(&r);
	wire_get_str(&r, res->text, sizeof(res->text));
	return wire_done(&r) ? 0 : -1;
}

bool
msg_send_failed(
    struct imsg_chan *ch, uint64_t handle, const struct msg_failed *f)
{
	struct wire_writer w;

	if (!imsg_begin(ch, &w, 5))
		return false;
	wire_put_u8(&w, f->cause);
	wire_put_u32(&w, f->upstream);
	return imsg_commit(ch, &w, MSG_TL_FAILED, handle, -1);
}

int
msg_read_failed(const struct imsg *m, struct msg_failed *f)
{
	struct wire_reader r;

	wire_reader_init(&r, m->data, m->len);
	f->cause = wire_get_u8(&r);
	f->upstream = wire_get_u32(&r);
	if (!wire_done(&r) || f->cause >= CAUSE_COUNT ||
	    (f->upstream >= CONF_UPSTREAMS_MAX &&
		f->upstream != MSG_NO_UPSTREAM))
		return -1;
	return 0;
}

bool
msg_send_health(struct imsg_chan *ch, uint64_t id, const struct msg_health *h)
{
	struct wire_writer w;

	if (!imsg_begin(ch, &w, 5))
		return false;
	msg_put_bool(&w, h->up);
	wire_put_u8(&w, h->phase);
	wire_put_u8(&w, h->cause);
	wire_put_u16(&w, h->err);
	return imsg_commit(ch, &w, MSG_TP_HEALTH, id, -1);
}

int
msg_read_health(const struct imsg *m, struct msg_health *h)
{
	struct wire_reader r;

	memset(h, 0, sizeof(*h));
	wire_reader_init(&r, m->data, m->len);
	h->up = msg_get_bool(&r);
	h->phase = wire_get_u8(&r);
	h->cause = wire_get_u8(&r);
	h->err = wire_get_u16(&r);
	if (!wire_done(&r) || h->phase >= PHASE_COUNT ||
	    h->cause >= CAUSE_COUNT || h->err > MSG_ERRNO_MAX ||
	    (h->err != 0 && h->cause != CAUSE_NETWORK))
		return -1;
	/* PHASE_CONNECT is 0, too. */
	return h->up && (h->phase != 0 || h->cause != 0) ? -1 : 0;
}
