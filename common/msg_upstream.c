/* SPDX-License-Identifier: ISC */
/*
 * The codec of what the pool is told of an upstream; see msg.h and msg.c.  The
 * reader trusts the parent, and still takes nothing that the writer does not
 * make: the limits here are what the pool's tables are sized for.
 */
#include "common/msg.h"

#include <string.h>

#include "common/msg_wire.h"

bool
msg_send_upstream(struct imsg_chan *ch, const struct msg_upstream *u)
{
	const struct conf_upstream *c = &u->conf;
	struct wire_writer w;

	if (c->npins > CONF_PINS_MAX || !imsg_begin(ch, &w, 2048))
		return false;
	wire_put_u32(&w, u->id);
	wire_put_u32(&w, u->ca);
	wire_put_str(&w, c->at);
	wire_put_str(&w, c->name);
	msg_put_sockaddr(&w, &c->addr);
	wire_put_str(&w, c->server_name);
	wire_put_u32(&w, c->pool_size);
	wire_put_u32(&w, c->connect_timeout_ms);
	wire_put_u32(&w, c->handshake_timeout_ms);
	wire_put_u32(&w, c->read_timeout_ms);
	wire_put_u32(&w, c->write_timeout_ms);
	wire_put_u32(&w, c->stale_timeout_ms);
	wire_put_u32(&w, c->keep_warm_ms);
	wire_put_u8(&w, c->resumption);
	wire_put_u8(&w, c->tls_min);
	wire_put_str(&w, c->ciphers);
	msg_put_bool(&w, c->pin_only);
	msg_put_bool(&w, c->edit.padding);
	msg_put_bool(&w, c->edit.keepalive);
	msg_put_bool(&w, c->edit.strip_ecs);
	wire_put_u32(&w, c->npins);
	wire_put_bytes(&w, c->pins, c->npins * CONF_PIN_LEN);
	return imsg_commit(ch, &w, MSG_PT_UPSTREAM, 0, -1);
}

int
msg_read_upstream(const struct imsg *m, struct msg_upstream *u)
{
	struct conf_upstream *c = &u->conf;
	struct wire_reader r;

	memset(u, 0, sizeof(*u));
	wire_reader_init(&r, m->data, m->len);
	u->id = wire_get_u32(&r);
	u->ca = wire_get_u32(&r);
	wire_get_str(&r, c->at, sizeof(c->at));
	wire_get_str(&r, c->name, sizeof(c->name));
	msg_get_sockaddr(&r, &c->addr);
	wire_get_str(&r, c->server_name, sizeof(c->server_name));
	c->pool_size = wire_get_u32(&r);
	c->connect_timeout_ms = wire_get_u32(&r);
	c->handshake_timeout_ms = wire_get_u32(&r);
	c->read_timeout_ms = wire_get_u32(&r);
	c->write_timeout_ms = wire_get_u32(&r);
	c->stale_timeout_ms = wire_get_u32(&r);
	c->keep_warm_ms = wire_get_u32(&r);
	c->resumption = msg_get_bool(&r);
	c->tls_min = wire_get_u8(&r);
	wire_get_str(&r, c->ciphers, sizeof(c->ciphers));
	c->pin_only = msg_get_bool(&r);
	c->edit.padding = msg_get_bool(&r);
	c->edit.keepalive = msg_get_bool(&r);
	c->edit.strip_ecs = msg_get_bool(&r);
	c->npins = wire_get_u32(&r);
	if (c->npins > CONF_PINS_MAX)
		return -1;
	wire_get_copy(&r, c->pins, c->npins * CONF_PIN_LEN);
	if (!wire_done(&r) || c->pool_size == 0 ||
	    c->pool_size > CONF_POOL_SIZE_MAX || c->tls_min < CONF_TLS_1_2 ||
	    c->tls_min > CONF_TLS_1_3)
		return -1;
	/* Who is not to be believed by his pins has a CA, and nobody both. */
	if (c->pin_only)
		return u->ca == MSG_NO_CA && c->npins > 0 ? 0 : -1;
	return u->ca < CONF_UPSTREAMS_MAX ? 0 : -1;
}

bool
msg_send_file(
    struct imsg_chan *ch, uint16_t type, uint64_t id, const char *path, int fd)
{
	struct wire_writer w;

	if (!imsg_begin(ch, &w, 2 + CONF_PATH_MAX)) {
		msg_close_fd(fd);
		return false;
	}
	wire_put_str(&w, path);
	return imsg_commit(ch, &w, type, id, fd);
}

int
msg_read_file(const struct imsg *m, char path[CONF_PATH_MAX])
{
	struct wire_reader r;

	wire_reader_init(&r, m->data, m->len);
	wire_get_str(&r, path, CONF_PATH_MAX);
	return wire_done(&r) ? 0 : -1;
}
