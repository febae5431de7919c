/* SPDX-License-Identifier: ISC */
/*
 * Reads the configuration in whichever language it is: by the name of its
 * file.  Runs in the parent, at the start and, locked up, at a reload.  A file
 * of either language must be one that nobody else could have written.
 */
#include "dotproxy/parent/parent.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "dotproxy/parent/conf_file.h"
#include "dotproxy/parent/conf_yaml.h"

/* A kernel that was started without IPv6 has no list of its addresses. */
static bool
have_ipv6(void)
{
	int fd = open("/proc/net/if_inet6", O_RDONLY | O_CLOEXEC);

	if (fd == -1)
		return false;
	(void)close(fd); /* nothing was written */
	return true;
}

static void
log_notes(const char *path, const struct conf_yaml_notes *notes)
{
	const char *line = notes->warnings.text, *end;

	for (; (end = strchr(line, '\n')) != NULL; line = end + 1)
		log_warnx("%.*s", (int)(end - line), line);
	log_info("%s: as the dotproxy written in Go reads it, but: %s", path,
	    notes->differences);
}

static struct conf *
load_yaml(const struct parent_options *o, struct conf_errors *errs)
{
	struct conf_origin at = { .file = o->conf_path };
	struct conf_yaml_notes *notes = malloc(sizeof(*notes));
	struct conf *conf = NULL;
	const char *why;
	char *text = NULL;
	size_t len;

	conf_errors_clear(errs);
	why = notes == NULL    ? "out of memory"
	      : o->nmacros > 0 ? "YAML has no macros: -D is not possible"
			       : conf_file_read(o->conf_path, &text, &len);
	if (why != NULL)
		conf_errors_add(errs, at, "%s", why);
	else
		conf = conf_yaml_text(
		    o->conf_path, text, len, have_ipv6(), true, errs, notes);
	if (conf != NULL)
		log_notes(o->conf_path, notes);
	free(text);
	free(notes);
	return conf;
}

struct conf *
conf_load(const struct parent_options *o, struct conf_errors *errs)
{
	if (conf_yaml_is(o->conf_path))
		return load_yaml(o, errs);
	return conf_parse(o->conf_path, o->macros, o->nmacros, errs);
}
