/* SPDX-License-Identifier: ISC */
/*
 * dotproxyctl: shows what the daemon is doing, has it reload its
 * configuration, sets its log level.  Asks over the control socket, collects
 * the whole answer, prints it.  It must print nothing of what the daemon said
 * without escaping it.
 */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/conf.h"

#include "dotproxyctl/client.h"
#include "dotproxyctl/command.h"
#include "dotproxyctl/output.h"

struct options {
	bool json;
	const char *socket;
};

static void
usage(FILE *out)
{
	(void)fprintf(out,
	    "usage: dotproxyctl [-hjV] [-s socket] command\n"
	    "commands:\n"
	    "  show [summary]        is it well, and who does how much?\n"
	    "  show pool             upstreams and their connections\n"
	    "  show stats            all counters\n"
	    "  show processes        the three processes\n"
	    "  show config           the configuration in force\n"
	    "  reload                read the configuration file again\n"
	    "  log level LEVEL       error, warn, info or debug\n");
}

/* Returns the index of the first argument; exits on -h, -V and mistakes. */
static int
options_parse(struct options *o, int argc, char *argv[])
{
	static const struct option longs[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "json", no_argument, NULL, 'j' },
		{ "socket", required_argument, NULL, 's' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	o->json = false;
	o->socket = CONF_CONTROL_DEFAULT;
	while ((c = getopt_long(argc, argv, "hjs:V", longs, NULL)) != -1) {
		switch (c) {
		case 'h':
			usage(stdout);
			exit(0);
		case 'j':
			o->json = true;
			break;
		case 's':
			o->socket = optarg;
			break;
		case 'V':
			(void)printf("dotproxyctl/%s\n", DOTPROXY_VERSION);
			exit(0);
		default:
			usage(stderr);
			exit(1);
		}
	}
	return optind;
}

/* What went wrong, on stderr; the errors of a configuration are several. */
static void
complain(const char *error)
{
	char escaped[4 * MSG_TEXT_MAX];
	size_t len;

	do {
		len = strcspn(error, "\n");
		log_escape(escaped, sizeof(escaped), error, len);
		(void)fprintf(stderr, "dotproxyctl: %s\n", escaped);
		error += len + (error[len] == '\n');
	} while (*error != '\0');
}

/* Says what went wrong, also as JSON if asked for; returns 1. */
static int
fail(const struct options *o, const char *error)
{
	complain(error);
	if (o->json)
		(void)output_json_result(stdout, error);
	return 1;
}

/* True if the daemon gave an answer, be it only a part of one. */
static bool
has_facts(const struct data *d)
{
	size_t i;

	for (i = 0; i < ROLE_COUNT; i++)
		if (d->have_process[i])
			return true;
	return d->have_listener || d->have_pool || d->text_len > 0;
}

/* Prints the answer; returns the exit status. */
static int
print(const struct options *o, const struct command *cmd, const struct data *d)
{
	const char *error = NULL;
	int ret = 0;

	if (!d->result.ok)
		error = d->result.text[0] != '\0'
			    ? d->result.text
			    : "the daemon gives no reason";
	if (cmd->request != MSG_CL_SHOW || (error != NULL && !has_facts(d))) {
		if (error != NULL)
			return fail(o, error);
		if (o->json)
			ret = output_json_result(stdout, NULL);
	} else if (o->json)
		ret = output_json(stdout, cmd->show, d);
	else
		output_text(stdout, cmd->show, d);
	if (ret == -1 || fflush(stdout) != 0 || ferror(stdout)) {
		(void)fprintf(
		    stderr, "dotproxyctl: cannot write: %s\n", strerror(errno));
		return 1;
	}
	if (error == NULL)
		return 0;
	complain(error);
	return 1;
}

int
main(int argc, char *argv[])
{
	char error[CLIENT_ERROR_MAX];
	struct options o;
	struct command cmd;
	struct data *data;
	int first, status;

	first = options_parse(&o, argc, argv);
	if (first == argc) {
		usage(stderr);
		return 1;
	}
	if (command_parse(&cmd, argc - first, argv + first, error) == -1)
		return fail(&o, error);
	data = data_new();
	if (data == NULL)
		return fail(&o, "out of memory");
	if (client_ask(o.socket, &cmd,
		cmd.request == MSG_CL_SHOW ? CLIENT_SHOW_TIMEOUT_MS
					   : CLIENT_CHANGE_TIMEOUT_MS,
		data, error) == -1)
		status = fail(&o, error);
	else
		status = print(&o, &cmd, data);
	data_free(data);
	return status;
}
