/* SPDX-License-Identifier: ISC */
/*
 * The expectations of dotproxyctl: a daemon as it should be gives no finding,
 * and each single weakness gives its own, and no other.
 */
/* LINK: common/msg%.c common/imsg.c common/log.c common/util.c */
/* LINK: dotproxyctl/security.c dotproxyctl/data%.c dotproxyctl/proc%.c */
/* LINK: dotproxyctl/format.c dotproxyctl/text_process.c */
/* LINK: dotproxyctl/output_process.c dotproxyctl/text_summary.c */
/* LINK: dotproxyctl/json.c */
/* LIBS: -levent_core */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "dotproxyctl/output.h"
#include "dotproxyctl/security.h"
#include "tests/unit/ctl_data.h"
#include "tests/unit/ctl_weaken.h"

static struct data *
sound_data(void)
{
	struct data *d = ordinary_data();

	ordinary_look(d);
	return d;
}

/* The same, started by user 970. */
static struct data *
user_data(void)
{
	struct data *d = sound_data();
	struct proc_facts *parent = &d->facts[ROLE_PARENT];
	size_t i, j;

	for (i = 0; i < 4; i++)
		parent->uid[i] = parent->gid[i] = 970;
	parent->owner = 970;
	for (i = 0; i < CAPS_COUNT; i++)
		parent->caps[i] = 0;
	parent->caps[CAPS_BOUNDING] = 0x1fffeffffff;
	for (i = ROLE_LISTENER; i < ROLE_COUNT; i++) {
		d->processes[i].absent = 1u << LAYER_USER;
		d->facts[i].root_uid = 970;
		d->facts[i].root_mode = 0700;
		d->facts[i].ngroups = PROC_GROUPS_MAX + 1;
		for (j = 0; j < LIMIT_COUNT; j++)
			d->facts[i].limits[j] = j == LIMIT_NPROC ? 9999 : 0;
	}
	return d;
}

static void
finds(const struct data *d, enum info_role role, enum security_kind kind,
    const char *what, const char *text)
{
	struct security_report *r = malloc(sizeof(*r));

	assert_non_null(r);
	security_check(d, r);
	if (r->n != 1)
		fail_msg("%s: %zu findings", text, r->n);
	assert_string_equal(r->findings[0].text, text);
	assert_int_equal(r->findings[0].role, role);
	assert_int_equal(r->findings[0].kind, kind);
	assert_string_equal(r->findings[0].what, what);
	assert_int_equal(
	    security_has(r, role, SECURITY_WEAK), kind != SECURITY_NOTE);
	assert_false(security_has(r, role == ROLE_POOL ? 0 : ROLE_POOL, 0));
	free(r);
}

static void
sound_gives_nothing(void **state)
{
	struct security_report *r = malloc(sizeof(*r));
	struct data *d = sound_data();

	(void)state;
	assert_non_null(r);
	security_check(d, r);
	assert_int_equal(r->n, 0);
	assert_false(security_has(r, ROLE_COUNT, SECURITY_NOTE));
	/* An older kernel does not count filters; gid 970 may be a group. */
	d->facts[ROLE_POOL].filters = PROC_UNKNOWN;
	d->facts[ROLE_POOL].ngroups = 1;
	d->facts[ROLE_POOL].groups[0] = 970;
	d->facts[ROLE_PARENT].caps[CAPS_BOUNDING] = 0;
	security_check(d, r);
	assert_int_equal(r->n, 0);
	data_free(d);
	free(r);
}

typedef bool (*weaken)(
    struct data *, int n, const char **what, const char **text);

/* Every one of these, and how many there are. */
static void
each(weaken change, int want, enum info_role role, enum security_kind kind)
{
	const char *what = NULL, *text = NULL;
	struct data *d = sound_data();
	int n;

	for (n = 0; change(d, n, &what, &text); n++) {
		finds(d, role, kind, what, text);
		data_free(d);
		d = sound_data();
	}
	assert_int_equal(n, want);
	data_free(d);
}

static void
each_weakness_of_a_child(void **state)
{
	(void)state;
	each(weaken_privileges, 14, ROLE_POOL, SECURITY_WEAK);
	each(weaken_surroundings, 8, ROLE_POOL, SECURITY_WEAK);
	each(weaken_resources, 10, ROLE_POOL, SECURITY_WEAK);
}

static void
each_weakness_of_the_parent(void **state)
{
	(void)state;
	each(weaken_parent, 6, ROLE_PARENT, SECURITY_WEAK);
}

static void
what_cannot_be_told_is_an_error(void **state)
{
	struct data *d = sound_data();

	(void)state;
	each(mistake, 9, ROLE_LISTENER, SECURITY_ERROR);
	(void)strcpy(d->facts[ROLE_PARENT].exe, "/usr/sbin/dotproxyd");
	finds(d, ROLE_PARENT, SECURITY_ERROR, "executable",
	    "process 1000 runs the wrong executable: /usr/sbin/dotproxyd");
	data_free(d);
}

