/* SPDX-License-Identifier: ISC */
/*
 * The terminal of "top", see top.h.  Runs in dotproxyctl.  It draws what
 * top_view.c has made of the answers, and reads keys.  Foreign text never
 * reaches the terminal but escaped.
 */
#include "dotproxyctl/top.h"

#include <curses.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"
#include "dotproxyctl/format.h"

#define ROWS_MAX 1024
#define TABLE_LINE 4 /* where the table's heading is */
#define WAIT_MAX_MS 3600000

/* What one request has brought, and the one before. */
struct pair {
	struct data *now; /* owned */
	struct data *old; /* owned, or NULL */
	uint64_t at_ms;
	uint64_t elapsed_ms;
};

struct top {
	const struct top_opts *opts;
	enum top_view view;
	size_t by[TOP_VIEWS]; /* see top_rows() */
	size_t first;         /* row at the top of the table */
	size_t nrows;
	struct pair summary;
	struct pair table; /* of the view; not used for upstreams */
	struct top_row *rows;
	char error[CLIENT_ERROR_MAX]; /* empty: the last answer is whole */
};

static void
pair_clear(struct pair *p)
{
	data_free(p->now);
	data_free(p->old);
	memset(p, 0, sizeof(*p));
}

/* Asks; what there was before is kept for comparison, or if it fails. */
static void
pair_ask(struct top *t, struct pair *p, enum msg_show show)
{
	struct data *d = data_new();
	uint64_t now_ms = util_now_ms();

	if (d == NULL || t->opts->ask(t->opts->arg, show, d, t->error) == -1) {
		if (d == NULL)
			(void)snprintf(
			    t->error, sizeof(t->error), "out of memory");
		data_free(d);
		return;
	}
	data_free(p->old);
	p->old = p->now;
	p->elapsed_ms = p->old != NULL ? now_ms - p->at_ms : 0;
	p->now = d;
	p->at_ms = now_ms;
}

static void
ask_all(struct top *t)
{
	t->error[0] = '\0';
	pair_ask(t, &t->summary, SHOW_SUMMARY);
	if (t->view != TOP_UPSTREAMS && t->error[0] == '\0')
		pair_ask(t, &t->table, top_show(t->view));
}

/* One line, cut to the screen; escaped by who made it. */
static void
put_line(int y, int attr, const char *text)
{
	(void)attron(attr);
	(void)mvaddnstr(y, 0, text, COLS);
	(void)attroff(attr);
}

static void
put_verdict(const struct data *d)
{
	char reason[DATA_REASON_MAX], escaped[DATA_REASON_MAX], age[FORMAT_MAX];
	char line[512];
	enum data_health health = data_judge(d, reason);
	int attr = health == HEALTH_OK ? A_BOLD : A_BOLD | A_REVERSE;

	(void)snprintf(line, sizeof(line), "%s: %s%s, up %s",
	    data_health_name(health),
	    format_text(escaped, sizeof(escaped), 100, reason),
	    d->draining ? ", draining" : "",
	    d->have_process[ROLE_PARENT]
		? format_age(age, d->processes[ROLE_PARENT].uptime_ms)
		: "?");
	put_line(0, attr, line);
}

static void
put_rates(const struct pair *p)
{
	struct data_queries now, old = { 0 };
	char in[FORMAT_MAX], out[FORMAT_MAX], bad[FORMAT_MAX], n[FORMAT_MAX];
	char line[256];
	uint64_t ms = p->elapsed_ms;

	if (!p->now->have_listener)
		return;
	data_queries(p->now, &now);
	if (p->old != NULL && p->old->have_listener)
		data_queries(p->old, &old);
	else
		ms = 0;
	(void)snprintf(line, sizeof(line),
	    "%s queries/s, %s answers/s, %s failed or refused/s, "
	    "%s in flight",
	    format_count(
		in, (uint64_t)top_rate(now.received, old.received, ms)),
	    format_count(
		out, (uint64_t)top_rate(now.answered, old.answered, ms)),
	    format_count(
		bad, (uint64_t)(top_rate(now.failed, old.failed, ms) +
				top_rate(now.refused, old.refused, ms))),
	    format_count(n, p->now->pool.inflight));
	put_line(1, 0, line);
}

