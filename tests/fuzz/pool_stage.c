/* SPDX-License-Identifier: ISC */
/*
 * The stage of fuzz_pool.c, see pool_stage.h: turns, time, and the parent, who
 * never does what the real one does not.  A test's.
 */
#include "tests/fuzz/pool_stage.h"

#include <errno.h>
#include <stdarg.h>

#include "common/child.h"
#include "common/log.h"

/* More turns without time are turns without end. */
#define TURNS_MAX 4000
/* So many timers are waited for one by one before the clock jumps. */
#define STEPS_MAX 48

/* There is one allocator. */
static struct {
	bool on;           /* the pool has a turn */
	unsigned int left; /* until one fails; 0: none does */
} memory;

void *__wrap_malloc(size_t);
void *__real_malloc(size_t);
void *__wrap_calloc(size_t, size_t);
void *__real_calloc(size_t, size_t);
void *__wrap_realloc(void *, size_t);
void *__real_realloc(void *, size_t);

static bool
memory_fails(void)
{
	return memory.on && memory.left > 0 && --memory.left == 0;
}

void *
__wrap_malloc(size_t n)
{
	return memory_fails() ? NULL : __real_malloc(n);
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return memory_fails() ? NULL : __real_calloc(n, size);
}

void *
__wrap_realloc(void *p, size_t n)
{
	return memory_fails() ? NULL : __real_realloc(p, n);
}

void
stage_lack_memory(struct stage *st, unsigned int n)
{
	/* What the parent has sent must not fail. */
	stage_settle(st);
	memory.left = n;
}

static void
stage_log(enum log_level level, const char *line, void *arg)
{
	(void)arg;
	if (level == LOG_LEVEL_FATAL)
		(void)fprintf(stderr, "fatal: %s\n", line);
	FUZZ_ASSERT(level != LOG_LEVEL_FATAL);
	FUZZ_ASSERT(strstr(line, STAGE_SECRET) == NULL);
}

/* For pool_side.c. */
void
world_fail(struct world *w, const char *fmt, ...)
{
	va_list ap;

	(void)w;
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
	abort();
}

void
child_parent_down(void *arg, enum imsg_status status, const char *why)
{
	(void)arg;
	(void)fprintf(
	    stderr, "channel to the parent: %d %s\n", (int)status, why);
	abort();
}

/* --- what the pool says to the parent --- */

static void
dial_fail(struct stage *st, const struct dial *d, int err)
{
	FUZZ_ASSERT(msg_send_u32(
	    &st->w.to_pool, MSG_PT_CONNECT_FAILED, d->request, (uint32_t)err));
}

static int
on_connect(void *arg, struct imsg *m)
{
	struct stage *st = arg;
	struct dial d = { .request = m->id };

	FUZZ_ASSERT(msg_read_u32(m, &d.up) == 0);
	FUZZ_ASSERT(d.up >= 1 && d.up <= STAGE_UPS);
	if (st->ndials < STAGE_DIALS_MAX)
		st->dials[st->ndials++] = d;
	else
		dial_fail(st, &d, EAGAIN); /* it has its limits */
	return 0;
}

static int
on_done(void *arg, struct imsg *m)
{
	struct stage *st = arg;
	struct msg_result res;

	FUZZ_ASSERT(msg_read_result(m, &res) == 0 && res.ok);
	st->w.pool_done = m->id;
	return 0;
}

static int
on_link_down(void *arg, struct imsg *m)
{
	struct stage *st = arg;

	if (m->id != st->w.link)
		return 0;
	FUZZ_ASSERT(st->hostile || st->to_pool == NULL);
	st->w.nlinks_down++;
	return 0;
}

static int
on_pong(void *arg, struct imsg *m)
{
	(void)arg;
	(void)m;
	return 0;
}

static int
on_health(void *arg, struct imsg *m)
{
	struct msg_health h;

	(void)arg;
	FUZZ_ASSERT(msg_read_health(m, &h) == 0);
	FUZZ_ASSERT(m->id >= 1 && m->id <= STAGE_UPS);
	return 0;
}

static const struct imsg_rule parent_rules[IMSG_TYPES_MAX] = {
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
	[MSG_XP_CONF_DONE] = { .handler = on_done,
	    .max = MSG_TEXT_MAX + 3,
	    .phases = 1 },
	[MSG_XP_LINK_DOWN] = { .handler = on_link_down, .phases = 1 },
	[MSG_XP_PONG] = { .handler = on_pong, .phases = 1 },
};

/* --- what it says to the pool --- */

/* For what a pool that gets no memory ends. */
static void
must_succeed(void)
{
	memory.left = 0;
}

static void
dial_end(struct stage *st, size_t i)
{
	st->ndials--;
	memmove(&st->dials[i], &st->dials[i + 1],
	    (st->ndials - i) * sizeof(st->dials[0]));
}

static void
dial_connect(struct stage *st, const struct dial *d, bool connecting)
{
	struct peer *p;
	int fd;

	if (st->npeers == STAGE_PEERS_MAX) {
		dial_fail(st, d, EAGAIN);
		return;
	}
	p = peer_new(st, d, &fd);
	vnet_set_connecting(p->sock, connecting);
	FUZZ_ASSERT(
	    imsg_send_empty(&st->w.to_pool, MSG_PT_CONNECTED, d->request, fd));
}

