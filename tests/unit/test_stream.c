/* SPDX-License-Identifier: ISC */
/* LINK: common/%.c dotproxy/pool/%.c */
/* LIBS: -levent_core -ltls -lssl -lcrypto */
/* Zone transfers through the pool: parts, credit, and how they end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/pool_rig.h"

#define LARGE 60000 /* bytes of filling in a message */
/* What one read may add to the window, and a message that was incomplete. */
#define OVERSHOOT (POOL_RX_SIZE + DNS_MSG_MAX)

static struct pkt query, part;

static void
ask_transfer(uint64_t handle, uint16_t type)
{
	pkt_start(&query, QUERY_FLAGS, 1, 0, 0, 0);
	pkt_question(&query, "zone", type);
	assert_true(msg_send_transfer(
	    &rig.link, handle, 60000, query.buf, query.w.pos));
}

/* Sends n SOA records and len bytes more in answer to the first query. */
static void
send_part(struct peer *p, uint16_t nsoa, uint16_t len)
{
	uint16_t i;

	pkt_start(&part, 0x8400, 1, (uint16_t)(nsoa + (len > 0)), 0, 0);
	wire_store_u16(part.buf, dns_id(p->got[0].wire));
	pkt_question(&part, "zone", wire_load_u16(p->got[0].wire + 18));
	for (i = 0; i < nsoa; i++)
		pkt_rr(&part, "zone", DNS_TYPE_SOA, 1, 300, 22);
	if (len > 0)
		pkt_rr(&part, "zone", 16, 1, 300, len);
	peer_send(p, part.buf, part.w.pos);
}

/* The peer of the only transfer, which has been asked. */
static struct peer *
begin(uint64_t handle)
{
	struct peer *p;

	ask_transfer(handle, DNS_TYPE_AXFR);
	RIG_UNTIL((p = rig_peer_with_query()) != NULL);
	return p;
}

static struct rig_reply *
last_reply(void)
{
	return &rig.replies[rig.nreplies - 1];
}

static void
test_every_message_is_passed_on_and_the_last_one_is_known(void **state)
{
	struct peer *p = begin(1);

	(void)state;
	send_part(p, 1, 10);
	RIG_UNTIL(rig_nreplies(1) == 1);
	assert_true(last_reply()->part);
	assert_int_equal(last_reply()->len, part.w.pos);
	/* But for the ID, not a byte is touched. */
	assert_memory_equal(
	    last_reply()->wire + 2, part.buf + 2, part.w.pos - 2);
	send_part(p, 0, LARGE);
	RIG_UNTIL(rig_nreplies(1) == 2);
	assert_true(last_reply()->part);
	assert_int_equal(rig.pool->nstreams, 1);
	send_part(p, 1, 0);
	RIG_UNTIL(rig_nreplies(1) == 3);
	assert_false(last_reply()->part);
	assert_false(last_reply()->failed);
	assert_int_equal(rig.pool->nstreams, 0);
	RIG_UNTIL(p->eof);
	assert_int_equal(rig_peer(1, 0)->ngot, 0);
}

static void
test_upstream_is_not_read_without_credit(void **state)
{
	struct peer *p = begin(1);
	struct conn *c;
	size_t n = 1;

	(void)state;
	send_part(p, 1, 10);
	RIG_UNTIL(rig_nreplies(1) == 1);
	c = query_find(&rig.pool->queries, 1)->conn;
	for (; !c->stopped && n < 10; n++) {
		send_part(p, 0, LARGE);
		rig_pass(5);
	}
	assert_true(c->stopped);
	assert_in_range(c->transfer.unpaid, MSG_TRANSFER_WINDOW,
	    MSG_TRANSFER_WINDOW + OVERSHOOT);
	n = rig_nreplies(1);
	send_part(p, 1, 0);
	rig_pass(20);
	assert_int_equal(rig_nreplies(1), n);
	/* That the upstream is not read is not its fault. */
	assert_int_equal(c->waiting_since, 0);
	/* Credit for others, and too little, changes nothing. */
	assert_true(
	    msg_send_u32(&rig.link, MSG_LT_CREDIT, 2, MSG_TRANSFER_WINDOW));
	assert_true(msg_send_u32(&rig.link, MSG_LT_CREDIT, 1, 1));
	rig_pass(20);
	assert_true(c->stopped);
	assert_true(
	    msg_send_u32(&rig.link, MSG_LT_CREDIT, 1, MSG_TRANSFER_WINDOW));
	RIG_UNTIL(!last_reply()->part);
	assert_false(last_reply()->failed);
}

static void
test_other_queries_are_answered_meanwhile(void **state)
{
	struct peer *p = begin(1);

	(void)state;
	send_part(p, 1, 10);
	RIG_UNTIL(rig_nreplies(1) == 1);
	rig_ask(2);
	RIG_UNTIL(rig_peer(1, 0)->ngot == 1);
	peer_answer(rig_peer(1, 0), 0);
	RIG_UNTIL(rig_answered(2));
	assert_int_equal(p->ngot, 1);
}

static void
test_cancelled_transfer_closes_its_connection(void **state)
{
	struct peer *p = begin(1);

	(void)state;
	send_part(p, 1, 10);
	RIG_UNTIL(rig_nreplies(1) == 1);
	assert_true(imsg_send_empty(&rig.link, MSG_LT_CANCEL, 99, -1));
	rig_pass(5);
	assert_int_equal(rig.pool->nstreams, 1);
	assert_true(imsg_send_empty(&rig.link, MSG_LT_CANCEL, 1, -1));
	RIG_UNTIL(p->eof);
	assert_int_equal(rig.pool->nstreams, 0);
	assert_int_equal(rig.pool->queries.used, 0);
	assert_int_equal(rig_nreplies(1), 1);
}

