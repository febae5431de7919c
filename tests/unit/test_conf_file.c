/* SPDX-License-Identifier: ISC */
/*
 * The files of the configuration: who may have written them, what they may
 * include, and which certificates can be used.
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

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "dotproxy/parent/conf_file.h"
#include "dotproxy/parent/conf_lex.h"
#include "tests/unit/alloc_fail.h"
#include "tests/unit/conf_text.h"

#define CERT "-----BEGIN CERTIFICATE-----\n"

static void
write_file(const char *name, const char *text)
{
	FILE *f = fopen(name, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(name, 0600), 0);
}

static void
expect_bad(const char *path, const char *want)
{
	struct conf_errors errs;
	struct conf *conf = conf_parse_unchecked(path, NULL, 0, &errs);

	assert_null(conf);
	assert_string_equal(errs.text, want);
}

static struct conf *
expect_ok(const char *path)
{
	struct conf_errors errs;
	struct conf *conf = conf_parse_unchecked(path, NULL, 0, &errs);

	assert_string_equal(errs.text, "");
	assert_non_null(conf);
	return conf;
}

/* Every test has an empty directory of its own, and is in it. */
static int
enter_directory(void **state)
{
	char *dir = strdup("/tmp/test_conf_file.XXXXXX");

	if (dir == NULL || mkdtemp(dir) == NULL || chdir(dir) == -1)
		return -1;
	*state = dir;
	return 0;
}

static int
leave_directory(void **state)
{
	char *dir = *state;
	struct dirent *e;
	DIR *d = opendir(".");

	while (d != NULL && (e = readdir(d)) != NULL)
		if (unlinkat(dirfd(d), e->d_name, 0) == -1)
			(void)unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
	if (d == NULL || closedir(d) == -1 || chdir("/") == -1 ||
	    rmdir(dir) == -1)
		return -1;
	free(dir);
	return 0;
}

static void
refuses_what_others_can_write(void **state)
{
	(void)state;
	write_file("a.conf", CONF_TEXT_BASE);
	assert_int_equal(chmod("a.conf", 0644), 0);
	free(expect_ok("a.conf"));
	assert_int_equal(chmod("a.conf", 0664), 0);
	expect_bad(
	    "a.conf", "a.conf: group or world writable: chmod go-w it\n");
	assert_int_equal(chmod("a.conf", 0602), 0);
	expect_bad(
	    "a.conf", "a.conf: group or world writable: chmod go-w it\n");
	if (getuid() != 0)
		return; /* only root can give a file away */
	assert_int_equal(chmod("a.conf", 0600), 0);
	assert_int_equal(chown("a.conf", 65534, 0), 0);
	expect_bad(
	    "a.conf", "a.conf: owner not root or current user: chown it\n");
}

static void
refuses_what_is_no_file(void **state)
{
	char *big;

	(void)state;
	expect_bad("none.conf", "none.conf: No such file or directory\n");
	assert_int_equal(mkdir("dir.conf", 0700), 0);
	expect_bad("dir.conf", "dir.conf: not a regular file\n");
	assert_int_equal(mkfifo("fifo.conf", 0600), 0);
	expect_bad("fifo.conf", "fifo.conf: not a regular file\n");
	expect_bad("/dev/null", "/dev/null: not a regular file\n");
	if (getuid() != 0) {
		write_file("mine.conf", "");
		assert_int_equal(chmod("mine.conf", 0), 0);
		expect_bad("mine.conf", "mine.conf: Permission denied\n");
	}

	/* The limit itself is fine: blanks and the base. */
	big = malloc(CONF_FILE_SIZE_MAX + 2);
	assert_non_null(big);
	memset(big, ' ', CONF_FILE_SIZE_MAX + 1);
	memcpy(big, CONF_TEXT_BASE, sizeof(CONF_TEXT_BASE) - 1);
	big[CONF_FILE_SIZE_MAX] = '\0';
	write_file("big.conf", big);
	free(expect_ok("big.conf"));
	big[CONF_FILE_SIZE_MAX] = ' ';
	big[CONF_FILE_SIZE_MAX + 1] = '\0';
	write_file("big.conf", big);
	expect_bad("big.conf", "big.conf: file too large\n");
	free(big);
}

static void
a_link_is_as_good_as_its_file(void **state)
{
	(void)state;
	write_file("real", CONF_TEXT_BASE);
	assert_int_equal(symlink("real", "link.conf"), 0);
	free(expect_ok("link.conf"));
}

