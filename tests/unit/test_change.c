/* SPDX-License-Identifier: ISC */
/* LINK: common/imsg.c common/log.c common/msg.c common/msg_info.c */
/* LINK: common/msg_change.c common/util.c dotproxy/parent/change.c */
/* LIBS: -levent_core */
/*
 * What the parent does when a listener asks for a change: who is told, what it
 * keeps, and what a listener that was taken over gets out of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "dotproxy/parent/parent.h"

#define BUF 4096

static struct {
	struct parent parent;
	struct pair pairs[2];
	struct conf conf;
	struct conf next;
	uint8_t out[4][BUF]; /* to listener, pool, listener 2, pool 2 */
	unsigned int killed;
	unsigned int restarts;
	unsigned int news; /* for the service manager */
} rig;

void
status_changed(struct parent *parent)
{
	assert_ptr_equal(parent, &rig.parent);
	rig.news++;
}

void
restart_start(struct parent *parent, struct child *asker, uint64_t handle)
{
	assert_ptr_equal(parent, &rig.parent);
	assert_ptr_equal(asker, &rig.pairs[0].listener);
	assert_int_equal(handle, 77);
	rig.restarts++;
}

void
proc_kill(struct child *c, const char *why)
{
	(void)c;
	(void)why;
	rig.killed++;
}

static void
child_start(struct child *c, struct pair *p, enum info_role role, uint8_t *out)
{
	c->parent = &rig.parent;
	c->pair = p;
	c->role = role;
	c->state = CHILD_READY;
	c->chan.out = out;
	c->chan.out_cap = BUF;
}

static void
name(struct conf *conf, uint32_t i, const char *text)
{
	(void)snprintf(conf->upstreams[i].name, sizeof(conf->upstreams[i].name),
	    "%s", text);
	if (conf->nupstreams <= i)
		conf->nupstreams = i + 1;
}

static int
start(void **state)
{
	uint32_t i;

	(void)state;
	log_set_level(LOG_LEVEL_FATAL); /* nobody reads it here */
	memset(&rig, 0, sizeof(rig));
	rig.parent.active.conf = &rig.conf;
	rig.parent.npairs = 2;
	for (i = 0; i < 2; i++) {
		rig.parent.pairs[i] = &rig.pairs[i];
		child_start(&rig.pairs[i].listener, &rig.pairs[i],
		    ROLE_LISTENER, rig.out[2 * i]);
		child_start(&rig.pairs[i].pool, &rig.pairs[i], ROLE_POOL,
		    rig.out[2 * i + 1]);
	}
	name(&rig.conf, 0, "one");
	name(&rig.conf, 1, "two");
	name(&rig.conf, 2, "three");
	for (i = 0; i < 3; i++)
		rig.parent.active.upstream_ids[i] = 10 + i;
	return 0;
}

/* Asks as the first listener; returns whether it was done. */
static bool
ask(uint8_t change, uint32_t upstream)
{
	uint8_t payload[5];
	struct imsg m = { .type = MSG_LP_CHANGE,
		.id = 77,
		.data = payload,
		.len = sizeof(payload),
		.fd = -1 };
	struct child *l = &rig.pairs[0].listener;
	size_t i;

	payload[0] = change;
	wire_store_u32(payload + 1, upstream);
	for (i = 0; i < 2; i++) {
		rig.pairs[i].listener.chan.out_len = 0;
		rig.pairs[i].pool.chan.out_len = 0;
	}
	assert_int_equal(change_on_request(l, &m), 0);
	/* The last thing the listener is told is the result. */
	for (i = 0; wire_load_u16(rig.out[0] + i) != MSG_INFO_END;)
		i += IMSG_HDR_LEN + wire_load_u32(rig.out[0] + i + 4);
	assert_int_equal(wire_load_u64(rig.out[0] + i + 8), 77);
	return rig.out[0][i + IMSG_HDR_LEN] == 1;
}

/* What one child has been told: a single PX_CHANGE, or nothing. */
static void
told(size_t who, size_t len, uint64_t id, uint8_t change)
{
	const uint8_t *p = rig.out[who];

	assert_int_equal(len, IMSG_HDR_LEN + 1);
	assert_int_equal(wire_load_u16(p), MSG_PX_CHANGE);
	assert_int_equal(wire_load_u64(p + 8), id);
	assert_int_equal(p[IMSG_HDR_LEN], change);
}

static void
all_pools_are_told(void **state)
{
	(void)state;
	assert_true(ask(CHANGE_DISABLE, 1));
	told(1, rig.pairs[0].pool.chan.out_len, 11, CHANGE_DISABLE);
	told(3, rig.pairs[1].pool.chan.out_len, 11, CHANGE_DISABLE);
	assert_int_equal(rig.pairs[1].listener.chan.out_len, 0);
	assert_true(rig.parent.active.disabled[1]);
	assert_int_equal(rig.news, 1);
	assert_true(ask(CHANGE_FLUSH, MSG_NO_UPSTREAM));
	told(3, rig.pairs[1].pool.chan.out_len, 0, CHANGE_FLUSH);
	assert_true(ask(CHANGE_ENABLE, 1));
	told(3, rig.pairs[1].pool.chan.out_len, 11, CHANGE_ENABLE);
	assert_false(rig.parent.active.disabled[1]);
}

static void
all_listeners_are_told(void **state)
{
	(void)state;
	assert_true(ask(CHANGE_DRAIN, MSG_NO_UPSTREAM));
	told(2, rig.pairs[1].listener.chan.out_len, 0, CHANGE_DRAIN);
	assert_int_equal(rig.pairs[1].pool.chan.out_len, 0);
	assert_true(rig.parent.draining);
	assert_true(ask(CHANGE_UNDRAIN, MSG_NO_UPSTREAM));
	assert_false(rig.parent.draining);
}

