/* SPDX-License-Identifier: ISC */
/*
 * The verbs of a scenario but for those of upstreams and expectations, see
 * script.h.  A test's.  A line that is not understood is a failure of the
 * scenario, as is one whose expectation is wrong.
 */
#include "tests/replay/script.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/dns.h"
#include "common/msg.h"

/* --- words --- */

static void
split(struct script *s, const char *line)
{
	char *p = s->text;

	(void)snprintf(s->text, sizeof(s->text), "%s", line);
	while (s->nwords < SCRIPT_WORDS_MAX) {
		p += strspn(p, " \t");
		if (*p == '\0' || *p == '#')
			return;
		if (*p == '"') {
			s->words[s->nwords++] = ++p;
			p += strcspn(p, "\"");
		} else {
			s->words[s->nwords++] = p;
			p += strcspn(p, " \t");
		}
		if (*p != '\0')
			*p++ = '\0';
	}
}

const char *
script_next(struct script *s)
{
	return s->at < s->nwords ? s->words[s->at++] : NULL;
}

bool
script_is(struct script *s, const char *word)
{
	if (s->at == s->nwords || strcmp(s->words[s->at], word) != 0)
		return false;
	s->at++;
	return true;
}

uint64_t
script_time(struct script *s)
{
	static const struct {
		const char *unit;
		double us;
	} units[] = { { "us", 1 }, { "ms", 1e3 }, { "s", 1e6 }, { "m", 60e6 },
		{ "h", 3600e6 } };
	const char *word = script_next(s);
	double v;
	char *end;
	size_t i;

	v = word != NULL ? strtod(word, &end) : 0;
	for (i = 0; word != NULL && i < sizeof(units) / sizeof(units[0]); i++)
		if (end != word && strcmp(end, units[i].unit) == 0)
			return (uint64_t)(v * units[i].us + 0.5);
	world_fail(s->w, "a time such as 10ms is missing");
	return 0;
}

uint32_t
script_number(struct script *s)
{
	const char *word = script_next(s);
	char *end = NULL;
	unsigned long v = word != NULL ? strtoul(word, &end, 10) : 0;

	if (word == NULL || end == word || *end != '\0')
		world_fail(s->w, "a number is missing");
	return (uint32_t)v;
}

int
script_find(const char *word, const char *const *names, size_t n)
{
	size_t i;

	for (i = 0; word != NULL && i < n; i++)
		if (strcmp(word, names[i]) == 0)
			return (int)i;
	return -1;
}

void
script_each(struct script *s, const char *label,
    void (*fn)(struct script *, const char *label))
{
	const char *star = strchr(label, '*');
	size_t at = s->at;
	char one[WORLD_NAME_MAX];
	unsigned int i, n;

	if (star == NULL) {
		fn(s, label);
		return;
	}
	n = (unsigned int)strtoul(star + 1, NULL, 10);
	for (i = 1; i <= n && !s->w->failed; i++) {
		(void)snprintf(
		    one, sizeof(one), "%.*s%u", (int)(star - label), label, i);
		s->at = at;
		fn(s, one);
	}
}

/* All words that are left, as one. */
static void
rest(struct script *s, char *out, size_t size)
{
	const char *word;
	size_t n = 0;

	out[0] = '\0';
	while ((word = script_next(s)) != NULL && n < size)
		n += (size_t)snprintf(
		    out + n, size - n, "%s%s", n > 0 ? " " : "", word);
}

/* --- the configuration --- */

/*
 * Adds a line to a text, in place of one that says something else of the same:
 * the words but the last one are the same.
 */
static void
put_line(struct world *w, char *text, size_t size, const char *line)
{
	const char *last = strrchr(line, ' ');
	size_t key = last != NULL ? (size_t)(last - line) + 1 : strlen(line);
	char *p, *end;

	for (p = text; *p != '\0'; p = end + 1) {
		end = strchr(p, '\n');
		if (strncmp(p, line, key) != 0)
			continue;
		memmove(p, end + 1, strlen(end + 1) + 1);
		break;
	}
	if (strlen(text) + strlen(line) + 2 > size) {
		world_fail(w, "the configuration is too long");
		return;
	}
	(void)strcat(text, line);
	(void)strcat(text, "\n");
}

static void
verb_set(struct script *s)
{
	char line[SCRIPT_LINE_MAX];

	rest(s, line, sizeof(line));
	put_line(s->w, s->w->globals, sizeof(s->w->globals), line);
}

