/* SPDX-License-Identifier: ISC */
/* What the operator changes, and has tried: msg_change.c. */
/* LINK: common/msg%.c common/imsg.c */
/* LIBS: -levent_core */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "tests/unit/msg_codec.h"

/* --- LP_CHANGE --- */

struct change {
	uint8_t change;
	uint32_t upstream;
};

static void
change_fill(void *x, enum variant v)
{
	struct change *c = x;

	c->change = v == SMALL   ? CHANGE_DISABLE
		    : v == LARGE ? CHANGE_RESTART
				 : CHANGE_ENABLE;
	c->upstream = v == SMALL   ? 0
		      : v == LARGE ? MSG_NO_UPSTREAM
				   : CONF_UPSTREAMS_MAX - 1;
}

static bool
change_send(struct imsg_chan *ch, const void *x)
{
	const struct change *c = x;

	return msg_send_change(ch, 7, c->change, c->upstream);
}

static int
change_read(const struct imsg *m, void *x)
{
	struct change *c = x;

	memset(c, 0, sizeof(*c)); /* the padding is compared, too */
	return msg_read_change(m, &c->change, &c->upstream);
}

static bool
change_spoil(void *x, int n)
{
	static const struct change wrong[] = {
		{ CHANGE_PROBE, 0 },
		{ CHANGE_COUNT, MSG_NO_UPSTREAM },
		{ CHANGE_COUNT, 0 },
		{ CHANGE_DISABLE, MSG_NO_UPSTREAM },
		{ CHANGE_ENABLE, CONF_UPSTREAMS_MAX },
		{ CHANGE_FLUSH, 0 },
		{ CHANGE_DRAIN, 1 },
		{ CHANGE_RESTART, 0 },
	};

	if (n >= (int)(sizeof(wrong) / sizeof(wrong[0])))
		return false;
	memcpy(x, &wrong[n], sizeof(wrong[n]));
	return true;
}

/* --- CL_CHANGE --- */

static void
request_fill(void *x, enum variant v)
{
	struct msg_request *r = x;
	uint64_t next = 9;

	r->change = v == SMALL ? CHANGE_FLUSH : CHANGE_DISABLE;
	text(v, r->upstream, sizeof(r->upstream), &next);
}

static bool
request_send(struct imsg_chan *ch, const void *x)
{
	return msg_send_request(ch, 8, x);
}

static int
request_read(const struct imsg *m, void *x)
{
	return msg_read_request(m, x);
}

static bool
request_spoil(void *x, int n)
{
	struct msg_request *r = x;

	r->change = n == 0   ? CHANGE_COUNT
		    : n == 1 ? CHANGE_DRAIN
			     : CHANGE_ENABLE;
	(void)snprintf(
	    r->upstream, sizeof(r->upstream), "%s", n == 2 ? "" : "name");
	return n < 3;
}

/* --- INFO_PROBE --- */

static void
probe_fill(void *x, enum variant v)
{
	struct info_probe *p = x;
	uint64_t next = 8;
	size_t i;

	text(v, p->name, sizeof(p->name), &next);
	text(v, p->server_name, sizeof(p->server_name), &next);
	address(v, &p->addr, &next);
	NUMBER(p->failed, 0, STEP_COUNT);
	NUMBER(p->phase, 0, PHASE_COUNT - 1);
	text(v, p->error, sizeof(p->error), &next);
	for (i = 0; i < STEP_COUNT; i++)
		NUMBER(p->step_us[i], 0, UINT64_MAX - 1);
	text(v, p->version, sizeof(p->version), &next);
	text(v, p->cipher, sizeof(p->cipher), &next);
	NUMBER(p->expires_s, 0, INFO_EXPIRES_MAX);
	NUMBER(p->pinned, 0, 1);
	NUMBER(p->rcode, 0, 15);
	NUMBER(p->answer_len, 0, UINT32_MAX);
}

static bool
probe_send(struct imsg_chan *ch, const void *x)
{
	return msg_send_info_probe(ch, 6, x);
}

static int
probe_read(const struct imsg *m, void *x)
{
	return msg_read_info_probe(m, x);
}

static bool
probe_spoil(void *x, int n)
{
	struct info_probe *p = x;

	if (n == 0)
		p->failed = STEP_COUNT + 1;
	else if (n == 1)
		p->phase = PHASE_COUNT;
	else if (n == 2)
		p->rcode = 16;
	else /* a year of ten digits would not fit where it is shown */
		p->expires_s = n == 3 ? INFO_EXPIRES_MAX + 1 : UINT64_MAX;
	return n < 5;
}

static void
every_type(void **state)
{
	static const struct codec codecs[] = {
		CODEC_OF(MSG_LP_CHANGE, change, struct change, change_spoil),
		CODEC_OF(
		    MSG_CL_CHANGE, request, struct msg_request, request_spoil),
		CODEC_OF(MSG_INFO_PROBE, probe, struct info_probe, probe_spoil),
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(codecs) / sizeof(codecs[0]); i++)
		codec_test(&codecs[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
