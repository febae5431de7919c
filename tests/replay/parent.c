/* SPDX-License-Identifier: ISC */
/*
 * The parent of a replay, see world.h: reads the configuration with the real
 * parser, sends it with the real messages, hands out connections and links.  A
 * test's.  What it never does is what the real one never does: it sends nothing
 * that the rules of the two do not admit.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/child.h"
#include "common/msg.h"
#include "dotproxy/parent/conf_parse.h"
#include "tests/replay/world.h"

#define UDP_ID 1u
#define TCP_ID 2u

/* Who of the two speaks is known by the handler's argument. */
static int
on_pool_done(void *arg, struct imsg *m)
{
	struct world *w = arg;
	struct msg_result res;

	if (msg_read_result(m, &res) == -1 || !res.ok)
		world_fail(w, "the pool refuses its configuration");
	w->pool_done = m->id;
	return 0;
}

static int
on_listener_done(void *arg, struct imsg *m)
{
	struct world *w = arg;

	w->listener_done = m->id;
	return 0;
}

static int
on_link_down(void *arg, struct imsg *m)
{
	struct world *w = arg;

	if (m->id == w->link)
		w->nlinks_down++;
	return 0;
}

static int
on_connect(void *arg, struct imsg *m)
{
	struct world *w = arg;
	uint32_t id;

	if (msg_read_u32(m, &id) == -1 || id == 0 || id > w->nfars)
		world_fail(w, "the pool asks for an upstream that is none");
	else
		far_dial(w, id - 1, m->id, m->type == MSG_TP_CONNECT_PLAIN);
	return 0;
}

static int
on_health(void *arg, struct imsg *m)
{
	struct msg_health h;

	if (msg_read_health(m, &h) == -1)
		world_fail(arg, "the pool says nonsense of an upstream");
	return 0;
}

static const struct imsg_rule pool_rules[IMSG_TYPES_MAX] = {
	[MSG_TP_CONNECT] = { .handler = on_connect,
	    .min = 4,
	    .max = 4,
	    .phases = 1 },
	[MSG_TP_CONNECT_PLAIN] = { .handler = on_connect,
	    .min = 4,
	    .max = 4,
	    .phases = 1 },
	[MSG_TP_HEALTH] = { .handler = on_health,
	    .min = 5,
	    .max = 5,
	    .phases = 1 },
	[MSG_XP_CONF_DONE] = { .handler = on_pool_done,
	    .max = MSG_TEXT_MAX + 3,
	    .phases = 1 },
	[MSG_XP_LINK_DOWN] = { .handler = on_link_down, .phases = 1 },
};

static const struct imsg_rule listener_rules[IMSG_TYPES_MAX] = {
	[MSG_XP_CONF_DONE] = { .handler = on_listener_done,
	    .max = MSG_TEXT_MAX + 3,
	    .phases = 1 },
	[MSG_XP_LINK_DOWN] = { .handler = on_link_down, .phases = 1 },
};

/* The real one ends the process; here nobody closes it but us. */
void
child_parent_down(void *arg, enum imsg_status status, const char *why)
{
	(void)arg;
	(void)fprintf(
	    stderr, "channel to the parent: %d %s\n", (int)status, why);
	abort();
}

/* The whole file, as an operator would have it. */
static struct conf *
read_conf(struct world *w)
{
	static char text[4 * WORLD_TEXT_MAX];
	struct conf_errors errs;
	struct conf *conf;
	size_t n;
	uint32_t i;

	n = (size_t)snprintf(text, sizeof(text),
	    "listen on 127.0.0.1\n%sclient {\n%s}\n", w->globals, w->client);
	for (i = 0; i < w->nfars; i++)
		if (w->fars[i].configured)
			n += (size_t)snprintf(text + n, sizeof(text) - n,
			    "upstream \"%s\" {\naddress 192.0.2.%u\n"
			    "server name \"%s.test\"\n%s}\n",
			    w->fars[i].name, (unsigned)(i + 1), w->fars[i].name,
			    w->fars[i].settings);
	conf = conf_parse_text("conf", text, n, NULL, 0, &errs);
	if (conf == NULL)
		world_fail(w, "configuration: %s", errs.text);
	return conf;
}

