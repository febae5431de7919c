/* SPDX-License-Identifier: ISC */
/*
 * "show errors", as text and as JSON.  Runs in dotproxyctl.  What an upstream
 * made a library say is foreign text: it must not be printed unescaped.
 */
#include "dotproxyctl/format.h"
#include "dotproxyctl/output.h"

#define NAME_WIDTH 14
#define TEXT_COLUMN 50 /* where what went wrong begins */

static const char *
name_of(const struct data *d, uint32_t upstream)
{
	size_t i;

	for (i = 0; i < d->nupstreams; i++)
		if (d->upstreams[i].index == upstream)
			return d->upstreams[i].name;
	return "?";
}

static void
put_error(FILE *out, const struct data *d, const struct info_error *e)
{
	char name[NAME_WIDTH + 1], count[FORMAT_MAX], first[FORMAT_MAX];
	char last[FORMAT_MAX];

	(void)fprintf(out, "%-*s  %-9s  %5s  %6s  %6s  ", NAME_WIDTH,
	    format_text(
		name, sizeof(name), NAME_WIDTH, name_of(d, e->upstream)),
	    msg_phase_name(e->phase), format_count(count, e->count),
	    format_age(first, e->first_ms), format_age(last, e->last_ms));
	format_wrap(out, TEXT_COLUMN,
	    e->text[0] != '\0' ? e->text : msg_cause_name(e->cause));
}

void
text_errors(FILE *out, const struct data *d)
{
	size_t i;

	if (d->nerrors == 0 && d->have_pool)
		(void)fputs("no upstream has failed\n", out);
	if (d->nerrors > 0)
		(void)fprintf(out, "%-*s  %-9s  %5s  %6s  %6s  %s\n",
		    NAME_WIDTH, "UPSTREAM", "PHASE", "COUNT", "FIRST", "LAST",
		    "WHAT WENT WRONG");
	for (i = 0; i < d->nerrors; i++)
		put_error(out, d, &d->errors[i]);
	if (d->have_listener)
		(void)putc('\n', out);
	text_queries(out, d, true);
}

void
output_json_errors(struct json *j, const struct data *d)
{
	const struct info_error *e;
	size_t i;

	json_array(j, "errors");
	for (i = 0; i < d->nerrors; i++) {
		e = &d->errors[i];
		json_object(j, NULL);
		json_string(j, "upstream", name_of(d, e->upstream));
		json_string(j, "phase", msg_phase_name(e->phase));
		json_string(j, "cause", msg_cause_name(e->cause));
		json_string(j, "text", e->text);
		json_u64(j, "count", e->count);
		json_u64(j, "first_ms", e->first_ms);
		json_u64(j, "last_ms", e->last_ms);
		json_object_end(j);
	}
	json_array_end(j);
}
