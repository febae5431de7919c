/* SPDX-License-Identifier: ISC */
/*
 * dotproxyctl: shows what the daemon is doing, checks what it promises of
 * itself, has it reload its configuration, sets its log level.  Asks over the
 * control socket, collects the whole answer, prints it.  It must print nothing
 * of what the daemon said without escaping it.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/conf.h"
#include "common/util.h"

#include "dotproxyctl/client.h"
#include "dotproxyctl/command.h"
#include "dotproxyctl/exporter.h"
#include "dotproxyctl/format.h"
#include "dotproxyctl/options.h"
#include "dotproxyctl/output.h"
#include "dotproxyctl/sum.h"
#include "dotproxyctl/top.h"

#define CHECK_LOOKS 3 /* before something is found wanting */
#define CHECK_PAUSE_MS 200
#define RESTART_PAUSE_MS 50
/* Queries in flight are answered first. */
#define RESTART_LIMIT_MS (CONF_QUERY_TIMEOUT_MAX_MS + 15000u)

/* What went wrong, on stderr; the errors of a configuration are several. */
static void
complain(const struct options *o, const char *error)
{
	char escaped[4 * MSG_TEXT_MAX];
	size_t len;

	if (o->quiet)
		return;
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
	complain(o, error);
	if (o->json && !o->quiet)
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
	return d->have_listener || d->have_pool || d->text_len > 0 ||
	       d->nclients > 0;
}

/* Returns the exit status after printing, ret being -1 if that failed. */
static int
printed(int ret, int status)
{
	if (ret != -1 && fflush(stdout) == 0 && !ferror(stdout))
		return status;
	(void)fprintf(
	    stderr, "dotproxyctl: cannot write: %s\n", strerror(errno));
	return 1;
}

/* Why the daemon did not do what was asked; NULL if it did. */
static const char *
refusal(const struct data *d)
{
	if (d->result.ok)
		return NULL;
	return d->result.text[0] != '\0' ? d->result.text
					 : "the daemon gives no reason";
}

/* Prints what a probe has found; returns the exit status. */
static int
print_probe(const struct options *o, const struct info_probe *p)
{
	int ret = 0;

	if (o->quiet)
		; /* the exit status says it all */
	else if (o->json)
		ret = output_json_probe(stdout, p);
	else
		text_probe(stdout, p);
	return printed(ret, p->failed == STEP_COUNT ? 0 : 1);
}

/* Prints the answer; returns the exit status. */
static int
print(const struct options *o, const struct command *cmd, const struct data *d)
{
	const char *error = refusal(d);
	int ret = 0;

	if (cmd->request != MSG_CL_SHOW || (error != NULL && !has_facts(d))) {
		if (error != NULL)
			return fail(o, error);
		if (d->have_probe)
			return print_probe(o, &d->probe);
		if (o->json)
			ret = output_json_result(stdout, NULL);
	} else if (o->json)
		ret = output_json(stdout, cmd->show, d);
	else if (cmd->upstreams)
		text_upstreams(stdout, d);
	else
		output_text(stdout, cmd->show, d);
	if (printed(ret, 0) != 0)
		return 1;
	if (error == NULL)
		return 0;
	complain(o, error);
	return 1;
}

/* How long to wait for an answer. */
static uint32_t
timeout_of(const struct command *cmd)
{
	if (cmd->health || cmd->top)
		return CLIENT_HEALTH_TIMEOUT_MS;
	return cmd->request == MSG_CL_SHOW ? CLIENT_SHOW_TIMEOUT_MS
					   : CLIENT_CHANGE_TIMEOUT_MS;
}

/* Asks one worker, which has to answer. */
static int
ask_one(const struct options *o, const struct command *cmd, struct data *data,
    char error[CLIENT_ERROR_MAX])
{
	char path[CONF_CONTROL_MAX];

	data->worker = o->worker > 0 ? o->worker - 1 : 0;
	data->numbered = o->worker > 0;
	if (o->worker > 1 &&
	    !conf_control_path(path, o->socket, data->worker)) {
		(void)snprintf(
		    error, CLIENT_ERROR_MAX, "the socket's name is too long");
		return -1;
	}
	return client_ask(o->worker > 1 ? path : o->socket, cmd,
	    timeout_of(cmd), data, error);
}

static int
ask_all(const struct options *o, const struct command *cmd, struct data *data,
    char error[CLIENT_ERROR_MAX])
{
	if (client_ask_all(o->socket, cmd, timeout_of(cmd), data, error) == -1)
		return -1;
	if (data->nparts == 0 || sum_parts(data) == 0)
		return 0;
	(void)snprintf(error, CLIENT_ERROR_MAX, "out of memory");
	return -1;
}

/* Asks the daemon, and the kernel if the processes are asked for. */
static int
ask(const struct options *o, const struct command *cmd, struct data *data,
    char error[CLIENT_ERROR_MAX])
{
	/* A change is the parent's business, by way of any one of them. */
	if ((o->worker > 0 || cmd->request != MSG_CL_SHOW
		    ? ask_one(o, cmd, data, error)
		    : ask_all(o, cmd, data, error)) == -1)
		return -1;
	if (cmd->request == MSG_CL_SHOW && cmd->show == SHOW_PROCESSES)
		data_look(data);
	return 0;
}

