/* SPDX-License-Identifier: ISC */
/*
 * A long wire: joins two network namespaces by a tun device in each and passes
 * IP packets between these late, or not at all.  netem does as much, but not
 * every kernel has it, and it does not say what it has seen.  While its stdin
 * is open it takes commands there, one a line, and answers each with a line:
 *
 *	delay MS, jitter MS	one way; jitter is added, and never reorders
 *	reorder 0|1		unless this is 1
 *	loss PERCENT		of each direction's packets, by a seeded
 *generator cut, mend		nothing passes, what is under way included
 *	silence ADDRESS, hear	nothing to or from it, until "hear"
 *	forget			as a router that has lost its NAT table: nothing
 *				passes of a TCP connection opened before
 *	seed N, zero, stats	zero and show the counters
 */
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/queue.h>

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/bench/measure.h"
#include "tests/support/answer.h"

#define PACKET_MAX 2048
#define QUEUE_MAX 65536
#define READS_MAX 64
#define FLOWS 65536
#define TIMER_SLACK_NS 1000UL

enum kind { SYN, SYN_DATA, DATA, ACK, FIN, RST, UDP, OTHER, KINDS };

static const char *const kind_name[KINDS] = { "syn", "syn_data", "data", "ack",
	"fin", "rst", "udp", "other" };

enum tcp_flag { F_FIN = 1, F_SYN = 2, F_RST = 4, F_ACK = 16 };

/* What is read of a packet; ends are addresses as IPv6 has them. */
struct header {
	enum kind kind;
	bool tcp;
	bool opens; /* the first packet of a connection */
	struct in6_addr from;
	struct in6_addr to;
	uint16_t ports[2];
};

struct packet {
	TAILQ_ENTRY(packet) entry;
	uint64_t due_ns;
	size_t len;
	uint8_t data[];
};

struct counts {
	unsigned long kind[KINDS];
	unsigned long packets;
	unsigned long bytes;
	unsigned long dropped;
};

/* One direction; its packets are read from fd and written to the other's. */
struct side {
	const char *name;
	int fd;
	TAILQ_HEAD(packets, packet) queue; /* by due_ns */
	size_t nqueued;
	struct counts n;
};

struct link {
	struct side side[2]; /* near, far */
	uint64_t delay_ns;
	uint64_t jitter_ns;
	double loss; /* 0 to 1 */
	bool reorder;
	bool down;
	bool silenced;
	struct in6_addr silent;
	uint64_t random;
	uint32_t epoch;       /* "forget" so far */
	uint32_t flow[FLOWS]; /* epoch in which it was opened, by hash */
	char line[256];       /* of stdin, as far as it has come */
	size_t linelen;
};

/* xorshift64*: the same seed, the same losses. */
static double
random_unit(struct link *l)
{
	l->random ^= l->random >> 12;
	l->random ^= l->random << 25;
	l->random ^= l->random >> 27;
	return (double)(l->random * 0x2545f4914f6cdd1dULL >> 11) /
	       (double)(1ULL << 53);
}

static struct in6_addr
mapped(const uint8_t *v4)
{
	struct in6_addr a = { .s6_addr = { [10] = 0xff, [11] = 0xff } };

	memcpy(a.s6_addr + 12, v4, 4);
	return a;
}

static void
tcp_read(struct header *h, const uint8_t *p, size_t len)
{
	size_t head = len < 20 ? 0 : (size_t)(p[12] >> 4) * 4;
	uint8_t flags = len < 20 ? 0 : p[13];

	if (len < 20)
		return;
	h->tcp = true;
	h->opens = (flags & (F_SYN | F_ACK)) == F_SYN;
	if (flags & F_RST)
		h->kind = RST;
	else if (flags & F_SYN)
		h->kind = len > head ? SYN_DATA : SYN;
	else if (len > head)
		h->kind = DATA;
	else
		h->kind = flags & F_FIN ? FIN : ACK;
}

/* IPv6 extension headers and fragments count as OTHER. */
static struct header
packet_read(const uint8_t *p, size_t len)
{
	struct header h = { .kind = OTHER };
	uint8_t protocol;
	size_t head;

	if (len >= 20 && p[0] >> 4 == 4) {
		head = (size_t)(p[0] & 15) * 4;
		protocol = p[9];
		h.from = mapped(p + 12);
		h.to = mapped(p + 16);
	} else if (len >= 40 && p[0] >> 4 == 6) {
		head = 40;
		protocol = p[6];
		memcpy(&h.from, p + 8, 16);
		memcpy(&h.to, p + 24, 16);
	} else {
		return h;
	}
	if (len < head + 8)
		return h;
	h.ports[0] = get16(p + head);
	h.ports[1] = get16(p + head + 2);
	if (protocol == IPPROTO_UDP)
		h.kind = UDP;
	else if (protocol == IPPROTO_TCP)
		tcp_read(&h, p + head, len - head);
	return h;
}

