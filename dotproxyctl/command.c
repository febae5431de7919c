/* SPDX-License-Identifier: ISC */
/*
 * Parses the command of dotproxyctl; see command.h.  One table of words and
 * what may follow them, as in OpenBSD's ctl programs.
 */
#include "dotproxyctl/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD_MAX 16 /* no word is longer */

struct word {
	const char *name;        /* NULL ends a table */
	const struct word *next; /* what follows; NULL if nothing does */
	bool complete;           /* nothing has to follow */
	void (*meaning)(struct command *, int value);
	int value;
	/* Takes any word, which name describes; returns why not, or NULL. */
	const char *(*take)(struct command *, const char *arg);
};

static void
mean_show(struct command *c, int show)
{
	c->request = MSG_CL_SHOW;
	c->show = (enum msg_show)show;
}

static void
mean_check(struct command *c, int show)
{
	mean_show(c, show);
	c->check = true;
}

static void
mean_exporter(struct command *c, int unused)
{
	(void)unused;
	c->exporter = true;
}

static void
mean_reload(struct command *c, int unused)
{
	(void)unused;
	c->request = MSG_CL_RELOAD;
}

static void
mean_level(struct command *c, int level)
{
	c->request = MSG_CL_LOG_LEVEL;
	c->level = (enum log_level)level;
}

static void
mean_change(struct command *c, int change)
{
	c->request = MSG_CL_CHANGE;
	c->change.change = (uint8_t)change;
}

static void
mean_health(struct command *c, int unused)
{
	(void)unused;
	mean_show(c, SHOW_SUMMARY);
	c->health = true;
}

static void
mean_upstreams(struct command *c, int unused)
{
	(void)unused;
	mean_show(c, SHOW_SUMMARY);
	c->upstreams = true;
}

/* Whatever is shown then. */
static void
mean_watch(struct command *c, int show)
{
	mean_show(c, show);
	c->watch = true;
}

static void
mean_top(struct command *c, int unused)
{
	(void)unused;
	c->request = MSG_CL_SHOW;
	c->top = true;
}

static const char *
take_upstream(struct command *c, const char *arg)
{
	if (strlen(arg) >= sizeof(c->change.upstream))
		return "no such upstream";
	memcpy(c->change.upstream, arg, strlen(arg) + 1);
	return NULL;
}

static const char *
take_number(struct command *c, const char *arg)
{
	char *end;
	unsigned long n = strtoul(arg, &end, 10);

	if (arg[0] < '0' || arg[0] > '9' || *end != '\0' || n == 0 ||
	    n > CONF_UPSTREAMS_MAX)
		return "not a number of upstreams";
	c->at_least = (uint32_t)n;
	return NULL;
}

static const char *
take_clients(struct command *c, const char *arg)
{
	char *end;
	unsigned long n = strtoul(arg, &end, 10);

	if (arg[0] < '0' || arg[0] > '9' || *end != '\0' || n == 0 ||
	    n > UINT32_MAX)
		return "not a number of clients";
	c->clients_max = (uint32_t)n;
	return NULL;
}

static const struct word clients_words[] = {
	{ "NUMBER", NULL, true, mean_show, SHOW_CLIENTS, take_clients },
	{ NULL, NULL, false, NULL, 0, NULL },
};

static const struct word show_words[] = {
	{ "summary", NULL, true, mean_show, SHOW_SUMMARY, NULL },
	{ "upstreams", NULL, true, mean_upstreams, 0, NULL },
	{ "pool", NULL, true, mean_show, SHOW_POOL, NULL },
	{ "stats", NULL, true, mean_show, SHOW_STATS, NULL },
	{ "latency", NULL, true, mean_show, SHOW_LATENCY, NULL },
	{ "clients", clients_words, true, mean_show, SHOW_CLIENTS, NULL },
	{ "errors", NULL, true, mean_show, SHOW_ERRORS, NULL },
	{ "pins", NULL, true, mean_show, SHOW_PINS, NULL },
	{ "processes", NULL, true, mean_show, SHOW_PROCESSES, NULL },
	{ "config", NULL, true, mean_show, SHOW_CONFIG, NULL },
	{ "all", NULL, true, mean_show, SHOW_ALL, NULL },
	{ NULL, NULL, false, NULL, 0, NULL },
};

