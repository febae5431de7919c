/* SPDX-License-Identifier: ISC */
/*
 * The codec of INFO_HIST: a histogram, of which only the buckets that are not
 * empty travel.  Linked by both children and dotproxyctl; the reader must be
 * safe against anything, and accepts nothing that the encoder does not make.
 */
#include <string.h>

#include "common/msg.h"
#include "common/msg_wire.h"

/* Upstream, which, recent, sum, maximum, number of buckets. */
#define HIST_FIXED 24
#define HIST_BUCKET 10 /* index, count */

_Static_assert(HIST_FIXED + HIST_BUCKETS * HIST_BUCKET <= MSG_INFO_MAX,
    "a full histogram fits");

static uint16_t
used_buckets(const struct hist *h)
{
	uint16_t n = 0;
	uint32_t i;

	for (i = 0; i < HIST_BUCKETS; i++)
		n = (uint16_t)(n + (h->buckets[i] != 0));
	return n;
}

bool
msg_send_info_hist(struct imsg_chan *ch, uint64_t id, uint32_t upstream,
    enum info_hist_kind which, bool recent, const struct hist *h)
{
	struct wire_writer w;
	uint16_t n = used_buckets(h);
	uint32_t i;

	if (!imsg_begin(ch, &w, HIST_FIXED + (size_t)n * HIST_BUCKET))
		return false;
	wire_put_u32(&w, upstream);
	wire_put_u8(&w, (uint8_t)which);
	msg_put_bool(&w, recent);
	wire_put_u64(&w, h->sum_us);
	wire_put_u64(&w, h->max_us);
	wire_put_u16(&w, n);
	for (i = 0; i < HIST_BUCKETS; i++) {
		if (h->buckets[i] == 0)
			continue;
		wire_put_u16(&w, (uint16_t)i);
		wire_put_u64(&w, h->buckets[i]);
	}
	return imsg_commit(ch, &w, MSG_INFO_HIST, id, -1);
}

/* Reads the buckets, which come in order; false if one is wrong. */
static bool
get_buckets(struct wire_reader *r, struct hist *h, uint16_t n)
{
	uint32_t i, least = 0;
	uint64_t count;

	for (; n > 0 && !r->error; n--) {
		i = wire_get_u16(r);
		count = wire_get_u64(r);
		if (i < least || i >= HIST_BUCKETS || count == 0 ||
		    count > UINT64_MAX - h->count)
			return false;
		h->buckets[i] = count;
		h->count += count;
		least = i + 1;
	}
	return true;
}

int
msg_read_info_hist(const struct imsg *m, struct info_hist *info)
{
	struct wire_reader r;

	memset(info, 0, sizeof(*info));
	wire_reader_init(&r, m->data, m->len);
	info->upstream = wire_get_u32(&r);
	info->which = wire_get_u8(&r);
	info->recent = msg_get_bool(&r);
	info->hist.sum_us = wire_get_u64(&r);
	info->hist.max_us = wire_get_u64(&r);
	if (!get_buckets(&r, &info->hist, wire_get_u16(&r)))
		return -1;
	if (!wire_done(&r) || info->which >= INFO_HIST_COUNT ||
	    (info->recent && !INFO_HIST_HAS_RECENT(info->which)))
		return -1;
	if (info->which >= INFO_HIST_OF_UPSTREAM)
		return info->upstream == MSG_NO_UPSTREAM ? 0 : -1;
	return info->upstream < CONF_UPSTREAMS_MAX ? 0 : -1;
}
