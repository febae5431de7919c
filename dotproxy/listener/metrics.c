/* SPDX-License-Identifier: ISC */
/*
 * Hands out what the listener has measured; see metrics.h.  Runs in the
 * listener.  Pure but for the channel it sends to; must not be called for each
 * query.
 */
#include "dotproxy/listener/metrics.h"

void
metrics_read(struct metrics *m, enum info_hist_kind kind, bool recent,
    uint64_t now_ms, struct hist *h)
{
	switch (kind) {
	case INFO_HIST_RTT_UDP:
	case INFO_HIST_RTT_TCP:
		hist_live_read(
		    &m->rtt[kind - INFO_HIST_RTT_UDP], now_ms, recent, h);
		break;
	case INFO_HIST_QUERY_SIZE_UDP:
	case INFO_HIST_QUERY_SIZE_TCP:
		*h = m->query_size[kind - INFO_HIST_QUERY_SIZE_UDP];
		break;
	default:
		*h = m->answer_size[kind == INFO_HIST_ANSWER_SIZE_TCP];
	}
}

static bool
send_one(struct metrics *m, struct imsg_chan *ch, uint64_t id,
    enum info_hist_kind kind, bool recent, uint64_t now_ms)
{
	struct hist h;

	metrics_read(m, kind, recent, now_ms, &h);
	return msg_send_info_hist(ch, id, MSG_NO_UPSTREAM, kind, recent, &h);
}

bool
metrics_send(
    struct metrics *m, struct imsg_chan *ch, uint64_t id, uint64_t now_ms)
{
	unsigned int kind;

	for (kind = INFO_HIST_OF_UPSTREAM; kind < INFO_HIST_COUNT; kind++) {
		if (!send_one(m, ch, id, kind, false, now_ms))
			return false;
		if (INFO_HIST_HAS_RECENT(kind) &&
		    !send_one(m, ch, id, kind, true, now_ms))
			return false;
	}
	return true;
}
