/* SPDX-License-Identifier: ISC */
/*
 * The codec of INFO_CLIENT: who asks how much.  Linked by the listener and
 * dotproxyctl; the reader must be safe against anything, and accepts nothing
 * that the encoder does not make.
 */
#include <netinet/in.h>
#include <string.h>

#include "common/msg.h"
#include "common/msg_wire.h"

static size_t
addr_size(uint8_t family)
{
	return family == AF_INET ? sizeof(struct in_addr)
				 : sizeof(struct in6_addr);
}

bool
msg_send_info_client(
    struct imsg_chan *ch, uint64_t id, const struct info_client *c)
{
	struct wire_writer w;

	if (!imsg_begin(ch, &w, 64))
		return false;
	wire_put_u8(&w, c->net.family);
	wire_put_u8(&w, c->net.len);
	wire_put_bytes(&w, c->net.addr, addr_size(c->net.family));
	wire_put_u64(&w, c->queries);
	wire_put_u64(&w, c->excess);
	wire_put_u64(&w, c->answers);
	wire_put_u64(&w, c->last_minute);
	wire_put_u32(&w, c->inflight);
	return imsg_commit(ch, &w, MSG_INFO_CLIENT, id, -1);
}

int
msg_read_info_client(const struct imsg *m, struct info_client *c)
{
	struct wire_reader r;
	size_t size;

	memset(c, 0, sizeof(*c));
	wire_reader_init(&r, m->data, m->len);
	c->net.family = wire_get_u8(&r);
	c->net.len = wire_get_u8(&r);
	if (c->net.family != AF_INET && c->net.family != AF_INET6)
		return -1;
	size = addr_size(c->net.family);
	wire_get_copy(&r, c->net.addr, size);
	c->queries = wire_get_u64(&r);
	c->excess = wire_get_u64(&r);
	c->answers = wire_get_u64(&r);
	c->last_minute = wire_get_u64(&r);
	c->inflight = wire_get_u32(&r);
	if (!wire_done(&r) || c->net.len > size * 8 || c->excess >= c->queries)
		return -1;
	return 0;
}
