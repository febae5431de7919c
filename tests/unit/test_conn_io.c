/* SPDX-License-Identifier: ISC */
/* LINK: common/%.c dotproxy/pool/%.c */
/* LIBS: -levent_core -ltls -lssl -lcrypto */
/* Bytes of a connection: framing, IDs, answers that are none, hostile peers. */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/pool_rig.h"

static struct pkt pkt;
static unsigned int reads; /* calls of tls_read() */

/* The library's, counted. */
ssize_t
tls_read(struct tls *tls, void *buf, size_t len)
{
	static ssize_t (*real)(struct tls *, void *, size_t);

	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "tls_read");
	reads++;
	return real(tls, buf, len);
}

/* The upstream in use has n queries. */
static struct peer *
peer_with(size_t n)
{
	struct peer *p = rig_peer(1, 0);

	assert_non_null(p);
	RIG_UNTIL(p->ngot == n);
	return p;
}

static void
test_query_and_answer_pass_unchanged(void **state)
{
	struct hist h;
	struct rig_reply *r;
	struct peer *p;

	(void)state;
	pkt_start(&pkt, QUERY_FLAGS, 1, 0, 0, 0);
	pkt_question(&pkt, "wWw.eXample", 257);
	rig_ask_wire(42, 4000, pkt.buf, pkt.w.pos);
	p = peer_with(1);
	assert_int_equal(p->got[0].len, pkt.w.pos);
	assert_memory_equal(p->got[0].wire + 2, pkt.buf + 2, pkt.w.pos - 2);
	peer_answer(p, 0);
	RIG_UNTIL(rig_answered(42));
	r = rig_reply(42);
	assert_int_equal(r->len, p->got[0].len);
	assert_memory_equal(r->wire + 2, p->got[0].wire + 2, r->len - 2);
	assert_int_equal(rig_up(0)->n.answers, 1);
	hist_live_read(&rig_up(0)->latency, rig.pool->now_ms, true, &h);
	assert_int_equal(h.count, 1);
	assert_int_equal(rig.pool->counters[TSTAT_bytes_sent], pkt.w.pos);
	assert_int_equal(rig.pool->counters[TSTAT_bytes_received], r->len);
}

/* To ask TLS for more, of which there is none, costs as much as the answer. */
static void
test_answer_is_read_once(void **state)
{
	struct peer *p;
	uint64_t id;

	(void)state;
	for (id = 0; id < 10; id++) {
		rig_ask(id);
		p = peer_with(id + 1);
		reads = 0;
		peer_answer(p, id);
		RIG_UNTIL(rig_answered(id));
	}
	assert_int_equal(reads, 1);
}

static void
test_answers_in_any_order(void **state)
{
	struct peer *p;
	size_t i;

	(void)state;
	for (i = 0; i < 100; i++)
		rig_ask(i);
	p = peer_with(100);
	for (i = 100; i > 0; i--)
		peer_answer(p, i - 1);
	RIG_UNTIL(rig.nreplies == 100);
	for (i = 0; i < 100; i++) {
		assert_true(rig_answered(i));
		assert_int_equal(rig.replies[i].handle, 99 - i);
	}
	assert_int_equal(rig.npeers, 1);
}

static void
test_ids_in_flight_are_all_different(void **state)
{
	static bool seen[65536];
	struct peer *p;
	size_t i, small = 0;

	(void)state;
	rig.ups[0].conf.pool_size = 1;
	rig_configure();
	memset(seen, 0, sizeof(seen));
	for (i = 0; i < 2000; i++)
		rig_ask(i);
	p = peer_with(2000);
	for (i = 0; i < 2000; i++) {
		assert_false(seen[dns_id(p->got[i].wire)]);
		seen[dns_id(p->got[i].wire)] = true;
		small += dns_id(p->got[i].wire) < 0x8000;
	}
	/* Of all 16 bits: about half of them have the first one clear. */
	assert_in_range(small, 850, 1150);
}