static void
verb_client(struct script *s)
{
	char line[SCRIPT_LINE_MAX];

	rest(s, line, sizeof(line));
	put_line(s->w, s->w->client, sizeof(s->w->client), line);
}

/* upstream NAME [SETTING, SETTING ...] */
static void
verb_upstream(struct script *s)
{
	const char *name = script_next(s);
	struct far *f = name != NULL ? far_get(s->w, name) : NULL;
	char line[SCRIPT_LINE_MAX], *p = line, *one;

	if (f == NULL) {
		world_fail(s->w, "an upstream needs a name");
		return;
	}
	f->configured = true;
	rest(s, line, sizeof(line));
	while ((one = strsep(&p, ",")) != NULL) {
		one += strspn(one, " ");
		if (*one != '\0')
			put_line(s->w, f->settings, sizeof(f->settings), one);
	}
}

static struct far *
need_far(struct script *s)
{
	const char *name = script_next(s);
	struct far *f = name != NULL ? far_find(s->w, name) : NULL;

	if (f == NULL)
		world_fail(s->w, "there is no such upstream");
	return f;
}

static void
verb_remove(struct script *s)
{
	struct far *f = need_far(s);

	if (f != NULL)
		f->configured = false;
}

/* --- processes --- */

static void
verb_start(struct script *s)
{
	struct world *w = s->w;

	if (script_is(s, "pool"))
		parent_start_pool(w);
	else if (script_is(s, "listener"))
		parent_start_listener(w);
	else {
		parent_start_listener(w);
		parent_start_pool(w);
	}
}

static void
verb_kill(struct script *s)
{
	struct world *w = s->w;
	struct ask *a;

	if (script_is(s, "pool"))
		parent_kill_pool(w);
	else if (script_is(s, "listener")) {
		parent_kill_listener(w);
		/* Nobody knows of these any more. */
		TAILQ_FOREACH (a, &w->pending, pending)
			a->due = false;
	} else
		world_fail(w, "kill what?");
}

static void
verb_reload(struct script *s)
{
	parent_reload(s->w);
}

static void
verb_change(struct script *s, unsigned int change)
{
	struct far *f;

	if (!msg_change_has_upstream(change))
		parent_change(s->w, change, 0);
	else if ((f = need_far(s)) != NULL)
		parent_change(s->w, change, f->index + 1);
}

static void
verb_disable(struct script *s)
{
	verb_change(s, CHANGE_DISABLE);
}

static void
verb_enable(struct script *s)
{
	verb_change(s, CHANGE_ENABLE);
}

static void
verb_flush(struct script *s)
{
	verb_change(s, CHANGE_FLUSH);
}

static void
verb_drain(struct script *s)
{
	verb_change(s, CHANGE_DRAIN);
}

static void
verb_undrain(struct script *s)
{
	verb_change(s, CHANGE_UNDRAIN);
}

static void
verb_finish(struct script *s)
{
	if (!imsg_send_empty(&s->w->to_listener, MSG_PL_FINISH, 0, -1))
		world_fail(s->w, "cannot be sent");
}

/* --- time --- */

static void
verb_wait(struct script *s)
{
	world_advance(s->w, script_time(s));
}

static void
verb_at(struct script *s)
{
	uint64_t us = script_time(s), now = world_now(s->w);

	if (us < now)
		world_fail(s->w, "it is %llu ms already",
		    (unsigned long long)now / 1000);
	else
		world_advance(s->w, us - now);
}

/* Before anything else, so that a walk goes the same way again. */
static void
verb_seed(struct script *s)
{
	uint32_t seed = script_number(s);

	vnet_seed(seed);
	vclock_set(s->w->begun_us += seed % 1000);
}

/* As on a machine with other things to do. */
static void
verb_unruly(struct script *s)
{
	s->w->unruly = true;
	vevent_set_slack(4000);
}

/* The machine is suspended: nothing happens, and all is as it was. */
static void
verb_suspend(struct script *s)
{
	vclock_sleep(script_time(s));
}

static void
verb_quiet(struct script *s)
{
	world_quiesce(s->w);
}

/* --- clients --- */

static void
take_from(struct script *s, struct sockaddr_in *from)
{
	const char *word = script_next(s);
	char host[64] = "";
	char *port;

	(void)snprintf(host, sizeof(host), "%s", word != NULL ? word : "");
	port = strchr(host, ':');
	if (port != NULL) {
		*port++ = '\0';
		from->sin_port = htons((uint16_t)strtoul(port, NULL, 10));
	}
	if (inet_pton(AF_INET, host, &from->sin_addr) != 1)
		world_fail(s->w, "an address is missing");
}

