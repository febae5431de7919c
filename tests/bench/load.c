/* SPDX-License-Identifier: ISC */
/*
 * Load for a DNS forwarder whose upstream is the one in tests/support: asks for
 * names nobody has asked before, over UDP or TCP, and checks every answer
 * against its query.  Closed loop: a number of queries is always outstanding.
 * Open loop (-r): queries fall due at a fixed rate, and a latency counts from
 * the time a query was due, so that a stall is felt by all it delayed.
 * With -e the gaps between them are those of a Poisson process of that rate.
 * Nothing is ever sent twice.  Exits 1 unless each query had its one answer.
 */
/* LIBS: -lm */
#include <sys/queue.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <unistd.h>

#include "../support/answer.h"
#include "../support/net.h"
#include "measure.h"

#define BATCH 64
#define QUERY_MAX 300
#define SEQ_DIGITS 8
#define SEQ_AT (DNS_HEADER + 1) /* of the number in the name */
#define CLIENTS_MAX 256

/* One query at a time; its index in the client's slots gives the DNS ID. */
struct slot {
	TAILQ_ENTRY(slot) entry; /* in free or in busy */
	uint64_t due_ns;
	uint32_t seq;
	uint32_t lost_seq; /* the last it gave up */
	uint16_t index;
	bool busy;
};

TAILQ_HEAD(slots, slot);

struct client {
	int fd;
	uint16_t id_mask;
	struct slot *slot;
	struct slots free;
	struct slots busy; /* oldest first */
	size_t nout;       /* messages to send */
	struct iovec iov[BATCH];
	uint8_t msg[BATCH][QUERY_MAX];
	uint8_t *out; /* TCP: bytes to send */
	size_t outlen;
	uint8_t in[2 * (DNS_MESSAGE_MAX + 2)];
	size_t inlen;
};

struct counts {
	unsigned long sent;
	unsigned long answered; /* right, and no error */
	unsigned long errors;   /* right, but an RCODE */
	unsigned long wrong;
	unsigned long duplicate;
	unsigned long lost;    /* no answer in time */
	unsigned long late;    /* answers to those */
	unsigned long refused; /* ICMP, RST and other errors */
	unsigned long closed;  /* TCP connections */
};

struct load {
	struct sockaddr_storage addr;
	socklen_t addrlen;
	bool tcp;
	unsigned long total;
	unsigned long outstanding;
	double rate; /* 0: closed loop */
	bool poisson;
	uint64_t timeout_ns;
	uint64_t due_ns; /* of the next query, in an open loop */
	FILE *trace;     /* a line for each query; NULL: none */
	uint64_t start_ns;
	uint64_t stop_ns; /* no query after it */
	size_t nclients;
	size_t per_client;
	struct client *client;
	struct pollfd pfd[CLIENTS_MAX];
	uint16_t id[65536];    /* slot to ID: a permutation */
	uint16_t index[65536]; /* and back */
	uint8_t query[QUERY_MAX];
	size_t querylen;
	struct counts n;
	struct histogram latency;
};

/* All queries are this one: a number, a word for this run, a domain. */
static void
query_template(struct load *l, const char *domain)
{
	uint8_t *p = l->query;
	size_t n;

	memset(p, 0, DNS_HEADER);
	p[2] = 0x01;
	p[5] = 1;
	p += DNS_HEADER;
	*p++ = SEQ_DIGITS;
	p += SEQ_DIGITS;
	*p++ = 4;
	p += snprintf((char *)p, 5, "%04lx", random() & 0xffff);
	for (; *domain != '\0'; domain += n + (domain[n] == '.')) {
		n = strcspn(domain, ".");
		if (n == 0 || n > 63 ||
		    (size_t)(p - l->query) + n > DNS_HEADER + 250)
			errx(2, "bad domain");
		*p++ = (uint8_t)n;
		memcpy(p, domain, n);
		p += n;
	}
	*p++ = 0;
	p = put16(p, TYPE_A);
	p = put16(p, 1);
	l->querylen = (size_t)(p - l->query);
}

