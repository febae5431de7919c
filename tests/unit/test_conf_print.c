/* SPDX-License-Identifier: ISC */
/*
 * Every case in tests/conf/ and the example that is installed.  A .conf with
 * an .ok must parse and print as that; one with an .err must lead to exactly
 * those errors.  Whatever is printed must parse and print as the same again.
 * Runs at the top of the tree.
 */
/* LINK: dotproxy/parent/conf_parse.y dotproxy/parent/conf_%.c */
/* LINK: common/log.c common/util.c */
/* LIBS: -lyaml */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <sys/stat.h>

#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <unistd.h>

#include "dotproxy/parent/conf_print.h"
#include "tests/unit/conf_text.h"

#define EXAMPLE "etc/dotproxy.conf"
#define MANUAL "docs/dotproxy.conf.5"

/* The cases are tested in a copy: the tree may be anybody's, of any mode. */
struct cases {
	char top[4096]; /* of the tree */
	char copy[64];
	glob_t confs;
};

/* Reads a whole file; the caller frees it.  NULL if there is none. */
static char *
read_file(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = NULL;
	size_t size = 0;

	if (f == NULL)
		return NULL;
	if (getdelim(&text, &size, EOF, f) == -1) {
		free(text);
		text = calloc(1, 1); /* empty */
	}
	(void)fclose(f);
	return text;
}

static char *
print(const struct conf *conf)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	assert_int_equal(conf_print(conf, f), 0);
	assert_int_equal(fclose(f), 0);
	return text;
}

/* Parses what was printed: it must print as the same. */
static void
expect_fixed_point(const char *printed)
{
	struct conf *again = conf_text_ok(printed);
	char *text = print(again);

	assert_string_equal(text, printed);
	free(text);
	free(again);
}

/* Returns base.suffix in place of base.conf; valid until the next call. */
static const char *
beside(char buf[256], const char *conf, const char *suffix)
{
	int stem = (int)(strlen(conf) - strlen(".conf"));

	(void)snprintf(buf, 256, "%.*s.%s", stem, conf, suffix);
	return buf;
}

static void
run_case(void **state)
{
	const char *name = *state;
	struct conf_errors errs;
	char buf[256], *printed, *ok, *err;
	struct conf *conf;

	conf = conf_parse_unchecked(name, NULL, 0, &errs);
	ok = read_file(beside(buf, name, "ok"));
	err = read_file(beside(buf, name, "err"));
	assert_true((ok != NULL) != (err != NULL));
	if (err != NULL) {
		assert_null(conf);
		assert_string_equal(errs.text, err);
	} else {
		assert_string_equal(errs.text, "");
		assert_non_null(conf);
		printed = print(conf);
		assert_string_equal(printed, ok);
		expect_fixed_point(printed);
		free(printed);
	}
	free(ok);
	free(err);
	free(conf);
}

static void
example_is_right(void **state)
{
	struct conf_errors errs;
	struct conf *conf;
	char *printed;

	(void)state;
	conf = conf_parse_unchecked("dotproxy.conf", NULL, 0, &errs);
	assert_string_equal(errs.text, "");
	assert_non_null(conf);
	printed = print(conf);
	expect_fixed_point(printed);
	free(printed);
	free(conf);
}

/* The keywords a printed line begins with. */
static size_t
keywords_length(const char *line)
{
	size_t len = 0, word;

	for (;;) {
		word = strspn(line + len, "abcdefghijklmnopqrstuvwxyz");
		if (word == 0 || line[len + word] != ' ')
			return len > 0 ? len - 1 : 0;
		len += word + 1;
	}
}

/* full.ok has every setting there is. */
static void
manual_has_every_setting(void **state)
{
	char *text = read_file("full.ok"), *manual, *line, *rest;
	char item[128];
	size_t len, found = 0;

	(void)state;
	manual = read_file("dotproxy.conf.5");
	assert_non_null(text);
	assert_non_null(manual);
	for (line = strtok_r(text, "\n\t", &rest); line != NULL;
	     line = strtok_r(NULL, "\n\t", &rest)) {
		if ((len = keywords_length(line)) == 0)
			continue;
		(void)snprintf(item, sizeof(item), "Ic %.*s ", (int)len, line);
		if (strstr(manual, item) == NULL)
			fail_msg("%s: not in the manual", item);
		found++;
	}
	assert_true(found > 25);
	free(text);
	free(manual);
}

