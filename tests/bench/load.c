/* SPDX-License-Identifier: ISC */
/*
 * Load for a DNS forwarder whose upstream is the one in tests/support: asks for
 * names nobody has asked before, over UDP or TCP, and checks every answer
 * against its query.  Closed loop: a number of queries is always outstanding.
 * Open loop (-r): queries fall due at a fixed rate, and a latency counts from
 * the time a query was due, so that a stall is felt by all it delayed.
 * With -e the gaps between them are those of a Poisson process of that rate.
 * -i holds connections that ask nothing; -z expects answers of one size.
 * -b gives the address to ask from.  With -I all clients use the same IDs at
 * the same time, as many as each has outstanding.
 * Nothing is ever sent twice.  Exits 1 unless each query had its one answer.
 */
/* LINK: tests/bench/load/client.c tests/bench/load/message.c */
/* LIBS: -lm */
#include <sys/epoll.h>
#include <sys/resource.h>

#include <math.h>
#include <unistd.h>

#include "tests/bench/load/load.h"

#define EVENTS 1024

/* Gives up on what is too old, every 10 ms. */
static void
load_expire(struct load *l, uint64_t now)
{
	size_t i;

	if (now < l->expire_ns)
		return;
	l->expire_ns = now + NS / 100;
	for (i = 0; i < l->nclients; i++)
		client_expire(l, &l->client[i], now);
}

/* When the next query is due: the past if any number may be asked at once. */
static uint64_t
load_due_ns(const struct load *l)
{
	if (l->n.sent >= l->total)
		return UINT64_MAX;
	if (l->rate == 0)
		return l->start_ns;
	return l->due_ns;
}

/* The one after the query just asked. */
static void
load_next_due(struct load *l)
{
	double gap;

	if (l->rate == 0)
		return;
	if (l->poisson) {
		gap = -log(1 - drand48()) / l->rate;
		l->due_ns += (uint64_t)(gap * NS);
	} else {
		gap = (double)l->n.sent / l->rate;
		l->due_ns = l->start_ns + (uint64_t)(gap * NS);
	}
}

/* Asks what is due, each client in turn as long as it has room. */
static void
load_ask(struct load *l, uint64_t now)
{
	struct client *c;
	size_t full = 0;
	uint64_t due;

	while (full < l->nclients && (due = load_due_ns(l)) <= now) {
		c = &l->client[l->next++ % l->nclients];
		if (TAILQ_EMPTY(&c->free)) {
			full++;
			continue;
		}
		full = 0;
		client_ask(l, c, l->rate == 0 ? now : due);
		load_next_due(l);
	}
	while ((c = TAILQ_FIRST(&l->dirty)) != NULL) {
		TAILQ_REMOVE(&l->dirty, c, asked);
		c->dirty = false;
		client_flush(l, c);
	}
}

/* Until an answer comes or the next query is due, 100 ms at the most. */
static void
load_wait(struct load *l, uint64_t now)
{
	uint64_t due = load_due_ns(l), wait = NS / 10;
	struct epoll_event ev[EVENTS];
	struct timespec ts;
	int i, n;

	if (l->rate > 0 && due < now + wait)
		wait = due > now ? due - now : 0;
	ts.tv_sec = 0;
	ts.tv_nsec = (long)wait;
	n = epoll_pwait2(l->epoll, ev, EVENTS, &ts, NULL);
	for (i = 0; i < n; i++) {
		if ((ev[i].events & EPOLLOUT) != 0)
			client_flush(l, ev[i].data.ptr);
		if ((ev[i].events & ~(uint32_t)EPOLLOUT) != 0)
			client_read(l, ev[i].data.ptr);
	}
}

static void
load_run(struct load *l)
{
	uint64_t now;

	l->start_ns = l->due_ns = clock_ns();
	l->stop_ns += l->start_ns;
	for (;;) {
		now = clock_ns();
		load_expire(l, now);
		if (now > l->stop_ns || l->n.sent >= l->total) {
			if (l->nbusy == 0)
				return;
			l->total = 0;
		}
		load_ask(l, now);
		load_wait(l, now);
	}
}

/* As many descriptors as there may be. */
static void
load_limit(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == -1)
		return;
	rl.rlim_cur = rl.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &rl);
}

static void
load_prepare(struct load *l)
{
	size_t i, j;
	uint16_t t;

	l->per_client = (l->outstanding + l->nclients - 1) / l->nclients;
	if (l->nclients == 0 || l->nclients > CLIENTS_MAX ||
	    l->per_client == 0 || l->per_client > 65536)
		errx(2, "clients or outstanding out of range");
	for (i = 0; i < 65536; i++) {
		j = (size_t)random() % (i + 1);
		t = l->id[j];
		l->id[j] = (uint16_t)i;
		if (i != j)
			l->id[i] = t;
	}
	for (i = 0; i < 65536; i++)
		l->index[l->id[i]] = (uint16_t)i;
	l->client = calloc(l->nclients, sizeof(*l->client));
	if (l->client == NULL)
		err(1, NULL);
	TAILQ_INIT(&l->dirty);
	if ((l->epoll = epoll_create1(EPOLL_CLOEXEC)) == -1)
		err(1, "epoll_create1");
	for (i = 0; i < l->nclients; i++)
		client_new(l, &l->client[i]);
	for (i = 0; i < l->idle; i++)
		client_idle(l);
}

