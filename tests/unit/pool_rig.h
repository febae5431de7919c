/* SPDX-License-Identifier: ISC */
/*
 * The real pool between a parent, a listener and upstreams that the test plays:
 * all of its code, real channels, real TLS over loopback TCP.  The loop is
 * turned by hand; certificates are made on the spot.
 */
#ifndef TESTS_POOL_RIG_H
#define TESTS_POOL_RIG_H

#include "tests/support/ended.h"
#include "tests/unit/pool_peer.h"

/* --- what the pool says to the parent --- */

static inline int
rig_on_connect(void *arg, struct imsg *m)
{
	uint32_t id;

	(void)arg;
	assert_int_equal(msg_read_u32(m, &id), 0);
	rig.ndials++;
	rig.nplain += m->type == MSG_TP_CONNECT_PLAIN;
	rig.last_request = m->id;
	rig.last_dialled = id;
	if (rig.manual)
		return 0;
	if (rig.refuse != 0) {
		assert_true(msg_send_u32(&rig.parent, MSG_PT_CONNECT_FAILED,
		    m->id, (uint32_t)rig.refuse));
		return 0;
	}
	assert_true(imsg_send_empty(
	    &rig.parent, MSG_PT_CONNECTED, m->id, rig_connect()));
	(void)rig_accept(id);
	return 0;
}

static inline int
rig_on_result(void *arg, struct imsg *m)
{
	struct msg_result res;

	(void)arg;
	assert_int_equal(msg_read_result(m, &res), 0);
	rig.done = m->id;
	rig.done_ok = res.ok;
	memcpy(rig.done_text, res.text, sizeof(res.text));
	return 0;
}

static inline int
rig_on_link_down(void *arg, struct imsg *m)
{
	(void)arg;
	rig.links_down++;
	rig.link_down_id = m->id;
	return 0;
}

static inline int
rig_on_pong(void *arg, struct imsg *m)
{
	(void)arg;
	(void)m;
	rig.pongs++;
	return 0;
}

static inline int
rig_on_health(void *arg, struct imsg *m)
{
	size_t i = m->id % CONF_UPSTREAMS_MAX;

	(void)arg;
	assert_int_equal(msg_read_health(m, &rig.health[i]), 0);
	rig.nhealths[i]++;
	return 0;
}

static const struct imsg_rule rig_parent_rules[IMSG_TYPES_MAX] = {
	[MSG_TP_CONNECT] = { .handler = rig_on_connect,
	    .min = 4,
	    .max = 4,
	    .phases = 1 },
	[MSG_TP_CONNECT_PLAIN] = { .handler = rig_on_connect,
	    .min = 4,
	    .max = 4,
	    .phases = 1 },
	[MSG_TP_HEALTH] = { .handler = rig_on_health,
	    .min = 5,
	    .max = 5,
	    .phases = 1 },
	[MSG_XP_CONF_DONE] = { .handler = rig_on_result,
	    .max = MSG_TEXT_MAX + 3,
	    .phases = 1 },
	[MSG_XP_LINK_DOWN] = { .handler = rig_on_link_down, .phases = 1 },
	[MSG_XP_PONG] = { .handler = rig_on_pong, .phases = 1 },
};

/* --- what it says to the listener --- */

static inline struct rig_reply *
rig_new_reply(uint64_t handle)
{
	struct rig_reply *r = &rig.replies[rig.nreplies++];

	assert_true(rig.nreplies < RIG_REPLIES_MAX);
	memset(r, 0, sizeof(*r));
	r->handle = handle;
	return r;
}

static inline int
rig_on_answer(void *arg, struct imsg *m)
{
	struct rig_reply *r = rig_new_reply(m->id);

	(void)arg;
	r->part = m->type == MSG_TL_PART;
	r->len = m->len;
	r->wire = malloc(m->len);
	memcpy(r->wire, m->data, m->len);
	return 0;
}