static void
test_transfer_cancelled_before_it_has_a_connection(void **state)
{
	(void)state;
	rig.manual = true;
	ask_transfer(1, DNS_TYPE_AXFR);
	RIG_UNTIL(rig_up(0)->napart == 1);
	assert_true(imsg_send_empty(&rig.link, MSG_LT_CANCEL, 1, -1));
	RIG_UNTIL(rig.pool->nstreams == 0);
	assert_int_equal(rig_up(0)->ntransfers, 0);
	rig.manual = false;
	assert_true(imsg_send_empty(
	    &rig.parent, MSG_PT_CONNECTED, rig.last_request, rig_connect()));
	(void)rig_accept(1);
	RIG_UNTIL(rig_up(0)->napart == 0);
	RIG_UNTIL(rig.peers[1]->eof);
	assert_int_equal(rig.peers[1]->ngot, 0);
}

static void
test_transfer_that_breaks_off_fails_and_is_not_tried_again(void **state)
{
	struct peer *p = begin(1);

	(void)state;
	send_part(p, 1, 10);
	RIG_UNTIL(rig_nreplies(1) == 1);
	peer_close(p, true);
	RIG_UNTIL(rig_nreplies(1) == 2);
	assert_true(last_reply()->failed);
	assert_int_equal(last_reply()->failure.cause, CAUSE_NOT_REPEATABLE);
	assert_int_equal(rig.pool->nstreams, 0);
	assert_int_equal(rig.pool->counters[TSTAT_retries], 0);
}

static void
test_silence_in_the_middle_ends_it(void **state)
{
	struct peer *p;

	(void)state;
	rig.ups[0].conf.read_timeout_ms = 100;
	rig.conf.forward.query_timeout_ms = 60000;
	rig_configure();
	p = begin(1);
	send_part(p, 1, 10);
	RIG_UNTIL(rig_nreplies(1) == 2);
	assert_true(last_reply()->failed);
	RIG_UNTIL(p->eof);
}

/* Who asks for transfers must not keep others from their connections. */
static void
test_dials_for_transfers_are_beside_all_others(void **state)
{
	struct upstream *up = rig_up(0);

	(void)state;
	RIG_UNTIL(up->nready == 1);
	assert_int_equal(up->nconnecting, 0);
	up->dialled_ms = 1;
	ask_transfer(1, DNS_TYPE_AXFR);
	RIG_UNTIL(up->napart == 1);
	assert_int_equal(up->nconnecting, 0);
	assert_int_equal(up->nconns, 1);
	assert_int_equal(up->dialled_ms, 1);
	RIG_UNTIL(rig_peer_with_query() != NULL);
	assert_int_equal(up->napart, 0);
	assert_int_equal(up->nconnecting, 0);
}

static void
test_limit_is_the_pools_own(void **state)
{
	uint64_t i;

	(void)state;
	for (i = 1; i <= rig.conf.max_transfers + 1; i++)
		ask_transfer(i, DNS_TYPE_AXFR);
	RIG_UNTIL(rig_failed(i - 1, CAUSE_BUSY));
	assert_int_equal(rig.pool->nstreams, rig.conf.max_transfers);
	RIG_UNTIL(rig_up(0)->ntransfers == 0);
	assert_int_equal(rig.nreplies, 1);
	for (i = 1; i <= rig.conf.max_transfers; i++)
		assert_int_equal(rig_peer(1, i)->ngot, 1);
}

static void
test_one_message_is_all_for_who_asked_over_udp(void **state)
{
	struct peer *p;

	(void)state;
	rig_ask_type(1, "zone", DNS_TYPE_IXFR);
	RIG_UNTIL((p = rig_peer_with_query()) != NULL);
	send_part(p, 1, 10);
	RIG_UNTIL(rig_nreplies(1) == 1);
	assert_true(last_reply()->part);
	RIG_UNTIL(p->eof);
	assert_int_equal(rig.pool->queries.used, 0);
}

static void
test_what_is_no_transfer_breaks_the_link(void **state)
{
	(void)state;
	pkt_start(&query, QUERY_FLAGS, 1, 0, 0, 0);
	pkt_question(&query, "www.example", 1);
	assert_true(
	    msg_send_transfer(&rig.link, 1, 60000, query.buf, query.w.pos));
	RIG_UNTIL(rig.links_down == 1);
}

static void
test_lost_link_ends_all_transfers(void **state)
{
	struct peer *p = begin(1);

	(void)state;
	send_part(p, 1, 10);
	RIG_UNTIL(rig_nreplies(1) == 1);
	rig_link(2);
	RIG_UNTIL(p->eof);
	assert_int_equal(rig.pool->nstreams, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST_ONE(
		    test_every_message_is_passed_on_and_the_last_one_is_known),
		RIG_TEST_ONE(test_upstream_is_not_read_without_credit),
		RIG_TEST_ONE(test_other_queries_are_answered_meanwhile),
		RIG_TEST_ONE(test_cancelled_transfer_closes_its_connection),
		RIG_TEST_ONE(
		    test_transfer_cancelled_before_it_has_a_connection),
		RIG_TEST_ONE(
		    test_transfer_that_breaks_off_fails_and_is_not_tried_again),
		RIG_TEST_ONE(test_silence_in_the_middle_ends_it),
		RIG_TEST_ONE(test_limit_is_the_pools_own),
		RIG_TEST_ONE(test_dials_for_transfers_are_beside_all_others),
		RIG_TEST_ONE(test_one_message_is_all_for_who_asked_over_udp),
		RIG_TEST_ONE(test_what_is_no_transfer_breaks_the_link),
		RIG_TEST_ONE(test_lost_link_ends_all_transfers),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
