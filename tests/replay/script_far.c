/* SPDX-License-Identifier: ISC */
/*
 * What upstreams are told to do, see script.h: how they take connections, shake
 * hands and answer from now on, and what they do at once.  A test's.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/replay/script.h"

static const char *const answers[FAR_ANSWERS] = {
	[FAR_ANSWER] = "ok",
	[FAR_SILENT] = "silent",
	[FAR_CLOSE] = "close",
	[FAR_RESET] = "reset",
	[FAR_ALERT] = "alert",
	[FAR_WRONG_ID] = "wrong-id",
	[FAR_WRONG_QUESTION] = "wrong-question",
	[FAR_NO_ANSWER] = "no-answer",
	[FAR_SHORT] = "short",
	[FAR_TWICE] = "twice",
	[FAR_HALF] = "half",
};

/* True if the next word is a time. */
static bool
is_time(const struct script *s)
{
	return s->at < s->nwords && s->words[s->at][0] >= '0' &&
	       s->words[s->at][0] <= '9';
}

/* connect TIME | refused | lost | unreachable | busy */
static void
far_connect(struct script *s, struct far *f)
{
	static const char *const names[] = { "ok", "refused", "lost",
		"unreachable", "busy" };
	int i = FAR_CONNECTS;

	if (is_time(s))
		f->connect_us = script_time(s);
	if (s->at < s->nwords)
		i = script_find(script_next(s), names, 5);
	if (i == -1)
		world_fail(s->w, "connect how?");
	else
		f->connect = (enum far_connect)i;
}

/* handshake TIME | lost | close | reset | untrusted | expired | name */
static void
far_handshake(struct script *s, struct far *f)
{
	static const char *const names[] = { "ok", "lost", "close", "reset",
		"untrusted", "expired", "name" };
	int i = FAR_SHAKES;

	if (is_time(s))
		f->handshake_us = script_time(s);
	if (s->at < s->nwords)
		i = script_find(script_next(s), names, 7);
	if (i == -1)
		world_fail(s->w, "handshake how?");
	else
		f->handshake = (enum far_handshake)i;
}

/* answer [TIME [more TIME] [each TIME]] [HOW] [bytes N] */
static void
far_answer(struct script *s, struct far *f)
{
	int i = FAR_ANSWER;

	f->answer_more_us = f->answer_each_us = 0;
	f->answer_bytes = 0;
	if (is_time(s))
		f->answer_us = script_time(s);
	if (script_is(s, "more"))
		f->answer_more_us = script_time(s);
	if (script_is(s, "each"))
		f->answer_each_us = script_time(s);
	if (s->at < s->nwords && strcmp(s->words[s->at], "bytes") != 0)
		i = script_find(script_next(s), answers, FAR_ANSWERS);
	if (script_is(s, "bytes"))
		f->answer_bytes = script_number(s);
	if (i == -1)
		world_fail(s->w, "answer how?");
	else
		f->answer = (enum far_answer)i;
}

/* reply LABEL [on N] [HOW] */
static void
far_reply_now(struct script *s, struct far *f)
{
	const char *label = script_next(s);
	const struct ask *a = label != NULL ? client_find(s->w, label) : NULL;
	uint32_t number = 0;
	int i = FAR_ANSWER;

	if (script_is(s, "on"))
		number = script_number(s);
	if (s->at < s->nwords)
		i = script_find(script_next(s), answers, FAR_ANSWERS);
	if (a == NULL || i == -1)
		world_fail(s->w, "reply to what, and how?");
	else
		far_reply(s->w, f, a, number, (enum far_answer)i);
}

void
script_spoil(struct script *s)
{
	const char *label = script_next(s);
	struct ask *a = label != NULL ? client_find(s->w, label) : NULL;
	int i = script_find(script_next(s), answers, FAR_ANSWERS);

	if (a == NULL || i == -1) {
		world_fail(s->w, "spoil what, and how?");
		return;
	}
	a->spoilt = true;
	a->how = (uint8_t)i;
}

void
script_far(struct script *s, struct far *f)
{
	uint32_t number = 0;
	bool reset;

	if (script_is(s, "connect"))
		far_connect(s, f);
	else if (script_is(s, "handshake"))
		far_handshake(s, f);
	else if (script_is(s, "answer"))
		far_answer(s, f);
	else if (script_is(s, "reply"))
		far_reply_now(s, f);
	else if (script_is(s, "idle"))
		f->idle_us =
		    script_is(s, "never") ? VNET_NEVER : script_time(s);
	else if (script_is(s, "keepalive")) {
		f->says_keepalive = !script_is(s, "none");
		if (f->says_keepalive)
			f->keepalive_ms = (uint32_t)(script_time(s) / 1000);
	} else if (script_is(s, "mute"))
		far_mute(s->w, f, true);
	else if (script_is(s, "unmute"))
		far_mute(s->w, f, false);
	else if ((reset = script_is(s, "reset")) || script_is(s, "close")) {
		if (s->at < s->nwords)
			number = script_number(s);
		far_end(s->w, f, number, reset);
	} else
		world_fail(s->w, "what is upstream %s to do?", f->name);
}
