/* SPDX-License-Identifier: ISC */
/* LINK: common/util.c common/log.c */
/* LINK: dotproxy/listener/tcp_peer.c */
/* Which addresses are one machine, and for how long it is known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "dotproxy/listener/tcp_peer.h"
#include "tests/unit/alloc_fail.h"

static union client_addr
address(const char *text)
{
	union client_addr a;

	memset(&a, 0, sizeof(a));
	if (strchr(text, ':') != NULL) {
		a.in6.sin6_family = AF_INET6;
		assert_int_equal(
		    inet_pton(AF_INET6, text, &a.in6.sin6_addr), 1);
	} else {
		a.in.sin_family = AF_INET;
		assert_int_equal(inet_pton(AF_INET, text, &a.in.sin_addr), 1);
	}
	a.in.sin_port = 77; /* in both at the same place; it must not matter */
	return a;
}

static struct tcp_peer *
take(struct tcp_peers *t, const char *text)
{
	union client_addr a = address(text);
	struct tcp_peer *p = tcp_peer_take(t, &a);

	assert_non_null(p);
	return p;
}

static void
test_who_is_the_same(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} cases[] = {
		{ "192.0.2.1", "192.0.2.1", true },
		{ "192.0.2.1", "192.0.2.2", false },
		{ "192.0.2.1", "::192.0.2.1", false },
		{ "0.0.0.0", "::", false },
		{ "2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true },
		{ "2001:db8:1:2::1", "2001:db8:1:ff::1", true },
		{ "2001:db8:1:2::1", "2001:db8:1:102::1", false },
		{ "2001:db8:1:2::1", "2001:db9:1:2::1", false },
		/* On a link there is no prefix to tell them by. */
		{ "fe80::1", "fe80::1", true },
		{ "fe80::1", "fe80::2", false },
		{ "::1", "127.0.0.1", false },
	};
	struct rng rng = { .left = 0 };
	struct tcp_peer *a, *b;
	struct tcp_peers t;
	size_t i;

	(void)state;
	assert_int_equal(tcp_peers_init(&t, &rng), 0);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		a = take(&t, cases[i].a);
		b = take(&t, cases[i].b);
		if ((a == b) != cases[i].same)
			fail_msg("%s, %s", cases[i].a, cases[i].b);
		assert_int_equal(b->count, cases[i].same ? 2 : 1);
		tcp_peer_drop(a);
		tcp_peer_drop(b);
	}
	tcp_peers_free(&t);
}

/* All in one bucket (the hash is 0 of all), in any order of coming and going.
 */
static void
test_many_in_a_bucket(void **state)
{
	struct rng rng = { .left = 0 };
	struct tcp_peer *peers[64];
	struct tcp_peers t;
	char text[32];
	size_t i;

	(void)state;
	assert_int_equal(tcp_peers_init(&t, &rng), 0);
	memset(&t.hash, 0, sizeof(t.hash));
	for (i = 0; i < 64; i++) {
		(void)snprintf(text, sizeof(text), "192.0.2.%zu", i);
		peers[i] = take(&t, text);
		assert_int_equal(peers[i]->count, 1);
	}
	for (i = 0; i < 64; i += 2)
		tcp_peer_drop(peers[i]);
	for (i = 0; i < 64; i++) {
		(void)snprintf(text, sizeof(text), "192.0.2.%zu", i);
		assert_int_equal(take(&t, text)->count, 1 + i % 2);
	}
	for (i = 1; i < 64; i += 2)
		tcp_peer_drop(peers[i]);
	for (i = 0; i < 64; i++) {
		(void)snprintf(text, sizeof(text), "192.0.2.%zu", i);
		peers[i] = take(&t, text);
		assert_int_equal(peers[i]->count, 2);
		tcp_peer_drop(peers[i]);
		tcp_peer_drop(peers[i]);
	}
	tcp_peers_free(&t);
}

/* A client that is not known gets no place; those that are keep theirs. */
static bool
take_three(void)
{
	struct rng rng = { .left = 0 };
	union client_addr a = { .in = { .sin_family = AF_INET } };
	struct tcp_peer *first, *second, *third;
	struct tcp_peers t;
	bool ok;

	if (tcp_peers_init(&t, &rng) == -1)
		return false;
	a.in.sin_addr.s_addr = htonl(0x0a000001);
	first = tcp_peer_take(&t, &a);
	second = tcp_peer_take(&t, &a);
	ok = first != NULL;
	if (ok)
		assert_ptr_equal(first, second);
	assert_non_null(second);
	assert_int_equal(second->count, ok ? 2 : 1);
	a.in.sin_addr.s_addr = htonl(0x0a000002);
	third = tcp_peer_take(&t, &a);
	ok = ok && third != NULL;
	assert_ptr_not_equal(third, second);
	if (third != NULL)
		tcp_peer_drop(third);
	if (first != NULL)
		tcp_peer_drop(first);
	tcp_peer_drop(second);
	tcp_peers_free(&t);
	return ok;
}

static void
test_each_allocation_fails(void **state)
{
	(void)state;
	ALLOC_FAIL_EACH(take_three);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_allocation_fails),
		cmocka_unit_test(test_who_is_the_same),
		cmocka_unit_test(test_many_in_a_bucket),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