static inline int
rig_on_failed(void *arg, struct imsg *m)
{
	struct rig_reply *r = rig_new_reply(m->id);

	(void)arg;
	r->failed = true;
	assert_int_equal(msg_read_failed(m, &r->failure), 0);
	return 0;
}

static inline int
rig_on_info(void *arg, struct imsg *m)
{
	struct msg_result res;

	(void)arg;
	switch (m->type) {
	case MSG_INFO_COUNTERS:
		return msg_read_info_counters(m, &rig.counters);
	case MSG_INFO_POOL:
		return msg_read_info_pool(m, &rig.info_pool);
	case MSG_INFO_UPSTREAM:
		return msg_read_info_upstream(
		    m, &rig.info_ups[rig.ninfo_ups++ % CONF_UPSTREAMS_MAX]);
	case MSG_INFO_HIST:
		return msg_read_info_hist(
		    m, &rig.info_hists[rig.ninfo_hists++ % RIG_HISTS]);
	case MSG_INFO_PROBE:
		rig.nprobes++;
		return msg_read_info_probe(m, &rig.probe);
	case MSG_INFO_CONN:
		return msg_read_info_conn(
		    m, &rig.info_conns[rig.ninfo_conns++ % RIG_PEERS_MAX]);
	default:
		assert_int_equal(msg_read_result(m, &res), 0);
		rig.nends++;
		rig.nrefused += !res.ok;
		rig.end_ok = res.ok;
		return 0;
	}
}

static const struct imsg_rule rig_link_rules[IMSG_TYPES_MAX] = {
	[MSG_TL_ANSWER] = { .handler = rig_on_answer,
	    .min = DNS_HDR_LEN,
	    .max = DNS_MSG_MAX,
	    .phases = 1 },
	[MSG_TL_PART] = { .handler = rig_on_answer,
	    .min = DNS_HDR_LEN,
	    .max = DNS_MSG_MAX,
	    .phases = 1 },
	[MSG_TL_FAILED] = { .handler = rig_on_failed, .max = 64, .phases = 1 },
	[MSG_INFO_COUNTERS] = { .handler = rig_on_info,
	    .max = MSG_INFO_MAX,
	    .phases = 1 },
	[MSG_INFO_POOL] = { .handler = rig_on_info,
	    .max = MSG_INFO_MAX,
	    .phases = 1 },
	[MSG_INFO_UPSTREAM] = { .handler = rig_on_info,
	    .max = MSG_INFO_MAX,
	    .phases = 1 },
	[MSG_INFO_HIST] = { .handler = rig_on_info,
	    .max = MSG_INFO_MAX,
	    .phases = 1 },
	[MSG_INFO_PROBE] = { .handler = rig_on_info,
	    .max = MSG_INFO_MAX,
	    .phases = 1 },
	[MSG_INFO_CONN] = { .handler = rig_on_info,
	    .max = MSG_INFO_MAX,
	    .phases = 1 },
	[MSG_INFO_END] = { .handler = rig_on_info,
	    .max = MSG_INFO_MAX,
	    .phases = 1 },
};

/* --- turning --- */

static inline void
rig_turn(void)
{
	size_t i;

	rig_now_us += RIG_TURN_US;
	(void)imsg_flush(&rig.parent);
	(void)imsg_flush(&rig.link);
	(void)event_base_loop(rig.base, EVLOOP_NONBLOCK);
	pool_turn_end(rig.pool);
	(void)imsg_read(&rig.parent);
	(void)imsg_read(&rig.link);
	for (i = 0; i < rig.npeers; i++)
		peer_pump(rig.peers[i]);
}