static const struct word check_words[] = {
	{ "security", NULL, true, mean_check, SHOW_PROCESSES, NULL },
	{ NULL, NULL, false, NULL, 0, NULL },
};

static const struct word level_words[] = {
	{ "error", NULL, true, mean_level, LOG_LEVEL_FATAL, NULL },
	{ "warn", NULL, true, mean_level, LOG_LEVEL_WARN, NULL },
	{ "info", NULL, true, mean_level, LOG_LEVEL_INFO, NULL },
	{ "debug", NULL, true, mean_level, LOG_LEVEL_DEBUG, NULL },
	{ NULL, NULL, false, NULL, 0, NULL },
};

static const struct word log_words[] = {
	{ "level", level_words, false, NULL, 0, NULL },
	{ NULL, NULL, false, NULL, 0, NULL },
};

static const struct word upstream_words[] = {
	{ "disable", NULL, true, mean_change, CHANGE_DISABLE, NULL },
	{ "enable", NULL, true, mean_change, CHANGE_ENABLE, NULL },
	{ "probe", NULL, true, mean_change, CHANGE_PROBE, NULL },
	{ NULL, NULL, false, NULL, 0, NULL },
};

static const struct word name_words[] = {
	{ COMMAND_ANY_NAME, upstream_words, false, NULL, 0, take_upstream },
	{ NULL, NULL, false, NULL, 0, NULL },
};

static const struct word pool_words[] = {
	{ "flush", NULL, true, mean_change, CHANGE_FLUSH, NULL },
	{ NULL, NULL, false, NULL, 0, NULL },
};

static const struct word drain_words[] = {
	{ "on", NULL, true, mean_change, CHANGE_DRAIN, NULL },
	{ "off", NULL, true, mean_change, CHANGE_UNDRAIN, NULL },
	{ NULL, NULL, false, NULL, 0, NULL },
};

static const struct word number_words[] = {
	{ "NUMBER", NULL, true, mean_health, 0, take_number },
	{ NULL, NULL, false, NULL, 0, NULL },
};

static const struct word health_words[] = {
	{ "upstreams", number_words, false, NULL, 0, NULL },
	{ NULL, NULL, false, NULL, 0, NULL },
};

static const struct word top_words[] = {
	{ "show", show_words, true, mean_show, SHOW_SUMMARY, NULL },
	{ "check", check_words, false, NULL, 0, NULL },
	{ "reload", NULL, true, mean_reload, 0, NULL },
	{ "restart", NULL, true, mean_change, CHANGE_RESTART, NULL },
	{ "log", log_words, false, NULL, 0, NULL },
	{ "health", health_words, true, mean_health, 0, NULL },
	{ "upstream", name_words, false, NULL, 0, NULL },
	{ "pool", pool_words, false, NULL, 0, NULL },
	{ "drain", drain_words, true, mean_change, CHANGE_DRAIN, NULL },
	{ "exporter", NULL, true, mean_exporter, 0, NULL },
	{ "top", NULL, true, mean_top, 0, NULL },
	{ "watch", show_words, true, mean_watch, SHOW_SUMMARY, NULL },
	{ NULL, NULL, false, NULL, 0, NULL },
};

/*
 * How many letters have to be added, left out, replaced, or exchanged with
 * their neighbour, to make b of a; no word is so long that it is cut here.
 */
static size_t
distance(const char *a, const char *b)
{
	size_t d[WORD_MAX + 1][WORD_MAX + 1], i, j, least;
	size_t la = strlen(a), lb = strlen(b);

	for (i = 0; i <= la; i++)
		for (j = 0; j <= lb; j++) {
			if (i == 0 || j == 0) {
				d[i][j] = i + j;
				continue;
			}
			least = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
			if (d[i - 1][j] + 1 < least)
				least = d[i - 1][j] + 1;
			if (d[i][j - 1] + 1 < least)
				least = d[i][j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1] && d[i - 2][j - 2] + 1 < least)
				least = d[i - 2][j - 2] + 1;
			d[i][j] = least;
		}
	return d[la][lb];
}

