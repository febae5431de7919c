/* SPDX-License-Identifier: ISC */
/* The words of dotproxyctl: every command, abbreviated in every way. */
/* LINK: dotproxyctl/command.c common/log.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "dotproxyctl/command.h"

#define WORDS_MAX 5
#define TOP                                                                  \
	"show, check, reload, restart, log, health, upstream, pool, drain, " \
	"exporter, top, watch"

/* Parses a line of words; returns what command_parse() does. */
static int
parse(const char *line, struct command *c, char error[COMMAND_ERROR_MAX])
{
	char copy[512], *argv[WORDS_MAX + 1] = { NULL }, *save = NULL, *word;
	int argc = 0;

	(void)strncpy(copy, line, sizeof(copy) - 1);
	copy[sizeof(copy) - 1] = '\0';
	error[0] = '\0';
	for (word = strtok_r(copy, " ", &save);
	     word != NULL && argc < WORDS_MAX;
	     word = strtok_r(NULL, " ", &save))
		argv[argc++] = word;
	return command_parse(c, argc, argv, error);
}

static void
accepts(const char *line, enum msg_type request, int value)
{
	char error[COMMAND_ERROR_MAX];
	struct command c;

	if (parse(line, &c, error) != 0)
		fail_msg("%s: %s", line, error);
	assert_int_equal(c.request, request);
	assert_int_equal(c.check, line[0] == 'c');
	if (request == MSG_CL_SHOW)
		assert_int_equal(c.show, value);
	if (request == MSG_CL_LOG_LEVEL)
		assert_int_equal(c.level, value);
}

static void
refuses(const char *line, const char *want)
{
	char error[COMMAND_ERROR_MAX];
	struct command c;

	assert_int_equal(parse(line, &c, error), -1);
	assert_string_equal(error, want);
}

static void
all_commands(void **state)
{
	(void)state;
	accepts("show", MSG_CL_SHOW, SHOW_SUMMARY);
	accepts("show summary", MSG_CL_SHOW, SHOW_SUMMARY);
	accepts("show upstreams", MSG_CL_SHOW, SHOW_SUMMARY);
	accepts("watch pool", MSG_CL_SHOW, SHOW_POOL);
	accepts("watch", MSG_CL_SHOW, SHOW_SUMMARY);
	accepts("show pool", MSG_CL_SHOW, SHOW_POOL);
	accepts("show clients", MSG_CL_SHOW, SHOW_CLIENTS);
	accepts("show clients 5", MSG_CL_SHOW, SHOW_CLIENTS);
	accepts("watch clients 5", MSG_CL_SHOW, SHOW_CLIENTS);
	refuses("show clients 0", "not a number of clients \"0\"; "
				  "possible: NUMBER");
	accepts("show errors", MSG_CL_SHOW, SHOW_ERRORS);
	accepts("show pins", MSG_CL_SHOW, SHOW_PINS);
	accepts("show latency", MSG_CL_SHOW, SHOW_LATENCY);
	accepts("s l", MSG_CL_SHOW, SHOW_LATENCY);
	accepts("show stats", MSG_CL_SHOW, SHOW_STATS);
	accepts("show processes", MSG_CL_SHOW, SHOW_PROCESSES);
	accepts("show config", MSG_CL_SHOW, SHOW_CONFIG);
	accepts("show all", MSG_CL_SHOW, SHOW_ALL);
	accepts("check security", MSG_CL_SHOW, SHOW_PROCESSES);
	accepts("reload", MSG_CL_RELOAD, 0);
	accepts("log level error", MSG_CL_LOG_LEVEL, LOG_LEVEL_FATAL);
	accepts("log level warn", MSG_CL_LOG_LEVEL, LOG_LEVEL_WARN);
	accepts("log level info", MSG_CL_LOG_LEVEL, LOG_LEVEL_INFO);
	accepts("log level debug", MSG_CL_LOG_LEVEL, LOG_LEVEL_DEBUG);
}

static void
accepts_change(const char *line, enum msg_change change, const char *upstream)
{
	char error[COMMAND_ERROR_MAX];
	struct command c;

	if (parse(line, &c, error) != 0)
		fail_msg("%s: %s", line, error);
	assert_int_equal(c.request, MSG_CL_CHANGE);
	assert_int_equal(c.change.change, change);
	assert_string_equal(c.change.upstream, upstream);
}

static void
changes(void **state)
{
	(void)state;
	accepts_change("upstream quad9 disable", CHANGE_DISABLE, "quad9");
	accepts_change("u off enable", CHANGE_ENABLE, "off");
	accepts_change("upstream quad9 probe", CHANGE_PROBE, "quad9");
	accepts_change("pool flush", CHANGE_FLUSH, "");
	accepts_change("drain", CHANGE_DRAIN, "");
	accepts_change("drain on", CHANGE_DRAIN, "");
	accepts_change("restart", CHANGE_RESTART, "");
	accepts_change("d of", CHANGE_UNDRAIN, "");
}

static void
health(void **state)
{
	char error[COMMAND_ERROR_MAX];
	struct command c;

	(void)state;
	assert_int_equal(parse("health", &c, error), 0);
	assert_true(c.health);
	assert_int_equal(c.at_least, 0);
	assert_int_equal(parse("h u 12", &c, error), 0);
	assert_int_equal(c.request, MSG_CL_SHOW);
	assert_int_equal(c.show, SHOW_SUMMARY);
	assert_int_equal(c.at_least, 12);
	refuses("health upstreams", "missing argument; possible: NUMBER");
	refuses("health upstreams 0",
	    "not a number of upstreams \"0\"; possible: NUMBER");
	refuses("health upstreams 1x",
	    "not a number of upstreams \"1x\"; possible: NUMBER");
}

