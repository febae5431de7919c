/* SPDX-License-Identifier: ISC */
/* LINK: common/child.c common/dns.c common/imsg.c common/log.c common/msg%.c */
/* LINK: common/util.c dotproxy/sandbox%.c */
/* LIBS: -lseccomp -lcap-ng */
/*
 * Takes the place of dotproxy-listener or dotproxy-pool as if that had been
 * taken over: it starts as they do, and then misbehaves in one way.  Which one
 * is the name of the directory above libexec: ATTACK/libexec/dotproxy/...; the
 * table at the end lists them.  It does not confine itself, but for those
 * attacks that need it: the others have to stand it alone.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/child.h"
#include "common/log.h"
#include "common/util.h"
#include "dotproxy/sandbox.h"

#include "attack.h"

#define TAKEOVER_MS 20     /* after it was all right */
#define FLOOD_PAUSE_US 500 /* when the other side does not keep up */

/* --- what a pool may do to the listener --- */

/* Makes a query the answer to itself. */
static const uint8_t *
make_answer(struct hostile *h, const uint8_t *wire, size_t len)
{
	memcpy(h->answer, wire, len);
	h->answer[2] |= 0x80;
	return h->answer;
}

static void
answer_as(struct hostile *h, uint64_t handle, const uint8_t *wire, size_t len)
{
	(void)msg_send_answer(&h->link, handle, make_answer(h, wire, len), len);
}

static void
answer_other_handles(struct hostile *h, const struct imsg *m)
{
	const uint64_t generation = (uint64_t)1 << 32;
	const uint8_t *wire;
	uint32_t left_ms;
	size_t len, i;

	msg_read_query(m, &left_ms, &wire, &len);
	for (i = 1; i < 16; i++) {
		answer_as(h, m->id + i, wire, len);
		answer_as(h, m->id - i, wire, len);
		answer_as(h, m->id + i * generation, wire, len);
		answer_as(h, m->id - i * generation, wire, len);
		answer_as(h, UINT64_MAX / i, wire, len);
	}
}

/* Each gets what is meant for the one before. */
static void
answer_crosswise(struct hostile *h, const struct imsg *m)
{
	const uint8_t *wire;
	uint32_t left_ms;
	size_t len;

	msg_read_query(m, &left_ms, &wire, &len);
	if (h->held_len > 0) {
		answer_as(h, h->held_handle, wire, len);
		answer_as(h, m->id, h->held, h->held_len);
	}
	memcpy(h->held, wire, len);
	h->held_len = len;
	h->held_handle = m->id;
}

static void
answer_thrice(struct hostile *h, const struct imsg *m)
{
	const uint8_t *wire;
	uint32_t left_ms;
	size_t len, i;

	msg_read_query(m, &left_ms, &wire, &len);
	for (i = 0; i < 3; i++)
		answer_as(h, m->id, wire, len);
}

/* The name a test will ask for, to handles it could get. */
static void
answer_early(struct hostile *h, uint64_t handle)
{
	static const uint8_t wire[] = { 0, 0, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0,
		0, 5, 'e', 'a', 'r', 'l', 'y', 4, 't', 'e', 's', 't', 0, 0, 1,
		0, 1 };

	(void)msg_send_answer(&h->link, handle, wire, sizeof(wire));
}

static void
answer_beforehand(struct hostile *h)
{
	uint64_t generation, slot;

	for (generation = 0; generation < 8; generation++)
		for (slot = 0; slot < 64; slot++)
			answer_early(h, generation << 32 | slot);
}

/* The next queries in the slot of this one. */
static void
answer_the_next_one(struct hostile *h, const struct imsg *m)
{
	uint64_t i;

	for (i = 1; i < 16; i++)
		answer_early(h, m->id + (i << 32));
}

static void
answer_with_query(struct hostile *h, const struct imsg *m)
{
	const uint8_t *wire;
	uint32_t left_ms;
	size_t len;

	msg_read_query(m, &left_ms, &wire, &len);
	(void)msg_send_answer(&h->link, m->id, wire, len);
}

static void
answer_other_question(struct hostile *h, const struct imsg *m)
{
	const uint8_t *wire;
	uint32_t left_ms;
	size_t len;

	msg_read_query(m, &left_ms, &wire, &len);
	(void)make_answer(h, wire, len);
	h->answer[len - 3] ^= 1; /* its type */
	(void)msg_send_answer(&h->link, m->id, h->answer, len);
}

static void
answer_too_long(struct hostile *h, const struct imsg *m)
{
	(void)m;
	send_raw(h->link.out_fd, MSG_TL_ANSWER, 0, DNS_MSG_MAX + 1, 200);
}

static void
answer_too_short(struct hostile *h, const struct imsg *m)
{
	(void)m;
	send_raw(h->link.out_fd, MSG_TL_ANSWER, 0, DNS_HDR_LEN - 1, 11);
}

static void
fail_for_no_cause(struct hostile *h, const struct imsg *m)
{
	const struct msg_failed odd = { .cause = CAUSE_COUNT - 1,
		.upstream = 12345 };

	(void)msg_send_failed(&h->link, m->id + 1, &odd);
	(void)msg_send_failed(&h->link, m->id, &odd);
	(void)msg_send_failed(&h->link, m->id, &odd);
}