static void
put_table(struct top *t)
{
	const struct pair *p =
	    t->view == TOP_UPSTREAMS ? &t->summary : &t->table;
	struct top_sample s = { p->now, p->old, p->elapsed_ms };
	size_t i, room;

	put_line(TABLE_LINE - 1, A_REVERSE, top_heading(t->view));
	t->nrows = 0;
	if (p->now == NULL || LINES <= TABLE_LINE + 1)
		return;
	t->nrows = top_rows(t->view, &s, t->by[t->view], t->rows, ROWS_MAX);
	room = (size_t)LINES - TABLE_LINE - 1;
	if (t->first >= t->nrows)
		t->first = t->nrows > 0 ? t->nrows - 1 : 0;
	for (i = 0; i < room && t->first + i < t->nrows; i++)
		put_line(TABLE_LINE + (int)i,
		    t->rows[t->first + i].bad ? A_BOLD : 0,
		    t->rows[t->first + i].text);
}

static void
draw(struct top *t)
{
	size_t by = t->by[t->view];
	const char *error = t->error;
	char line[512];

	(void)erase();
	if (t->summary.now != NULL) {
		put_verdict(t->summary.now);
		put_rates(&t->summary);
	}
	if (t->error[0] != '\0') {
		/* The name of the socket would leave no room for the rest. */
		if (error[0] == '/' && strstr(error, ": ") != NULL)
			error = strstr(error, ": ") + 2;
		(void)format_text(line, sizeof(line), 200, error);
		put_line(2, A_REVERSE, line);
	}
	put_table(t);
	(void)snprintf(line, sizeof(line),
	    "u upstreams  c connections  p processes  e errors  "
	    "s sort: %s  q quit",
	    by == 0 ? "none" : top_key_names(t->view)[by - 1]);
	put_line(LINES - 1, A_REVERSE, line);
	(void)refresh();
}

static void
change_view(struct top *t, enum top_view view)
{
	if (view == t->view)
		return;
	t->view = view;
	t->first = 0;
	pair_clear(&t->table);
	ask_all(t);
}

/* Does what a key says; false for the one that ends it. */
static bool
on_key(struct top *t, int key)
{
	switch (key) {
	case 'q':
	case 'Q':
		return false;
	case 'u':
	case '1':
		change_view(t, TOP_UPSTREAMS);
		break;
	case 'c':
	case '2':
		change_view(t, TOP_CONNECTIONS);
		break;
	case 'p':
	case '3':
		change_view(t, TOP_PROCESSES);
		break;
	case 'e':
	case '4':
		change_view(t, TOP_ERRORS);
		break;
	case 's':
		t->by[t->view] = (t->by[t->view] + 1) % (TOP_KEYS + 1);
		break;
	case KEY_DOWN:
	case 'j':
		t->first += t->first + 1 < t->nrows;
		break;
	case KEY_UP:
	case 'k':
		t->first -= t->first > 0;
		break;
	case ' ':
		ask_all(t);
		break;
	default: /* KEY_RESIZE, too: it is drawn anew in any case */
		break;
	}
	return true;
}

static void
loop(struct top *t)
{
	uint64_t due_ms = 0, now_ms;
	int key;

	for (;;) {
		now_ms = util_now_ms();
		if (now_ms >= due_ms) {
			ask_all(t);
			now_ms = util_now_ms();
			due_ms = now_ms + t->opts->interval_ms;
		}
		draw(t);
		timeout((int)(due_ms - now_ms < WAIT_MAX_MS ? due_ms - now_ms
							    : WAIT_MAX_MS));
		key = getch();
		if (key != ERR && !on_key(t, key))
			return;
	}
}

int
top_run(const struct top_opts *opts)
{
	struct top t = { .opts = opts };
	SCREEN *screen;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
		(void)fprintf(stderr, "dotproxyctl: top needs a terminal\n");
		return 1;
	}
	t.rows = calloc(ROWS_MAX, sizeof(*t.rows));
	screen = t.rows != NULL ? newterm(NULL, stdout, stdin) : NULL;
	if (screen == NULL) {
		(void)fprintf(stderr, "dotproxyctl: top: %s\n",
		    t.rows == NULL ? "out of memory"
				   : "what TERM names is not known");
		free(t.rows);
		return 1;
	}
	(void)cbreak();
	(void)noecho();
	(void)curs_set(0);
	(void)keypad(stdscr, TRUE);
	loop(&t);
	(void)endwin();
	delscreen(screen);
	pair_clear(&t.summary);
	pair_clear(&t.table);
	free(t.rows);
	return 0;
}
