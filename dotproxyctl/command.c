/* SPDX-License-Identifier: ISC */
/*
 * Parses the command of dotproxyctl; see command.h.  One table of words and
 * what may follow them, as in OpenBSD's ctl programs.
 */
#include "dotproxyctl/command.h"

#include <stdio.h>
#include <string.h>

struct word {
	const char *name;        /* NULL ends a table */
	const struct word *next; /* what follows; NULL if nothing does */
	bool complete;           /* nothing has to follow */
	void (*meaning)(struct command *, int value);
	int value;
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

static const struct word show_words[] = {
	{ "summary", NULL, true, mean_show, SHOW_SUMMARY },
	{ "pool", NULL, true, mean_show, SHOW_POOL },
	{ "stats", NULL, true, mean_show, SHOW_STATS },
	{ "latency", NULL, true, mean_show, SHOW_LATENCY },
	{ "processes", NULL, true, mean_show, SHOW_PROCESSES },
	{ "config", NULL, true, mean_show, SHOW_CONFIG },
	{ NULL, NULL, false, NULL, 0 },
};

static const struct word check_words[] = {
	{ "security", NULL, true, mean_check, SHOW_PROCESSES },
	{ NULL, NULL, false, NULL, 0 },
};

static const struct word level_words[] = {
	{ "error", NULL, true, mean_level, LOG_LEVEL_FATAL },
	{ "warn", NULL, true, mean_level, LOG_LEVEL_WARN },
	{ "info", NULL, true, mean_level, LOG_LEVEL_INFO },
	{ "debug", NULL, true, mean_level, LOG_LEVEL_DEBUG },
	{ NULL, NULL, false, NULL, 0 },
};

static const struct word log_words[] = {
	{ "level", level_words, false, NULL, 0 },
	{ NULL, NULL, false, NULL, 0 },
};

static const struct word top_words[] = {
	{ "show", show_words, true, mean_show, SHOW_SUMMARY },
	{ "check", check_words, false, NULL, 0 },
	{ "reload", NULL, true, mean_reload, 0 },
	{ "log", log_words, false, NULL, 0 },
	{ NULL, NULL, false, NULL, 0 },
};

/* Writes the complaint and the words that are possible. */
static void
complain(char error[COMMAND_ERROR_MAX], const char *what, const char *arg,
    const struct word *words)
{
	char escaped[64];
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
	(void)snprintf(error + len, COMMAND_ERROR_MAX - len, "possible:");
	for (; words->name != NULL; words++) {
		len = strlen(error);
		(void)snprintf(error + len, COMMAND_ERROR_MAX - len, " %s%s",
		    words->name, words[1].name != NULL ? "," : "");
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
		if (strcmp(words->name, arg) == 0) {
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
	bool ambiguous;
	int i;

	memset(c, 0, sizeof(*c));
	for (i = 0; i < argc; i++) {
		if (words == NULL) {
			complain(error, "unknown argument", argv[i], NULL);
			return -1;
		}
		word = word_find(words, argv[i], &ambiguous);
		if (word == NULL || argv[i][0] == '\0') {
			complain(error,
			    ambiguous ? "ambiguous argument"
				      : "unknown argument",
			    argv[i], words);
			return -1;
		}
		words = word->next;
	}
	if (word == NULL || !word->complete) {
		complain(error, "missing argument", "", words);
		return -1;
	}
	word->meaning(c, word->value);
	return 0;
}