/* Whoever owns a listener cannot take the last one from all the others. */
static void
last_upstream_stays(void **state)
{
	(void)state;
	assert_true(ask(CHANGE_DISABLE, 0));
	assert_true(ask(CHANGE_DISABLE, 0));
	assert_true(ask(CHANGE_DISABLE, 2));
	assert_false(ask(CHANGE_DISABLE, 1));
	assert_false(rig.parent.active.disabled[1]);
	assert_int_equal(rig.pairs[1].pool.chan.out_len, 0);
	assert_false(ask(CHANGE_DISABLE, 3));
	assert_false(ask(CHANGE_ENABLE, 63));
}

static void
not_during_a_reload(void **state)
{
	(void)state;
	rig.parent.reload = RELOAD_LISTENER;
	assert_false(ask(CHANGE_DISABLE, 0));
	assert_false(ask(CHANGE_DRAIN, MSG_NO_UPSTREAM));
	assert_false(rig.parent.active.disabled[0]);
	assert_false(rig.parent.draining);
}

static void
not_without_end(void **state)
{
	unsigned int done = 0, i;

	(void)state;
	for (i = 0; i < 1000; i++)
		done += ask(CHANGE_FLUSH, MSG_NO_UPSTREAM);
	assert_int_equal(done, 20);
	assert_int_equal(rig.pairs[1].changes, 0);
}

/* It answers itself, but not without end. */
static void
restart_is_passed_on(void **state)
{
	uint8_t payload[5];
	struct imsg m = { .id = 77, .data = payload, .len = 5, .fd = -1 };
	unsigned int i;

	(void)state;
	payload[0] = CHANGE_RESTART;
	wire_store_u32(payload + 1, MSG_NO_UPSTREAM);
	assert_int_equal(change_on_request(&rig.pairs[0].listener, &m), 0);
	assert_int_equal(rig.restarts, 1);
	assert_int_equal(rig.pairs[0].listener.chan.out_len, 0);
	for (i = 0; i < 18; i++)
		(void)ask(CHANGE_FLUSH, MSG_NO_UPSTREAM);
	assert_int_equal(change_on_request(&rig.pairs[0].listener, &m), 0);
	assert_int_equal(rig.restarts, 2);
	assert_false(ask(CHANGE_RESTART, MSG_NO_UPSTREAM));
	assert_int_equal(rig.restarts, 2);
}

static void
nonsense_is_a_violation(void **state)
{
	uint8_t payload[5] = { CHANGE_COUNT, 0, 0, 0, 0 };
	struct imsg m = { .data = payload, .len = 5, .fd = -1 };

	(void)state;
	assert_int_equal(change_on_request(&rig.pairs[0].listener, &m), -1);
}

/* By the name: that is what the operator has said. */
static void
reload_keeps_it(void **state)
{
	struct parent_conf next = { .conf = &rig.next };

	(void)state;
	assert_true(ask(CHANGE_DISABLE, 1));
	name(&rig.next, 0, "new");
	name(&rig.next, 1, "one");
	name(&rig.next, 2, "two");
	change_inherit(&next, &rig.parent.active);
	assert_false(next.all_enabled);
	assert_false(next.disabled[0]);
	assert_false(next.disabled[1]);
	assert_true(next.disabled[2]);
	rig.next.nupstreams = 0;
	name(&rig.next, 0, "two");
	change_inherit(&next, &rig.parent.active);
	assert_false(next.disabled[0]); /* the only one there is */
	assert_true(next.all_enabled);
}

static void
new_children_are_told(void **state)
{
	struct child *l = &rig.pairs[1].listener, *t = &rig.pairs[1].pool;

	(void)state;
	assert_true(change_send(l, &rig.parent.active));
	assert_true(change_send(t, &rig.parent.active));
	assert_int_equal(l->chan.out_len + t->chan.out_len, 0);
	assert_true(ask(CHANGE_DRAIN, MSG_NO_UPSTREAM));
	assert_true(ask(CHANGE_DISABLE, 2));
	l->chan.out_len = t->chan.out_len = 0;
	assert_true(change_send(l, &rig.parent.active));
	assert_true(change_send(t, &rig.parent.active));
	told(2, l->chan.out_len, 0, CHANGE_DRAIN);
	told(3, t->chan.out_len, 12, CHANGE_DISABLE);
	l->chan.out_cap = l->chan.out_len;
	assert_false(change_send(l, &rig.parent.active));
}

/* One that does not read must not stay in another state than the rest. */
static void
who_does_not_read_is_started_anew(void **state)
{
	(void)state;
	rig.pairs[1].pool.chan.out_cap = 4;
	assert_true(ask(CHANGE_DISABLE, 0));
	assert_int_equal(rig.killed, 1);
	rig.pairs[1].pool.state = CHILD_DOWN;
	assert_true(ask(CHANGE_ENABLE, 0));
	assert_int_equal(rig.killed, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(all_pools_are_told, start),
		cmocka_unit_test_setup(all_listeners_are_told, start),
		cmocka_unit_test_setup(last_upstream_stays, start),
		cmocka_unit_test_setup(not_during_a_reload, start),
		cmocka_unit_test_setup(not_without_end, start),
		cmocka_unit_test_setup(restart_is_passed_on, start),
		cmocka_unit_test_setup(nonsense_is_a_violation, start),
		cmocka_unit_test_setup(reload_keeps_it, start),
		cmocka_unit_test_setup(new_children_are_told, start),
		cmocka_unit_test_setup(
		    who_does_not_read_is_started_anew, start),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
