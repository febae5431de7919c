/* SPDX-License-Identifier: ISC */
/* LINK: common/imsg.c common/log.c common/msg%.c common/util.c */
/* LINK: dotproxy/parent/broker.c dotproxy/parent/change.c */
/* LINK: dotproxy/parent/pulse.c dotproxy/parent/status.c */
/* LINK: dotproxy/parent/conf_print.c dotproxy/parent/conf_addr.c */
/* LINK: dotproxy/parent/conf_value.c */
/* LIBS: -levent_core */
/*
 * What a hostile child says to the parent: its rules, codecs and handlers, but
 * for those that make sockets and processes.  Whatever it is, the parent goes
 * on, the log gets lines of printable text, and what root has configured stays.
 * The first octet says which child in which phase, and how the stream is cut.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "dotproxy/parent/parent.h"
#include "tests/fuzz/frames.h"
#include "tests/fuzz/fuzz.h"

#define NUPSTREAMS 3

struct rig {
	struct parent parent;
	struct pair pair;
	struct conf conf;
};

/* What the handlers call, and may do so at any time. */

int
connect_on_request(void *arg, struct imsg *m)
{
	uint32_t id;

	(void)arg;
	return msg_read_u32(m, &id);
}

void
notify_send(int fd, const char *fmt, ...)
{
	FUZZ_ASSERT(fd == -1 && fmt == NULL); /* there is no manager */
}

void
sockets_store(struct parent *parent)
{
	FUZZ_ASSERT(parent->notify_fd == -1);
}

void
reload_send(struct child *c, const struct parent_conf *pc)
{
	FUZZ_ASSERT(c->state == CHILD_READY && pc->conf != NULL);
}

void
reload_start(struct parent *parent, struct child *asker, uint64_t handle)
{
	FUZZ_ASSERT(parent == asker->parent && asker->role == ROLE_LISTENER);
	(void)handle;
}

void
restart_start(struct parent *parent, struct child *asker, uint64_t handle)
{
	FUZZ_ASSERT(parent == asker->parent && asker->role == ROLE_LISTENER);
	(void)handle;
}

void
reload_on_done(struct child *c, uint64_t generation, bool ok, const char *text)
{
	(void)c;
	(void)generation;
	(void)ok;
	FUZZ_ASSERT(strlen(text) < MSG_TEXT_MAX);
}

void
proc_link(struct pair *p)
{
	FUZZ_ASSERT(p->listener.parent != NULL);
}

void
proc_kill(struct child *c, const char *why)
{
	c->state = CHILD_DYING;
	FUZZ_ASSERT(why[0] != '\0');
}

static void
on_line(enum log_level level, const char *line, void *arg)
{
	size_t i;

	(void)arg;
	FUZZ_ASSERT((unsigned int)level < LOG_LEVEL_COUNT);
	for (i = 0; line[i] != '\0'; i++)
		FUZZ_ASSERT(line[i] >= ' ' && line[i] < 0x7f);
	FUZZ_ASSERT(i < LOG_LINE_MAX + 32);
}

static void
start_child(struct rig *rig, struct child *c, enum info_role role)
{
	c->parent = &rig->parent;
	c->pair = &rig->pair;
	c->role = role;
	c->state = CHILD_READY;
	c->pings = 2;
	c->chan.fd = -1;
	(void)snprintf(c->name, sizeof(c->name), "%s", msg_role_name(role));
}

static struct rig *
start(void)
{
	struct rig *rig = fuzz_alloc(sizeof(*rig));
	uint32_t i;

	log_init_sink(on_line, NULL);
	rig->conf.nupstreams = NUPSTREAMS;
	for (i = 0; i < NUPSTREAMS; i++) {
		rig->conf.upstreams[i] =
		    (struct conf_upstream)CONF_UPSTREAM_DEFAULT;
		rig->conf.upstreams[i].addr.ss_family = AF_INET;
		rig->parent.active.upstream_ids[i] = i + 1;
	}
	rig->parent.next_upstream_id = NUPSTREAMS + 1;
	rig->parent.notify_fd = -1;
	rig->parent.active.conf = &rig->conf;
	rig->parent.npairs = 1;
	rig->parent.pairs[0] = &rig->pair;
	rig->pair.parent = &rig->parent;
	start_child(rig, &rig->pair.listener, ROLE_LISTENER);
	start_child(rig, &rig->pair.pool, ROLE_POOL);
	return rig;
}

