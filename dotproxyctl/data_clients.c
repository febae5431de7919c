/* SPDX-License-Identifier: ISC */
/*
 * Who asks most, as the daemon's workers know it, put together.  Runs in
 * dotproxyctl.  Must not take more than there can be, whatever they say.
 */
#include <stdlib.h>
#include <string.h>

#include "dotproxyctl/data.h"
#include "dotproxyctl/format.h"

int
data_add_client(struct data *d, const struct info_client *c)
{
	struct info_client *clients;

	if (d->nclients == DATA_CLIENTS_MAX)
		return -1;
	/* Grows by doubling, whenever the number is a power of two. */
	if ((d->nclients & (d->nclients - 1)) == 0) {
		clients = realloc(
		    d->clients, (d->nclients == 0 ? 1 : d->nclients * 2) *
				    sizeof(*clients));
		if (clients == NULL)
			return -1;
		d->clients = clients;
	}
	d->clients[d->nclients++] = *c;
	return 0;
}

static int
compare_nets(const struct info_client *a, const struct info_client *b)
{
	if (a->net.family != b->net.family)
		return a->net.family < b->net.family ? -1 : 1;
	if (a->net.len != b->net.len)
		return a->net.len < b->net.len ? -1 : 1;
	return memcmp(a->net.addr, b->net.addr, sizeof(a->net.addr));
}

static int
by_net(const void *a, const void *b)
{
	return compare_nets(a, b);
}

/* The busiest first. */
static int
by_queries(const void *a, const void *b)
{
	const struct info_client *x = a, *y = b;

	if (x->queries != y->queries)
		return x->queries > y->queries ? -1 : 1;
	return compare_nets(x, y);
}

void
data_rank_clients(struct data *d)
{
	struct info_client *c, *sum = d->clients;
	size_t i;

	if (d->nclients == 0)
		return;
	qsort(d->clients, d->nclients, sizeof(*c), by_net);
	for (i = 1; i < d->nclients; i++) {
		c = &d->clients[i];
		if (compare_nets(sum, c) != 0) {
			*++sum = *c;
			continue;
		}
		sum->queries = format_sum(sum->queries, c->queries);
		sum->excess = format_sum(sum->excess, c->excess);
		sum->answers = format_sum(sum->answers, c->answers);
		sum->last_minute = format_sum(sum->last_minute, c->last_minute);
		sum->inflight += c->inflight;
	}
	d->nclients = (size_t)(sum - d->clients) + 1;
	qsort(d->clients, d->nclients, sizeof(*c), by_queries);
}
