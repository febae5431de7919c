/* SPDX-License-Identifier: ISC */
/* LINK: dotproxy/parent/conf_parse.y dotproxy/parent/conf_%.c */
/* LINK: common/log.c common/util.c */
/* LIBS: -lyaml */
/*
 * The YAML of the dotproxy written in Go: what is accepted can be printed in
 * our language, and means the same there.
 */
#include "dotproxy/parent/conf_yaml.h"

#include "tests/fuzz/conf_fixed.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct conf_errors *errs = fuzz_alloc(sizeof(*errs));
	struct conf_yaml_notes *notes = fuzz_alloc(sizeof(*notes));
	struct conf *conf = conf_yaml_text(
	    "t", (const char *)data, len, true, false, errs, notes);

	fixed_check_errors(errs);
	fixed_check_errors(&notes->warnings);
	FUZZ_ASSERT(memchr(notes->differences, '\0',
			sizeof(notes->differences)) != NULL);
	FUZZ_ASSERT((conf == NULL) == (errs->count > 0));
	if (conf != NULL)
		fixed_check(conf);
	free(conf);
	free(notes);
	free(errs);
	return 0;
}