static void
send_pool_conf(struct world *w, const struct conf *conf)
{
	struct msg_pool pool = { conf->forward, conf->client.max_inflight,
		conf->client.max_transfers };
	struct msg_upstream u;
	bool ok;
	uint32_t i, k;

	ok = imsg_send_empty(&w->to_pool, MSG_PX_CONF_BEGIN, w->generation, -1);
	ok = ok && msg_send_pool(&w->to_pool, &pool);
	ok = ok &&
	     msg_send_file(&w->to_pool, MSG_PT_CA, 0, "/ca.pem", vnet_null());
	for (i = 0; i < conf->nupstreams; i++) {
		memset(&u, 0, sizeof(u));
		u.conf = conf->upstreams[i];
		memset(u.conf.ca_file, 0, sizeof(u.conf.ca_file));
		for (k = 0; k < w->nfars; k++)
			if (strcmp(w->fars[k].name, u.conf.name) == 0)
				u.id = k + 1;
		ok = ok && msg_send_upstream(&w->to_pool, &u);
	}
	ok = ok &&
	     imsg_send_empty(&w->to_pool, MSG_PX_CONF_END, w->generation, -1);
	ok = ok && msg_send_u8(&w->to_pool, MSG_PT_DECIDE, w->generation, 1);
	if (!ok)
		world_fail(w, "the configuration cannot be sent to the pool");
	world_settle(w);
	if (w->pool_done != w->generation)
		world_fail(w, "the pool has not taken its configuration");
}

static bool
send_listen(struct world *w, uint32_t id, int fd)
{
	struct msg_listen ml = { .id = id, .tcp = id == TCP_ID };
	struct sockaddr_in *sin = (struct sockaddr_in *)&ml.addr;

	sin->sin_family = AF_INET;
	sin->sin_port = htons(53);
	sin->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return msg_send_listen(&w->to_listener, &ml, fd);
}

static bool
send_allow(struct world *w, const struct conf *conf)
{
	struct msg_allow a = { .n = 0 };
	uint32_t i;

	for (i = 0; i < conf->nallow; i++) {
		a.prefixes[a.n++] = conf->allow[i];
		if (a.n < MSG_ALLOW_MAX && i + 1 < conf->nallow)
			continue;
		if (!msg_send_allow(&w->to_listener, &a))
			return false;
		a.n = 0;
	}
	return true;
}

/* new_socks: it has none yet. */
static void
send_listener_conf(struct world *w, const struct conf *conf, bool new_socks)
{
	struct msg_client c = { conf->client, conf->forward.query_timeout_ms,
		0 };
	struct imsg_chan *ch = &w->to_listener;
	struct ask *a;
	uint32_t i;
	bool ok;

	for (i = 0; i < conf->nupstreams; i++)
		if (conf->upstreams[i].read_timeout_ms > c.transfer_idle_ms)
			c.transfer_idle_ms = conf->upstreams[i].read_timeout_ms;
	ok = imsg_send_empty(ch, MSG_PX_CONF_BEGIN, w->generation, -1);
	ok = ok && msg_send_client(ch, &c);
	for (i = 0; i < conf->nupstreams; i++)
		ok = ok &&
		     msg_send_upstream_name(ch, i, conf->upstreams[i].name);
	ok = ok && send_allow(w, conf);
	ok = ok && send_listen(w, UDP_ID, new_socks ? vnet_dup(w->udp_fd) : -1);
	ok = ok && send_listen(w, TCP_ID, new_socks ? vnet_dup(w->tcp_fd) : -1);
	ok = ok && imsg_send_empty(ch, MSG_PX_CONF_END, w->generation, -1);
	if (!ok)
		world_fail(
		    w, "the configuration cannot be sent to the listener");
	world_settle(w);
	if (w->listener_done != w->generation)
		world_fail(w, "the listener has not taken its configuration");
	w->query_timeout_ms = c.query_timeout_ms;
	/* What waits in a TCP connection may be read only now. */
	TAILQ_FOREACH (a, &w->pending, pending)
		if (a->conn != NULL)
			a->limit_us += 1000u * (uint64_t)c.query_timeout_ms;
	w->limited = c.client.rate_limit != 0;
	w->retries = conf->forward.retries;
}