/* Whose channel, under which rules, in which phase. */
static struct child *
open_channel(struct rig *rig, uint8_t how, int fd)
{
	struct child *c = how & 1 ? &rig->pair.pool : &rig->pair.listener;
	struct imsg_chan_opts opts = { .in_cap = MSG_PARENT_BUF,
		.out_cap = MSG_PARENT_BUF,
		.fdpass = true,
		.arg = c };

	opts.rules = how & 1 ? broker_pool_rules : broker_listener_rules;
	if (how & 8)
		opts.rules = broker_last_words_rules;
	opts.phase = how & 2 ? BROKER_STARTING : BROKER_READY;
	if (how & 2)
		c->state = CHILD_STARTING;
	log_set_level(how & 4 ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN);
	FUZZ_ASSERT(imsg_open(&c->chan, fd, &opts) == 0);
	return c;
}

/* All that was answered is whole, and of a type the child knows. */
static void
check_output(const struct imsg_chan *ch)
{
	size_t at = 0;
	uint16_t type;

	while (at < ch->out_len) {
		FUZZ_ASSERT(ch->out_len - at >= IMSG_HDR_LEN);
		type = wire_load_u16(ch->out + at);
		FUZZ_ASSERT(type == MSG_INFO_END || type == MSG_INFO_PROCESS ||
			    type == MSG_INFO_TEXT || type == MSG_PX_LOG_LEVEL ||
			    type == MSG_PX_CHANGE);
		at += IMSG_HDR_LEN + wire_load_u32(ch->out + at + 4);
	}
	FUZZ_ASSERT(at == ch->out_len);
}

static void
check_parent(const struct rig *rig)
{
	uint32_t i, enabled = 0;
	char line[STATUS_MAX];

	FUZZ_ASSERT(rig->conf.nupstreams == NUPSTREAMS);
	for (i = 0; i < NUPSTREAMS; i++) {
		enabled += !rig->parent.active.disabled[i];
		FUZZ_ASSERT(rig->parent.active.upstream_ids[i] == i + 1);
	}
	FUZZ_ASSERT(enabled > 0); /* the last one stays */
	status_line(&rig->parent, line);
	FUZZ_ASSERT(strlen(line) < sizeof(line) - 1);
	for (i = 0; line[i] != '\0'; i++)
		FUZZ_ASSERT(line[i] >= ' ' && line[i] < 0x7f);
}

static void
feed(struct child *c, int sock, uint8_t how, const uint8_t *data, size_t len)
{
	struct fuzz_random rnd;
	size_t n;

	fuzz_seed(&rnd, how);
	while (len > 0 && imsg_is_open(&c->chan)) {
		n = how & 0x80 ? 1 + fuzz_below(&rnd, 64) : len;
		if (n > len)
			n = len;
		if (send(sock, data, n, MSG_NOSIGNAL) != (ssize_t)n)
			return;
		(void)imsg_read(&c->chan);
		data += n;
		len -= n;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct rig *rig;
	struct child *c;
	int sv[2];

	if (len < 1)
		return 0;
	rig = start();
	FUZZ_ASSERT(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		sv) == 0);
	c = open_channel(rig, data[0], sv[1]);
	feed(c, sv[0], data[0], data + 1, len - 1);
	check_output(&c->chan);
	check_parent(rig);
	imsg_close(&c->chan);
	close(sv[0]);
	free(rig);
	return 0;
}

size_t
LLVMFuzzerCustomMutator(
    uint8_t *data, size_t len, size_t max, unsigned int seed)
{
	static const uint16_t types[] = { MSG_XP_READY, MSG_XP_PONG, MSG_XP_LOG,
		MSG_XP_CONF_DONE, MSG_XP_LINK_DOWN, MSG_LP_RELOAD,
		MSG_LP_LOG_LEVEL, MSG_LP_PROCESSES, MSG_LP_CONFIG,
		MSG_LP_CHANGE, MSG_TP_CONNECT, MSG_TP_CONNECT_PLAIN,
		MSG_TP_HEALTH };
	struct fuzz_random rnd;

	fuzz_seed(&rnd, seed);
	if (len < 1 || max < 64 || fuzz_below(&rnd, 4) == 0)
		return LLVMFuzzerMutate(data, len, max);
	return 1 + frames_mutate(data + 1, len - 1, max - 1, &rnd, types,
		       sizeof(types) / sizeof(types[0]));
}
