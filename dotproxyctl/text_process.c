/* SPDX-License-Identifier: ISC */
/*
 * "show processes" and "check security" as text.  Runs in dotproxyctl.  Facts
 * that may not be read are shown as "?".  No line of "show processes" is
 * longer than 80 columns, whatever the daemon and the kernel say.
 */
#include <inttypes.h>
#include <linux/capability.h>
#include <string.h>

#include "common/log.h"

#include "dotproxyctl/format.h"
#include "dotproxyctl/output.h"

#define LIST_MAX 512

/* "a, b, c" */
static void
append(char list[LIST_MAX], const char *item)
{
	size_t len = strlen(list);

	(void)snprintf(
	    list + len, LIST_MAX - len, "%s%s", len > 0 ? ", " : "", item);
}

/* The names of the capabilities a parent has; of any other set, its number. */
static const char *
caps_text(char list[LIST_MAX], uint64_t caps)
{
	static const struct {
		unsigned int bit;
		const char *name;
	} known[] = { { CAP_KILL, "kill" }, { CAP_SETGID, "setgid" },
		{ CAP_SETUID, "setuid" }, { CAP_SETPCAP, "setpcap" },
		{ CAP_NET_BIND_SERVICE, "net_bind_service" },
		{ CAP_SYS_CHROOT, "sys_chroot" },
		{ CAP_SYS_ADMIN, "sys_admin" } };
	uint64_t left = caps;
	size_t i;

	list[0] = '\0';
	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if ((caps & UINT64_C(1) << known[i].bit) == 0)
			continue;
		append(list, known[i].name);
		left &= ~(UINT64_C(1) << known[i].bit);
	}
	if (left != 0)
		(void)snprintf(list, LIST_MAX, "%016" PRIx64, caps);
	return caps == 0 ? "none" : list;
}

static const char *
kb_text(char buf[FORMAT_MAX], uint64_t kb)
{
	if (kb == PROC_UNKNOWN)
		return "?";
	if (kb < 10000)
		(void)snprintf(buf, FORMAT_MAX, "%" PRIu64 " kB", kb);
	else
		(void)snprintf(buf, FORMAT_MAX, "%" PRIu64 ".%" PRIu64 " MB",
		    kb / 1024, kb % 1024 * 10 / 1024);
	return buf;
}

static void
put_ids(FILE *out, const char *name, const uint32_t ids[4])
{
	if (ids[0] == ids[1] && ids[0] == ids[2] && ids[0] == ids[3])
		format_field(out, name, "%u", ids[0]);
	else
		format_field(out, name,
		    "real %u, effective %u, saved %u, file system %u", ids[0],
		    ids[1], ids[2], ids[3]);
}

static void
put_user(FILE *out, const struct proc_facts *f)
{
	char list[LIST_MAX] = "", n[FORMAT_MAX];
	uint32_t i;

	put_ids(out, "uid", f->uid);
	put_ids(out, "gid", f->gid);
	for (i = 0; i < f->ngroups && i < PROC_GROUPS_MAX; i++) {
		(void)snprintf(n, sizeof(n), "%u", f->groups[i]);
		append(list, n);
	}
	if (f->ngroups > PROC_GROUPS_MAX)
		append(list, "...");
	format_field(out, "groups", "%s", f->ngroups == 0 ? "none" : list);
}

static void
put_caps(FILE *out, const struct proc_facts *f)
{
	char effective[LIST_MAX], bounding[LIST_MAX];
	const char *a = caps_text(effective, f->caps[CAPS_EFFECTIVE]);
	const char *b = caps_text(bounding, f->caps[CAPS_BOUNDING]);

	if (f->caps[CAPS_EFFECTIVE] == f->caps[CAPS_BOUNDING])
		format_field(
		    out, "capabilities", "effective and bounding: %s", a);
	else
		format_field(
		    out, "capabilities", "effective: %s; bounding: %s", a, b);
}

static void
put_status(FILE *out, const struct proc_facts *f)
{
	char n[FORMAT_MAX];

	put_user(out, f);
	put_caps(out, f);
	if (f->seccomp != 2)
		format_field(out, "system calls",
		    "not filtered (mode %" PRIu64 ")", f->seccomp);
	else
		format_field(out, "system calls",
		    "filtered (mode 2, filters: %s)",
		    f->filters == PROC_UNKNOWN ? "?"
					       : format_exact(n, f->filters));
	format_field(out, "privileges", "%s",
	    f->no_new_privs == 1 ? "no new ones" : "new ones are possible");
}

static void
put_root(FILE *out, const struct proc_facts *f)
{
	if (!proc_has(f, PROC_ROOT))
		format_field(out, "root", "?");
	else
		format_field(out, "root", "%s%s", f->root,
		    f->root_empty ? " (empty)" : "");
}

static void
put_ns(FILE *out, const struct proc_facts *f, const struct proc_facts *parent)
{
	char own[LIST_MAX] = "", shared[LIST_MAX] = "";
	size_t i;

	if (!proc_has(f, PROC_NS) || !proc_has(parent, PROC_NS)) {
		format_field(out, "namespaces", "?");
		return;
	}
	for (i = 0; i < NS_COUNT; i++)
		append(f->ns[i] == parent->ns[i] ? shared : own,
		    proc_ns_name((enum proc_ns)i));
	format_field(out, "namespaces", "own: %s; shared with the parent: %s",
	    own[0] != '\0' ? own : "none", shared[0] != '\0' ? shared : "none");
}