/* Asks and prints; returns the exit status. */
static int
show(const struct options *o, const struct command *cmd)
{
	char error[CLIENT_ERROR_MAX];
	struct data *data = data_new();
	int status;

	if (data == NULL)
		return fail(o, "out of memory");
	if (ask(o, cmd, data, error) == -1)
		status = fail(o, error);
	else {
		data->clients_max = cmd->clients_max;
		status = print(o, cmd, data);
	}
	data_free(data);
	return status;
}

/* Asks and judges.  Returns 0, or -1 with the reason in error. */
static int
judge(const struct options *o, const struct command *cmd,
    struct security_report *report, char error[CLIENT_ERROR_MAX])
{
	struct data *data = data_new();
	const char *why;
	int ret = -1;

	if (data == NULL) {
		(void)snprintf(error, CLIENT_ERROR_MAX, "out of memory");
		return -1;
	}
	if (ask(o, cmd, data, error) == 0) {
		why = refusal(data);
		if (why != NULL)
			(void)snprintf(error, CLIENT_ERROR_MAX, "%.*s",
			    CLIENT_ERROR_MAX - 1, why);
		else
			ret = 0;
		security_check(data, report);
	}
	data_free(data);
	return ret;
}

/*
 * Compares what is promised with what is; returns the exit status.  A child
 * that is being started is not confined yet, and one that is given a
 * configuration has a file open: what is so for a moment only is no finding.
 */
static int
check(const struct options *o, const struct command *cmd)
{
	const struct timespec pause = { 0, CHECK_PAUSE_MS * 1000000L };
	struct security_report *report = malloc(sizeof(*report));
	char error[CLIENT_ERROR_MAX];
	int i, ret, status;

	if (report == NULL)
		return fail(o, "out of memory");
	for (i = 0; i < CHECK_LOOKS; i++) {
		if (i > 0)
			(void)nanosleep(&pause, NULL);
		ret = judge(o, cmd, report, error);
		if (ret == 0 &&
		    !security_has(report, ROLE_COUNT, SECURITY_WEAK))
			break;
	}
	if (ret == -1) {
		free(report);
		return fail(o, error);
	}
	status = security_has(report, ROLE_COUNT, SECURITY_WEAK) ? 1 : 0;
	if (o->json)
		ret = output_json_security(stdout, report);
	else
		text_security(stdout, report);
	free(report);
	return printed(ret, status);
}

/*
 * Judges; returns the exit status: 0 if it serves clients, with all upstreams
 * or some, and shall go on doing so.
 */
static int
health(const struct options *o, const struct command *cmd)
{
	char error[CLIENT_ERROR_MAX], reason[DATA_REASON_MAX];
	struct data *data = data_new();
	enum data_health verdict;
	size_t usable;
	bool well;
	int ret = 0;

	if (data == NULL)
		return fail(o, "out of memory");
	if (ask(o, cmd, data, error) == -1) {
		data_free(data);
		return fail(o, error);
	}
	verdict = data_judge(data, reason);
	usable = data_usable(data);
	well = verdict != HEALTH_DOWN && !data->draining &&
	       usable >= cmd->at_least;
	if (o->quiet)
		; /* the exit status says it all */
	else if (o->json)
		ret = output_json_health(stdout, data, well);
	else
		(void)printf("%s: %s%s%s\n", data_health_name(verdict), reason,
		    data->draining ? ", draining" : "",
		    usable < cmd->at_least ? ", too few" : "");
	data_free(data);
	return printed(ret, well ? 0 : 1);
}

/*
 * Looks what has become of a restart that was agreed to after begin_ms: 1 if
 * the daemon is another, -1 if it goes on as it was, with new children, 0 if it
 * is not known yet.  The answer is of some time between asking and having it.
 */
static int
restart_look(const struct options *o, uint64_t begin_ms)
{
	const struct command cmd = { .request = MSG_CL_SHOW,
		.show = SHOW_SUMMARY };
	uint64_t asked_ms = util_now_ms();
	char error[CLIENT_ERROR_MAX];
	struct data *data = data_new();
	const struct info_process *p;
	int ret = 0;

	if (data != NULL && ask_one(o, &cmd, data, error) == 0 &&
	    data->have_process[ROLE_PARENT] &&
	    data->have_process[ROLE_LISTENER]) {
		p = data->processes;
		if (p[ROLE_PARENT].uptime_ms < util_now_ms() - begin_ms)
			ret = 1;
		else if (p[ROLE_LISTENER].uptime_ms < asked_ms - begin_ms)
			ret = -1;
	}
	data_free(data);
	return ret;
}

/*
 * Waits until the daemon that has agreed to it is another.  Returns NULL, or
 * why it is not.
 */
