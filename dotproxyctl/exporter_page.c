/* SPDX-License-Identifier: ISC */
/*
 * Finds the files of the exporter's page; see exporter_page.h.  The makefile
 * writes page.html and its fellows as lists of bytes into gen/.
 */
#include "dotproxyctl/exporter_page.h"

#include <string.h>

static const uint8_t page_html[] = {
#include "page.html.inc"
};
static const uint8_t page_css[] = {
#include "page.css.inc"
};
static const uint8_t page_js[] = {
#include "page.js.inc"
};
static const uint8_t page_svg[] = {
#include "page.svg.inc"
};

static const struct exporter_page pages[] = {
	{ "/", "text/html; charset=utf-8", page_html, sizeof(page_html) },
	{ "/page.css", "text/css; charset=utf-8", page_css, sizeof(page_css) },
	{ "/page.js", "text/javascript; charset=utf-8", page_js,
	    sizeof(page_js) },
	{ "/page.svg", "image/svg+xml", page_svg, sizeof(page_svg) },
};

const struct exporter_page *
exporter_page_find(const char *path)
{
	size_t i;

	for (i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		if (strcmp(pages[i].path, path) == 0)
			return &pages[i];
	return NULL;
}
