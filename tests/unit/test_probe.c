/* SPDX-License-Identifier: ISC */
/* LINK: common/%.c dotproxy/pool/%.c */
/* LIBS: -levent_core -ltls -lssl -lcrypto */
/* An upstream tried: each step in its turn, and nothing else is touched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/pool_rig.h"

static void
probe(uint64_t handle, uint32_t index)
{
	rig.pool->probe.begun_ms = 0; /* long ago */
	assert_true(msg_send_u32(&rig.link, MSG_LT_PROBE, handle, index));
}

static void
test_all_steps(void **state)
{
	struct peer *p = rig_peer(1, 0), *q;
	const struct info_probe *info = &rig.probe;
	size_t i;

	(void)state;
	probe(7, 0);
	RIG_UNTIL((q = rig_peer(1, 1)) != NULL && q->ngot == 1);
	assert_int_equal(p->ngot, 0);
	assert_int_equal(rig.nplain, 1);
	peer_answer(q, 0);
	RIG_UNTIL(rig.nends == 1);
	assert_true(rig.end_ok);
	assert_int_equal(rig.nprobes, 1);
	assert_int_equal(info->failed, STEP_COUNT);
	assert_string_equal(info->name, "up1");
	assert_string_equal(info->version, "TLSv1.3");
	assert_int_equal(info->rcode, 0);
	assert_int_equal(info->answer_len, 17);
	assert_true(info->expires_s > 0);
	assert_false(info->pinned);
	for (i = 0; i < STEP_COUNT; i++)
		assert_true(info->step_us[i] < 60000000);
	assert_true(info->step_us[STEP_HANDSHAKE] > 0);
	RIG_UNTIL(q->eof);
	/* The upstream's own numbers are those of clients. */
	assert_int_equal(rig_up(0)->n.opened, 1);
	assert_int_equal(rig_up(0)->n.queries, 0);
	assert_int_equal(rig_up(0)->nready, 1);
	assert_int_equal(rig.pool->ndials, 0);
	assert_int_equal(rig_up(0)->napart, 0);
}

/* Whatever it fails with, nobody is to blame, and the next may be asked. */
static void
expect(enum info_step failed, enum info_phase phase, const char *error)
{
	RIG_UNTIL(rig.nends == 1);
	assert_int_equal(rig.nprobes, 1);
	assert_int_equal(rig.probe.failed, failed);
	assert_int_equal(rig.probe.phase, phase);
	if (strstr(rig.probe.error, error) == NULL)
		fail_msg("%s", rig.probe.error);
	assert_false(rig_up(0)->failed);
	assert_false(rig_up(0)->suspect);
	assert_int_equal(rig_up(0)->fault.cause, CAUSE_NONE);
	assert_int_equal(rig_up(0)->nready, 1);
	assert_int_equal(rig.pool->ndials, 0);
	assert_null(rig.pool->probe.conn);
	assert_string_equal(rig.log, "");
}

static void
test_no_socket(void **state)
{
	(void)state;
	rig.refuse = EMFILE;
	probe(7, 0);
	expect(STEP_SOCKET, PHASE_CONNECT, "not now");
}

static void
test_no_route(void **state)
{
	(void)state;
	rig.refuse = ENETUNREACH;
	probe(7, 0);
	expect(STEP_SOCKET, PHASE_CONNECT, "unreachable");
}

static void
test_wrong_name(void **state)
{
	(void)state;
	rig_leaf("other.test", -RIG_DAY, RIG_DAY);
	probe(7, 0);
	expect(STEP_HANDSHAKE, PHASE_VERIFY, "name");
}

static void
test_expired(void **state)
{
	(void)state;
	rig_leaf("dot.test", -2 * RIG_DAY, -RIG_DAY);
	probe(7, 0);
	expect(STEP_HANDSHAKE, PHASE_VERIFY, "expired");
}

static void
test_no_answer(void **state)
{
	(void)state;
	rig.ups[0].conf.read_timeout_ms = 100;
	rig_configure();
	probe(7, 0);
	expect(STEP_QUERY, PHASE_TIMEOUT, "no answer");
	assert_in_range(rig.probe.step_us[STEP_QUERY], 90000, 20000000);
}

static void
test_connection_lost(void **state)
{
	struct peer *q;

	(void)state;
	probe(7, 0);
	RIG_UNTIL((q = rig_peer(1, 1)) != NULL && q->ngot == 1);
	peer_close(q, true);
	expect(STEP_QUERY, PHASE_READ, "closed");
}