/* What is near to one word is taken for it, and nothing else. */
static void
did_you_mean(void **state)
{
	(void)state;
	refuses("relaod",
	    "unknown argument \"relaod\"; did you mean \"reload\"? "
	    "possible: " TOP);
	refuses("drian", "unknown argument \"drian\"; did you mean \"drain\"? "
			 "possible: " TOP);
	refuses("xyzzy", "unknown argument \"xyzzy\"; possible: " TOP);
	refuses("sh0", "unknown argument \"sh0\"; possible: " TOP);
	refuses("upstream one disabel",
	    "unknown argument \"disabel\"; did you mean \"disable\"? "
	    "possible: disable, enable, probe");
}

static void
abbreviations(void **state)
{
	(void)state;
	accepts("s", MSG_CL_SHOW, SHOW_SUMMARY);
	accepts("sh su", MSG_CL_SHOW, SHOW_SUMMARY);
	accepts("s st", MSG_CL_SHOW, SHOW_STATS);
	accepts("s po", MSG_CL_SHOW, SHOW_POOL);
	accepts("s pr", MSG_CL_SHOW, SHOW_PROCESSES);
	accepts("s co", MSG_CL_SHOW, SHOW_CONFIG);
	accepts("c s", MSG_CL_SHOW, SHOW_PROCESSES);
	accepts("rel", MSG_CL_RELOAD, 0);
	accepts("l l d", MSG_CL_LOG_LEVEL, LOG_LEVEL_DEBUG);
}

static void
mistakes(void **state)
{
	(void)state;
	refuses("", "missing argument; possible: " TOP);
	refuses("shaw",
	    "unknown argument \"shaw\"; did you mean \"show\"? possible: " TOP);
	refuses("shows", "unknown argument \"shows\"; did you mean \"show\"? "
			 "possible: " TOP);
	refuses("show p",
	    "ambiguous argument \"p\"; possible: pool, pins, processes");
	refuses("show s", "ambiguous argument \"s\"; possible: summary, stats");
	refuses("s c", "ambiguous argument \"c\"; possible: clients, config");
	refuses("re", "ambiguous argument \"re\"; possible: reload, restart");
	refuses("check", "missing argument; possible: security");
	refuses("log", "missing argument; possible: level");
	refuses("log level",
	    "missing argument; possible: error, warn, info, debug");
	refuses("log level 3",
	    "unknown argument \"3\"; possible: error, warn, info, debug");
	refuses("log level fatal",
	    "unknown argument \"fatal\"; possible: error, warn, info, debug");
	refuses("reload now",
	    "unknown argument \"now\"; nothing more is possible here");
	refuses("show pool all",
	    "unknown argument \"all\"; nothing more is possible here");
	refuses("log level debug now",
	    "unknown argument \"now\"; nothing more is possible here");
}

/* An empty word is not the beginning of anything. */
static void
empty_word(void **state)
{
	char error[COMMAND_ERROR_MAX], show[] = "show", empty[] = "";
	char log[] = "log", info[] = "info";
	char *const argv[] = { show, empty, NULL };
	char *const level[] = { log, empty, info, NULL };
	struct command c;

	(void)state;
	assert_int_equal(command_parse(&c, 2, argv, error), -1);
	assert_int_equal(command_parse(&c, 1, argv + 1, error), -1);
	assert_int_equal(command_parse(&c, 3, level, error), -1);
}

/* However long and odd the word, the complaint is one printable line. */
static void
hostile_words(void **state)
{
	char error[COMMAND_ERROR_MAX], word[300];
	char *const argv[] = { word, NULL };
	struct command c;
	size_t i;

	(void)state;
	memset(word, '\033', sizeof(word));
	word[sizeof(word) - 1] = '\0';
	assert_int_equal(command_parse(&c, 1, argv, error), -1);
	for (i = 0; error[i] != '\0'; i++)
		assert_in_range(error[i], ' ', '~');
	assert_non_null(strstr(error, "possible: " TOP));
}

/* What a shell is told may come next. */
static void
next_words(void **state)
{
	char show[] = "s", upstream[] = "upstream", any[] = "x", bad[] = "zz";
	char *const words[] = { upstream, any, NULL }, *const one[] = { show };
	char *const wrong[] = { bad };
	const char *found[COMMAND_WORDS_MAX];

	(void)state;
	assert_true(command_next(0, NULL, found) >= 10);
	assert_true(command_next(1, one, found) >= 7);
	assert_string_equal(found[0], "summary");
	assert_int_equal(command_next(1, words, found), 1);
	assert_string_equal(found[0], COMMAND_ANY_NAME);
	assert_int_equal(command_next(2, words, found), 3);
	assert_string_equal(found[0], "disable");
	assert_int_equal(command_next(1, wrong, found), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_commands),
		cmocka_unit_test(changes),
		cmocka_unit_test(health),
		cmocka_unit_test(did_you_mean),
		cmocka_unit_test(abbreviations),
		cmocka_unit_test(mistakes),
		cmocka_unit_test(empty_word),
		cmocka_unit_test(hostile_words),
		cmocka_unit_test(next_words),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
