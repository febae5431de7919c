/* SPDX-License-Identifier: ISC */
/*
 * What a scenario expects, see script.h: of a query, of what an upstream has
 * seen, of counters and of the log.  A test's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/replay/script.h"

/* A value that is expected, as N, >=N, <=N, >N or <N. */
static bool
holds(struct script *s, uint64_t value, bool is_time)
{
	const char *word = s->at < s->nwords ? s->words[s->at] : "";
	size_t n = strspn(word, "<>=");
	uint64_t want;

	if (s->at == s->nwords) {
		world_fail(s->w, "a value is missing");
		return false;
	}
	s->words[s->at] += n;
	want = is_time ? script_time(s) : script_number(s);
	s->words[s->at - 1] -= n;
	if (n == 2 && word[0] == '>')
		return value >= want;
	if (n == 2)
		return value <= want;
	if (n == 1 && word[0] == '>')
		return value > want;
	if (n == 1 && word[0] == '<')
		return value < want;
	return value == want;
}

static void
expect_value(
    struct script *s, const char *who, const char *what, uint64_t value)
{
	const char *want = s->at < s->nwords ? s->words[s->at] : "";

	if (!holds(s, value, false))
		world_fail(s->w, "%s %s is %llu, expected %s", who, what,
		    (unsigned long long)value, want);
}

static const char *const states[] = {
	[ASK_PENDING] = "pending",
	[ASK_ANSWERED] = "answered",
	[ASK_SERVFAIL] = "servfail",
	[ASK_REFUSED] = "refused",
	[ASK_TRUNCATED] = "truncated",
	[ASK_OTHER] = "other",
	[ASK_GONE] = "gone",
};

/* What else is said of a query: after TIME, by UPSTREAM, "text". */
static void
expect_more(struct script *s, const struct ask *a)
{
	uint64_t us = a->replied_us - a->asked_us;
	const char *word, *by;

	while (s->at < s->nwords && !s->w->failed) {
		if (script_is(s, "after")) {
			word = s->at < s->nwords ? s->words[s->at] : "";
			if (!holds(s, us, true))
				world_fail(s->w,
				    "%s: after %.3f ms, expected %s", a->label,
				    (double)us / 1e3, word);
		} else if (script_is(s, "by")) {
			word = script_next(s);
			by = s->w->fars[a->by].name;
			if (word == NULL || strcmp(word, by) != 0)
				world_fail(
				    s->w, "%s: answered by %s", a->label, by);
		} else {
			word = script_next(s);
			if (strstr(a->text, word) == NULL)
				world_fail(s->w, "%s: it says \"%s\"", a->label,
				    a->text);
		}
	}
}

static void
expect_ask(struct script *s, const char *label)
{
	const struct ask *a = client_find(s->w, label);
	int i = script_find(
	    script_next(s), states, sizeof(states) / sizeof(states[0]));

	if (a == NULL || i == -1)
		world_fail(s->w, "expect what of %s?", label);
	else if (a->state != (enum ask_state)i)
		world_fail(s->w, "%s is %s, expected %s%s%s", label,
		    states[a->state], states[i], a->text[0] != '\0' ? ": " : "",
		    a->text);
	else
		expect_more(s, a);
}

/* UPSTREAM got LABEL [N] [on CONNECTION] */
static void
expect_got(struct script *s, const char *label)
{
	struct far *f = far_find(s->w, s->words[1]);
	const struct ask *a = client_find(s->w, label);
	const char *want = "1 or more";
	uint32_t n, on, number = 0;
	bool ok;

	if (a == NULL) {
		world_fail(s->w, "there is no query %s", label);
		return;
	}
	n = a->seen[f->index];
	on = a->seen_conn[f->index];
	ok = n > 0;
	if (s->at < s->nwords && strcmp(s->words[s->at], "on") != 0) {
		want = s->words[s->at];
		ok = holds(s, n, false);
	}
	if (!ok)
		world_fail(s->w, "upstream %s got %s %u times, expected %s",
		    f->name, label, (unsigned)n, want);
	if (script_is(s, "on"))
		number = script_number(s);
	if (number != 0 && number != on)
		world_fail(s->w, "upstream %s got %s over connection %u",
		    f->name, label, (unsigned)on);
}

static void
expect_far(struct script *s, const struct far *f)
{
	const char *what = script_next(s), *label;
	uint64_t value = 0;

	if (what == NULL)
		world_fail(s->w, "expect what of %s?", f->name);
	else if (strcmp(what, "got") == 0) {
		label = script_next(s);
		if (label != NULL)
			script_each(s, label, expect_got);
	} else {
		if (strcmp(what, "dials") == 0)
			value = f->ndials;
		else if (strcmp(what, "plain_dials") == 0)
			value = f->nplain;
		else if (strcmp(what, "open") == 0)
			value = f->nopen;
		else if (strcmp(what, "queries") == 0)
			value = f->nqueries;
		else if (strcmp(what, "most") == 0)
			value = f->most;
		else if (!pool_side_upstream(s->w, f->name, what, &value)) {
			world_fail(s->w, "%s has no %s", f->name, what);
			return;
		}
		expect_value(s, f->name, what, value);
	}
}

static void
expect_counter(struct script *s, bool pool)
{
	const char *what = script_next(s);
	uint64_t value;
	bool there =
	    what != NULL && (pool ? pool_side_counter(s->w, what, &value)
				  : listener_side_counter(s->w, what, &value));

	if (!there)
		world_fail(s->w, "there is no such counter");
	else
		expect_value(s, pool ? "pool" : "listener", what, value);
}

/* tcp CONNECTION open | closed */
static void
expect_tcp(struct script *s)
{
	const char *label = script_next(s);
	const struct client_conn *c =
	    label != NULL ? client_conn_find(s->w, label) : NULL;
	bool open = script_is(s, "open");

	if (c == NULL || (!open && !script_is(s, "closed")))
		world_fail(s->w, "expect what of which connection?");
	else if (c->closed == open)
		world_fail(
		    s->w, "%s is %s", label, c->closed ? "closed" : "open");
}

static void
expect_log(struct script *s)
{
	bool no = script_is(s, "no");
	const char *text = script_next(s);

	if (text == NULL || (strstr(s->w->log, text) != NULL) == no)
		world_fail(s->w, "the log has %s", no ? "it" : "it not");
}

void
script_expect(struct script *s)
{
	const char *what = script_next(s);
	struct far *f = what != NULL ? far_find(s->w, what) : NULL;

	if (what == NULL)
		world_fail(s->w, "expect what?");
	else if (strcmp(what, "pool") == 0)
		expect_counter(s, true);
	else if (strcmp(what, "listener") == 0)
		expect_counter(s, false);
	else if (strcmp(what, "tcp") == 0)
		expect_tcp(s);
	else if (strcmp(what, "log") == 0)
		expect_log(s);
	else if (f != NULL)
		expect_far(s, f);
	else
		script_each(s, what, expect_ask);
}