static void
includes_are_checked_too(void **state)
{
	(void)state;
	write_file("a.conf", CONF_TEXT_BASE "include \"b.inc\"\n");
	expect_bad(
	    "a.conf", "a.conf:6: include b.inc: No such file or directory\n");
	write_file("b.inc", "retries 2");
	free(expect_ok("a.conf"));
	assert_int_equal(chmod("b.inc", 0666), 0);
	expect_bad("a.conf", "a.conf:6: include b.inc: group or world "
			     "writable: chmod go-w it\n");
	write_file("b.inc", "\nretries 1\nretires 2");
	expect_bad("a.conf", "b.inc:3: unknown keyword \"retires\" "
			     "(did you mean \"retries\"?)\n");
}

/* Relative to the including file, wherever the process is. */
static void
includes_are_found_beside_their_file(void **state)
{
	char path[256], text[512];

	assert_int_equal(mkdir("sub", 0700), 0);
	write_file("sub/a.conf",
	    CONF_TEXT_BASE "include \"b.inc\"\ninclude \"../c.inc\"\n");
	write_file("sub/b.inc", "include \"d.inc\"\n");
	write_file("sub/d.inc", "retries 2\n");
	write_file("c.inc", "policy random\n");
	free(expect_ok("sub/a.conf"));
	(void)snprintf(path, sizeof(path), "%s/sub/a.conf", (char *)*state);
	free(expect_ok(path));
	(void)snprintf(text, sizeof(text), "include \"%s\"\n", path);
	write_file("abs.conf", text);
	free(expect_ok("abs.conf"));
	assert_int_equal(unlink("sub/d.inc"), 0);
	expect_bad("sub/a.conf",
	    "sub/b.inc:1: include sub/d.inc: No such file or directory\n");
	assert_int_equal(unlink("sub/a.conf"), 0);
	assert_int_equal(unlink("sub/b.inc"), 0);
}

static void
includes_nest_sixteen_deep(void **state)
{
	char name[32], text[64];
	struct conf *conf;
	int i;

	(void)state;
	write_file("0.inc", CONF_TEXT_BASE "include \"1.inc\"\nretries 3\n");
	for (i = 1; i < LEX_INCLUDE_DEPTH_MAX; i++) {
		(void)snprintf(name, sizeof(name), "%d.inc", i);
		(void)snprintf(
		    text, sizeof(text), "include \"%d.inc\"\n", i + 1);
		write_file(name, text);
	}
	write_file("16.inc", "policy random\n");
	conf = expect_ok("0.inc");
	assert_int_equal(conf->forward.policy, POLICY_RANDOM);
	assert_int_equal(conf->forward.retries, 3);
	free(conf);
	write_file("16.inc", "include \"17.inc\"\n");
	write_file("17.inc", "");
	expect_bad("0.inc",
	    "16.inc:1: include \"17.inc\" is nested too deep (16 at most)\n");
}

/* Two includes of itself at each of 16 levels would be 65536 files. */
static void
includes_are_counted(void **state)
{
	struct conf_errors errs;
	FILE *f;
	int i;

	(void)state;
	write_file("empty.inc", "");
	f = fopen("a.conf", "w");
	assert_non_null(f);
	for (i = 0; i <= LEX_INCLUDES_MAX; i++)
		(void)fputs("include \"empty.inc\"\n", f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod("a.conf", 0600), 0);
	expect_bad("a.conf", "a.conf:257: too many includes (256 at most)\n");
	write_file("b.conf", "include \"b.conf\"\ninclude \"b.conf\"\n");
	assert_null(conf_parse_unchecked("b.conf", NULL, 0, &errs));
	assert_true(conf_errors_full(&errs));
}

static void
texts_include_nothing(void **state)
{
	(void)state;
	write_file("b.inc", "retries 2\n");
	conf_text_bad(CONF_TEXT_BASE "include \"b.inc\"\n",
	    "t:6: include is not possible here\n");
}

static void
certificates_are_looked_for(void **state)
{
	char text[20000];

	(void)state;
	assert_string_equal(
	    conf_file_check_ca("none.pem"), "No such file or directory");
	assert_string_equal(conf_file_check_ca("."), "not a regular file");
	write_file("ca.pem", "");
	assert_string_equal(
	    conf_file_check_ca("ca.pem"), "no certificate in it");
	write_file("ca.pem", "-----BEGIN PRIVATE KEY-----\n");
	assert_string_equal(
	    conf_file_check_ca("ca.pem"), "no certificate in it");
	write_file("ca.pem", CERT);
	assert_null(conf_file_check_ca("ca.pem"));
	/* It may lie across any border of the pieces it is read in. */
	for (size_t at = 16384 - sizeof(CERT) - 2; at < 16384 + 2; at++) {
		memset(text, '-', sizeof(text));
		memcpy(text + at, "\n" CERT, sizeof(CERT));
		text[at + sizeof(CERT)] = '\0';
		write_file("ca.pem", text);
		assert_null(conf_file_check_ca("ca.pem"));
		text[at + sizeof(CERT) - 3] = '\0';
		write_file("ca.pem", text);
		assert_non_null(conf_file_check_ca("ca.pem"));
	}
}

