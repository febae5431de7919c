/* SPDX-License-Identifier: ISC */
/*
 * Everything a child may ask of the parent: the two rule tables at the end of
 * this file are the whole surface.  Handlers decide from the parent's own
 * configuration; what a child says is an index, a level, or a line for the
 * log.
 */
#include "dotproxy/parent/parent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/util.h"
#include "dotproxy/parent/conf_print.h"

#define LOG_LINES_PER_SECOND 50
/* Reloads asked for by a listener that was taken over must not wear us out. */
#define RELOADS_PER_WINDOW 20
#define RELOAD_WINDOW_MS 10000

/* Says once which layers of confinement there are not; again if it changes. */
static void
tell_absent(struct child *c, uint32_t absent)
{
	char text[256] = "";
	unsigned int i;
	size_t len;

	if (absent == c->absent)
		return;
	c->absent = absent;
	for (i = 0; i < LAYER_COUNT; i++) {
		if ((absent & 1u << i) == 0)
			continue;
		len = strlen(text);
		(void)snprintf(text + len, sizeof(text) - len, "%s%s",
		    len > 0 ? ", " : "", msg_layer_name(i));
	}
	if (absent != 0)
		log_warnx("%s: not on offer here: %s", c->name, text);
	else
		log_info("%s: all confinement is on offer now", c->name);
}

static int
on_ready(void *arg, struct imsg *m)
{
	struct child *c = arg;
	uint32_t absent;

	if (msg_read_ready(m, &absent) == -1)
		return -1;
	tell_absent(c, absent);
	c->state = CHILD_READY;
	c->chan.phase = BROKER_READY;
	pulse_begin(c);
	log_debug("%s process ready (pid %ld)", c->name, (long)c->pid);
	reload_send(c, &c->parent->active);
	/* A new process needs a link now; its respawn was paced already. */
	c->pair->link_made_ms = 0;
	proc_link(c->pair);
	return 0;
}

/* True if the child has said enough for this second. */
static bool
log_flooded(struct child *c)
{
	uint64_t now_ms = util_now_ms();

	if (now_ms - c->log_window_ms >= 1000) {
		if (c->log_dropped > 0)
			log_warnx("%s: %u log lines suppressed", c->name,
			    c->log_dropped);
		c->log_window_ms = now_ms;
		c->log_lines = c->log_dropped = 0;
	}
	if (c->log_lines >= LOG_LINES_PER_SECOND) {
		c->log_dropped++;
		return true;
	}
	c->log_lines++;
	return false;
}

static int
on_log(void *arg, struct imsg *m)
{
	struct child *c = arg;
	struct msg_log log;
	char text[LOG_LINE_MAX], line[LOG_LINE_MAX + 32];

	if (msg_read_log(m, &log) == -1)
		return -1;
	if (log.level > log_get_level() || log_flooded(c))
		return 0;
	(void)snprintf(line, sizeof(line), "%s: %s", c->name,
	    log_escape(text, sizeof(text), log.line, strlen(log.line)));
	log_line(log.level, line);
	return 0;
}

static int
on_conf_done(void *arg, struct imsg *m)
{
	struct msg_result res;

	if (msg_read_result(m, &res) == -1)
		return -1;
	reload_on_done(arg, m->id, res.ok, res.text);
	return 0;
}

static int
on_link_down(void *arg, struct imsg *m)
{
	struct child *c = arg;

	/* News of a link that was replaced long since is no news. */
	if (m->id == c->pair->link)
		proc_link(c->pair);
	return 0;
}

static int
on_reload(void *arg, struct imsg *m)
{
	struct child *c = arg;
	struct pair *p = c->pair;
	uint64_t now_ms = util_now_ms();

	if (now_ms - p->reload_window_ms >= RELOAD_WINDOW_MS) {
		p->reload_window_ms = now_ms;
		p->reloads = 0;
	}
	if (++p->reloads > RELOADS_PER_WINDOW) {
		(void)msg_send_result(&c->chan, MSG_INFO_END, m->id, false,
		    "too many reloads, try again later");
		return 0;
	}
	reload_start(c->parent, c, m->id);
	return 0;
}

