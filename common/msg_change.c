/* SPDX-License-Identifier: ISC */
/*
 * The codecs of what an operator asks to be changed, on its way from
 * dotproxyctl by the listener to the parent.  Linked by all.  A decoder admits
 * a name or a number only where the change is done to an upstream.
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
	if (!wire_done(&r) || *change >= CHANGE_COUNT)
		return -1;
	if (msg_change_has_upstream(*change))
		return *upstream < CONF_UPSTREAMS_MAX ? 0 : -1;
	return *upstream == MSG_NO_UPSTREAM ? 0 : -1;
}
