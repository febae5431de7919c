/* SPDX-License-Identifier: ISC */
/*
 * Plays scenarios, those of the files it is given or else all there are, and
 * prints TAP: one line for each.  A test's program.  -v shows the lines as they
 * are played, -k the log of one that has failed, -n NAME plays those of a name
 * only.
 */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/replay/script.h"

#define LINES_MAX 4096
#define LOOPS_MAX 4
#define SCENARIOS "tests/replay/scenarios/*.rpl"

/* for NAME in VALUE ... */
struct loop {
	char *name;
	char *values[SCRIPT_WORDS_MAX];
	size_t n;
	size_t at;
};

struct player {
	const char *file;
	const char *only;
	bool verbose;
	bool show_log;
	size_t nlines;
	char *lines[LINES_MAX];
	size_t nloops;
	struct loop loops[LOOPS_MAX];
	unsigned int played;
	unsigned int failed;
	char title[SCRIPT_LINE_MAX];
};

/* Copies a line with the values of the loops in place of $name. */
static void
substitute(const struct player *p, const char *line, char *out, size_t size)
{
	const struct loop *l;
	size_t n = 0, len, i;

	while (*line != '\0' && n + 1 < size) {
		for (i = 0; *line == '$' && i < p->nloops; i++) {
			l = &p->loops[i];
			len = strlen(l->name);
			if (strncmp(line + 1, l->name, len) != 0)
				continue;
			n += (size_t)snprintf(
			    out + n, size - n, "%s", l->values[l->at]);
			line += 1 + len;
			break;
		}
		if (*line != '$' || i == p->nloops)
			out[n++] = *line != '\0' ? *line++ : ' ';
		if (n >= size)
			n = size - 1;
	}
	out[n] = '\0';
}

static bool
begins(const char *line, const char *word)
{
	size_t n = strlen(word);

	return strncmp(line, word, n) == 0 &&
	       (line[n] == ' ' || line[n] == '\0');
}

static void
report(struct player *p, struct world *w, size_t line)
{
	bool ok = !w->failed;

	p->played++;
	p->failed += !ok;
	(void)printf("%sok %u - %s\n", ok ? "" : "not ", p->played, p->title);
	if (ok)
		return;
	(void)printf("# %s:%zu: %s\n", p->file, line + 1, w->error);
	(void)printf("#   %s\n#   at %.3f ms\n", p->lines[line],
	    (double)world_now(w) / 1e3);
	if (p->show_log)
		(void)printf("%s", w->log);
}

/* Plays the scenario whose first line is first; loops stand at some value. */
static void
play(struct player *p, size_t first)
{
	struct world *w = world_new();
	char line[SCRIPT_LINE_MAX], left[256];
	size_t i, last = first;

	substitute(p, p->lines[first] + strlen("scenario"), line, sizeof(line));
	(void)snprintf(
	    p->title, sizeof(p->title), "%s", line + strspn(line, " "));
	if (p->only != NULL && strstr(p->title, p->only) == NULL) {
		(void)world_free(w, left);
		return;
	}
	w->check_each = true;
	for (i = first + 1; i < p->nlines && !w->failed; i++) {
		if (begins(p->lines[i], "scenario") ||
		    begins(p->lines[i], "for") || begins(p->lines[i], "end"))
			break;
		substitute(p, p->lines[i], line, sizeof(line));
		if (p->verbose)
			(void)printf(
			    "# %8.3f %s\n", (double)world_now(w) / 1e6, line);
		script_line(w, line);
		last = i;
	}
	if (!w->failed)
		world_quiesce(w);
	report(p, w, last);
	if (!world_free(w, left)) {
		p->failed++;
		(void)printf("not ok - %s: %s\n", p->title, left);
	}
}

/* Plays it for all values of the loops from the nth on. */
static void
play_loops(struct player *p, size_t first, size_t nth)
{
	struct loop *l = &p->loops[nth];

	if (nth == p->nloops) {
		play(p, first);
		return;
	}
	for (l->at = 0; l->at < l->n; l->at++)
		play_loops(p, first, nth + 1);
}

static void
open_loop(struct player *p, char *line)
{
	struct loop *l = &p->loops[p->nloops++];
	char *word, *rest = line;

	memset(l, 0, sizeof(*l));
	(void)strsep(&rest, " ");
	l->name = strsep(&rest, " ");
	(void)strsep(&rest, " "); /* in */
	while ((word = strsep(&rest, " ")) != NULL)
		if (*word != '\0' && l->n < SCRIPT_WORDS_MAX)
			l->values[l->n++] = word;
}

static void
read_lines(struct player *p)
{
	char text[SCRIPT_LINE_MAX];
	FILE *f = fopen(p->file, "r");

	if (f == NULL) {
		perror(p->file);
		exit(1);
	}
	for (p->nlines = 0; fgets(text, sizeof(text), f) != NULL; p->nlines++) {
		if (p->nlines == LINES_MAX || strchr(text, '\n') == NULL) {
			(void)fprintf(stderr, "%s: too long\n", p->file);
			exit(1);
		}
		text[strcspn(text, "\n")] = '\0';
		p->lines[p->nlines] = strdup(text + strspn(text, " \t"));
		if (p->lines[p->nlines] == NULL)
			abort();
	}
	(void)fclose(f);
}

static void
play_file(struct player *p, const char *file)
{
	char *loops[LOOPS_MAX];
	size_t i;

	p->file = file;
	p->nloops = 0;
	read_lines(p);
	for (i = 0; i < p->nlines; i++) {
		if (begins(p->lines[i], "for") && p->nloops < LOOPS_MAX) {
			loops[p->nloops] = strdup(p->lines[i]);
			open_loop(p, loops[p->nloops]);
		} else if (begins(p->lines[i], "end") && p->nloops > 0)
			free(loops[--p->nloops]);
		else if (begins(p->lines[i], "scenario"))
			play_loops(p, i, 0);
	}
	while (p->nloops > 0)
		free(loops[--p->nloops]);
	for (i = 0; i < p->nlines; i++)
		free(p->lines[i]);
}

/* What never comes back is a failure, too. */
#define PATIENCE_S 900u

int
main(int argc, char *argv[])
{
	static struct player p;
	glob_t g;
	size_t i;
	int c;

	(void)alarm(PATIENCE_S);
	while ((c = getopt(argc, argv, "kn:v")) != -1) {
		p.show_log |= c == 'k';
		p.verbose |= c == 'v';
		if (c == 'n')
			p.only = optarg;
	}
	if (optind < argc) {
		for (; optind < argc; optind++)
			play_file(&p, argv[optind]);
	} else if (glob(SCENARIOS, 0, NULL, &g) == 0) {
		for (i = 0; i < g.gl_pathc; i++)
			play_file(&p, g.gl_pathv[i]);
		globfree(&g);
	}
	(void)printf("1..%u\n", p.played);
	return p.failed > 0 || p.played == 0;
}