static void
query_write(const struct load *l, const struct client *c, const struct slot *s,
    uint8_t *p)
{
	uint32_t seq = s->seq;
	int i;

	memcpy(p, l->query, l->querylen);
	put16(p, l->id[s->index] ^ c->id_mask);
	for (i = SEQ_DIGITS - 1; i >= 0; i--, seq >>= 4)
		p[SEQ_AT + i] = (uint8_t) "0123456789abcdef"[seq & 15];
}

/* Returns false if the question is not one of this run's. */
static bool
answer_sequence(
    const struct load *l, const uint8_t *p, size_t len, uint32_t *seq)
{
	size_t after = SEQ_AT + SEQ_DIGITS;
	int i;

	if (len < l->querylen || (p[2] & 0x80) == 0 || get16(p + 4) != 1 ||
	    p[SEQ_AT - 1] != SEQ_DIGITS ||
	    memcmp(p + after, l->query + after, l->querylen - after) != 0)
		return false;
	*seq = 0;
	for (i = 0; i < SEQ_DIGITS; i++) {
		uint8_t ch = p[SEQ_AT + i];

		*seq = *seq << 4 |
		       (uint32_t)(ch <= '9' ? ch - '0' : ch - 'a' + 10);
	}
	return true;
}

/*
 * True if the one answer record is the right address.  Its owner may be a
 * pointer to the question or the name once more, as some forwarders write it,
 * and an OPT may follow: a stub resolver takes both.
 */
static bool
answer_right(const struct load *l, const uint8_t *p, size_t len)
{
	const uint8_t *name = p + DNS_HEADER;
	size_t namelen = l->querylen - DNS_HEADER - 4, at = l->querylen;
	uint8_t want[14];

	if (get16(p + 6) != 1)
		return false;
	if (len >= at + 2 && get16(p + at) == (0xc000 | DNS_HEADER))
		at += 2;
	else if (len >= at + namelen && memcmp(p + at, name, namelen) == 0)
		at += namelen;
	else
		return false;
	if (len < at + sizeof(want))
		return false;
	put16(put16(want, TYPE_A), 1);
	memcpy(want + 4, p + at + 4, 4); /* any TTL */
	put32(put16(want + 8, 4), name_crc(name, namelen));
	return memcmp(p + at, want, sizeof(want)) == 0;
}

/* When a query was due, how long it took in ns, and what came of it. */
static void
trace_line(
    const struct load *l, const struct slot *s, uint64_t now, const char *what)
{
	if (l->trace != NULL)
		fprintf(l->trace, "%" PRIu64 " %" PRIu64 " %s\n", s->due_ns,
		    now - s->due_ns, what);
}

static void
slot_release(struct client *c, struct slot *s)
{
	s->busy = false;
	TAILQ_REMOVE(&c->busy, s, entry);
	TAILQ_INSERT_TAIL(&c->free, s, entry);
}

static void
answer_handle(struct load *l, struct client *c, const uint8_t *p, size_t len,
    uint64_t now)
{
	const char *what = "wrong";
	struct slot *s;
	uint32_t seq;
	size_t i;

	if (!answer_sequence(l, p, len, &seq) ||
	    (i = l->index[get16(p) ^ c->id_mask]) >= l->per_client) {
		l->n.wrong++;
		return;
	}
	s = &c->slot[i];
	if (!s->busy || s->seq != seq) {
		if (seq > s->seq)
			l->n.wrong++;
		else if (seq <= s->lost_seq)
			l->n.late++;
		else
			l->n.duplicate++;
		return;
	}
	histogram_add(&l->latency, now - s->due_ns);
	slot_release(c, s);
	if ((p[3] & 0x0f) != 0) {
		l->n.errors++;
		what = "error";
	} else if (answer_right(l, p, len)) {
		l->n.answered++;
		what = "answered";
	} else {
		l->n.wrong++;
	}
	trace_line(l, s, now, what);
}

static void
client_connect(struct load *l, struct client *c)
{
	int on = 1, type = l->tcp ? SOCK_STREAM : SOCK_DGRAM;

	c->inlen = c->outlen = c->nout = 0;
	c->fd = socket(l->addr.ss_family, type | SOCK_CLOEXEC, 0);
	if (c->fd == -1)
		err(1, "socket");
	net_receive_buffer(c->fd);
	if (l->tcp)
		(void)setsockopt(
		    c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(c->fd, (struct sockaddr *)&l->addr, l->addrlen) == -1) {
		if (errno != ECONNREFUSED)
			err(1, "connect");
		l->n.refused++;
		(void)usleep(1000);
	}
	if (fcntl(c->fd, F_SETFL, O_NONBLOCK) == -1)
		err(1, "fcntl");
	l->pfd[c - l->client].fd = c->fd;
}

