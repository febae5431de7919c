/* SPDX-License-Identifier: ISC */
/*
 * The codec of INFO_ERROR: what an upstream failed with, how often and when.
 * Linked by the pool and dotproxyctl; the reader must be safe against anything,
 * and accepts nothing that the encoder does not make.
 */
#include "common/msg.h"
#include "common/msg_wire.h"

bool
msg_send_info_error(
    struct imsg_chan *ch, uint64_t id, const struct info_error *e)
{
	struct wire_writer w;

	if (!imsg_begin(ch, &w, 64 + INFO_ERROR_TEXT_MAX))
		return false;
	wire_put_u32(&w, e->upstream);
	wire_put_u8(&w, e->phase);
	wire_put_u8(&w, e->cause);
	wire_put_u64(&w, e->count);
	wire_put_u64(&w, e->first_ms);
	wire_put_u64(&w, e->last_ms);
	wire_put_str(&w, e->text);
	return imsg_commit(ch, &w, MSG_INFO_ERROR, id, -1);
}

int
msg_read_info_error(const struct imsg *m, struct info_error *e)
{
	struct wire_reader r;

	wire_reader_init(&r, m->data, m->len);
	e->upstream = wire_get_u32(&r);
	e->phase = wire_get_u8(&r);
	e->cause = wire_get_u8(&r);
	e->count = wire_get_u64(&r);
	e->first_ms = wire_get_u64(&r);
	e->last_ms = wire_get_u64(&r);
	wire_get_str(&r, e->text, sizeof(e->text));
	if (!wire_done(&r) || e->upstream >= CONF_UPSTREAMS_MAX ||
	    e->phase >= PHASE_COUNT || e->cause >= CAUSE_COUNT ||
	    e->count == 0 || e->last_ms > e->first_ms)
		return -1;
	return 0;
}