void
stage_dialled(struct stage *st, size_t nth, uint8_t how)
{
	static const int errs[] = { EAGAIN, ENETUNREACH, ECONNREFUSED, ENOENT,
		EMFILE, EINVAL };
	struct dial d;

	if (st->ndials == 0)
		return;
	nth %= st->ndials;
	d = st->dials[nth];
	dial_end(st, nth);
	if (how < 128)
		dial_connect(st, &d, how % 2 != 0);
	else
		dial_fail(st, &d, errs[how % 6u]);
}

/* Those who are to be connected at once, and those nobody looks after. */
static bool
dial_turn(struct stage *st)
{
	bool more = false;
	struct dial d;
	size_t i = 0;

	while (i < st->ndials) {
		d = st->dials[i];
		if ((st->automatic[d.up] & AUTO_CONNECT) == 0 &&
		    st->ndials < STAGE_DIALS_MAX / 2) {
			i++;
			continue;
		}
		dial_end(st, i);
		dial_connect(st, &d, false);
		more = true;
	}
	return more;
}

static const uint32_t spans[] = { 50, 300, 1000, 5000 };

static void
make_upstream(struct msg_upstream *u, uint32_t id, const uint8_t *how)
{
	static const uint32_t warms[] = { 0, 1000, 30000, 300000 };
	const struct conf_upstream conf = CONF_UPSTREAM_DEFAULT;
	struct sockaddr_in *sin = (struct sockaddr_in *)&u->conf.addr;

	memset(u, 0, sizeof(*u));
	u->id = id;
	u->conf = conf;
	memset(u->conf.ca_file, 0, sizeof(u->conf.ca_file));
	(void)snprintf(
	    u->conf.name, sizeof(u->conf.name), "up%u", (unsigned)id);
	(void)snprintf(u->conf.at, sizeof(u->conf.at), "t:%u", (unsigned)id);
	(void)snprintf(
	    u->conf.server_name, sizeof(u->conf.server_name), "dot.test");
	sin->sin_family = AF_INET;
	sin->sin_port = htons(853);
	sin->sin_addr.s_addr = htonl(0xc0000200u + id);
	u->conf.pool_size = 1u << (how[1] >> 4 & 3);
	u->conf.connect_timeout_ms = spans[how[2] >> 2 & 3];
	u->conf.handshake_timeout_ms = spans[how[2] >> 2 & 3];
	u->conf.read_timeout_ms = spans[how[2] >> 2 & 3];
	u->conf.write_timeout_ms = spans[how[2] >> 2 & 3];
	u->conf.stale_timeout_ms = spans[(how[2] >> 2 & 3) ^ id % 2];
	u->conf.keep_warm_ms = warms[how[2] >> 4 & 3];
	u->conf.edit.padding = (how[2] & 0x40) != 0;
	u->conf.edit.keepalive = u->conf.edit.padding;
	u->conf.edit.strip_ecs = (how[2] & 0x80) != 0;
}

static void
make_pool(struct msg_pool *pool, const uint8_t *how)
{
	static const uint32_t hedges[] = { 0, 5, 30, 100 };
	static const uint32_t limits[] = { 64, 16, 4 };
	static const uint32_t timeouts[] = { 100, 1000, 4000, 60000 };
	static const uint32_t retries[] = { 0, 1, 3, 16 };
	const struct conf_forward forward = CONF_FORWARD_DEFAULT;

	pool->forward = forward;
	pool->forward.policy = how[0] % POLICY_COUNT;
	pool->forward.hedge_percent = hedges[how[0] / POLICY_COUNT % 4];
	pool->max_inflight = limits[how[0] / POLICY_COUNT / 4 % 3];
	pool->max_transfers = 2;
	pool->forward.query_timeout_ms = timeouts[how[1] >> 6 & 3];
	pool->forward.retries = retries[how[2] & 3];
}

void
stage_configure(struct stage *st, const uint8_t *how)
{
	struct imsg_chan *ch = &st->w.to_pool;
	struct msg_upstream u;
	struct msg_pool pool;
	uint32_t id, set = how[1] & 15;
	bool ok;

	must_succeed();
	make_pool(&pool, how);
	st->w.generation++;
	ok = imsg_send_empty(ch, MSG_PX_CONF_BEGIN, st->w.generation, -1) &&
	     msg_send_pool(ch, &pool) &&
	     msg_send_file(ch, MSG_PT_CA, 0, "/ca.pem", vnet_null());
	for (id = 1; id <= STAGE_UPS; id++) {
		if ((set != 0 ? set : 1) >> (id - 1) % 2 == 0)
			continue;
		make_upstream(&u, id, how);
		st->edits |= u.conf.edit.padding || u.conf.edit.strip_ecs;
		ok = ok && msg_send_upstream(ch, &u);
	}
	ok = ok && imsg_send_empty(ch, MSG_PX_CONF_END, st->w.generation, -1);
	FUZZ_ASSERT(ok);
	if (st->max_timeout_ms < pool.forward.query_timeout_ms)
		st->max_timeout_ms = pool.forward.query_timeout_ms;
	stage_settle(st);
	FUZZ_ASSERT(st->w.pool_done == st->w.generation);
}

