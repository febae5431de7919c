/* SPDX-License-Identifier: ISC */
/* The files of the exporter's page, as they were when it was built. */
#ifndef DOTPROXYCTL_EXPORTER_PAGE_H
#define DOTPROXYCTL_EXPORTER_PAGE_H

#include <stddef.h>
#include <stdint.h>

struct exporter_page {
	const char *path;
	const char *type;
	const uint8_t *data;
	size_t len;
};

/* The file at this path; NULL if there is none. */
const struct exporter_page *exporter_page_find(const char *path);

#endif