static uint16_t
take_type(struct script *s)
{
	static const char *const names[] = { "A", "SOA", "AAAA", "IXFR",
		"AXFR" };
	static const uint16_t types[] = { DNS_TYPE_A, DNS_TYPE_SOA,
		DNS_TYPE_AAAA, DNS_TYPE_IXFR, DNS_TYPE_AXFR };
	int i = script_find(script_next(s), names, 5);

	if (i == -1)
		world_fail(s->w, "there is no such type");
	return i >= 0 ? types[i] : 0;
}

static uint8_t
take_opcode(struct script *s)
{
	static const char *const names[] = { "query", "notify", "update" };
	static const uint8_t opcodes[] = { DNS_OPCODE_QUERY, 4,
		DNS_OPCODE_UPDATE };
	int i = script_find(script_next(s), names, 3);

	if (i == -1)
		world_fail(s->w, "there is no such opcode");
	return i >= 0 ? opcodes[i] : 0;
}

static void
ask_one(struct script *s, const char *label)
{
	struct ask_how how = { .type = DNS_TYPE_A, .id = -1, .udp_size = 1232 };

	while (s->at < s->nwords && !s->w->failed) {
		if (script_is(s, "name"))
			how.name = script_next(s);
		else if (script_is(s, "type"))
			how.type = take_type(s);
		else if (script_is(s, "opcode"))
			how.opcode = take_opcode(s);
		else if (script_is(s, "from"))
			take_from(s, &how.from);
		else if (script_is(s, "tcp"))
			how.conn = script_next(s);
		else if (script_is(s, "id"))
			how.id = (int)script_number(s);
		else if (script_is(s, "edns"))
			how.udp_size = (uint16_t)script_number(s);
		else if (script_is(s, "bytes"))
			how.bytes = (uint16_t)script_number(s);
		else if (script_is(s, "again")) {
			how.again = client_find(s->w, s->words[s->at++]);
			if (how.again == NULL)
				world_fail(s->w, "there is no such query");
		} else
			world_fail(
			    s->w, "ask: what is \"%s\"?", s->words[s->at]);
	}
	if (!s->w->failed)
		client_ask(s->w, label, &how);
}

static void
verb_ask(struct script *s)
{
	const char *label = script_next(s);

	if (label == NULL)
		world_fail(s->w, "a query needs a label");
	else
		script_each(s, label, ask_one);
}

static void
verb_hangup(struct script *s)
{
	const char *conn = script_next(s);

	client_close(s->w, conn != NULL ? conn : "", script_is(s, "reset"));
}

static const struct {
	const char *name;
	void (*fn)(struct script *);
} verbs[] = {
	{ "ask", verb_ask },
	{ "at", verb_at },
	{ "client", verb_client },
	{ "disable", verb_disable },
	{ "drain", verb_drain },
	{ "enable", verb_enable },
	{ "expect", script_expect },
	{ "finish", verb_finish },
	{ "flush", verb_flush },
	{ "hangup", verb_hangup },
	{ "kill", verb_kill },
	{ "quiet", verb_quiet },
	{ "reload", verb_reload },
	{ "remove", verb_remove },
	{ "seed", verb_seed },
	{ "set", verb_set },
	{ "spoil", script_spoil },
	{ "start", verb_start },
	{ "suspend", verb_suspend },
	{ "undrain", verb_undrain },
	{ "unruly", verb_unruly },
	{ "upstream", verb_upstream },
	{ "wait", verb_wait },
};

void
script_line(struct world *w, const char *line)
{
	struct script s = { .w = w };
	struct far *f;
	size_t i;

	split(&s, line);
	if (s.nwords == 0)
		return;
	s.at = 1;
	for (i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(verbs[i].name, s.words[0]) == 0)
			break;
	f = far_find(w, s.words[0]);
	if (i < sizeof(verbs) / sizeof(verbs[0]))
		verbs[i].fn(&s);
	else if (f != NULL)
		script_far(&s, f);
	else
		world_fail(w, "what is \"%s\"?", s.words[0]);
	if (!w->failed && s.at < s.nwords)
		world_fail(w, "\"%s\" is too much", s.words[s.at]);
	/* More may happen before anybody has a turn. */
	if (!w->failed && (!w->unruly || vnet_random(3) != 0))
		world_advance(w, 0);
}