static void
test_wrong_answer(void **state)
{
	struct peer *q;
	uint8_t msg[17];

	(void)state;
	probe(7, 0);
	RIG_UNTIL((q = rig_peer(1, 1)) != NULL && q->ngot == 1);
	memcpy(msg, q->got[0].wire, sizeof(msg));
	msg[0] ^= 1;
	msg[2] |= 0x80;
	peer_send(q, msg, sizeof(msg));
	expect(STEP_QUERY, PHASE_PROTOCOL, "not the answer");
}

static void
test_one_at_a_time(void **state)
{
	struct peer *q;

	(void)state;
	probe(7, 0);
	probe(8, 0);
	RIG_UNTIL(rig.nends == 1);
	assert_false(rig.end_ok);
	assert_int_equal(rig.ndials, 2);
	RIG_UNTIL((q = rig_peer(1, 1)) != NULL && q->ngot == 1);
	peer_answer(q, 0);
	RIG_UNTIL(rig.nends == 2);
	assert_true(rig.end_ok);
	/* Nor at once after that, though a listener ask for ever. */
	assert_true(msg_send_u32(&rig.link, MSG_LT_PROBE, 9, 0));
	RIG_UNTIL(rig.nends == 3);
	assert_false(rig.end_ok);
	probe(10, 1);
	RIG_UNTIL(rig.nends == 4);
	assert_false(rig.end_ok); /* there is none */
	assert_int_equal(rig.ndials, 2);
}

static void
test_disabled_one_can_be_tried(void **state)
{
	struct peer *q;

	(void)state;
	(void)rig_add(2);
	rig_configure();
	assert_true(msg_send_u8(&rig.parent, MSG_PX_CHANGE, 1, CHANGE_DISABLE));
	RIG_UNTIL(rig_up(0)->nconns == 0);
	probe(7, 0);
	RIG_UNTIL((q = rig_peer(1, 0)) != NULL && q->ngot == 1);
	peer_answer(q, 0);
	RIG_UNTIL(rig.nends == 1);
	assert_int_equal(rig.probe.failed, STEP_COUNT);
	assert_false(upstream_usable(rig_up(0)));
}

static void
test_upstream_goes_meanwhile(void **state)
{
	struct peer *q;

	(void)state;
	probe(7, 0);
	RIG_UNTIL((q = rig_peer(1, 1)) != NULL && q->ngot == 1);
	rig.nups = 0;
	(void)rig_add(2);
	rig_configure();
	RIG_UNTIL(rig.nends == 1);
	assert_int_equal(rig.probe.failed, STEP_QUERY);
	RIG_UNTIL(TAILQ_EMPTY(&rig.pool->gone));
}

/* The next listener may well know a request of its own by the same number. */
static void
test_who_asked_next_is_not_told_of_the_last(void **state)
{
	struct peer *q;

	(void)state;
	probe(7, 0);
	RIG_UNTIL((q = rig_peer(1, 1)) != NULL && q->ngot == 1);
	rig_link(2);
	RIG_UNTIL(q->eof);
	assert_null(rig.pool->probe.conn);
	assert_int_equal(rig.pool->ndials, 0);
	probe(7, 0);
	RIG_UNTIL((q = rig_peer(1, 1)) != NULL && q->ngot == 1);
	peer_answer(q, 0);
	RIG_UNTIL(rig.nends == 1);
	assert_int_equal(rig.nprobes, 1);
	assert_int_equal(rig.probe.failed, STEP_COUNT);
	rig_ask(1);
	RIG_UNTIL(rig_peer(1, 0)->ngot == 1);
}

/* Before the parent has made its socket, too. */
static void
test_link_goes_before_the_socket_comes(void **state)
{
	(void)state;
	probe(7, 0);
	RIG_UNTIL(rig.pool->probe.conn != NULL);
	rig_link(2);
	assert_null(rig.pool->probe.conn);
	rig_ask(1);
	RIG_UNTIL(rig_peer(1, 0)->ngot == 1);
	assert_int_equal(rig.pool->ndials, 0);
	assert_int_equal(rig.nprobes, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST_ONE(test_all_steps),
		RIG_TEST_ONE(test_no_socket),
		RIG_TEST_ONE(test_no_route),
		RIG_TEST_ONE(test_wrong_name),
		RIG_TEST_ONE(test_expired),
		RIG_TEST_ONE(test_no_answer),
		RIG_TEST_ONE(test_connection_lost),
		RIG_TEST_ONE(test_wrong_answer),
		RIG_TEST_ONE(test_one_at_a_time),
		RIG_TEST_ONE(test_disabled_one_can_be_tried),
		RIG_TEST_ONE(test_upstream_goes_meanwhile),
		RIG_TEST_ONE(test_who_asked_next_is_not_told_of_the_last),
		RIG_TEST_ONE(test_link_goes_before_the_socket_comes),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
