/* SPDX-License-Identifier: ISC */
/*
 * Scenarios, as text: README.md has the language on one page.
 */
#ifndef TESTS_REPLAY_SCRIPT_H
#define TESTS_REPLAY_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>

#include "tests/replay/world.h"

#define SCRIPT_LINE_MAX 256
#define SCRIPT_WORDS_MAX 32

/* A line being played. */
struct script {
	struct world *w;
	size_t nwords;
	size_t at; /* the next word */
	char *words[SCRIPT_WORDS_MAX];
	char text[SCRIPT_LINE_MAX];
};

/* --- script.c --- */

/* Plays one line; what is wrong is in w->error then. */
void script_line(struct world *, const char *line);

/* The next word, NULL if there is none. */
const char *script_next(struct script *);
/* True, and it is taken, if the next word is this one. */
bool script_is(struct script *, const char *word);
/* The next word as a time in microseconds, or as a number. */
uint64_t script_time(struct script *);
uint32_t script_number(struct script *);
/* Finds word in a list of names; -1 if it is not there. */
int script_find(const char *word, const char *const *names, size_t n);
/*
 * What a label stands for: "q*3" for q1, q2 and q3.  Calls fn for each, with
 * all words from the next one on.
 */
void script_each(struct script *, const char *label,
    void (*fn)(struct script *, const char *label));

/* --- script_far.c: what upstreams are to do --- */

void script_far(struct script *, struct far *);
/* The same of one query, whoever gets it. */
void script_spoil(struct script *);

/* --- script_expect.c --- */

void script_expect(struct script *);

#endif