/* Opens our end of a channel, and returns the other. */
static int
open_channel(
    struct world *w, struct imsg_chan *ch, const struct imsg_rule *rules)
{
	const struct imsg_chan_opts opts = {
		.rules = rules,
		.in_cap = MSG_PARENT_BUF,
		.out_cap = MSG_PARENT_BUF,
		.phase = 1,
		.fdpass = true,
		.arg = w,
	};
	int fds[2];

	if (imsg_socketpair(fds) == -1 || imsg_open(ch, fds[0], &opts) == -1)
		abort();
	return fds[1];
}

static bool
give_link(struct imsg_chan *ch, uint64_t link, const struct imsg_ends *side)
{
	return imsg_send_empty(ch, MSG_PX_LINK_OUT, link, side->out) &&
	       imsg_send_empty(ch, MSG_PX_LINK, link, side->in);
}

void
parent_link(struct world *w)
{
	struct imsg_ends sides[2];

	if (w->pool == NULL || w->listener == NULL)
		return;
	if (imsg_pipes(sides) == -1)
		abort();
	w->link++;
	if (!give_link(&w->to_pool, w->link, &sides[0]) ||
	    !give_link(&w->to_listener, w->link, &sides[1]))
		world_fail(w, "the link cannot be sent");
	world_settle(w);
}

void
parent_start_pool(struct world *w)
{
	struct conf *conf = read_conf(w);

	if (conf == NULL || w->pool != NULL) {
		free(conf);
		return;
	}
	w->generation++;
	pool_side_start(w, open_channel(w, &w->to_pool, pool_rules));
	send_pool_conf(w, conf);
	free(conf);
	parent_link(w);
}

void
parent_start_listener(struct world *w)
{
	struct conf *conf = read_conf(w);

	if (conf == NULL || w->listener != NULL) {
		free(conf);
		return;
	}
	w->generation++;
	listener_side_start(
	    w, open_channel(w, &w->to_listener, listener_rules));
	w->draining = false;
	send_listener_conf(w, conf, true);
	free(conf);
	parent_link(w);
}

void
parent_kill_pool(struct world *w)
{
	if (w->pool == NULL)
		return;
	pool_side_stop(w);
	imsg_close(&w->to_pool);
}

void
parent_kill_listener(struct world *w)
{
	if (w->listener == NULL)
		return;
	listener_side_stop(w);
	imsg_close(&w->to_listener);
}

void
parent_reload(struct world *w)
{
	struct conf *conf = read_conf(w);

	if (conf == NULL)
		return;
	w->generation++;
	if (w->pool != NULL)
		send_pool_conf(w, conf);
	if (w->listener != NULL)
		send_listener_conf(w, conf, false);
	free(conf);
}

void
parent_change(struct world *w, unsigned int change, uint32_t id)
{
	bool drain = change == CHANGE_DRAIN || change == CHANGE_UNDRAIN;
	struct imsg_chan *ch = drain ? &w->to_listener : &w->to_pool;

	if (drain)
		w->draining = change == CHANGE_DRAIN;

	if (!msg_send_u8(ch, MSG_PX_CHANGE, id, (uint8_t)change))
		world_fail(w, "the change cannot be sent");
	world_settle(w);
}

static bool
channel_turn(struct world *w, struct imsg_chan *ch)
{
	bool more;

	if (!imsg_is_open(ch))
		return false;
	(void)imsg_flush(ch);
	more = vnet_is_readable(ch->fd);
	if (more && imsg_read(ch) != IMSG_OK)
		world_fail(w, "a child breaks the protocol: %s", ch->why);
	return more;
}

bool
parent_turn(struct world *w)
{
	bool more = channel_turn(w, &w->to_pool);

	more |= channel_turn(w, &w->to_listener);
	if (w->nlinks_down > 0) {
		w->nlinks_down = 0;
		parent_link(w);
		more = true;
	}
	return more;
}