/* Answers to questions of dotproxyctl's that nobody has asked. */
static void
inform_unasked(struct hostile *h, const struct imsg *m)
{
	const struct info_counters counters = { .source = SOURCE_POOL, .n = 1 };
	const struct info_pool pool = { 0 };
	uint64_t id;

	(void)m;
	for (id = 0; id < 64; id++) {
		(void)msg_send_info_counters(&h->link, id, &counters);
		(void)msg_send_info_pool(&h->link, id, &pool);
		(void)msg_send_result(
		    &h->link, MSG_INFO_END, id, false, "unasked");
	}
}

static void
inform_with_text(struct hostile *h, const struct imsg *m)
{
	(void)msg_send_info_text(&h->link, m->id, "text", 4);
}

static void
flood_answers(struct hostile *h)
{
	static const uint8_t wire[DNS_HDR_LEN] = { 0, 0, 0x80 };

	(void)msg_send_answer(&h->link, ++h->requests, wire, sizeof(wire));
}

static const struct attack attacks[] = {
	{ .name = "early", .start = say_too_early },
	{ .name = "ready-twice", .ready = be_ready_twice },
	{ .name = "parents-type", .ready = say_what_the_parent_says },
	{ .name = "siblings-type", .ready = say_what_the_sibling_says },
	{ .name = "no-type", .ready = say_no_type },
	{ .name = "too-long", .ready = say_too_much },
	{ .name = "too-short", .ready = say_too_little },
	{ .name = "no-level", .ready = log_at_no_level },
	{ .name = "bad-payload", .ready = lie_about_length },
	{ .name = "flags", .ready = set_unknown_flags },
	{ .name = "fd", .ready = send_descriptor },
	{ .name = "stray-fd", .ready = send_stray_descriptor },
	{ .name = "many-fds", .ready = send_many_descriptors },
	{ .name = "no-fd", .ready = promise_descriptor },
	{ .name = "garbage", .ready = send_garbage },
	{ .name = "exit", .ready = leave },
	{ .name = "exit-at-once", .start = leave },
	{ .name = "heir", .ready = leave_an_heir },
	{ .name = "hang-up", .ready = hang_up },
	{ .name = "pong-unasked", .ready = answer_unasked },
	{ .name = "spin", .ready = spin },
	{ .name = "deaf", .deaf = true },
	{ .name = "fatal", .ready = die_speaking, .confined = true },
	{ .name = "abort", .ready = die_of_abort, .confined = true },
	{ .name = "refuse", .ready = refuse_configuration },
	{ .name = "flood-connect", .flood = flood_connect },
	{ .name = "flood-connect-deaf", .flood = flood_connect, .deaf = true },
	{ .name = "flood-log", .flood = flood_log },
	{ .name = "flood-reload", .flood = flood_reload },
	{ .name = "flood-log-level", .flood = flood_log_level },
	{ .name = "flood-config", .flood = flood_config },
	{ .name = "flood-change", .flood = flood_change },
	{ .name = "flood-config-deaf", .flood = flood_config, .deaf = true },
	{ .name = "flood-link-down", .flood = flood_link_down },
	{ .name = "flood-conf-done", .flood = flood_conf_done },
	{ .name = "flood-health", .flood = flood_health },
	{ .name = "health-of-none", .ready = speak_of_no_upstream },

	{ .name = "mute" },
	{ .name = "other-handles", .query = answer_other_handles },
	{ .name = "crosswise", .query = answer_crosswise },
	{ .name = "thrice", .query = answer_thrice },
	{ .name = "beforehand",
	    .linked = answer_beforehand,
	    .query = answer_the_next_one },
	{ .name = "query-back", .query = answer_with_query },
	{ .name = "other-question", .query = answer_other_question },
	{ .name = "answer-too-long", .query = answer_too_long },
	{ .name = "answer-too-short", .query = answer_too_short },
	{ .name = "failed", .query = fail_for_no_cause },
	{ .name = "info", .query = inform_unasked },
	{ .name = "info-text", .query = inform_with_text },
	{ .name = "flood-answers", .flood = flood_answers },
};

/* --- as much of a child as it takes --- */

static int
on_link_message(void *arg, struct imsg *m)
{
	struct hostile *h = arg;

	if (m->type == MSG_LT_QUERY && h->attack->query != NULL)
		h->attack->query(h, m);
	return 0;
}

static void
on_link_down(void *arg, enum imsg_status status, const char *why)
{
	struct hostile *h = arg;

	(void)status;
	(void)why;
	(void)imsg_send_empty(&h->parent, MSG_XP_LINK_DOWN, h->link_id, -1);
}

#define ANYTHING(handle)                                        \
	{                                                       \
		.handler = handle, .max = 1 << 20, .phases = 1, \
		.fd = IMSG_FD_OPTIONAL                          \
	}