static void
send_level(struct child *c, uint8_t level)
{
	if (c->state == CHILD_READY)
		(void)msg_send_u8(&c->chan, MSG_PX_LOG_LEVEL, 0, level);
}

/*
 * A listener that was taken over must not silence the log unseen: that there
 * will be less is said as long as it can be.
 */
static void
set_level(uint8_t level)
{
	bool less = level < log_get_level();

	if (less)
		log_warnx("log level is %s", log_level_name(level));
	log_set_level(level);
	if (!less)
		log_info("log level is %s", log_level_name(level));
}

static int
on_log_level(void *arg, struct imsg *m)
{
	struct child *c = arg;
	struct parent *parent = c->parent;
	uint8_t level;
	uint32_t i;

	if (msg_read_u8(m, &level, LOG_LEVEL_COUNT) == -1)
		return -1;
	if (change_is_flooded(c->pair)) {
		(void)msg_send_result(&c->chan, MSG_INFO_END, m->id, false,
		    "too many changes, try again later");
		return 0;
	}
	set_level(level);
	for (i = 0; i < parent->npairs; i++) {
		send_level(&parent->pairs[i]->listener, level);
		send_level(&parent->pairs[i]->pool, level);
	}
	(void)msg_send_result(&c->chan, MSG_INFO_END, m->id, true, NULL);
	return 0;
}

static void
send_process(struct child *to, uint64_t id, const struct child *c)
{
	struct info_process p = { .role = (uint8_t)c->role,
		.worker = (uint8_t)c->pair->index,
		.pid = (uint32_t)c->pid };

	if (c->pid != 0)
		p.uptime_ms = util_now_ms() - c->started_ms;
	p.restarts = c->starts > 0 ? c->starts - 1 : 0;
	p.absent = c->absent;
	(void)snprintf(p.last_death, sizeof(p.last_death), "%s", c->last_death);
	(void)msg_send_info_process(&to->chan, id, &p);
}

/*
 * True, and said so, if the listener has not taken what it asked for before.
 * Thousands of questions fit into one read, and each takes its time, in which
 * the others' children wait: it is worth an answer only.
 */
static bool
is_behind(struct child *c, uint64_t id)
{
	if (!imsg_congested(&c->chan))
		return false;
	(void)msg_send_result(
	    &c->chan, MSG_INFO_END, id, false, "parent process is busy");
	return true;
}

static int
on_processes(void *arg, struct imsg *m)
{
	struct child *c = arg;
	struct parent *parent = c->parent;
	struct info_process self = {
		.role = ROLE_PARENT,
		.pid = (uint32_t)getpid(),
		.uptime_ms = util_now_ms() - parent->started_ms,
	};
	uint32_t i;

	if (is_behind(c, m->id))
		return 0;
	(void)msg_send_info_process(&c->chan, m->id, &self);
	for (i = 0; i < parent->npairs; i++) {
		send_process(c, m->id, &parent->pairs[i]->listener);
		send_process(c, m->id, &parent->pairs[i]->pool);
	}
	(void)msg_send_result(&c->chan, MSG_INFO_END, m->id, true, NULL);
	return 0;
}

static int
on_config(void *arg, struct imsg *m)
{
	struct child *c = arg;
	char *text = NULL;
	size_t len = 0, off, n;
	FILE *f;
	bool ok;

	if (is_behind(c, m->id))
		return 0;
	f = open_memstream(&text, &len);
	if (f == NULL)
		goto fail;
	ok = conf_print(c->parent->active.conf, f) == 0;
	if (fclose(f) != 0 || !ok)
		goto fail;
	for (off = 0; off < len; off += n) {
		n = len - off < MSG_TEXT_MAX ? len - off : MSG_TEXT_MAX;
		if (!msg_send_info_text(&c->chan, m->id, text + off, n))
			goto fail;
	}
	free(text);
	(void)msg_send_result(&c->chan, MSG_INFO_END, m->id, true, NULL);
	return 0;
fail:
	free(text);
	(void)msg_send_result(&c->chan, MSG_INFO_END, m->id, false,
	    "cannot print the configuration");
	return 0;
}

