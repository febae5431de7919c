/* SPDX-License-Identifier: ISC */
/*
 * The options of dotproxyctl, and what it says of itself when they are wrong.
 * It ends the program then: nothing has been opened yet.
 */
#include "dotproxyctl/options.h"

#include <getopt.h>
#include <stdlib.h>

#include "common/conf.h"

static const struct option long_options[] = {
	{ "help", no_argument, NULL, 'h' },
	{ "interval", required_argument, NULL, 'i' },
	{ "json", no_argument, NULL, 'j' },
	{ "listen", required_argument, NULL, 'l' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "socket", required_argument, NULL, 's' },
	{ "user", required_argument, NULL, 'u' },
	{ "version", no_argument, NULL, 'V' },
	{ "worker", required_argument, NULL, 'w' },
	{ NULL, 0, NULL, 0 },
};

void
options_usage(FILE *out)
{
	(void)fprintf(out,
	    "usage: dotproxyctl [-hjqV] [-i seconds] [-s socket] [-w worker] "
	    "command\n"
	    "commands:\n"
	    "  show [summary]        is it well, and who does how much?\n"
	    "  show upstreams        a line each\n"
	    "  show pool             upstreams and their connections\n"
	    "  show latency          how long upstreams take\n"
	    "  show clients [N]      who asks most, if that is counted\n"
	    "  show errors           what upstreams failed with\n"
	    "  show pins             the keys that upstreams have\n"
	    "  show stats            all counters\n"
	    "  show processes        the processes, and their "
	    "confinement\n"
	    "  show config           the configuration in force\n"
	    "  show all              summary, pool, latency and stats\n"
	    "  top                   all of it, live\n"
	    "  watch [pool ...]      what show shows, again and again\n"
	    "  check security        is each process confined as promised?\n"
	    "  health [upstreams N]  is it well? says the exit status, too\n"
	    "  upstream NAME disable no more queries for it; or enable\n"
	    "  upstream NAME probe   try it, step by step\n"
	    "  pool flush            make all connections anew\n"
	    "  drain [off]           take no more TCP clients\n"
	    "  restart               execute the program anew, keep the "
	    "sockets\n"
	    "  reload                read the configuration file again\n"
	    "  log level LEVEL       error, warn, info or debug\n"
	    "  exporter [-l address:port] [-u user]\n"
	    "                        serve metrics and a page over HTTP\n");
}

/* Returns the number of a worker; exits if it is none. */
static uint32_t
worker_parse(const char *arg)
{
	char *end;
	unsigned long n = strtoul(arg, &end, 10);

	if (arg[0] < '0' || arg[0] > '9' || *end != '\0' || n < 1 ||
	    n > CONF_WORKERS_MAX) {
		(void)fprintf(stderr,
		    "dotproxyctl: -w: not the number of a worker (1-%u)\n",
		    CONF_WORKERS_MAX);
		exit(1);
	}
	return (uint32_t)n;
}

/* Where the exporter is to listen, too. */
static void
listen_add(struct exporter_opts *e, const char *arg)
{
	if (e->nlisten == EXPORTER_LISTEN_MAX) {
		(void)fprintf(stderr, "dotproxyctl: -l: at most %d of them\n",
		    EXPORTER_LISTEN_MAX);
		exit(1);
	}
	e->listen[e->nlisten++] = arg;
}

/* Returns milliseconds; exits if it is no time. */
static uint32_t
interval_parse(const char *arg)
{
	char *end;
	double s = strtod(arg, &end);

	if (arg[0] < '0' || arg[0] > '9' || *end != '\0' || !(s >= 0.1) ||
	    s > 3600) {
		(void)fprintf(stderr,
		    "dotproxyctl: -i: not a number of seconds (0.1-3600)\n");
		exit(1);
	}
	return (uint32_t)(s * 1000);
}

int
options_parse(struct options *o, int argc, char *argv[])
{
	int c;

	o->json = o->quiet = false;
	o->socket = CONF_CONTROL_DEFAULT;
	o->worker = 0;
	o->exporter = (struct exporter_opts){ .user = CONF_USER_DEFAULT };
	o->interval_ms = 1000;
	while ((c = getopt_long(
		    argc, argv, "hi:jl:qs:u:Vw:", long_options, NULL)) != -1) {
		switch (c) {
		case 'h':
			options_usage(stdout);
			exit(0);
		case 'i':
			o->interval_ms = interval_parse(optarg);
			break;
		case 'j':
			o->json = true;
			break;
		case 'l':
			listen_add(&o->exporter, optarg);
			break;
		case 'q':
			o->quiet = true;
			break;
		case 's':
			o->socket = optarg;
			break;
		case 'u':
			o->exporter.user = optarg;
			break;
		case 'V':
			(void)printf("dotproxyctl/%s\n", DOTPROXY_VERSION);
			exit(0);
		case 'w':
			o->worker = worker_parse(optarg);
			break;
		default:
			options_usage(stderr);
			exit(1);
		}
	}
	return optind;
}

void
options_list(FILE *out)
{
	size_t i;

	for (i = 0; long_options[i].name != NULL; i++)
		(void)fprintf(out, "-%c\n--%s\n", long_options[i].val,
		    long_options[i].name);
}