/* FNV-1a. */
static uint32_t
hash_add(uint32_t hash, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len-- > 0)
		hash = (hash ^ *p++) * 16777619U;
	return hash;
}

/* The place of a connection in the table, the same from both sides. */
static size_t
flow_index(const struct header *h, bool from_near)
{
	const struct in6_addr *ends[2] = { &h->from, &h->to };
	uint32_t hash = 2166136261U;
	int i, end;

	for (i = 0; i < 2; i++) {
		end = from_near ? i : 1 - i;
		hash = hash_add(hash, ends[end], sizeof(*ends[end]));
		hash = hash_add(hash, &h->ports[end], sizeof(h->ports[end]));
	}
	return (hash ^ hash >> 16) % FLOWS;
}

static bool
same_address(const struct in6_addr *a, const struct in6_addr *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* The generator is asked for each packet, whatever else befalls it. */
static bool
packet_passes(struct link *l, const struct header *h, bool from_near)
{
	bool lost = l->loss > 0 && random_unit(l) < l->loss;
	size_t i;

	if (l->down || lost)
		return false;
	if (l->silenced && (same_address(&h->from, &l->silent) ||
			       same_address(&h->to, &l->silent)))
		return false;
	if (!h->tcp)
		return true;
	i = flow_index(h, from_near);
	if (h->opens)
		l->flow[i] = l->epoch;
	return l->flow[i] == l->epoch;
}

static void
packet_queue(struct link *l, struct side *s, const uint8_t *p, size_t len,
    uint64_t now_ns)
{
	struct packet *q = malloc(sizeof(*q) + len), *after;

	if (q == NULL)
		err(1, NULL);
	q->due_ns = now_ns + l->delay_ns;
	if (l->jitter_ns > 0)
		q->due_ns += (uint64_t)(random_unit(l) * (double)l->jitter_ns);
	q->len = len;
	memcpy(q->data, p, len);
	after = TAILQ_LAST(&s->queue, packets);
	if (after != NULL && !l->reorder && q->due_ns < after->due_ns)
		q->due_ns = after->due_ns;
	while (after != NULL && after->due_ns > q->due_ns)
		after = TAILQ_PREV(after, packets, entry);
	if (after != NULL)
		TAILQ_INSERT_AFTER(&s->queue, after, q, entry);
	else
		TAILQ_INSERT_HEAD(&s->queue, q, entry);
	s->nqueued++;
}

static void
side_read(struct link *l, struct side *s)
{
	uint8_t buf[PACKET_MAX];
	struct header h;
	ssize_t n;
	int i;

	for (i = 0; i < READS_MAX; i++) {
		n = read(s->fd, buf, sizeof(buf));
		if (n == -1 && (errno == EAGAIN || errno == EIO))
			return; /* EIO: the device is down */
		if (n <= 0)
			err(1, "tun");
		h = packet_read(buf, (size_t)n);
		s->n.kind[h.kind]++;
		s->n.packets++;
		s->n.bytes += (unsigned long)n;
		if (packet_passes(l, &h, s == &l->side[0]) &&
		    s->nqueued < QUEUE_MAX)
			packet_queue(l, s, buf, (size_t)n, clock_ns());
		else
			s->n.dropped++;
	}
}

static void
packet_remove(struct side *s, struct packet *q)
{
	TAILQ_REMOVE(&s->queue, q, entry);
	s->nqueued--;
	free(q);
}

/* Writes what is due to the other side; returns when the next packet is. */
static uint64_t
side_deliver(struct side *s, int to, uint64_t now_ns)
{
	struct packet *q;

	while ((q = TAILQ_FIRST(&s->queue)) != NULL && q->due_ns <= now_ns) {
		if (write(to, q->data, q->len) == -1)
			s->n.dropped++;
		packet_remove(s, q);
	}
	return q == NULL ? UINT64_MAX : q->due_ns;
}

static void
link_cut(struct link *l)
{
	struct packet *q;
	int i;

	l->down = true;
	for (i = 0; i < 2; i++) {
		while ((q = TAILQ_FIRST(&l->side[i].queue)) != NULL) {
			l->side[i].n.dropped++;
			packet_remove(&l->side[i], q);
		}
	}
}

/* Returns -1 if the text is no address. */
static int
link_silence(struct link *l, const char *text)
{
	uint8_t v4[4];

	if (inet_pton(AF_INET, text, v4) == 1)
		l->silent = mapped(v4);
	else if (inet_pton(AF_INET6, text, &l->silent) != 1)
		return -1;
	l->silenced = true;
	return 0;
}

static void
link_show(const struct link *l)
{
	const struct side *s;
	int i, k;

	for (i = 0; i < 2; i++) {
		s = &l->side[i];
		printf("%s\"%s\":{", i == 0 ? "{" : ",", s->name);
		for (k = 0; k < KINDS; k++)
			printf("\"%s\":%lu,", kind_name[k], s->n.kind[k]);
		printf("\"packets\":%lu,\"bytes\":%lu,\"dropped\":%lu}",
		    s->n.packets, s->n.bytes, s->n.dropped);
	}
	printf("}\n");
}

/* Commands with a number; returns -1 if it is none of them. */
static int
command_set(struct link *l, const char *name, double value)
{
	if (value < 0)
		return -1;
	if (strcmp(name, "delay") == 0)
		l->delay_ns = (uint64_t)(value * 1e6);
	else if (strcmp(name, "jitter") == 0)
		l->jitter_ns = (uint64_t)(value * 1e6);
	else if (strcmp(name, "loss") == 0)
		l->loss = value / 100;
	else if (strcmp(name, "reorder") == 0)
		l->reorder = value > 0;
	else if (strcmp(name, "seed") == 0)
		l->random = (uint64_t)value * 2 + 1;
	else
		return -1;
	return 0;
}

/* Commands that are a word; returns -1 if it is none of them. */
static int
command_word(struct link *l, const char *name)
{
	if (strcmp(name, "cut") == 0)
		link_cut(l);
	else if (strcmp(name, "mend") == 0)
		l->down = false;
	else if (strcmp(name, "hear") == 0)
		l->silenced = false;
	else if (strcmp(name, "forget") == 0)
		l->epoch++;
	else if (strcmp(name, "zero") == 0) {
		memset(&l->side[0].n, 0, sizeof(l->side[0].n));
		memset(&l->side[1].n, 0, sizeof(l->side[1].n));
	} else
		return -1;
	return 0;
}

static void
command_run(struct link *l, char *line)
{
	char *value = strchr(line, ' '), *end;
	double number;
	int r;

	if (strcmp(line, "stats") == 0) {
		link_show(l);
		return;
	}
	if (value == NULL) {
		r = command_word(l, line);
	} else {
		*value++ = '\0';
		number = strtod(value, &end);
		if (strcmp(line, "silence") == 0)
			r = link_silence(l, value);
		else if (end == value || *end != '\0')
			r = -1;
		else
			r = command_set(l, line, number);
	}
	printf(r == 0 ? "ok\n" : "error\n");
}

/* Returns false at the end of stdin. */
static bool
commands_read(struct link *l)
{
	ssize_t n = read(
	    STDIN_FILENO, l->line + l->linelen, sizeof(l->line) - l->linelen);
	size_t len;
	char *end;

	if (n <= 0)
		return false;
	l->linelen += (size_t)n;
	while ((end = memchr(l->line, '\n', l->linelen)) != NULL) {
		*end = '\0';
		command_run(l, l->line);
		len = (size_t)(end + 1 - l->line);
		l->linelen -= len;
		memmove(l->line, l->line + len, l->linelen);
	}
	return l->linelen < sizeof(l->line);
}

static void
link_run(struct link *l)
{
	struct pollfd pfd[3] = { { l->side[0].fd, POLLIN, 0 },
		{ l->side[1].fd, POLLIN, 0 }, { STDIN_FILENO, POLLIN, 0 } };
	uint64_t now_ns, due_ns, other_ns;
	struct timespec ts;
	int i;

	for (;;) {
		now_ns = clock_ns();
		due_ns = side_deliver(&l->side[0], l->side[1].fd, now_ns);
		other_ns = side_deliver(&l->side[1], l->side[0].fd, now_ns);
		if (other_ns < due_ns)
			due_ns = other_ns;
		ts.tv_sec = (time_t)((due_ns - now_ns) / NS);
		ts.tv_nsec = (long)((due_ns - now_ns) % NS);
		if (ppoll(pfd, 3, due_ns == UINT64_MAX ? NULL : &ts, NULL) ==
		    -1)
			err(1, "ppoll");
		for (i = 0; i < 2; i++)
			if (pfd[i].revents != 0)
				side_read(l, &l->side[i]);
		if (pfd[2].revents != 0 && !commands_read(l))
			return;
	}
}

/* Enters a namespace of ip-netns(8) and makes a tun device in it. */
static int
tun_open(const char *namespace, const char *device)
{
	struct ifreq ifr = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	char path[300];
	int fd;

	(void)snprintf(path, sizeof(path), "/run/netns/%s", namespace);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1 ||
	    setns(fd, CLONE_NEWNET) == -1)
		err(1, "%s", path);
	close(fd);
	(void)snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", device);
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd == -1 || ioctl(fd, TUNSETIFF, &ifr) == -1)
		err(1, "/dev/net/tun");
	return fd;
}

int
main(int argc, char **argv)
{
	static struct link l = {
		.side = { { .name = "near" }, { .name = "far" } }, .random = 1
	};
	int i;

	if (argc != 4)
		errx(2, "usage: farlink device near-namespace far-namespace");
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (i = 0; i < 2; i++) {
		TAILQ_INIT(&l.side[i].queue);
		l.side[i].fd = tun_open(argv[2 + i], argv[1]);
	}
	if (prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS, 0, 0, 0) == -1)
		err(1, "prctl");
	printf("ready\n");
	link_run(&l);
	return 0;
}