/* Turns until cond is true, and fails if it does not come true. */
#define RIG_UNTIL(cond)                                                    \
	do {                                                               \
		uint64_t rig_end_ms = util_now_ms() + RIG_PATIENCE_MS;     \
		while (!(cond)) {                                          \
			if (util_now_ms() > rig_end_ms)                    \
				fail_msg("never: %s\n%s", #cond, rig.log); \
			rig_turn();                                        \
			(void)usleep(200);                                 \
		}                                                          \
	} while (0)

/* Turns for some time. */
static inline void
rig_pass(uint64_t ms)
{
	uint64_t end_ms = util_now_ms() + ms;

	do {
		rig_turn();
		(void)usleep(200);
	} while (util_now_ms() < end_ms);
}

/* --- the listener's part --- */

static inline void
rig_link(uint64_t number)
{
	const struct imsg_chan_opts opts = {
		.rules = rig_link_rules,
		.in_cap = MSG_LINK_BUF,
		.out_cap = MSG_LINK_BUF,
		.phase = 1,
	};
	struct imsg_ends sides[2];

	imsg_close(&rig.link);
	assert_int_equal(imsg_pipes(sides), 0);
	assert_int_equal(imsg_open(&rig.link, sides[0].in, &opts), 0);
	imsg_set_out(&rig.link, sides[0].out);
	assert_true(imsg_send_empty(
	    &rig.parent, MSG_PX_LINK_OUT, number, sides[1].out));
	assert_true(
	    imsg_send_empty(&rig.parent, MSG_PX_LINK, number, sides[1].in));
	rig_pass(1);
}

static inline void
rig_ask_wire(uint64_t handle, uint32_t left_ms, const uint8_t *wire, size_t len)
{
	while (!msg_send_query(&rig.link, handle, left_ms, wire, len))
		rig_turn();
}

static inline void
rig_ask_type(uint64_t handle, const char *name, uint16_t type)
{
	static struct pkt pkt;

	pkt_start(&pkt, QUERY_FLAGS, 1, 0, 0, 0);
	pkt_question(&pkt, name, type);
	rig_ask_wire(handle, 60000, pkt.buf, pkt.w.pos);
}

static inline void
rig_ask(uint64_t handle)
{
	rig_ask_type(handle, "www.example", 1);
}

/* The reply to a query; NULL if there was none. */
static inline struct rig_reply *
rig_reply(uint64_t handle)
{
	size_t i;

	for (i = 0; i < rig.nreplies; i++)
		if (rig.replies[i].handle == handle)
			return &rig.replies[i];
	return NULL;
}

/* How many replies there were to one query. */
static inline size_t
rig_nreplies(uint64_t handle)
{
	size_t i, n = 0;

	for (i = 0; i < rig.nreplies; i++)
		n += rig.replies[i].handle == handle;
	return n;
}

static inline bool
rig_answered(uint64_t handle)
{
	struct rig_reply *r = rig_reply(handle);

	return r != NULL && !r->failed;
}

static inline bool
rig_failed(uint64_t handle, enum msg_cause cause)
{
	struct rig_reply *r = rig_reply(handle);

	return r != NULL && r->failed && r->failure.cause == cause;
}

static inline void
rig_show(enum msg_show what)
{
	size_t before = rig.nends;

	rig.ninfo_ups = rig.ninfo_conns = rig.ninfo_hists = 0;
	assert_true(msg_send_u8(&rig.link, MSG_LT_SHOW, 99, (uint8_t)what));
	RIG_UNTIL(rig.nends > before);
}

/* Every query has ended in one way, or is still held. */
static inline void
rig_check_counters(void)
{
	const uint64_t *n = rig.pool->counters;

	assert_int_equal(n[TSTAT_queries],
	    ended_in_pool(n) + query_held(&rig.pool->queries));
}

/* --- the parent's part --- */

static inline void
rig_send_upstream(const struct msg_upstream *u)
{
	assert_true(msg_send_upstream(&rig.parent, u));
	if (rig.cert_fd == -1)
		return;
	assert_true(msg_send_file(
	    &rig.parent, MSG_PT_CERT, 0, "/me.pem", dup(rig.cert_fd)));
	assert_true(msg_send_file(
	    &rig.parent, MSG_PT_KEY, 0, "/me.key", dup(rig.key_fd)));
	assert_int_equal(lseek(rig.cert_fd, 0, SEEK_SET), 0);
	assert_int_equal(lseek(rig.key_fd, 0, SEEK_SET), 0);
}

static inline void
rig_send_conf(void)
{
	uint32_t i;

	rig.generation++;
	assert_true(imsg_send_empty(
	    &rig.parent, MSG_PX_CONF_BEGIN, rig.generation, -1));
	assert_true(msg_send_pool(&rig.parent, &rig.conf));
	assert_true(msg_send_file(
	    &rig.parent, MSG_PT_CA, 0, "/ca.pem", dup(rig.ca_fd)));
	assert_int_equal(lseek(rig.ca_fd, 0, SEEK_SET), 0);
	for (i = 0; i < rig.nups; i++)
		rig_send_upstream(&rig.ups[i]);
	assert_true(
	    imsg_send_empty(&rig.parent, MSG_PX_CONF_END, rig.generation, -1));
	if (!rig.undecided)
		assert_true(
		    msg_send_u8(&rig.parent, MSG_PT_DECIDE, rig.generation, 1));
	RIG_UNTIL(rig.done == rig.generation);
}

/* Sends the configuration, which has to be accepted. */
static inline void
rig_configure(void)
{
	rig_send_conf();
	assert_string_equal(rig.done_text, "");
	assert_true(rig.done_ok);
}

/* A connection of an upstream that is up, the nth of those not closed. */
static inline struct peer *
rig_peer(uint32_t upstream, size_t n)
{
	size_t i;

	for (i = 0; i < rig.npeers; i++)
		if (rig.peers[i]->upstream == upstream && rig.peers[i]->up &&
		    !rig.peers[i]->eof && rig.peers[i]->fd != -1 && n-- == 0)
			return rig.peers[i];
	return NULL;
}

/* An open connection whose last query was not answered; NULL if none. */
static inline struct peer *
rig_peer_with_query(void)
{
	struct peer *p;
	size_t i;

	for (i = 0; i < rig.npeers; i++) {
		p = rig.peers[i];
		if (p->fd != -1 && !p->eof && p->ngot > 0 &&
		    !dns_is_response(p->got[p->ngot - 1].wire))
			return p;
	}
	return NULL;
}

static inline struct upstream *
rig_up(uint32_t i)
{
	assert_true(i < rig.pool->nupstreams);
	return rig.pool->upstreams[i];
}

static inline void
rig_log(enum log_level level, const char *line, void *arg)
{
	size_t n = strlen(rig.log);

	(void)arg;
	if (level == LOG_LEVEL_FATAL)
		(void)fprintf(stderr, "%s\n", line);
	(void)snprintf(rig.log + n, sizeof(rig.log) - n, "%s: %s\n",
	    log_level_name(level), line);
}

static inline void
rig_parent_down(void *arg, enum imsg_status status, const char *why)
{
	(void)arg;
	fail_msg("channel to the parent: %d %s", (int)status, why);
}

static inline void
rig_channels(void)
{
	struct imsg_chan_opts opts = {
		.rules = rig_parent_rules,
		.in_cap = MSG_PARENT_BUF,
		.out_cap = MSG_PARENT_BUF,
		.phase = 1,
		.fdpass = true,
	};
	int fds[2];

	assert_int_equal(imsg_socketpair(fds), 0);
	assert_int_equal(imsg_open(&rig.parent, fds[0], &opts), 0);
	opts.rules = pool_parent_rules;
	opts.phase = POOL_PHASE_IDLE;
	opts.arg = rig.pool;
	opts.on_down = rig_parent_down;
	assert_int_equal(imsg_open(&rig.pool->parent, fds[1], &opts), 0);
	assert_int_equal(imsg_attach(&rig.pool->parent, rig.base), 0);
}

static inline void
rig_listen(void)
{
	socklen_t len = sizeof(rig.addr);

	rig.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	rig.addr.sin_family = AF_INET;
	rig.addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(
	    bind(rig.fd, (struct sockaddr *)&rig.addr, sizeof(rig.addr)), 0);
	assert_int_equal(listen(rig.fd, 512), 0);
	assert_int_equal(
	    getsockname(rig.fd, (struct sockaddr *)&rig.addr, &len), 0);
}

/* One more upstream in the configuration to be sent. */
static inline struct msg_upstream *
rig_add(uint32_t id)
{
	const struct conf_upstream conf = CONF_UPSTREAM_DEFAULT;
	struct msg_upstream *u = &rig.ups[rig.nups++];

	memset(u, 0, sizeof(*u));
	u->id = id;
	u->conf = conf;
	memset(u->conf.ca_file, 0, sizeof(u->conf.ca_file));
	(void)snprintf(
	    u->conf.name, sizeof(u->conf.name), "up%u", (unsigned)id);
	(void)snprintf(
	    u->conf.at, sizeof(u->conf.at), "t.conf:%u", (unsigned)id);
	u->conf.tls_min = CONF_TLS_1_2;
	(void)snprintf(
	    u->conf.server_name, sizeof(u->conf.server_name), "dot.test");
	memcpy(&u->conf.addr, &rig.addr, sizeof(rig.addr));
	return u;
}

/* A pool with a link, and one upstream in the configuration, not sent yet. */
static inline int
rig_setup(void **state)
{
	const struct conf_forward forward = CONF_FORWARD_DEFAULT;

	(void)state;
	(void)signal(SIGPIPE, SIG_IGN);
	memset(&rig, 0, sizeof(rig));
	rig.link.fd = -1;
	rig.replies = calloc(RIG_REPLIES_MAX, sizeof(*rig.replies));
	log_init_sink(rig_log, NULL);
	log_set_level(LOG_LEVEL_INFO);
	rig_new_ca();
	rig_leaf("dot.test", -RIG_DAY, RIG_DAY);
	rig.ca_fd = rig_ca_file();
	rig.cert_fd = rig.key_fd = -1;
	rig_listen();
	rig.base = event_base_new();
	rig.pool = calloc(1, sizeof(*rig.pool));
	pool_init(rig.pool, rig.base);
	rig_channels();
	rig.conf.forward = forward;
	rig.conf.forward.policy = POLICY_FAILOVER;
	rig.conf.forward.hedge_percent = 0; /* connections are counted */
	rig.conf.max_inflight = 8192;
	rig.conf.max_transfers = 4;
	(void)rig_add(1);
	rig_link(1);
	return 0;
}

/* A pool in front of one upstream, with a connection. */
static inline int
rig_setup_one(void **state)
{
	(void)rig_setup(state);
	rig_configure();
	RIG_UNTIL(rig_peer(1, 0) != NULL && rig_up(0)->nready == 1);
	return 0;
}

static inline int
rig_teardown(void **state)
{
	size_t i, k;

	(void)state;
	rig_check_counters();
	pool_free(rig.pool);
	free(rig.pool);
	event_base_free(rig.base);
	imsg_close(&rig.parent);
	imsg_close(&rig.link);
	for (i = 0; i < rig.npeers; i++) {
		for (k = 0; k < rig.peers[i]->ngot; k++)
			free(rig.peers[i]->got[k].wire);
		free(rig.peers[i]->got);
		SSL_free(rig.peers[i]->ssl);
		if (rig.peers[i]->fd != -1)
			close(rig.peers[i]->fd);
		free(rig.peers[i]);
	}
	for (i = 0; i < rig.nreplies; i++)
		free(rig.replies[i].wire);
	free(rig.replies);
	close(rig.fd);
	close(rig.ca_fd);
	close(rig.cert_fd);
	close(rig.key_fd);
	SSL_CTX_free(rig.tls);
	X509_free(rig.ca);
	EVP_PKEY_free(rig.ca_key);
	return 0;
}

#define RIG_TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
#define RIG_TEST_ONE(f) \
	cmocka_unit_test_setup_teardown(f, rig_setup_one, rig_teardown)

#endif
