/* SPDX-License-Identifier: ISC */
/*
 * The codec of INFO_PIN: a certificate by which an upstream was believed.
 * Linked by the pool and dotproxyctl; the reader must be safe against anything,
 * and accepts nothing that the encoder does not make.
 */
#include "common/msg.h"
#include "common/msg_wire.h"

bool
msg_send_info_pin(struct imsg_chan *ch, uint64_t id, const struct info_pin *p)
{
	struct wire_writer w;

	if (!imsg_begin(ch, &w, 64 + INFO_SUBJECT_MAX))
		return false;
	wire_put_u32(&w, p->upstream);
	wire_put_u8(&w, p->depth);
	msg_put_bool(&w, p->configured);
	wire_put_bytes(&w, p->pin, sizeof(p->pin));
	wire_put_str(&w, p->subject);
	return imsg_commit(ch, &w, MSG_INFO_PIN, id, -1);
}

int
msg_read_info_pin(const struct imsg *m, struct info_pin *p)
{
	struct wire_reader r;

	wire_reader_init(&r, m->data, m->len);
	p->upstream = wire_get_u32(&r);
	p->depth = wire_get_u8(&r);
	p->configured = msg_get_bool(&r);
	wire_get_copy(&r, p->pin, sizeof(p->pin));
	wire_get_str(&r, p->subject, sizeof(p->subject));
	if (!wire_done(&r) || p->upstream >= CONF_UPSTREAMS_MAX ||
	    p->depth >= INFO_PINS_MAX)
		return -1;
	return 0;
}
