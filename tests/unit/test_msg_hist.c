/* SPDX-License-Identifier: ISC */
/* Histograms on their way to dotproxyctl: msg_hist.c. */
/* LINK: common/msg%.c common/imsg.c */
/* LIBS: -levent_core */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/msg_codec.h"

#define ID UINT64_C(0x1122334455667788)

static void
hist_fill(void *x, enum variant v)
{
	struct info_hist *h = x;
	uint64_t next = 7;
	uint32_t i;

	memset(x, 0, sizeof(*h));
	NUMBER(h->upstream, 0, CONF_UPSTREAMS_MAX - 1);
	NUMBER(h->which, 0, INFO_HIST_COUNT - 1);
	if (h->which >= INFO_HIST_OF_UPSTREAM)
		h->upstream = MSG_NO_UPSTREAM;
	h->recent = INFO_HIST_HAS_RECENT(h->which);
	NUMBER(h->hist.sum_us, 0, UINT64_MAX - 1);
	NUMBER(h->hist.max_us, 0, UINT64_MAX - 1);
	for (i = 0; i < HIST_BUCKETS; i++) {
		if (v != LARGE && i % 97 != 5)
			continue;
		NUMBER(h->hist.buckets[i], 0, UINT64_MAX / HIST_BUCKETS);
		h->hist.count += h->hist.buckets[i];
	}
}

static bool
hist_send(struct imsg_chan *ch, const void *x)
{
	const struct info_hist *h = x;

	return msg_send_info_hist(ch, ID, h->upstream,
	    (enum info_hist_kind)h->which, h->recent, &h->hist);
}

static int
hist_read(const struct imsg *m, void *x)
{
	return msg_read_info_hist(m, x);
}

static bool
hist_spoil(void *x, int n)
{
	struct info_hist *h = x;

	h->which = INFO_HIST_LATENCY;
	h->upstream = 1;
	if (n == 0)
		h->upstream = CONF_UPSTREAMS_MAX;
	else if (n == 1)
		h->which = INFO_HIST_COUNT;
	else if (n == 2) /* the listener's, of an upstream */
		h->which = INFO_HIST_RTT_TCP;
	else if (n == 3) /* an upstream's, of none */
		h->upstream = MSG_NO_UPSTREAM;
	else if (n == 4) { /* there is no such last minute */
		h->which = INFO_HIST_OPEN;
		h->recent = true;
	} else /* more than can be counted */
		h->hist.buckets[1] = h->hist.buckets[2] = UINT64_MAX;
	return n < 6;
}

static void
histograms(void **state)
{
	static const struct codec codec =
	    CODEC_OF(MSG_INFO_HIST, hist, struct info_hist, hist_spoil);

	(void)state;
	codec_test(&codec);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(histograms),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