static const char *
restart_wait(const struct options *o, uint64_t begin_ms)
{
	const struct timespec pause = { 0, RESTART_PAUSE_MS * 1000000L };
	int done = 0;

	while (done == 0 && util_now_ms() - begin_ms < RESTART_LIMIT_MS) {
		(void)nanosleep(&pause, NULL);
		done = restart_look(o, begin_ms);
		if (done != 1 && access(o->socket, F_OK) == -1)
			return "its control socket is gone: its log says why";
	}
	return done == 1 ? NULL : "it has not been restarted: its log says why";
}

static int
restart(const struct options *o, const struct command *cmd)
{
	char error[CLIENT_ERROR_MAX];
	const char *why = error;
	uint64_t begin_ms = util_now_ms();
	struct data *data = data_new();
	int ret = 0;

	if (data == NULL)
		return fail(o, "out of memory");
	if (ask_one(o, cmd, data, error) == 0)
		why = refusal(data);
	if (why == NULL)
		why = restart_wait(o, begin_ms);
	if (why != NULL)
		ret = fail(o, why);
	else if (o->json)
		ret = printed(output_json_result(stdout, NULL), 0);
	data_free(data);
	return ret;
}

/* Shows it until somebody has had enough: only a signal ends it. */
static int
watch(const struct options *o, const struct command *cmd)
{
	const struct timespec pause = { o->interval_ms / 1000,
		(long)(o->interval_ms % 1000) * 1000000L };

	for (;;) {
		if (isatty(STDOUT_FILENO))
			(void)printf("\033[H\033[2J");
		(void)show(o, cmd);
		if (fflush(stdout) != 0 || ferror(stdout))
			return 1;
		(void)nanosleep(&pause, NULL);
		if (!isatty(STDOUT_FILENO) && !o->json)
			(void)putchar('\n');
	}
}

static int
ask_for_top(void *arg, enum msg_show what, struct data *data,
    char error[CLIENT_ERROR_MAX])
{
	const struct command cmd = {
		.request = MSG_CL_SHOW, .show = what, .top = true
	};

	return ask(arg, &cmd, data, error);
}

static int
top(struct options *o)
{
	const struct top_opts opts = {
		.interval_ms = o->interval_ms, .ask = ask_for_top, .arg = o
	};

	return top_run(&opts);
}

/*
 * True for a name as a configuration may have it.  What shells complete becomes
 * a command line: of any other name they may make, or run, something else.
 */
static bool
is_plain_name(const char *name)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "abcdefghijklmnopqrstuvwxyz0123456789._-";

	return name[0] != '\0' && name[0] != '-' &&
	       name[strspn(name, plain)] == '\0';
}

/* The names of upstreams, if the daemon can be asked. */
static void
complete_names(const struct options *o)
{
	const struct command cmd = {
		.request = MSG_CL_SHOW, .show = SHOW_SUMMARY, .health = true
	};
	char error[CLIENT_ERROR_MAX];
	struct data *data = data_new();
	size_t i;

	if (data != NULL && ask(o, &cmd, data, error) == 0)
		for (i = 0; i < data->nupstreams; i++)
			if (is_plain_name(data->upstreams[i].name))
				(void)printf("%s\n", data->upstreams[i].name);
	data_free(data);
}

/*
 * For the shells' completion: a line for each word that may come next; after
 * "-", for each option.
 */
static int
complete(const struct options *o, int argc, char *const argv[])
{
	const char *words[COMMAND_WORDS_MAX];
	size_t i, n;

	if (argc > 0 && strcmp(argv[0], "--") == 0) {
		argc--;
		argv++;
	}
	if (argc == 1 && strcmp(argv[0], "-") == 0) {
		options_list(stdout);
		return printed(0, 0);
	}
	n = command_next(argc, argv, words);
	for (i = 0; i < n; i++)
		if (strcmp(words[i], COMMAND_ANY_NAME) == 0)
			complete_names(o);
		else if (words[i][0] >= 'a')
			(void)printf("%s\n", words[i]);
	return printed(0, 0);
}

int
main(int argc, char *argv[])
{
	char error[COMMAND_ERROR_MAX];
	struct options o;
	struct command cmd;
	int first;

	first = options_parse(&o, argc, argv);
	if (first == argc) {
		options_usage(stderr);
		return 1;
	}
	if (strcmp(argv[first], "complete") == 0)
		return complete(&o, argc - first - 1, argv + first + 1);
	if (command_parse(&cmd, argc - first, argv + first, error) == -1)
		return fail(&o, error);
	if (cmd.request == MSG_CL_CHANGE && cmd.change.change == CHANGE_RESTART)
		return restart(&o, &cmd);
	if (cmd.health)
		return health(&o, &cmd);
	if (cmd.exporter) {
		o.exporter.socket = o.socket;
		return exporter_run(&o.exporter);
	}
	if (o.exporter.nlisten > 0)
		return fail(&o, "-l is for the command exporter");
	if (cmd.top)
		return top(&o);
	if (cmd.watch)
		return watch(&o, &cmd);
	return cmd.check ? check(&o, &cmd) : show(&o, &cmd);
}