/* What the kernel, or the container, does not have is no weakness. */
static void
not_on_offer_is_a_note(void **state)
{
	struct data *d = sound_data();
	struct info_process *p = &d->processes[ROLE_POOL];

	(void)state;
	p->absent = 1u << LAYER_LANDLOCK;
	d->kernel.landlock_abi = 0;
	finds(d, ROLE_POOL, SECURITY_NOTE, "Landlock",
	    "Landlock is not on offer here");
	p->absent = 1u << LAYER_MDWE;
	d->kernel.mdwe = false;
	finds(d, ROLE_POOL, SECURITY_NOTE, "memory-deny-write-execute",
	    "memory-deny-write-execute is not on offer here");
	/* Namespaces take a capability that containers may not have. */
	p->absent = 1u << LAYER_NAMESPACES;
	d->facts[ROLE_PARENT].caps[CAPS_EFFECTIVE] = 0x405e0;
	d->facts[ROLE_POOL].ns[NS_UTS] = d->facts[ROLE_PARENT].ns[NS_UTS];
	finds(d, ROLE_POOL, SECURITY_NOTE, "namespaces",
	    "namespaces are shared with the parent: uts");
	p->absent = 0; /* it said it had them */
	finds(d, ROLE_POOL, SECURITY_WEAK, "namespaces",
	    "namespaces are shared with the parent: uts");
	data_free(d);
}

static void
replaced_executable_is_a_note(void **state)
{
	struct data *d = sound_data();

	(void)state;
	d->facts[ROLE_LISTENER].exe_deleted = true;
	finds(d, ROLE_LISTENER, SECURITY_NOTE, "executable",
	    "its file was replaced or removed since it was started");
	data_free(d);
}

/* Findings, without those that are the same for all of one user's. */
static size_t
of_user(const struct data *d, struct security_finding *first)
{
	struct security_report *r = malloc(sizeof(*r));
	size_t i, n = 0, notes = 0;

	assert_non_null(r);
	security_check(d, r);
	for (i = 0; i < r->n; i++) {
		if (strcmp(r->findings[i].what, "user") == 0) {
			assert_int_equal(r->findings[i].kind, SECURITY_NOTE);
			assert_string_equal(r->findings[i].text,
			    "not started as root: runs as the same user as "
			    "the parent, uid 970");
			notes++;
		} else if (n++ == 0)
			*first = r->findings[i];
	}
	assert_int_equal(notes, 2);
	free(r);
	return n;
}

static void
started_by_a_user(void **state)
{
	struct security_finding found;
	struct data *d = user_data();
	struct proc_facts *f = &d->facts[ROLE_POOL];
	struct info_process *p = &d->processes[ROLE_POOL];

	(void)state;
	assert_int_equal(of_user(d, &found), 0);
	/* In a user namespace: promised all the same. */
	f->caps[CAPS_BOUNDING] = 1;
	assert_int_equal(of_user(d, &found), 1);
	assert_int_equal(found.kind, SECURITY_WEAK);
	/* Without: as it was started, and told. */
	p->absent |= 1u << LAYER_CAPABILITIES;
	assert_int_equal(of_user(d, &found), 1);
	assert_int_equal(found.kind, SECURITY_NOTE);
	assert_string_equal(found.what, "capabilities");
	f->caps[CAPS_BOUNDING] = 0;
	f->root_ino = d->facts[ROLE_PARENT].root_ino;
	assert_int_equal(of_user(d, &found), 1);
	assert_int_equal(found.kind, SECURITY_WEAK);
	p->absent |= 1u << LAYER_ROOT_DIR;
	assert_int_equal(of_user(d, &found), 1);
	assert_int_equal(found.kind, SECURITY_NOTE);
	assert_string_equal(found.what, "root directory");
	f->root_ino++;
	f->ns[NS_NET] = d->facts[ROLE_PARENT].ns[NS_NET];
	assert_int_equal(of_user(d, &found), 1);
	assert_int_equal(found.kind, SECURITY_WEAK);
	p->absent |= 1u << LAYER_NAMESPACES;
	assert_int_equal(of_user(d, &found), 1);
	assert_int_equal(found.kind, SECURITY_NOTE);
	assert_string_equal(found.what, "namespaces");
	data_free(d);
}

static void
user_has_no_excuse(void **state)
{
	struct security_finding found;
	struct data *d = user_data();
	struct proc_facts *f = &d->facts[ROLE_POOL];
	struct info_process *p = &d->processes[ROLE_POOL];

	(void)state;
	/* These need no privilege, and have no excuse. */
	f->seccomp = 0;
	assert_int_equal(of_user(d, &found), 1);
	assert_int_equal(found.kind, SECURITY_WEAK);
	f->seccomp = 2;
	f->owner = 970;
	assert_int_equal(of_user(d, &found), 1);
	assert_int_equal(found.kind, SECURITY_WEAK);
	f->owner = 0;
	p->absent |= 1u << LAYER_LANDLOCK;
	assert_int_equal(of_user(d, &found), 1);
	assert_int_equal(found.kind, SECURITY_WEAK);
	data_free(d);
}