static void
report(const struct load *l, double seconds, uint64_t cpu_ns, bool json)
{
	const struct counts *n = &l->n;
	const struct histogram *h = &l->latency;
	double done = (double)h->total;
	double per_query = done > 0 ? (double)cpu_ns / done : 0;

	printf(
	    json ? "{\"sent\":%lu,\"answered\":%lu,\"errors\":%lu,"
		   "\"wrong\":%lu,\"duplicate\":%lu,\"lost\":%lu,\"late\":%lu,"
		   "\"refused\":%lu,\"closed\":%lu,\"seconds\":%.3f,\"qps\":%."
		   "0f,"
		   "\"p50_us\":%.1f,\"p90_us\":%.1f,\"p99_us\":%.1f,"
		   "\"p999_us\":%.1f,\"cpu_ns_per_query\":%.0f}\n"
		 : "sent %lu answered %lu errors %lu wrong %lu duplicate %lu "
		   "lost %lu "
		   "late %lu refused %lu closed %lu\nseconds %.3f queries/s "
		   "%.0f\n"
		   "latency us: p50 %.1f p90 %.1f p99 %.1f p99.9 %.1f\n"
		   "CPU ns/query %.0f\n",
	    n->sent, n->answered, n->errors, n->wrong, n->duplicate, n->lost,
	    n->late, n->refused, n->closed, seconds, done / seconds,
	    histogram_us(h, 0.5), histogram_us(h, 0.9), histogram_us(h, 0.99),
	    histogram_us(h, 0.999), per_query);
}

static FILE *
trace_open(const char *path)
{
	FILE *f = fopen(path, "w");

	if (f == NULL)
		err(1, "%s", path);
	return f;
}

static void
usage(void)
{
	errx(2, "usage: load [-eIjt] [-b address] [-c clients] [-d domain] "
		"[-i idle] [-n queries]\n"
		"[-o trace] [-P pid,...] [-p port] [-q outstanding] [-r rate]\n"
		"[-s address] [-T seconds] [-w timeout] [-z size]");
}

int
main(int argc, char **argv)
{
	static struct load l = {
		.nclients = 1, .outstanding = 100, .timeout_ns = 5 * NS
	};
	const char *host = "127.0.0.1", *port = "53", *domain = "test";
	double seconds = 0;
	char *pids = NULL;
	uint64_t cpu_ns;
	bool json = false;
	int ch;

	while ((ch = getopt(argc, argv, "b:c:d:eIi:jn:o:P:p:q:r:s:T:tw:z:")) !=
	       -1) {
		if (ch == 'b')
			l.fromlen = net_address(optarg, "0", &l.from);
		else if (ch == 'c')
			l.nclients = strtoul(optarg, NULL, 10);
		else if (ch == 'd')
			domain = optarg;
		else if (ch == 'e')
			l.poisson = true;
		else if (ch == 'I')
			l.same_ids = true;
		else if (ch == 'i')
			l.idle = strtoul(optarg, NULL, 10);
		else if (ch == 'j')
			json = true;
		else if (ch == 'n')
			l.total = strtoul(optarg, NULL, 10);
		else if (ch == 'o')
			l.trace = trace_open(optarg);
		else if (ch == 'P')
			pids = optarg;
		else if (ch == 'p')
			port = optarg;
		else if (ch == 'q')
			l.outstanding = strtoul(optarg, NULL, 10);
		else if (ch == 'r')
			l.rate = atof(optarg);
		else if (ch == 's')
			host = optarg;
		else if (ch == 'T')
			seconds = atof(optarg);
		else if (ch == 't')
			l.tcp = true;
		else if (ch == 'w')
			l.timeout_ns = (uint64_t)(atof(optarg) * NS);
		else if (ch == 'z')
			l.size = strtoul(optarg, NULL, 10);
		else
			usage();
	}
	if (l.total == 0)
		l.total = seconds > 0 ? UINT32_MAX : 100000;
	l.stop_ns = seconds > 0 ? (uint64_t)(seconds * NS) : 86400 * NS;
	l.addrlen = net_address(host, port, &l.addr);
	srandom((unsigned)clock_ns());
	srand48(random());
	query_template(&l, domain);
	load_limit();
	load_prepare(&l);
	cpu_ns = processes_cpu_ns(pids);
	load_run(&l);
	report(&l, (double)(clock_ns() - l.start_ns) / NS,
	    processes_cpu_ns(pids) - cpu_ns, json);
	return l.n.answered == l.n.sent && l.n.wrong == 0 &&
		       l.n.duplicate == 0 && l.n.refused == 0
		   ? 0
		   : 1;
}