void
stage_decide(struct stage *st, bool swap)
{
	must_succeed();
	FUZZ_ASSERT(
	    msg_send_u8(&st->w.to_pool, MSG_PT_DECIDE, st->w.generation, swap));
}

void
stage_change(struct stage *st, uint8_t change, uint32_t id)
{
	FUZZ_ASSERT(msg_send_u8(&st->w.to_pool, MSG_PX_CHANGE,
	    msg_change_has_upstream(change) ? id : 0, change));
}

void
stage_link(struct stage *st)
{
	int in, out;

	must_succeed();
	listener_forget(st);
	st->to_pool = vnet_stream(&in);
	st->from_pool = vnet_stream(&out);
	st->w.link++;
	FUZZ_ASSERT(
	    imsg_send_empty(&st->w.to_pool, MSG_PX_LINK_OUT, st->w.link, out));
	FUZZ_ASSERT(
	    imsg_send_empty(&st->w.to_pool, MSG_PX_LINK, st->w.link, in));
}

/* --- turns and time --- */

static bool
parent_side_turn(struct stage *st)
{
	struct imsg_chan *ch = &st->w.to_pool;
	bool more = dial_turn(st);

	if (st->w.nlinks_down > 0) {
		st->w.nlinks_down = 0;
		stage_link(st);
		more = true;
	}
	(void)imsg_flush(ch);
	if (vnet_is_readable(ch->fd)) {
		FUZZ_ASSERT(imsg_read(ch) == IMSG_OK);
		more = true;
	}
	return more;
}

/* However often it is told to connect anew. */
static void
check_dials(const struct upstream *up)
{
	/* One for the last flush, one for who must be alone. */
	FUZZ_ASSERT(up->nconnecting <= UPSTREAM_DIALS_MAX + 2);
}

/* Who has answered as one should is not told otherwise. */
static void
check_blame(const struct stage *st, const struct upstream *up)
{
	size_t i;

	if (up->n.failures[PHASE_PROTOCOL] == 0)
		return;
	for (i = 0; i < st->npeers; i++)
		if (st->peers[i]->up == up->id && st->peers[i]->odd)
			return;
	world_fail(NULL, "%s is blamed for nothing", up->conf.name);
}

void
stage_settle(struct stage *st)
{
	const struct pool *pool = st->w.pool;
	unsigned int n = 0;
	uint32_t i;
	bool more;

	st->turn_bytes = 0;
	do {
		more = parent_side_turn(st);
		memory.on = true;
		more |= pool_side_turn(&st->w);
		memory.on = false;
		more |= listener_turn(st);
		more |= peer_turn(st);
		FUZZ_ASSERT(++n < TURNS_MAX);
	} while (more);
	pool_side_check(&st->w);
	for (i = 0; i < pool->nupstreams; i++) {
		check_dials(pool->upstreams[i]);
		check_blame(st, pool->upstreams[i]);
	}
	listener_check(st);
}

void
stage_advance(struct stage *st, uint64_t us, bool at_once)
{
	uint64_t end = vclock_us() + us, next;
	unsigned int n = 0;

	stage_settle(st);
	while (!at_once && n++ < STEPS_MAX &&
	       (next = vevent_next(st->w.pool_base)) <= end) {
		FUZZ_ASSERT(next > vclock_us());
		vclock_set(next);
		stage_settle(st);
	}
	vclock_set(end);
	stage_settle(st);
}

/* --- beginning and end --- */

struct stage *
stage_new(void)
{
	struct stage *st = fuzz_alloc(sizeof(*st));
	const struct imsg_chan_opts opts = {
		.rules = parent_rules,
		.in_cap = 16384,
		.out_cap = 65536,
		.phase = 1,
		.fdpass = true,
		.arg = st,
	};
	const struct conf_forward forward = CONF_FORWARD_DEFAULT;
	int fds[2];

	must_succeed();
	vnet_init();
	vclock_set(1000000000);
	log_init_sink(stage_log, NULL);
	log_set_level(LOG_LEVEL_DEBUG);
	st->max_timeout_ms = forward.query_timeout_ms;
	memset(st->automatic, AUTO_CONNECT | AUTO_SHAKE, sizeof(st->automatic));
	FUZZ_ASSERT(imsg_socketpair(fds) == 0);
	FUZZ_ASSERT(imsg_open(&st->w.to_pool, fds[0], &opts) == 0);
	pool_side_start(&st->w, fds[1]);
	stage_link(st);
	return st;
}

void
stage_free(struct stage *st)
{
	size_t i;

	pool_side_stop(&st->w);
	imsg_close(&st->w.to_pool);
	listener_forget(st);
	peer_free_all(st);
	for (i = 0; i < st->nasked; i++)
		free(st->asked[i].wire);
	FUZZ_ASSERT(vnet_clear() == 0);
	log_init_stderr();
	free(st);
}
