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
#define ROUNDS_MAX 1000u
#define SCENARIOS "tests/replay/scenarios/*.rpl"

/* for NAME in VALUE ... */
struct loop {
	char *name;
	char *values[SCRIPT_WORDS_MAX];
	size_t n;
	size_t at;
};

/* repeat N */
struct repeat {
	size_t line;
	uint32_t round; /* from 1; 0: there is none */
	uint32_t rounds;
	char text[16]; /* round */
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
	struct repeat repeat;
	unsigned int played;
	unsigned int failed;
	char title[SCRIPT_LINE_MAX];
};

/* What stands for the $name that line begins with; NULL: it stands for none. */
static const char *
value_of(const struct player *p, const char *line, size_t *len)
{
	size_t i;

	*len = strlen("$round");
	if (p->repeat.round > 0 && strncmp(line, "$round", *len) == 0)
		return p->repeat.text;
	for (i = 0; i < p->nloops; i++) {
		*len = 1 + strlen(p->loops[i].name);
		if (strncmp(line + 1, p->loops[i].name, *len - 1) == 0)
			return p->loops[i].values[p->loops[i].at];
	}
	return NULL;
}

/* Copies a line with the values of the loops in place of $name. */
static void
substitute(const struct player *p, const char *line, char *out, size_t size)
{
	const char *value;
	size_t n = 0, len;

	while (*line != '\0' && n + 1 < size) {
		value = *line == '$' ? value_of(p, line, &len) : NULL;
		if (value == NULL) {
			out[n++] = *line++;
			continue;
		}
		n += (size_t)snprintf(out + n, size - n, "%s", value);
		line += len;
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
	char text[SCRIPT_LINE_MAX];
	bool ok = !w->failed;

	p->played++;
	p->failed += !ok;
	(void)printf("%sok %u - %s\n", ok ? "" : "not ", p->played, p->title);
	if (ok)
		return;
	(void)printf("# %s:%zu: %s\n", p->file, line + 1, w->error);
	substitute(p, p->lines[line], text, sizeof(text));
	(void)printf(
	    "#   %s\n#   at %.3f ms\n", text, (double)world_now(w) / 1e3);
	if (p->show_log)
		(void)printf("%s", w->log);
}

static void
next_round(struct repeat *r)
{
	(void)snprintf(
	    r->text, sizeof(r->text), "%u", (unsigned int)++r->round);
}

/* The lines from here on, up to end, are to be played so many times. */
static void
begin_rounds(struct player *p, struct world *w, const char *line, size_t at)
{
	const char *word = line + strlen("repeat");
	char *end;
	unsigned long n = strtoul(word, &end, 10);

	end += strspn(end, " ");
	if (end == word || (*end != '\0' && *end != '#') || n == 0 ||
	    n > ROUNDS_MAX) {
		world_fail(w, "repeat needs a number from 1 to %u", ROUNDS_MAX);
		return;
	}
	p->repeat.line = at;
	p->repeat.round = 0;
	p->repeat.rounds = (uint32_t)n;
	next_round(&p->repeat);
}

/* What is after the end of a round: the line before it is returned. */
static size_t
end_round(struct player *p, size_t at)
{
	if (p->repeat.round < p->repeat.rounds) {
		next_round(&p->repeat);
		return p->repeat.line;
	}
	p->repeat.round = 0;
	return at;
}

/* Plays the lines of a scenario; returns the last one played. */
static size_t
play_lines(struct player *p, struct world *w, size_t first)
{
	char line[SCRIPT_LINE_MAX];
	size_t i, last = first;

	for (i = first + 1; i < p->nlines && !w->failed; i++) {
		if (begins(p->lines[i], "scenario") ||
		    begins(p->lines[i], "for"))
			break;
		if (begins(p->lines[i], "end")) {
			if (p->repeat.round == 0)
				break;
			i = end_round(p, i);
			continue;
		}
		last = i;
		substitute(p, p->lines[i], line, sizeof(line));
		if (p->verbose)
			(void)printf(
			    "# %8.3f %s\n", (double)world_now(w) / 1e6, line);
		if (begins(line, "repeat"))
			begin_rounds(p, w, line, i);
		else
			script_line(w, line);
	}
	return last;
}

/* Plays the scenario whose first line is first; loops stand at some value. */
static void
play(struct player *p, size_t first)
{
	struct world *w = world_new();
	char line[SCRIPT_LINE_MAX], left[256];
	size_t last;

	p->repeat.round = 0;
	substitute(p, p->lines[first] + strlen("scenario"), line, sizeof(line));
	(void)snprintf(
	    p->title, sizeof(p->title), "%s", line + strspn(line, " "));
	if (p->only != NULL && strstr(p->title, p->only) == NULL) {
		(void)world_free(w, left);
		return;
	}
	w->check_each = true;
	last = play_lines(p, w, first);
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

/* What is opened and not closed, or closed only: at line *at; NULL: nothing. */
static const char *
misplaced(const struct player *p, size_t *at)
{
	size_t fors[LOOPS_MAX], nfors = 0, repeat = 0;
	bool playing = false, repeating = false;
	const char *line;

	for (*at = 0; *at < p->nlines; (*at)++) {
		line = p->lines[*at];
		if (begins(line, "repeat")) {
			if (!playing || repeating)
				return "a repeat has to be in a scenario, and "
				       "in no other repeat";
			repeat = *at;
			repeating = true;
		} else if (begins(line, "end") && repeating) {
			repeating = false;
		} else if (begins(line, "end")) {
			if (nfors-- == 0)
				return "an end without for or repeat";
			playing = false;
		} else if (begins(line, "scenario") || begins(line, "for")) {
			if (repeating)
				break;
			playing = line[0] == 's';
			if (!playing && nfors == LOOPS_MAX)
				return "a for too many";
			if (!playing)
				fors[nfors++] = *at;
		}
	}
	if (repeating) {
		*at = repeat;
		return "a repeat without end";
	}
	if (nfors > 0) {
		*at = fors[nfors - 1];
		return "a for without end";
	}
	return NULL;
}

static void
play_scenarios(struct player *p)
{
	char *loops[LOOPS_MAX];
	bool repeating = false;
	size_t i;

	for (i = 0; i < p->nlines; i++) {
		if (begins(p->lines[i], "repeat"))
			repeating = true;
		else if (begins(p->lines[i], "end") && repeating)
			repeating = false;
		else if (begins(p->lines[i], "for")) {
			loops[p->nloops] = strdup(p->lines[i]);
			open_loop(p, loops[p->nloops]);
		} else if (begins(p->lines[i], "end"))
			free(loops[--p->nloops]);
		else if (begins(p->lines[i], "scenario"))
			play_loops(p, i, 0);
	}
}

static void
play_file(struct player *p, const char *file)
{
	const char *wrong;
	size_t i;

	p->file = file;
	read_lines(p);
	wrong = misplaced(p, &i);
	if (wrong == NULL)
		play_scenarios(p);
	else {
		p->failed++;
		(void)printf("not ok %u - %s\n# %s:%zu: %s\n", ++p->played,
		    file, file, i + 1, wrong);
	}
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