/* The word that arg may have been meant to be; NULL if none is near. */
static const char *
nearest(const struct word *words, const char *arg)
{
	const char *found = NULL;
	size_t n, best = strlen(arg) < 5 ? 2 : 3; /* less than that */

	if (strlen(arg) < 3 || strlen(arg) > WORD_MAX)
		return NULL;
	for (; words->name != NULL; words++) {
		n = distance(arg, words->name);
		if (words->take == NULL && n < best) {
			best = n;
			found = words->name;
		}
	}
	return found;
}

/* The next word that begins so, from this one on; or the end. */
static const struct word *
next_of(const struct word *words, const char *beginning)
{
	while (words->name != NULL &&
	       strncmp(words->name, beginning, strlen(beginning)) != 0)
		words++;
	return words;
}

/* Writes the complaint and the words that are possible, if they begin so. */
static void
complain(char error[COMMAND_ERROR_MAX], const char *what, const char *arg,
    const struct word *words, const char *beginning)
{
	char escaped[64];
	const char *near, *comma = "";
	size_t len;

	log_escape(escaped, sizeof(escaped), arg, strlen(arg));
	(void)snprintf(error, COMMAND_ERROR_MAX, "%s%s%s%s; ", what,
	    arg[0] != '\0' ? " \"" : "", escaped, arg[0] != '\0' ? "\"" : "");
	len = strlen(error);
	if (words == NULL) {
		(void)snprintf(error + len, COMMAND_ERROR_MAX - len,
		    "nothing more is possible here");
		return;
	}
	near = beginning[0] == '\0' ? nearest(words, arg) : NULL;
	if (near != NULL)
		(void)snprintf(error + len, COMMAND_ERROR_MAX - len,
		    "did you mean \"%s\"? ", near);
	len = strlen(error);
	(void)snprintf(error + len, COMMAND_ERROR_MAX - len, "possible:");
	while ((words = next_of(words, beginning))->name != NULL) {
		len = strlen(error);
		(void)snprintf(error + len, COMMAND_ERROR_MAX - len, "%s %s",
		    comma, words->name);
		comma = ",";
		words++;
	}
}

/*
 * Finds the word that arg is, or is the beginning of.  Returns NULL if there
 * is none, or with *ambiguous set if there are several.
 */
static const struct word *
word_find(const struct word *words, const char *arg, bool *ambiguous)
{
	const struct word *found = NULL;

	*ambiguous = false;
	for (; words->name != NULL; words++) {
		if (strcmp(words->name, arg) == 0 ||
		    (words->take != NULL && arg[0] != '\0')) {
			*ambiguous = false;
			return words;
		}
		if (strncmp(words->name, arg, strlen(arg)) == 0) {
			*ambiguous = found != NULL;
			found = words;
		}
	}
	return *ambiguous ? NULL : found;
}

int
command_parse(struct command *c, int argc, char *const argv[],
    char error[COMMAND_ERROR_MAX])
{
	const struct word *words = top_words, *word = NULL;
	const char *why;
	bool ambiguous;
	int i;

	memset(c, 0, sizeof(*c));
	for (i = 0; i < argc; i++) {
		if (words == NULL) {
			complain(error, "unknown argument", argv[i], NULL, "");
			return -1;
		}
		word = word_find(words, argv[i], &ambiguous);
		why = word != NULL && word->take != NULL
			  ? word->take(c, argv[i])
			  : NULL;
		if (why != NULL) {
			complain(error, why, argv[i], words, "");
			return -1;
		}
		if (word == NULL || argv[i][0] == '\0') {
			complain(error,
			    ambiguous ? "ambiguous argument"
				      : "unknown argument",
			    argv[i], words, ambiguous ? argv[i] : "");
			return -1;
		}
		if (word->meaning == mean_watch)
			c->watch = true;
		words = word->next;
	}
	if (word == NULL || !word->complete) {
		complain(error, "missing argument", "", words, "");
		return -1;
	}
	word->meaning(c, word->value);
	return 0;
}

size_t
command_next(int argc, char *const argv[], const char *found[COMMAND_WORDS_MAX])
{
	const struct word *words = top_words, *word;
	bool ambiguous;
	size_t n = 0;
	int i;

	for (i = 0; i < argc && words != NULL; i++) {
		word = word_find(words, argv[i], &ambiguous);
		words = word != NULL ? word->next : NULL;
	}
	for (; words != NULL && words->name != NULL; words++)
		if (n < COMMAND_WORDS_MAX)
			found[n++] = words->name;
	return n;
}