/* What was asked on a lost TCP connection is lost too. */
static void
client_reconnect(struct load *l, struct client *c)
{
	struct slot *s;

	l->n.closed++;
	while ((s = TAILQ_FIRST(&c->busy)) != NULL) {
		l->n.lost++;
		s->lost_seq = s->seq;
		slot_release(c, s);
	}
	close(c->fd);
	client_connect(l, c);
}

static void
client_new(struct load *l, struct client *c)
{
	size_t i;

	c->id_mask = (uint16_t)random();
	c->slot = calloc(l->per_client, sizeof(*c->slot));
	c->out = malloc(l->per_client * (QUERY_MAX + 2));
	if (c->slot == NULL || c->out == NULL)
		err(1, NULL);
	TAILQ_INIT(&c->free);
	TAILQ_INIT(&c->busy);
	for (i = 0; i < l->per_client; i++) {
		c->slot[i].index = (uint16_t)i;
		TAILQ_INSERT_TAIL(&c->free, &c->slot[i], entry);
	}
	for (i = 0; i < BATCH; i++) {
		c->iov[i].iov_base = c->msg[i];
		c->iov[i].iov_len = l->querylen;
	}
	client_connect(l, c);
}

static void
client_flush_udp(struct load *l, struct client *c)
{
	struct mmsghdr m[BATCH];
	size_t i, done;
	int n;

	memset(m, 0, sizeof(m));
	for (i = 0; i < c->nout; i++) {
		m[i].msg_hdr.msg_iov = &c->iov[i];
		m[i].msg_hdr.msg_iovlen = 1;
	}
	for (done = 0; done < c->nout;) {
		n = sendmmsg(c->fd, m + done, (unsigned)(c->nout - done), 0);
		if (n >= 0)
			done += (size_t)n;
		else if (errno != EAGAIN && errno != ENOBUFS)
			l->n.refused++;
	}
	c->nout = 0;
}

static void
client_flush_tcp(struct load *l, struct client *c)
{
	struct pollfd *pfd = &l->pfd[c - l->client];
	ssize_t n;

	pfd->events = POLLIN;
	if (c->outlen == 0)
		return;
	n = send(c->fd, c->out, c->outlen, MSG_NOSIGNAL);
	if (n > 0) {
		c->outlen -= (size_t)n;
		memmove(c->out, c->out + n, c->outlen);
	}
	if (c->outlen > 0)
		pfd->events = POLLIN | POLLOUT;
}

static void
client_flush(struct load *l, struct client *c)
{
	if (l->tcp)
		client_flush_tcp(l, c);
	else if (c->nout > 0)
		client_flush_udp(l, c);
}

static void
client_ask(struct load *l, struct client *c, uint64_t due_ns)
{
	struct slot *s = TAILQ_FIRST(&c->free);

	TAILQ_REMOVE(&c->free, s, entry);
	TAILQ_INSERT_TAIL(&c->busy, s, entry);
	s->busy = true;
	s->due_ns = due_ns;
	s->seq = (uint32_t)++l->n.sent;
	if (l->tcp) {
		query_write(l, c, s, put16(c->out + c->outlen, l->querylen));
		c->outlen += l->querylen + 2;
		return;
	}
	query_write(l, c, s, c->msg[c->nout]);
	if (++c->nout == BATCH)
		client_flush_udp(l, c);
}

static void
client_read_udp(struct load *l, struct client *c)
{
	static uint8_t buf[BATCH][4096];
	struct iovec iov[BATCH];
	struct mmsghdr m[BATCH];
	uint64_t now;
	int i, n;

	memset(m, 0, sizeof(m));
	for (i = 0; i < BATCH; i++) {
		iov[i].iov_base = buf[i];
		iov[i].iov_len = sizeof(buf[i]);
		m[i].msg_hdr.msg_iov = &iov[i];
		m[i].msg_hdr.msg_iovlen = 1;
	}
	n = recvmmsg(c->fd, m, BATCH, 0, NULL);
	if (n == -1 && errno != EAGAIN)
		l->n.refused++;
	now = clock_ns();
	for (i = 0; i < n; i++)
		answer_handle(l, c, buf[i], m[i].msg_len, now);
}