static void
user_does_not_see_all(void **state)
{
	struct security_finding found;
	struct data *d = user_data();
	struct proc_facts *f = &d->facts[ROLE_POOL];

	(void)state;
	/* Who is not root does not see everything, and is told so. */
	d->kernel.root = false;
	f->have &= ~(1u << PROC_EXE | 1u << PROC_ROOT);
	assert_int_equal(of_user(d, &found), 1);
	assert_int_equal(found.kind, SECURITY_NOTE);
	assert_string_equal(found.text,
	    "only root may see whether all is well: executable, root "
	    "directory");
	f->have = (1u << PROC_PART_COUNT) - 1;
	d->facts[ROLE_PARENT].caps[CAPS_EFFECTIVE] = 0x400;
	assert_int_equal(of_user(d, &found), 0); /* for port 53 */
	d->facts[ROLE_PARENT].caps[CAPS_EFFECTIVE] = 0x401;
	assert_int_equal(of_user(d, &found), 1);
	assert_int_equal(found.kind, SECURITY_NOTE);
	data_free(d);
}

/* Everything wrong at once: the report is full, and no more than that. */
static void
worst_of_all(void **state)
{
	struct security_report *r = malloc(sizeof(*r));
	struct data *d = worst_data();
	size_t i;

	(void)state;
	assert_non_null(r);
	for (i = 0; i < ROLE_COUNT; i++) {
		d->processes[i].pid = (uint32_t)(1000 + i);
		ordinary_facts(&d->facts[i], (enum info_role)i);
		memset(d->facts[i].caps, 0xff, sizeof(d->facts[i].caps));
		memset(d->facts[i].limits, 0xff, sizeof(d->facts[i].limits));
		memset(d->facts[i].fds, 'x', sizeof(d->facts[i].fds));
		d->facts[i].fds[0].example[PROC_PATH_MAX - 1] = '\0';
		d->facts[i].ngroups = UINT32_MAX;
		d->facts[i].seccomp = d->facts[i].no_new_privs = 0;
	}
	for (i = 0; i < ROLE_COUNT * FD_COUNT; i++)
		d->facts[i / FD_COUNT].fds[i % FD_COUNT].example[500] = '\0';
	security_check(d, r);
	assert_in_range(r->n, 40, SECURITY_FINDINGS_MAX - 1);
	for (i = 0; i < ROLE_COUNT; i++)
		assert_true(security_has(r, (enum info_role)i, SECURITY_WEAK));
	data_free(d);
	free(r);
}

/* --- how they are told --- */

static char *
told(const struct security_report *r, bool json)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	if (json)
		assert_int_equal(output_json_security(out, r), 0);
	else
		text_security(out, r);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void
report_is_told(void **state)
{
	struct security_report *r = malloc(sizeof(*r));
	struct data *d = sound_data();
	struct proc_facts *f = &d->facts[ROLE_POOL];
	char *text;

	(void)state;
	assert_non_null(r);
	security_check(d, r);
	text = told(r, false);
	assert_string_equal(text, "parent: ok\nlistener: ok\npool: ok\n");
	free(text);
	text = told(r, true);
	assert_string_equal(
	    text, "{\"ok\":true,\"secure\":true,\"findings\":[]}\n");
	free(text);
	d->facts[ROLE_LISTENER].exe_deleted = true;
	f->no_new_privs = 0;
	f->fds[FD_FILE].n = 1;
	(void)strcpy(f->fds[FD_FILE].example, "/a\n\033b");
	security_check(d, r);
	text = told(r, false);
	assert_string_equal(text,
	    "parent: ok\n"
	    "listener: note: its file was replaced or removed since it was "
	    "started\n"
	    "listener: ok, but see the notes\n"
	    "pool: may gain privileges by executing a program\n"
	    "pool: open descriptors of kind file: 1, such as "
	    "/a\\012\\033b\n");
	free(text);
	text = told(r, true);
	assert_string_equal(text,
	    "{\"ok\":true,\"secure\":false,\"findings\":[{\"role\":"
	    "\"listener\",\"kind\":\"note\",\"what\":\"executable\",\"text\":"
	    "\"its file was replaced or removed since it was started\"},"
	    "{\"role\":\"pool\",\"kind\":\"weak\",\"what\":"
	    "\"no new privileges\",\"text\":"
	    "\"may gain privileges by executing a program\"},"
	    "{\"role\":\"pool\",\"kind\":\"weak\",\"what\":\"descriptors\","
	    "\"text\":\"open descriptors of kind file: 1, such as "
	    "/a\\n\\u001bb\"}]}\n");
	free(text);
	data_free(d);
	free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sound_gives_nothing),
		cmocka_unit_test(each_weakness_of_a_child),
		cmocka_unit_test(each_weakness_of_the_parent),
		cmocka_unit_test(what_cannot_be_told_is_an_error),
		cmocka_unit_test(not_on_offer_is_a_note),
		cmocka_unit_test(replaced_executable_is_a_note),
		cmocka_unit_test(started_by_a_user),
		cmocka_unit_test(user_has_no_excuse),
		cmocka_unit_test(user_does_not_see_all),
		cmocka_unit_test(worst_of_all),
		cmocka_unit_test(report_is_told),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
