/* SPDX-License-Identifier: ISC */
/* The command line and the environment of dotproxy(8). */
#include "dotproxy/parent/parent.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "dotproxy/parent/conf_yaml.h"

enum long_option { OPT_CONFIG = 256, OPT_VERBOSITY, OPT_VERSION, OPT_HELP };

static void
print_usage(FILE *f)
{
	(void)fprintf(f, "usage: dotproxy [-dnVv] [-D macro=value] [-f file]\n"
			 "                [--config file] [--verbosity "
			 "error|warn|info|debug]\n"
			 "                [--version] [--help]\n");
}

static void
add_macro(struct parent_options *o, char *arg)
{
	char *eq = strchr(arg, '=');

	if (eq == NULL || eq == arg) {
		(void)fprintf(
		    stderr, "dotproxy: -D %s: not macro=value\n", arg);
		exit(1);
	}
	if (o->nmacros == PARENT_MACROS_MAX) {
		(void)fprintf(stderr, "dotproxy: -D: too many macros\n");
		exit(1);
	}
	o->macro_args[o->nmacros] = strdup(arg);
	if (o->macro_args[o->nmacros] == NULL)
		fatal("strdup");
	*eq = '\0';
	o->macros[o->nmacros].name = arg;
	o->macros[o->nmacros].value = eq + 1;
	o->nmacros++;
}

static void
set_level(struct parent_options *o, const char *name)
{
	o->log_level = log_level_parse(name);
	if (o->log_level == -1) {
		(void)fprintf(stderr,
		    "dotproxy: --verbosity %s: not one of error, warn, info, "
		    "debug\n",
		    name);
		exit(1);
	}
}

void
options_parse(struct parent_options *o, int argc, char *argv[])
{
	static const struct option longopts[] = {
		{ "config", required_argument, NULL, OPT_CONFIG },
		{ "verbosity", required_argument, NULL, OPT_VERBOSITY },
		{ "version", no_argument, NULL, OPT_VERSION },
		{ "help", no_argument, NULL, OPT_HELP },
		{ NULL, 0, NULL, 0 },
	};
	const char *env = getenv("DOTPROXY_CONFIG");
	int ch;

	memset(o, 0, sizeof(*o));
	o->log_level = LOG_LEVEL_INFO;
	o->conf_path = env != NULL && env[0] != '\0' ? env : CONF_FILE_DEFAULT;
	/* Go's programs take long options with one hyphen, too. */
	while ((ch = getopt_long_only(
		    argc, argv, "dD:f:nVv", longopts, NULL)) != -1) {
		switch (ch) {
		case 'd':
			o->foreground = true;
			break;
		case 'D':
			add_macro(o, optarg);
			break;
		case 'f':
		case OPT_CONFIG:
			o->conf_path = optarg;
			break;
		case 'n':
			o->check_only = true;
			break;
		case 'v':
			o->verbose = true;
			o->log_level = LOG_LEVEL_DEBUG;
			break;
		case OPT_VERBOSITY:
			set_level(o, optarg);
			break;
		case 'V':
		case OPT_VERSION:
			(void)printf("dotproxy/%s\n", DOTPROXY_VERSION);
			exit(0);
		case OPT_HELP:
			print_usage(stdout);
			exit(0);
		default:
			print_usage(stderr);
			exit(1);
		}
	}
	if (optind < argc) {
		(void)fprintf(stderr, "dotproxy: %s: unexpected argument\n",
		    argv[optind]);
		print_usage(stderr);
		exit(1);
	}
	/* So does what starts the dotproxy that has such files expect. */
	if (conf_yaml_is(o->conf_path))
		o->foreground = true;
}