static void
write_errors_are_noticed(void **state)
{
	struct conf *conf = conf_text_ok(CONF_TEXT_BASE);
	FILE *f = fopen("/dev/full", "w");

	(void)state;
	if (f == NULL)
		skip();
	assert_int_equal(setvbuf(f, NULL, _IONBF, 0), 0);
	assert_int_equal(conf_print(conf, f), -1);
	(void)fclose(f);
	free(conf);
}

static int
copy_file(const char *from, const char *to)
{
	char *text = NULL;
	size_t size = 0;
	ssize_t len;
	FILE *f = fopen(from, "r"), *t = fopen(to, "w");
	int ok = f != NULL && t != NULL;

	/* Some have NUL bytes: no string functions. */
	while (ok && (len = getdelim(&text, &size, '\n', f)) != -1)
		ok = fwrite(text, 1, (size_t)len, t) == (size_t)len;
	free(text);
	if (f != NULL)
		(void)fclose(f);
	if (t != NULL && (fclose(t) == EOF || chmod(to, 0600) == -1))
		ok = 0;
	return ok ? 0 : -1;
}

/* Copies tests/conf/ and what is in its one folder, and goes there. */
static int
enter_copy(struct cases *c)
{
	const char *const patterns[] = { "tests/conf/*.*",
		"tests/conf/include/*", EXAMPLE, MANUAL };
	char to[4096];
	const char *name;
	glob_t g;
	size_t i, j;

	(void)snprintf(c->copy, sizeof(c->copy), "/tmp/test_conf.XXXXXX");
	if (getcwd(c->top, sizeof(c->top)) == NULL || mkdtemp(c->copy) == NULL)
		return -1;
	(void)snprintf(to, sizeof(to), "%s/include", c->copy);
	if (mkdir(to, 0700) == -1)
		return -1;
	for (i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
		if (glob(patterns[i], 0, NULL, &g) != 0)
			return -1;
		for (j = 0; j < g.gl_pathc; j++) {
			name = strrchr(g.gl_pathv[j], '/') + 1;
			(void)snprintf(to, sizeof(to), "%s/%s%s", c->copy,
			    i == 1 ? "include/" : "", name);
			if (copy_file(g.gl_pathv[j], to) == -1)
				return -1;
		}
		globfree(&g);
	}
	return chdir(c->copy) == -1 || glob("*.conf", 0, NULL, &c->confs) != 0
		   ? -1
		   : 0;
}

static int
remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

int
main(void)
{
	struct cases c;
	struct CMUnitTest *tests;
	size_t i, n = 0;
	int failed;

	if (enter_copy(&c) == -1) {
		perror("tests/conf");
		return 1;
	}
	tests = calloc(c.confs.gl_pathc + 3, sizeof(*tests));
	if (tests == NULL)
		return 1;
	for (i = 0; i < c.confs.gl_pathc; i++) {
		tests[n].name = c.confs.gl_pathv[i];
		tests[n].initial_state = c.confs.gl_pathv[i];
		tests[n].test_func = run_case;
		if (strcmp(tests[n].name, "dotproxy.conf") == 0)
			tests[n].test_func = example_is_right;
		n++;
	}
	tests[n].name = "manual_has_every_setting";
	tests[n++].test_func = manual_has_every_setting;
	tests[n].name = "write_errors_are_noticed";
	tests[n++].test_func = write_errors_are_noticed;

	cmocka_set_message_output(CM_OUTPUT_TAP);
	failed = _cmocka_run_group_tests("conf", tests, n, NULL, NULL);
	free(tests);
	globfree(&c.confs);
	if (chdir(c.top) == -1 ||
	    nftw(c.copy, remove_entry, 8, FTW_DEPTH | FTW_PHYS) != 0)
		perror(c.copy);
	return failed;
}