static const struct imsg_rule link_rules[IMSG_TYPES_MAX] = {
	[MSG_LT_QUERY] = ANYTHING(on_link_message),
	[MSG_LT_TRANSFER] = ANYTHING(on_link_message),
	[MSG_LT_CREDIT] = ANYTHING(on_link_message),
	[MSG_TL_PART] = ANYTHING(on_link_message),
	[MSG_LT_CANCEL] = ANYTHING(on_link_message),
	[MSG_LT_SHOW] = ANYTHING(on_link_message),
	[MSG_TL_ANSWER] = ANYTHING(on_link_message),
	[MSG_TL_FAILED] = ANYTHING(on_link_message),
};

static int
on_link_out(void *arg, struct imsg *m)
{
	struct hostile *h = arg;

	h->link_out = imsg_take_fd(m);
	return 0;
}

static int
on_link(void *arg, struct imsg *m)
{
	struct hostile *h = arg;
	const struct imsg_chan_opts opts = {
		.rules = link_rules,
		.in_cap = MSG_LINK_BUF,
		.out_cap = MSG_LINK_BUF,
		.phase = 1,
		.arg = h,
		.on_down = on_link_down,
	};

	imsg_close(&h->link);
	h->link_id = m->id;
	if (imsg_open(&h->link, imsg_take_fd(m), &opts) == -1)
		fatalx("link");
	imsg_set_out(&h->link, h->link_out);
	if (imsg_attach(&h->link, h->base) == -1)
		fatalx("link");
	if (h->attack->linked != NULL)
		h->attack->linked(h);
	return 0;
}

static int
on_configured(void *arg, struct imsg *m)
{
	struct hostile *h = arg;
	uint64_t until_ms;

	(void)msg_send_result(&h->parent, MSG_XP_CONF_DONE, m->id, true, NULL);
	(void)imsg_flush(&h->parent);
	h->configured = true;
	/* The filter knows no sleep. */
	for (until_ms = util_now_ms() + TAKEOVER_MS; util_now_ms() < until_ms;)
		;
	if (h->attack->ready != NULL)
		h->attack->ready(h);
	return 0;
}

/* Keeps a connection it was given. */
static int
on_other(void *arg, struct imsg *m)
{
	(void)arg;
	if (m->type == MSG_PT_CONNECTED)
		(void)imsg_take_fd(m);
	return 0;
}

static void
take_place(struct hostile *h, char *path, struct imsg_rule *rules)
{
	const struct imsg_rule other = ANYTHING(on_other);
	char *slash = strstr(path, "/libexec/");
	size_t i;

	h->pool = strstr(path, "dotproxy-pool") != NULL;
	if (slash == NULL)
		_exit(1);
	*slash = '\0';
	path = strrchr(path, '/') + 1;
	for (i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++)
		if (strcmp(attacks[i].name, path) == 0)
			h->attack = &attacks[i];
	if (h->attack == NULL)
		_exit(1);
	for (i = 0; i < IMSG_TYPES_MAX; i++)
		rules[i] = other;
	rules[MSG_PX_LINK_OUT].handler = on_link_out;
	rules[MSG_PX_LINK].handler = on_link;
	rules[MSG_PX_CONF_END].handler = on_configured;
}

static void
confine(const struct hostile *h)
{
	const struct sandbox_opts o = { .uid = h->setup.uid,
		.gid = h->setup.gid,
		.nofile = h->setup.nofile,
		.confine = h->setup.confine };

	(void)sandbox_enter(h->pool ? SANDBOX_POOL : SANDBOX_LISTENER, &o);
}

/* As much as there is room for. */
static void
flood(struct hostile *h)
{
	int i;

	for (i = 0; i < 1000; i++)
		h->attack->flood(h);
	if (imsg_flush(&h->parent) != IMSG_OK)
		usleep(FLOOD_PAUSE_US);
}

int
main(int argc, char *argv[])
{
	static struct imsg_rule rules[IMSG_TYPES_MAX];
	static struct hostile h = { .link.fd = -1 };
	const struct imsg_chan_opts opts = {
		.rules = rules,
		.in_cap = MSG_PARENT_BUF,
		.out_cap = MSG_PARENT_BUF,
		.phase = 1,
		.fdpass = true,
		.arg = &h,
		.on_down = child_parent_down,
	};
	int how = EVLOOP_ONCE;

	if (argc != 1)
		return 1;
	take_place(&h, argv[0], rules);
	child_start(&h.parent, &opts, &h.setup);
	h.base = event_base_new();
	if (h.attack->start != NULL)
		h.attack->start(&h);
	if (h.attack->confined)
		confine(&h);
	if (h.base == NULL || imsg_attach(&h.parent, h.base) == -1 ||
	    !msg_send_ready(&h.parent, 0))
		fatalx("cannot start");
	(void)imsg_flush(&h.parent);
	for (;;) {
		if (h.attack->flood != NULL && h.configured) {
			flood(&h);
			how = EVLOOP_NONBLOCK;
		}
		if (event_base_loop(h.base, how) == -1)
			return 1;
		if (h.attack->deaf && h.configured)
			imsg_read_enable(&h.parent, false);
		(void)imsg_flush(&h.parent);
		if (imsg_is_open(&h.link))
			(void)imsg_flush(&h.link);
	}
}
