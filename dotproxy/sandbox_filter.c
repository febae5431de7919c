/* SPDX-License-Identifier: ISC */
/*
 * Filters of system calls; see sandbox_filter.h.  Linked into every process.
 * Must not allocate: libseccomp, which can do more than this, does, and when it
 * got no memory it left rules out without a word, crashed, or never returned,
 * in each process that was to be confined.
 */
#include "dotproxy/sandbox_filter.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__) && defined(__AARCH64EL__)
#define ARCH AUDIT_ARCH_AARCH64
#else /* on yet another one nothing is allowed at all */
#define ARCH AUDIT_ARCH_RISCV64
#endif

/* struct seccomp_data; the halves of its arguments are little-endian. */
#define AT_NR 0
#define AT_ARCH 4
#define AT_ARG(i) (16 + 8 * (i))
/* Calls of the x32 ABI have this bit: the same by other numbers. */
#define X32_BIT 0x40000000u

static void
put(struct filter *f, uint16_t op, uint8_t yes, uint8_t no, uint32_t k)
{
	struct sock_filter *at;

	if (f->ncode++ >= FILTER_CODE_MAX)
		return;
	at = &f->code[f->ncode - 1];
	at->code = op;
	at->jt = yes;
	at->jf = no;
	at->k = k;
}

static void
load(struct filter *f, uint32_t offset)
{
	put(f, BPF_LD | BPF_W | BPF_ABS, 0, 0, offset);
}

/* Goes on if they are equal, else over the next skip instructions. */
static void
require(struct filter *f, uint32_t k, size_t skip)
{
	put(f, BPF_JMP | BPF_JEQ | BPF_K, 0, (uint8_t)skip, k);
}

static void
verdict(struct filter *f, uint32_t what)
{
	put(f, BPF_RET | BPF_K, 0, 0, what);
}

/* Instructions of a half of an argument: load, mask, compare. */
#define HALF_LEN 3u
#define CONDITION_LEN (2 * HALF_LEN)

static void
put_half(struct filter *f, uint32_t offset, uint32_t mask, uint32_t value,
    size_t skip)
{
	load(f, offset);
	put(f, BPF_ALU | BPF_AND | BPF_K, 0, 0, mask);
	require(f, value, skip);
}

/* Goes on if the condition holds, else over skip instructions after it. */
static void
put_condition(struct filter *f, const struct scmp_arg_cmp *c, size_t skip)
{
	bool masked = c->op == SCMP_CMP_MASKED_EQ;
	uint64_t mask = masked ? c->datum_a : UINT64_MAX;
	uint64_t value = masked ? c->datum_b : c->datum_a;
	uint32_t at = AT_ARG(c->arg);

	put_half(f, at + 4, (uint32_t)(mask >> 32), (uint32_t)(value >> 32),
	    skip + HALF_LEN);
	put_half(f, at, (uint32_t)mask, (uint32_t)value, skip);
}

/* The number is loaded before and after. */
static void
put_rule(struct filter *f, const struct allowance *r)
{
	size_t left = r->nargs * CONDITION_LEN;
	unsigned int i;

	/* Over the conditions, the verdict, and the load. */
	require(f, (uint32_t)r->nr, left + 1 + (r->nargs > 0));
	for (i = 0; i < r->nargs; i++) {
		left -= CONDITION_LEN;
		put_condition(f, &r->args[i], left + 1);
	}
	verdict(f, SECCOMP_RET_ALLOW);
	if (r->nargs > 0)
		load(f, AT_NR);
}

/* True if a rule adds nothing: another has no conditions, or is the same. */
static bool
is_idle(const struct filter *f, size_t i)
{
	const struct allowance *r = f->rules[i];
	size_t k;

	if (r->nr < 0)
		return true;
	for (k = 0; k < f->nrules; k++)
		if (k != i && f->rules[k]->nr == r->nr &&
		    f->rules[k]->nargs == 0 && (r->nargs > 0 || k < i))
			return true;
	return false;
}

void
filter_add(struct filter *f, const struct allowance *rules, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++, f->nrules++)
		if (f->nrules < FILTER_RULES_MAX)
			f->rules[f->nrules] = &rules[i];
}

bool
filter_make(struct filter *f, uint32_t deny)
{
	size_t i;

	if (f->nrules > FILTER_RULES_MAX)
		return false;
	load(f, AT_ARCH);
	require(f, ARCH, 1);
	put(f, BPF_JMP | BPF_JA, 0, 0, 1);
	verdict(f, SECCOMP_RET_KILL_PROCESS);
	load(f, AT_NR);
#ifdef __x86_64__
	put(f, BPF_JMP | BPF_JSET | BPF_K, 0, 1, X32_BIT);
	verdict(f, deny);
#endif
	for (i = 0; i < f->nrules; i++)
		if (!is_idle(f, i))
			put_rule(f, f->rules[i]);
	verdict(f, deny);
	return f->ncode <= FILTER_CODE_MAX;
}

int
filter_install(const struct filter *f)
{
	struct sock_fprog program = {
		.len = (unsigned short)f->ncode,
		.filter = (struct sock_filter *)f->code,
	};

	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}