/* Each upstream's file, with the line which names it or the upstream's own. */
static void
certificates_of_upstreams_are_checked(void **state)
{
	static const struct conf_macro bad = { "bundle",
		"/nonexistent/ca.pem" };
	char path[128], want[512];
	struct conf_macro good = { "bundle", path };
	struct conf_errors errs;
	struct conf *conf;

	write_file("a.conf",
	    "listen on ::1\nupstream u { address ::1\nserver name x\n"
	    "ca file $bundle\n}\nupstream v { address ::1\nserver name x\n"
	    "ca file $bundle\n}\n");
	assert_null(conf_parse("a.conf", &bad, 1, &errs));
	assert_string_equal(errs.text,
	    "a.conf:4: ca file /nonexistent/ca.pem: No such file or directory\n"
	    "a.conf:8: ca file /nonexistent/ca.pem: No such file or "
	    "directory\n");
	(void)snprintf(path, sizeof(path), "%s/ca.pem", (char *)*state);
	write_file("ca.pem", "no\n");
	(void)snprintf(want, sizeof(want),
	    "a.conf:4: ca file %s: no certificate in it\n"
	    "a.conf:8: ca file %s: no certificate in it\n",
	    path, path);
	assert_null(conf_parse("a.conf", &good, 1, &errs));
	assert_string_equal(errs.text, want);
	write_file("ca.pem", CERT);
	conf = conf_parse("a.conf", &good, 1, &errs);
	assert_non_null(conf);
	assert_string_equal(conf->upstreams[0].ca_file, path);
	free(conf);
}

/* A path of any bytes cannot forge lines of errors. */
static void
paths_in_errors_are_escaped(void **state)
{
	(void)state;
	expect_bad(
	    "a\nb: \033[1m", "a\\012b: \\033[1m: No such file or directory\n");
}

#define TEST(f) \
	cmocka_unit_test_setup_teardown(f, enter_directory, leave_directory)

/* All that takes memory: macros, lists, strings, numbers, blocks. */
static bool
parse_much(void)
{
	static const char text[] =
	    "lan = \"192.168.0.0/16\"\n"
	    "host = \"one.example\"\n"
	    "allow { 127.0.0.0/8 ::1 $lan }\n"
	    "query timeout 4s\n"
	    "client {\n\tmax inflight 100\n}\n"
	    "metrics statsd 127.0.0.1 port 8125 sample rate 0.5\n"
	    "listen on 127.0.0.1\n"
	    "upstream \"one\" {\n"
	    "\taddress 192.0.2.1\n"
	    "\tserver name $host\n"
	    "}\n";
	const struct conf_macro macro = { .name = "host",
		.value = "two.example" };
	struct conf_errors errs;
	struct conf *conf =
	    conf_parse_text("t", text, sizeof(text) - 1, &macro, 1, &errs);

	/* Nothing is left out silently. */
	assert_true((conf == NULL) == (errs.count > 0));
	if (conf == NULL) {
		if (strstr(errs.text, "out of memory") == NULL)
			fail_msg("%s", errs.text);
		return false;
	}
	assert_string_equal(conf->upstreams[0].server_name, "two.example");
	assert_int_equal(conf->nallow, 3);
	assert_int_equal(conf->client.max_inflight, 100);
	free(conf);
	return true;
}

static bool
parse_file_with_include(void)
{
	struct conf_errors errs;
	struct conf *conf = conf_parse_unchecked("a", NULL, 0, &errs);

	assert_true((conf == NULL) == (errs.count > 0));
	if (conf == NULL && strstr(errs.text, "out of memory") == NULL &&
	    strstr(errs.text, strerror(ENOMEM)) == NULL)
		fail_msg("%s", errs.text);
	free(conf);
	return errs.count == 0;
}

static void
each_allocation_fails(void **state)
{
	(void)state;
	write_file("a", "include \"sub/b\"\n" CONF_TEXT_BASE);
	assert_int_equal(mkdir("sub", 0700), 0);
	write_file("sub/b", "query timeout 3s\n");
	ALLOC_FAIL_EACH(parse_file_with_include);
	ALLOC_FAIL_EACH(parse_much);
	assert_int_equal(unlink("sub/b"), 0);
	assert_int_equal(rmdir("sub"), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(refuses_what_others_can_write),
		TEST(refuses_what_is_no_file),
		TEST(a_link_is_as_good_as_its_file),
		TEST(includes_are_checked_too),
		TEST(includes_are_found_beside_their_file),
		TEST(includes_nest_sixteen_deep),
		TEST(includes_are_counted),
		TEST(texts_include_nothing),
		TEST(certificates_are_looked_for),
		TEST(certificates_of_upstreams_are_checked),
		TEST(paths_in_errors_are_escaped),
		TEST(each_allocation_fails),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
