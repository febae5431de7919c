/* SPDX-License-Identifier: ISC */
/*
 * The codecs of what an operator asks to be changed or tried, on its way from
 * dotproxyctl by the listener to the parent, and of what a probe has found.
 * Linked by all.  A decoder admits a name or a number only where the change is
 * done to an upstream.
 */
#include <string.h>

#include "common/msg.h"
#include "common/msg_wire.h"

bool
msg_send_request(struct imsg_chan *ch, uint64_t id, const struct msg_request *r)
{
	struct wire_writer w;

	if (!imsg_begin(ch, &w, 3 + CONF_NAME_MAX))
		return false;
	wire_put_u8(&w, r->change);
	wire_put_str(&w, r->upstream);
	return imsg_commit(ch, &w, MSG_CL_CHANGE, id, -1);
}

int
msg_read_request(const struct imsg *m, struct msg_request *req)
{
	struct wire_reader r;

	memset(req, 0, sizeof(*req));
	wire_reader_init(&r, m->data, m->len);
	req->change = wire_get_u8(&r);
	wire_get_str(&r, req->upstream, sizeof(req->upstream));
	if (!wire_done(&r) || req->change >= CHANGE_COUNT ||
	    (req->upstream[0] != '\0') != msg_change_has_upstream(req->change))
		return -1;
	return 0;
}

bool
msg_send_change(
    struct imsg_chan *ch, uint64_t id, uint8_t change, uint32_t upstream)
{
	struct wire_writer w;

	if (!imsg_begin(ch, &w, 5))
		return false;
	wire_put_u8(&w, change);
	wire_put_u32(&w, upstream);
	return imsg_commit(ch, &w, MSG_LP_CHANGE, id, -1);
}

int
msg_read_change(const struct imsg *m, uint8_t *change, uint32_t *upstream)
{
	struct wire_reader r;

	wire_reader_init(&r, m->data, m->len);
	*change = wire_get_u8(&r);
	*upstream = wire_get_u32(&r);
	if (!wire_done(&r) || *change >= CHANGE_COUNT ||
	    *change == CHANGE_PROBE)
		return -1;
	if (msg_change_has_upstream(*change))
		return *upstream < CONF_UPSTREAMS_MAX ? 0 : -1;
	return *upstream == MSG_NO_UPSTREAM ? 0 : -1;
}

bool
msg_send_info_probe(
    struct imsg_chan *ch, uint64_t id, const struct info_probe *p)
{
	struct wire_writer w;
	size_t i;

	if (!imsg_begin(ch, &w, 1024))
		return false;
	wire_put_str(&w, p->name);
	wire_put_str(&w, p->server_name);
	msg_put_sockaddr(&w, &p->addr);
	wire_put_u8(&w, p->failed);
	wire_put_u8(&w, p->phase);
	wire_put_str(&w, p->error);
	for (i = 0; i < STEP_COUNT; i++)
		wire_put_u64(&w, p->step_us[i]);
	wire_put_str(&w, p->version);
	wire_put_str(&w, p->cipher);
	wire_put_u64(&w, p->expires_s);
	msg_put_bool(&w, p->pinned);
	wire_put_u8(&w, p->rcode);
	wire_put_u32(&w, p->answer_len);
	return imsg_commit(ch, &w, MSG_INFO_PROBE, id, -1);
}

int
msg_read_info_probe(const struct imsg *m, struct info_probe *p)
{
	struct wire_reader r;
	size_t i;

	memset(p, 0, sizeof(*p));
	wire_reader_init(&r, m->data, m->len);
	wire_get_str(&r, p->name, sizeof(p->name));
	wire_get_str(&r, p->server_name, sizeof(p->server_name));
	msg_get_sockaddr(&r, &p->addr);
	p->failed = wire_get_u8(&r);
	p->phase = wire_get_u8(&r);
	wire_get_str(&r, p->error, sizeof(p->error));
	for (i = 0; i < STEP_COUNT; i++)
		p->step_us[i] = wire_get_u64(&r);
	wire_get_str(&r, p->version, sizeof(p->version));
	wire_get_str(&r, p->cipher, sizeof(p->cipher));
	p->expires_s = wire_get_u64(&r);
	p->pinned = msg_get_bool(&r);
	p->rcode = wire_get_u8(&r);
	p->answer_len = wire_get_u32(&r);
	if (!wire_done(&r) || p->failed > STEP_COUNT ||
	    p->phase >= PHASE_COUNT || p->expires_s > INFO_EXPIRES_MAX ||
	    p->rcode > 15)
		return -1;
	return 0;
}