static void
test_longest_messages(void **state)
{
	static uint8_t wire[DNS_MSG_MAX];
	struct peer *p;

	(void)state;
	pkt_start(&pkt, QUERY_FLAGS, 1, 0, 0, 0);
	pkt_question(&pkt, "www.example", 1);
	memset(wire, 0x55, sizeof(wire));
	memcpy(wire, pkt.buf, pkt.w.pos);
	rig_ask_wire(1, 4000, wire, sizeof(wire));
	rig_ask(2);
	p = peer_with(2);
	assert_int_equal(p->got[0].len, sizeof(wire));
	assert_memory_equal(p->got[0].wire + 2, wire + 2, sizeof(wire) - 2);
	peer_answer(p, 0);
	peer_answer(p, 1);
	RIG_UNTIL(rig.nreplies == 2);
	assert_int_equal(rig_reply(1)->len, sizeof(wire));
	assert_memory_equal(rig_reply(1)->wire + 3, wire + 3, sizeof(wire) - 3);
}

static void
test_answer_byte_by_byte(void **state)
{
	struct peer *p;
	uint8_t buf[600];
	size_t i, len;

	(void)state;
	rig_ask(1);
	p = peer_with(1);
	p->got[0].wire[2] |= 0x80;
	len = p->got[0].len;
	wire_store_u16(buf, (uint16_t)len);
	memcpy(buf + 2, p->got[0].wire, len);
	for (i = 0; i < len + 2; i++) {
		assert_null(rig_reply(1));
		peer_write(p, buf + i, 1);
		rig_pass(1);
	}
	RIG_UNTIL(rig_answered(1));
	assert_int_equal(TAILQ_FIRST(&rig_up(0)->conns)->frame.len, 0);
}

/*
 * What makes a connection distrusted.  The query is sent again on another one,
 * is answered there, and the listener never sees the wrong one.
 */
static void
expect_distrust(struct peer *bad)
{
	struct peer *p;
	size_t n = rig.npeers;

	RIG_UNTIL(bad->eof);
	assert_int_equal(rig_up(0)->n.failures[PHASE_PROTOCOL], 1);
	assert_null(rig_reply(1));
	RIG_UNTIL(rig.npeers > n && rig.peers[n]->ngot == 1);
	p = rig.peers[n];
	peer_answer(p, 0);
	RIG_UNTIL(rig_answered(1));
	assert_int_equal(rig_nreplies(1), 1);
	assert_int_equal(rig_reply(1)->len, p->got[0].len);
}

static void
test_unknown_id_is_distrusted(void **state)
{
	struct peer *p;

	(void)state;
	rig_ask(1);
	p = peer_with(1);
	p->got[0].wire[0] ^= 1;
	peer_answer(p, 0);
	expect_distrust(p);
}

static void
test_other_question_is_distrusted(void **state)
{
	struct peer *p;

	(void)state;
	rig_ask(1);
	p = peer_with(1);
	p->got[0].wire[DNS_HDR_LEN + 1] = 'v';
	peer_answer(p, 0);
	expect_distrust(p);
}

static void
test_query_in_return_is_distrusted(void **state)
{
	struct peer *p;

	(void)state;
	rig_ask(1);
	p = peer_with(1);
	peer_send(p, p->got[0].wire, p->got[0].len);
	expect_distrust(p);
}

static void
test_short_message_is_distrusted(void **state)
{
	struct peer *p;

	(void)state;
	rig_ask(1);
	p = peer_with(1);
	p->got[0].wire[2] |= 0x80;
	peer_send(p, p->got[0].wire, DNS_HDR_LEN - 1);
	expect_distrust(p);
}

static void
test_empty_message_is_distrusted(void **state)
{
	struct peer *p;

	(void)state;
	rig_ask(1);
	p = peer_with(1);
	peer_write(p, "\0\0", 2);
	expect_distrust(p);
}

static void
test_answer_twice_is_distrusted(void **state)
{
	struct peer *p;

	(void)state;
	rig_ask(1);
	p = peer_with(1);
	peer_answer(p, 0);
	peer_answer(p, 0);
	RIG_UNTIL(p->eof);
	assert_int_equal(rig_nreplies(1), 1);
	assert_int_equal(rig_up(0)->n.failures[PHASE_PROTOCOL], 1);
}

static void
test_unasked_message_is_distrusted(void **state)
{
	struct peer *p = rig_peer(1, 0);

	(void)state;
	pkt_start(&pkt, ANSWER_FLAGS, 0, 0, 0, 0);
	peer_send(p, pkt.buf, pkt.w.pos);
	RIG_UNTIL(p->eof);
	assert_int_equal(rig_up(0)->n.failures[PHASE_PROTOCOL], 1);
}

