/* SPDX-License-Identifier: ISC */
/*
 * "show pins", as text that a configuration can take, and as JSON.  Runs in
 * dotproxyctl.  What an upstream calls itself is foreign text: it must never
 * get out of its comment.
 */
#include "common/util.h"

#include "dotproxyctl/format.h"
#include "dotproxyctl/output.h"

#define SUBJECT_WIDTH 50

static bool
has_pins(const struct data *d, uint32_t upstream)
{
	size_t i;

	for (i = 0; i < d->npins; i++)
		if (d->pins[i].upstream == upstream)
			return true;
	return false;
}

static void
put_pin(FILE *out, const struct info_pin *p)
{
	char subject[SUBJECT_WIDTH + 1], pin[PIN_TEXT_MAX];

	(void)fprintf(out, "  # %s%s%s\n  pin \"%s\"\n",
	    p->depth == 0 ? "its own: " : "above it: ",
	    format_text(subject, sizeof(subject), SUBJECT_WIDTH, p->subject),
	    p->configured ? " (configured)" : "", pin_text(p->pin, pin));
}

void
text_pins(FILE *out, const struct data *d)
{
	const struct info_upstream *u;
	size_t i, k;

	for (i = 0; i < d->nupstreams; i++) {
		u = &d->upstreams[i];
		if (i > 0)
			(void)putc('\n', out);
		format_wrap(out, 0, u->name);
		if (!has_pins(d, u->index))
			(void)fputs("  # not connected yet\n", out);
		else if (u->open == 0)
			(void)fputs("  # not connected now; it was:\n", out);
		for (k = 0; k < d->npins; k++)
			if (d->pins[k].upstream == u->index)
				put_pin(out, &d->pins[k]);
	}
}

void
output_json_pins(struct json *j, const struct data *d, uint32_t index)
{
	char pin[PIN_TEXT_MAX];
	size_t i;

	json_array(j, "pins");
	for (i = 0; i < d->npins; i++) {
		if (d->pins[i].upstream != index)
			continue;
		json_object(j, NULL);
		json_string(j, "pin", pin_text(d->pins[i].pin, pin));
		json_string(j, "subject", d->pins[i].subject);
		json_bool(j, "leaf", d->pins[i].depth == 0);
		json_bool(j, "configured", d->pins[i].configured);
		json_object_end(j);
	}
	json_array_end(j);
}