/* What a child said when it was confined; the kernel does not show it. */
static void
put_told(FILE *out, const struct data *d, const struct info_process *p)
{
	char list[LIST_MAX] = "", offer[FORMAT_MAX] = "not offered";
	unsigned int i;

	if (d->kernel.landlock_abi > 0)
		(void)snprintf(offer, sizeof(offer), "offered: ABI %u",
		    d->kernel.landlock_abi);
	format_field(out, "Landlock", "%s (%s)",
	    (p->absent & 1u << LAYER_LANDLOCK) != 0 ? "no" : "yes", offer);
	format_field(out, "MDWE", "%s (%s)",
	    (p->absent & 1u << LAYER_MDWE) != 0 ? "no" : "yes",
	    d->kernel.mdwe ? "offered" : "not offered");
	for (i = 0; i < LAYER_COUNT; i++)
		if ((p->absent & 1u << i) != 0)
			append(list, msg_layer_name(i));
	if (list[0] != '\0')
		format_field(out, "not on offer", "%s", list);
}

static void
put_limits(FILE *out, const struct proc_facts *f)
{
	char list[LIST_MAX] = "", item[64], n[FORMAT_MAX];
	size_t i;

	if (!proc_has(f, PROC_LIMITS)) {
		format_field(out, "limits", "?");
		return;
	}
	for (i = 0; i < LIMIT_COUNT; i++) {
		(void)snprintf(item, sizeof(item), "%s %s",
		    proc_limit_name((enum proc_limit)i),
		    f->limits[i] == PROC_UNLIMITED
			? "unlimited"
			: format_exact(n, f->limits[i]));
		append(list, item);
	}
	format_field(out, "limits", "%s", list);
}

static void
put_fds(FILE *out, const struct proc_facts *f)
{
	char list[LIST_MAX] = "", item[64];
	size_t i;

	if (!proc_has(f, PROC_FDS)) {
		format_field(out, "descriptors", "?");
		return;
	}
	for (i = 0; i < FD_COUNT; i++) {
		if (f->fds[i].n == 0)
			continue;
		(void)snprintf(item, sizeof(item), "%u %s", f->fds[i].n,
		    proc_fd_name((enum proc_fd)i));
		append(list, item);
	}
	format_field(out, "descriptors", "%s", list[0] != '\0' ? list : "none");
}

static void
put_use(FILE *out, const struct proc_facts *f)
{
	char cpu[FORMAT_MAX], pss[FORMAT_MAX], rss[FORMAT_MAX];

	format_field(out, "CPU time", "%s",
	    proc_has(f, PROC_CPU) ? format_age(cpu, f->cpu_ms) : "?");
	format_field(out, "memory", "PSS %s, RSS %s",
	    proc_has(f, PROC_PSS) ? kb_text(pss, f->pss_kb) : "?",
	    proc_has(f, PROC_STATUS) ? kb_text(rss, f->rss_kb) : "?");
}

static void
put_process(FILE *out, const struct data *d, enum info_role role)
{
	const struct info_process *p = &d->processes[role];
	const struct proc_facts *f = &d->facts[role];
	char name[DATA_NAME_MAX];

	if (!d->have_process[role] || p->pid == 0)
		return;
	(void)fprintf(out, "\n%s (pid %u)\n", data_process_name(name, d, role),
	    (unsigned int)p->pid);
	if (!d->have_facts[role]) {
		format_field(out, "?", "there is no such process to be seen");
		return;
	}
	format_field(out, "executable", "%s%s",
	    proc_has(f, PROC_EXE) ? f->exe : "?",
	    f->exe_deleted ? " (replaced or removed)" : "");
	if (proc_has(f, PROC_STATUS))
		put_status(out, f);
	else
		format_field(out, "status", "?");
	put_root(out, f);
	if (role != ROLE_PARENT) {
		put_ns(out, f, &d->facts[ROLE_PARENT]);
		put_told(out, d, p);
	}
	put_limits(out, f);
	put_fds(out, f);
	put_use(out, f);
}

void
text_process_details(FILE *out, const struct data *d)
{
	size_t i;

	text_processes(out, d);
	put_process(out, data_worker(d, 0), ROLE_PARENT);
	for (i = 0; i < data_workers(d); i++) {
		put_process(out, data_worker(d, i), ROLE_LISTENER);
		put_process(out, data_worker(d, i), ROLE_POOL);
	}
}

/* What is found of one process: these lines are not wrapped. */
static void
put_findings(FILE *out, const struct security_report *r, const char *name)
{
	char text[4 * sizeof(r->findings[0].text)];
	const struct security_finding *f;
	bool weak = false, noted = false;
	size_t i;

	for (i = 0; i < r->n; i++) {
		f = &r->findings[i];
		if (strcmp(f->name, name) != 0)
			continue;
		noted = true;
		weak = weak || f->kind >= SECURITY_WEAK;
		(void)fprintf(out, "%s: %s%s\n", name,
		    f->kind == SECURITY_NOTE ? "note: " : "",
		    log_escape(text, sizeof(text), f->text, strlen(f->text)));
	}
	if (!weak)
		(void)fprintf(out, "%s: ok%s\n", name,
		    noted ? ", but see the notes" : "");
}

/* A line for each finding, for a monitor to pass on. */
void
text_security(FILE *out, const struct security_report *r)
{
	size_t i;

	for (i = 0; i < r->nprocesses; i++)
		put_findings(out, r, r->processes[i]);
}
