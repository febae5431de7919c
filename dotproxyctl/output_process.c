/* SPDX-License-Identifier: ISC */
/*
 * The processes, and the findings about them, as JSON; see output.h and
 * output.c.  What may not be read is null.
 */
#include <inttypes.h>

#include "dotproxyctl/output.h"

static void
put_ids(struct json *j, const char *key, const uint32_t *ids, size_t n)
{
	size_t i;

	json_array(j, key);
	for (i = 0; i < n; i++)
		json_u64(j, NULL, ids[i]);
	json_array_end(j);
}

static void
put_known(struct json *j, const char *key, uint64_t v)
{
	if (v == PROC_UNKNOWN)
		json_null(j, key);
	else
		json_u64(j, key, v);
}

static void
put_status(struct json *j, const struct proc_facts *f)
{
	uint32_t groups = f->ngroups;
	char hex[24];
	size_t i;

	if (groups > PROC_GROUPS_MAX)
		groups = PROC_GROUPS_MAX;
	put_ids(j, "uid", f->uid, 4);
	put_ids(j, "gid", f->gid, 4);
	put_ids(j, "groups", f->groups, groups);
	json_object(j, "capabilities");
	for (i = 0; i < CAPS_COUNT; i++) {
		(void)snprintf(hex, sizeof(hex), "%016" PRIx64, f->caps[i]);
		json_string(j, proc_caps_name((enum proc_caps)i), hex);
	}
	json_object_end(j);
	json_u64(j, "seccomp", f->seccomp);
	put_known(j, "seccomp_filters", f->filters);
	json_bool(j, "no_new_privs", f->no_new_privs == 1);
	put_known(j, "rss_kb", f->rss_kb);
}

/* The parts after the status, each null if it may not be read. */
static void
put_places(
    struct json *j, const struct proc_facts *f, const struct proc_facts *parent)
{
	size_t i;

	if (proc_has(f, PROC_EXE))
		json_string(j, "executable", f->exe);
	else
		json_null(j, "executable");
	if (proc_has(f, PROC_ROOT)) {
		json_string(j, "root", f->root);
		json_bool(j, "root_empty", f->root_empty);
	} else {
		json_null(j, "root");
		json_null(j, "root_empty");
	}
	if (f == parent)
		return;
	json_object(j, "own_namespaces");
	for (i = 0; i < NS_COUNT; i++)
		if (proc_has(f, PROC_NS) && proc_has(parent, PROC_NS))
			json_bool(j, proc_ns_name((enum proc_ns)i),
			    f->ns[i] != parent->ns[i]);
		else
			json_null(j, proc_ns_name((enum proc_ns)i));
	json_object_end(j);
}

static void
put_resources(struct json *j, const struct proc_facts *f)
{
	static const char *const limits[LIMIT_COUNT] = {
		[LIMIT_NPROC] = "limit_processes",
		[LIMIT_CORE] = "limit_core_size",
		[LIMIT_FSIZE] = "limit_file_size",
	};
	static const char *const fds[FD_COUNT] = { "udp", "tcp", "unix",
		"other_socket", "epoll", "pipe", "null", "file", "directory",
		"device", "other" };
	size_t i;

	for (i = 0; i < LIMIT_COUNT; i++)
		put_known(j, limits[i],
		    proc_has(f, PROC_LIMITS) ? f->limits[i] : PROC_UNKNOWN);
	if (proc_has(f, PROC_FDS)) {
		json_object(j, "descriptors");
		for (i = 0; i < FD_COUNT; i++)
			json_u64(j, fds[i], f->fds[i].n);
		json_object_end(j);
	} else
		json_null(j, "descriptors");
	put_known(
	    j, "cpu_ms", proc_has(f, PROC_CPU) ? f->cpu_ms : PROC_UNKNOWN);
	put_known(
	    j, "pss_kb", proc_has(f, PROC_PSS) ? f->pss_kb : PROC_UNKNOWN);
}

static void
put_facts(struct json *j, const struct data *d, enum info_role role)
{
	const struct proc_facts *f = &d->facts[role];

	if (!d->have_facts[role] || !proc_has(f, PROC_STATUS)) {
		json_null(j, "kernel");
		return;
	}
	json_object(j, "kernel");
	put_status(j, f);
	put_places(j, f, &d->facts[ROLE_PARENT]);
	put_resources(j, f);
	json_object_end(j);
}

static void
put_process(struct json *j, const struct data *d, enum info_role role)
{
	const struct info_process *p = &d->processes[role];
	unsigned int i;

	if (!d->have_process[role])
		return;
	json_object(j, NULL);
	json_string(j, "role", msg_role_name(p->role));
	if (d->numbered && role != ROLE_PARENT)
		json_u64(j, "worker", (uint64_t)d->worker + 1);
	if (p->pid == 0)
		json_null(j, "pid");
	else
		json_u64(j, "pid", p->pid);
	json_u64(j, "uptime_ms", p->uptime_ms);
	json_u64(j, "restarts", p->restarts);
	json_string(j, "last_death", p->last_death);
	json_array(j, "not_on_offer");
	for (i = 0; i < LAYER_COUNT; i++)
		if ((p->absent & 1u << i) != 0)
			json_string(j, NULL, msg_layer_name(i));
	json_array_end(j);
	if (d->looked)
		put_facts(j, d, role);
	json_object_end(j);
}

void
output_json_processes(struct json *j, const struct data *d)
{
	size_t i;

	json_array(j, "processes");
	put_process(j, data_worker(d, 0), ROLE_PARENT);
	for (i = 0; i < data_workers(d); i++) {
		put_process(j, data_worker(d, i), ROLE_LISTENER);
		put_process(j, data_worker(d, i), ROLE_POOL);
	}
	json_array_end(j);
	if (!d->looked)
		return;
	json_object(j, "offered");
	json_u64(j, "landlock_abi", d->kernel.landlock_abi);
	json_bool(j, "memory_deny_write_execute", d->kernel.mdwe);
	json_object_end(j);
}

int
output_json_security(FILE *out, const struct security_report *r)
{
	const struct security_finding *f;
	struct json j;
	size_t i;

	json_begin(&j, out);
	json_object(&j, NULL);
	json_bool(&j, "ok", true);
	json_bool(&j, "secure", !security_has(r, ROLE_COUNT, SECURITY_WEAK));
	json_array(&j, "findings");
	for (i = 0; i < r->n; i++) {
		f = &r->findings[i];
		json_object(&j, NULL);
		json_string(&j, "role", msg_role_name(f->role));
		if (r->numbered && f->role != ROLE_PARENT)
			json_u64(&j, "worker", (uint64_t)f->worker + 1);
		json_string(&j, "kind", security_kind_name(f->kind));
		json_string(&j, "what", f->what);
		json_string(&j, "text", f->text);
		json_object_end(&j);
	}
	json_array_end(&j);
	json_object_end(&j);
	return json_end(&j);
}
