/* SPDX-License-Identifier: ISC */
/* Whatever is printed of a configuration parses, and prints as the same. */
#ifndef TESTS_FUZZ_CONF_FIXED_H
#define TESTS_FUZZ_CONF_FIXED_H

#include "dotproxy/parent/conf_parse.h"
#include "dotproxy/parent/conf_print.h"
#include "tests/fuzz/fuzz.h"

static inline char *
fixed_print(const struct conf *conf, size_t *len)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, len);

	FUZZ_ASSERT(f != NULL);
	FUZZ_ASSERT(conf_print(conf, f) == 0);
	FUZZ_ASSERT(fclose(f) == 0);
	return text;
}

/* Complete lines of printable ASCII; as many as are counted, or one more. */
static inline void
fixed_check_errors(const struct conf_errors *errs)
{
	size_t i, lines = 0;

	FUZZ_ASSERT(errs->len == strlen(errs->text));
	FUZZ_ASSERT(errs->len == 0 || errs->text[errs->len - 1] == '\n');
	for (i = 0; i < errs->len; i++) {
		lines += errs->text[i] == '\n';
		FUZZ_ASSERT(errs->text[i] == '\n' ||
			    (errs->text[i] >= ' ' && errs->text[i] < 0x7f));
	}
	FUZZ_ASSERT((lines == 0) == (errs->count == 0));
	FUZZ_ASSERT(lines <= CONF_ERRORS_MAX + 1);
}

static inline void
fixed_check(const struct conf *conf)
{
	struct conf_errors *errs = fuzz_alloc(sizeof(*errs));
	size_t len, again_len;
	char *text = fixed_print(conf, &len), *again_text;
	struct conf *again =
	    conf_parse_text("printed", text, len, NULL, 0, errs);

	if (again == NULL)
		(void)fprintf(stderr, "%s%s", text, errs->text);
	FUZZ_ASSERT(again != NULL);
	again_text = fixed_print(again, &again_len);
	FUZZ_ASSERT(len == again_len && memcmp(text, again_text, len) == 0);
	free(again_text);
	free(text);
	free(again);
	free(errs);
}

#endif
