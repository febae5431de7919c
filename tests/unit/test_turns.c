/* SPDX-License-Identifier: ISC */
/* LINK: common/log.c common/store.c common/util.c */
/* LINK: dotproxy/listener/inflight.c */
/* LINK: dotproxy/listener/prefix.c dotproxy/listener/turns.c */
/* LINK: dotproxy/listener/window.c */
/* Whose turn it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dotproxy/listener/turns.h"

static struct turns t;
static struct inflight table;
static struct prefixes prefixes;

static int
setup(void **state)
{
	struct rng rng = { .left = 0 };

	(void)state;
	turns_init(&t);
	return inflight_init(&table, 1000) == -1 ||
		       prefixes_init(&prefixes, 1000, &rng) == -1
		   ? -1
		   : 0;
}

static int
teardown(void **state)
{
	(void)state;
	inflight_clear(&table);
	prefixes_clear(&prefixes);
	return 0;
}

/* A query of 192.0.2.N. */
static struct inflight_slot *
ask(uint32_t n)
{
	static const uint8_t wire[DNS_HDR_LEN];
	struct dns_query query = { 0 };
	struct client client = { 0 };
	struct inflight_slot *s;

	client.peer.in.sin_family = AF_INET;
	client.peer.in.sin_addr.s_addr = htobe32(0xc0000200 + n);
	s = inflight_add(&table, &client, NULL, &query, wire, sizeof(wire), 1);
	assert_non_null(s);
	s->prefix = prefixes_find(&prefixes, &client.peer);
	prefixes_hold(&prefixes, s->prefix, false);
	return s;
}

static void
end(struct inflight_slot *s)
{
	if (s->lined)
		turns_leave(&t, s);
	prefixes_release(&prefixes, s->prefix, false);
	inflight_remove(&table, s);
}

/* One goes; returns the last number of its client, 0 if none waits. */
static uint32_t
go(void)
{
	struct inflight_slot *s = turns_next(&t);

	if (s == NULL)
		return 0;
	assert_true(s->lined);
	turns_take(&t, s);
	assert_false(s->lined);
	return be32toh(s->client.peer.in.sin_addr.s_addr) & 0xff;
}

static void
test_clients_take_turns(void **state)
{
	static const uint32_t order[] = { 1, 2, 3, 1, 2, 1, 2, 1, 0 };
	size_t i;

	(void)state;
	assert_true(turns_are_off(&t));
	for (i = 0; i < 4; i++)
		turns_wait(&t, ask(1));
	for (i = 0; i < 2; i++)
		turns_wait(&t, ask(2));
	turns_wait(&t, ask(3));
	assert_int_equal(t.n, 7);
	for (i = 0; i < 9; i++) {
		/* Who comes later has its turn as soon. */
		if (i == 5)
			turns_wait(&t, ask(2));
		assert_false(turns_are_off(&t) && order[i] > 0);
		assert_int_equal(go(), order[i]);
	}
	assert_true(turns_are_off(&t));
}

/* Within its line a client's queries keep their order. */
static void
test_first_come_first_served(void **state)
{
	struct inflight_slot *s[5];
	size_t i;

	(void)state;
	for (i = 0; i < 5; i++) {
		s[i] = ask(1);
		turns_wait(&t, s[i]);
	}
	for (i = 0; i < 5; i++) {
		assert_ptr_equal(turns_next(&t), s[i]);
		turns_take(&t, s[i]);
	}
}

/* Wherever it is, nothing is left of it. */
static void
test_queries_leave(void **state)
{
	struct inflight_slot *s[6];
	size_t i;

	(void)state;
	for (i = 0; i < 6; i++) {
		s[i] = ask(i < 4 ? 1 : 2);
		turns_wait(&t, s[i]);
	}
	end(s[0]); /* the head of its line */
	end(s[5]); /* the tail */
	assert_ptr_equal(turns_next(&t), s[1]);
	end(s[4]);              /* the last one of its client, */
	turns_wait(&t, ask(3)); /* whose record may be another's now */
	end(s[2]);
	turns_take(&t, s[1]);
	assert_int_equal(t.n, 2);
	assert_int_equal(go(), 3);
	assert_ptr_equal(turns_next(&t), s[3]);
	end(s[3]);
	assert_null(turns_next(&t));
	assert_true(TAILQ_EMPTY(&t.ring));
	assert_int_equal(t.n, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_clients_take_turns),
		T(test_first_come_first_served),
		T(test_queries_leave),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
