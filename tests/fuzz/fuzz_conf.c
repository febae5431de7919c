/* SPDX-License-Identifier: ISC */
/* LINK: dotproxy/parent/conf_parse.y dotproxy/parent/conf_%.c */
/* LINK: common/log.c common/util.c */
/* LIBS: -lyaml */
/* dotproxy.conf(5): what is accepted, and how what is not is told. */
#include "tests/fuzz/conf_fixed.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct conf_errors *errs = fuzz_alloc(sizeof(*errs));
	struct conf *conf =
	    conf_parse_text("t", (const char *)data, len, NULL, 0, errs);

	fixed_check_errors(errs);
	FUZZ_ASSERT((conf == NULL) == (errs->count > 0));
	if (conf != NULL)
		fixed_check(conf);
	free(conf);
	free(errs);
	return 0;
}