static void
client_read_tcp(struct load *l, struct client *c)
{
	uint64_t now;
	size_t at = 0, len;
	ssize_t n;

	n = recv(c->fd, c->in + c->inlen, sizeof(c->in) - c->inlen, 0);
	if (n == -1 && errno == EAGAIN)
		return;
	if (n <= 0) {
		client_reconnect(l, c);
		return;
	}
	c->inlen += (size_t)n;
	now = clock_ns();
	while (c->inlen - at >= 2 &&
	       (len = get16(c->in + at)) <= c->inlen - at - 2) {
		answer_handle(l, c, c->in + at + 2, len, now);
		at += 2 + len;
	}
	c->inlen -= at;
	memmove(c->in, c->in + at, c->inlen);
}

/* Gives up on queries older than the timeout; true if any is still out. */
static bool
load_expire(struct load *l, uint64_t now)
{
	bool out = false;
	struct slot *s;
	size_t i;

	for (i = 0; i < l->nclients; i++) {
		while ((s = TAILQ_FIRST(&l->client[i].busy)) != NULL &&
		       now > s->due_ns + l->timeout_ns) {
			l->n.lost++;
			trace_line(l, s, now, "lost");
			s->lost_seq = s->seq;
			slot_release(&l->client[i], s);
		}
		out = out || s != NULL;
	}
	return out;
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
	size_t i, full = 0;
	uint64_t due;

	for (i = 0; full < l->nclients && (due = load_due_ns(l)) <= now; i++) {
		c = &l->client[i % l->nclients];
		if (TAILQ_EMPTY(&c->free)) {
			full++;
			continue;
		}
		full = 0;
		client_ask(l, c, l->rate == 0 ? now : due);
		load_next_due(l);
	}
	for (i = 0; i < l->nclients; i++)
		client_flush(l, &l->client[i]);
}

/* Until an answer comes or the next query is due, 100 ms at the most. */
static void
load_wait(struct load *l, uint64_t now)
{
	uint64_t due = load_due_ns(l), wait = NS / 10;
	struct timespec ts;
	size_t i;

	if (l->rate > 0 && due < now + wait)
		wait = due > now ? due - now : 0;
	ts.tv_sec = 0;
	ts.tv_nsec = (long)wait;
	if (ppoll(l->pfd, l->nclients, &ts, NULL) <= 0)
		return;
	for (i = 0; i < l->nclients; i++) {
		if ((l->pfd[i].revents & ~POLLOUT) == 0)
			continue;
		(l->tcp ? client_read_tcp : client_read_udp)(l, &l->client[i]);
	}
}

static void
load_run(struct load *l)
{
	uint64_t now;
	bool out;

	l->start_ns = l->due_ns = clock_ns();
	l->stop_ns += l->start_ns;
	for (;;) {
		now = clock_ns();
		out = load_expire(l, now);
		if (now > l->stop_ns || l->n.sent >= l->total) {
			if (!out)
				return;
			l->total = 0;
		}
		load_ask(l, now);
		load_wait(l, now);
	}
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
	for (i = 0; i < l->nclients; i++) {
		l->pfd[i].events = POLLIN;
		client_new(l, &l->client[i]);
	}
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
	errx(2,
	    "usage: load [-ejt] [-c clients] [-d domain] [-n queries] "
	    "[-o trace]\n"
	    "[-P pid,...] [-p port] [-q outstanding] [-r rate] [-s address]\n"
	    "[-T seconds] [-w timeout]");
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

	while ((ch = getopt(argc, argv, "c:d:ejn:o:P:p:q:r:s:T:tw:")) != -1) {
		if (ch == 'c')
			l.nclients = strtoul(optarg, NULL, 10);
		else if (ch == 'd')
			domain = optarg;
		else if (ch == 'e')
			l.poisson = true;
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