static void
test_distrust_takes_all_queries_elsewhere(void **state)
{
	struct peer *p, *q;
	size_t i, n = 20;

	(void)state;
	for (i = 0; i < n; i++)
		rig_ask(i);
	p = peer_with(n);
	peer_answer(p, 0); /* this one is believed: it came before */
	p->got[1].wire[0] ^= 0xff;
	peer_answer(p, 1);
	peer_answer(p, 2); /* and this one is not read any more */
	RIG_UNTIL(p->eof && rig_peer(1, 0) != NULL);
	q = rig_peer(1, 0);
	RIG_UNTIL(q->ngot == n - 1);
	for (i = 0; i < n - 1; i++)
		peer_answer(q, i);
	RIG_UNTIL(rig.nreplies == n);
	for (i = 0; i < n; i++)
		assert_true(rig_answered(i));
	assert_int_equal(rig.pool->counters[TSTAT_retries], n - 1);
}

static void
test_late_answer_is_dropped_and_forgiven(void **state)
{
	struct peer *p;
	uint16_t id;

	(void)state;
	pkt_start(&pkt, QUERY_FLAGS, 1, 0, 0, 0);
	pkt_question(&pkt, "www.example", 1);
	rig_ask_wire(1, 20, pkt.buf, pkt.w.pos);
	p = peer_with(1);
	RIG_UNTIL(rig_failed(1, CAUSE_TIMEOUT));
	id = dns_id(p->got[0].wire);
	assert_int_equal(idmap_get(&TAILQ_FIRST(&rig_up(0)->conns)->ids, id),
	    IDMAP_ABANDONED);
	peer_answer(p, 0);
	RIG_UNTIL(rig.pool->counters[TSTAT_late_answers] == 1);
	assert_int_equal(
	    idmap_get(&TAILQ_FIRST(&rig_up(0)->conns)->ids, id), IDMAP_NONE);
	/* The connection goes on. */
	rig_ask(2);
	RIG_UNTIL(p->ngot == 2);
	peer_answer(p, 1);
	RIG_UNTIL(rig_answered(2));
	assert_int_equal(rig_nreplies(1), 1);
	/* A second late answer is one too many. */
	peer_answer(p, 0);
	RIG_UNTIL(p->eof);
}

static void
test_late_query_is_no_late_answer(void **state)
{
	struct peer *p;

	(void)state;
	pkt_start(&pkt, QUERY_FLAGS, 1, 0, 0, 0);
	pkt_question(&pkt, "www.example", 1);
	rig_ask_wire(1, 20, pkt.buf, pkt.w.pos);
	p = peer_with(1);
	RIG_UNTIL(rig_failed(1, CAUSE_TIMEOUT));
	peer_send(p, p->got[0].wire, p->got[0].len);
	RIG_UNTIL(p->eof);
	assert_int_equal(rig.pool->counters[TSTAT_late_answers], 0);
}

static void
test_noise_instead_of_tls(void **state)
{
	struct peer *p;

	(void)state;
	rig_ask(1);
	p = peer_with(1);
	assert_int_equal(write(p->fd, "this is no TLS record", 21), 21);
	RIG_UNTIL(p->eof);
	assert_int_equal(rig_up(0)->n.failures[PHASE_READ], 1);
	RIG_UNTIL(rig_peer(1, 0) != NULL && rig_peer(1, 0)->ngot == 1);
	peer_answer(rig_peer(1, 0), 0);
	RIG_UNTIL(rig_answered(1));
}

static void
test_tickets_without_end_do_not_hide_an_answer(void **state)
{
	struct peer *p;
	int i;

	(void)state;
	rig_ask(1);
	p = peer_with(1);
	for (i = 0; i < 200; i++)
		assert_int_equal(SSL_new_session_ticket(p->ssl), 1);
	peer_answer(p, 0);
	RIG_UNTIL(rig_answered(1));
	assert_false(p->eof);
}

static void
test_key_updates_are_followed(void **state)
{
	struct peer *p;
	size_t i;

	(void)state;
	for (i = 0; i < 50; i++) {
		rig_ask(i);
		p = peer_with(i + 1);
		assert_int_equal(
		    SSL_key_update(p->ssl, SSL_KEY_UPDATE_REQUESTED), 1);
		peer_answer(p, i);
		RIG_UNTIL(rig_answered(i));
	}
	assert_int_equal(rig.npeers, 1);
}