static int
on_ignored(void *arg, struct imsg *m)
{
	(void)arg;
	(void)m;
	return 0;
}

#define IGNORED                                                 \
	{                                                       \
		.handler = on_ignored, .max = 3 + MSG_TEXT_MAX, \
		.phases = BROKER_STARTING | BROKER_READY        \
	}

/* What either child may say, in each phase. */
#define RULES_OF_BOTH                                       \
	[MSG_XP_READY] = { .handler = on_ready,             \
		.min = 4,                                   \
		.max = 4,                                   \
		.phases = BROKER_STARTING },                \
	[MSG_XP_LOG] = { .handler = on_log,                 \
		.max = 3 + LOG_LINE_MAX,                    \
		.phases = BROKER_STARTING | BROKER_READY }, \
	[MSG_XP_CONF_DONE] = { .handler = on_conf_done,     \
		.max = 3 + MSG_TEXT_MAX,                    \
		.phases = BROKER_READY },                   \
	[MSG_XP_LINK_DOWN] = { .handler = on_link_down,     \
		.phases = BROKER_READY },                   \
	[MSG_XP_PONG] = { .handler = pulse_on_pong, .phases = BROKER_READY }

/* Of a child that is dead or as good as, only the log is still heard. */
const struct imsg_rule broker_last_words_rules[IMSG_TYPES_MAX] = {
	[MSG_XP_LOG] = { .handler = on_log,
	    .max = 3 + LOG_LINE_MAX,
	    .phases = BROKER_STARTING | BROKER_READY },
	[MSG_XP_READY] = IGNORED,
	[MSG_XP_CONF_DONE] = IGNORED,
	[MSG_XP_LINK_DOWN] = IGNORED,
	[MSG_XP_PONG] = IGNORED,
	[MSG_LP_RELOAD] = IGNORED,
	[MSG_LP_LOG_LEVEL] = IGNORED,
	[MSG_LP_PROCESSES] = IGNORED,
	[MSG_LP_CONFIG] = IGNORED,
	[MSG_LP_CHANGE] = IGNORED,
	[MSG_TP_CONNECT] = IGNORED,
	[MSG_TP_CONNECT_PLAIN] = IGNORED,
	[MSG_TP_HEALTH] = IGNORED,
};

const struct imsg_rule broker_listener_rules[IMSG_TYPES_MAX] = {
	RULES_OF_BOTH,
	[MSG_LP_RELOAD] = { .handler = on_reload, .phases = BROKER_READY },
	[MSG_LP_LOG_LEVEL] = { .handler = on_log_level,
	    .min = 1,
	    .max = 1,
	    .phases = BROKER_READY },
	[MSG_LP_PROCESSES] = { .handler = on_processes,
	    .phases = BROKER_READY },
	[MSG_LP_CONFIG] = { .handler = on_config, .phases = BROKER_READY },
	[MSG_LP_CHANGE] = { .handler = change_on_request,
	    .min = 5,
	    .max = 5,
	    .phases = BROKER_READY },
};

const struct imsg_rule broker_pool_rules[IMSG_TYPES_MAX] = {
	RULES_OF_BOTH,
	[MSG_TP_CONNECT] = { .handler = connect_on_request,
	    .min = 4,
	    .max = 4,
	    .phases = BROKER_READY },
	[MSG_TP_CONNECT_PLAIN] = { .handler = connect_on_request,
	    .min = 4,
	    .max = 4,
	    .phases = BROKER_READY },
	[MSG_TP_HEALTH] = { .handler = status_on_health,
	    .min = 5,
	    .max = 5,
	    .phases = BROKER_READY },
};