/* Each costs as much as many answers, and all upstreams would pay for it. */
static void
test_key_updates_without_end_are_distrusted(void **state)
{
	struct peer *p;
	int i;

	(void)state;
	rig_ask(1);
	p = peer_with(1);
	for (i = 0; i < 1000; i++) {
		assert_int_equal(
		    SSL_key_update(p->ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		assert_int_equal(SSL_do_handshake(p->ssl), 1);
	}
	RIG_UNTIL(rig.npeers == 2 && rig.peers[1]->ngot == 1);
	assert_true(p->eof);
	assert_int_equal(rig.pool->upstreams[0]->n.failures[PHASE_READ], 1);
	peer_answer(rig.peers[1], 0);
	RIG_UNTIL(rig_answered(1));
}

static void
test_many_answers_in_one_read(void **state)
{
	static uint8_t buf[64000];
	struct peer *p;
	size_t i, n = 1000, at = 0;

	(void)state;
	rig.ups[0].conf.pool_size = 1;
	rig_configure();
	for (i = 0; i < n; i++)
		rig_ask(i);
	p = peer_with(n);
	for (i = 0; i < n; i++) {
		p->got[i].wire[2] |= 0x80;
		wire_store_u16(buf + at, (uint16_t)p->got[i].len);
		memcpy(buf + at + 2, p->got[i].wire, p->got[i].len);
		at += 2 + p->got[i].len;
	}
	/* Records cut messages in two. */
	for (i = 0; i < at; i += 16000)
		peer_write(p, buf + i, at - i < 16000 ? at - i : 16000);
	RIG_UNTIL(rig.nreplies == n);
	for (i = 0; i < n; i++)
		assert_false(rig.replies[i].failed);
}

static void
test_peer_that_does_not_read_is_given_up(void **state)
{
	static uint8_t wire[60000];
	struct peer *p = rig_peer(1, 0);
	size_t i, n = 150;

	(void)state;
	rig.ups[0].conf.write_timeout_ms = 50;
	rig.ups[0].conf.pool_size = 1;
	rig_configure();
	p->deaf = true;
	pkt_start(&pkt, QUERY_FLAGS, 1, 0, 0, 0);
	pkt_question(&pkt, "www.example", 1);
	memcpy(wire, pkt.buf, pkt.w.pos);
	for (i = 0; i < n; i++) {
		rig_ask_wire(i, 4000, wire, sizeof(wire));
		rig_turn();
	}
	RIG_UNTIL(rig_up(0)->n.failures[PHASE_WRITE] == 1);
	rig.ups[0].conf.write_timeout_ms = 5000;
	rig_configure();
	/* Nothing is lost: all of them go to the next connection. */
	RIG_UNTIL(rig.peers[rig.npeers - 1]->ngot == n);
}

static void
test_slow_reader_gets_all(void **state)
{
	static uint8_t wire[60000];
	struct peer *p = rig_peer(1, 0);
	struct conn *c = TAILQ_FIRST(&rig_up(0)->conns);
	size_t i, n = 120;

	(void)state;
	rig.ups[0].conf.pool_size = 1;
	rig_configure();
	p->deaf = true;
	pkt_start(&pkt, QUERY_FLAGS, 1, 0, 0, 0);
	pkt_question(&pkt, "www.example", 1);
	memcpy(wire, pkt.buf, pkt.w.pos);
	for (i = 0; i < n; i++) {
		rig_ask_wire(i, 4000, wire, sizeof(wire));
		rig_turn();
	}
	RIG_UNTIL(c->pending_len > 0);
	assert_true(c->pending_len <= CONN_PENDING_MAX);
	assert_true(conn_load(c) < CONN_SOFT_MAX);
	assert_int_equal(c->class, CONN_CLASS_BUSY);
	p->deaf = false;
	RIG_UNTIL(p->ngot == n);
	RIG_UNTIL(c->pending_len == 0);
	assert_null(c->pending);
	for (i = 0; i < n; i++)
		assert_memory_equal(p->got[i].wire + 2, wire + 2, 59998);
	assert_int_equal(rig.npeers, 1);
}

static void
test_full_link_stops_reading_upstreams(void **state)
{
	static uint8_t wire[60000];
	struct peer *p;
	struct conn *c;
	size_t i, k, n = 60;

	(void)state;
	rig.ups[0].conf.pool_size = 1;
	rig.ups[0].conf.read_timeout_ms = 200;
	rig.conf.forward.hedge_percent = 5; /* or nobody is late */
	rig_configure();
	for (i = 0; i < n; i++)
		rig_ask(i);
	p = peer_with(n);
	/* A listener that reads nothing: turn only our side. */
	for (i = 0; i < n; i++) {
		memset(wire, 0, sizeof(wire));
		p->got[i].wire[2] |= 0x80;
		memcpy(wire, p->got[i].wire, p->got[i].len);
		(void)fcntl(p->fd, F_SETFL, 0);
		peer_send(p, wire, sizeof(wire));
		event_base_loop(rig.base, EVLOOP_NONBLOCK);
		pool_turn_end(rig.pool);
		if (imsg_congested(&rig.pool->link))
			break;
	}
	(void)fcntl(p->fd, F_SETFL, O_NONBLOCK);
	assert_true(imsg_congested(&rig.pool->link));
	i++;
	memcpy(wire, p->got[i].wire, p->got[i].len);
	wire[2] |= 0x80;
	peer_send(p, wire, sizeof(wire));
	event_base_loop(rig.base, EVLOOP_NONBLOCK);
	pool_turn_end(rig.pool);
	c = TAILQ_FIRST(&rig_up(0)->conns);
	assert_true(c->paused);
	/* It is not the upstream that is silent. */
	for (k = 0; k < 150; k++) {
		rig_now_us += 5000;
		(void)event_base_loop(rig.base, EVLOOP_NONBLOCK);
		pool_turn_end(rig.pool);
	}
	assert_int_equal(rig_up(0)->n.failures[PHASE_TIMEOUT], 0);
	assert_false(rig_up(0)->suspect);
	assert_int_equal(rig.pool->counters[TSTAT_retries], 0);
	assert_false(c->suspect);
	RIG_UNTIL(!c->paused);
	assert_in_range(c->waiting_since, c->paused_ms + 700, UINT64_MAX);
	for (i++; i < n; i++) {
		p->got[i].wire[2] |= 0x80;
		memcpy(wire, p->got[i].wire, p->got[i].len);
		rig_turn();
		peer_send(p, wire, sizeof(wire));
	}
	RIG_UNTIL(rig.nreplies == n);
	for (i = 0; i < n; i++)
		assert_false(rig.replies[i].failed);
	assert_int_equal(rig.pool->counters[TSTAT_failed_busy], 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST_ONE(test_query_and_answer_pass_unchanged),
		RIG_TEST_ONE(test_answer_is_read_once),
		RIG_TEST_ONE(test_answers_in_any_order),
		RIG_TEST_ONE(test_ids_in_flight_are_all_different),
		RIG_TEST_ONE(test_longest_messages),
		RIG_TEST_ONE(test_answer_byte_by_byte),
		RIG_TEST_ONE(test_unknown_id_is_distrusted),
		RIG_TEST_ONE(test_other_question_is_distrusted),
		RIG_TEST_ONE(test_query_in_return_is_distrusted),
		RIG_TEST_ONE(test_short_message_is_distrusted),
		RIG_TEST_ONE(test_empty_message_is_distrusted),
		RIG_TEST_ONE(test_answer_twice_is_distrusted),
		RIG_TEST_ONE(test_unasked_message_is_distrusted),
		RIG_TEST_ONE(test_distrust_takes_all_queries_elsewhere),
		RIG_TEST_ONE(test_late_answer_is_dropped_and_forgiven),
		RIG_TEST_ONE(test_late_query_is_no_late_answer),
		RIG_TEST_ONE(test_noise_instead_of_tls),
		RIG_TEST_ONE(test_tickets_without_end_do_not_hide_an_answer),
		RIG_TEST_ONE(test_key_updates_are_followed),
		RIG_TEST_ONE(test_key_updates_without_end_are_distrusted),
		RIG_TEST_ONE(test_many_answers_in_one_read),
		RIG_TEST_ONE(test_peer_that_does_not_read_is_given_up),
		RIG_TEST_ONE(test_slow_reader_gets_all),
		RIG_TEST_ONE(test_full_link_stops_reading_upstreams),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
