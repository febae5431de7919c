/* SPDX-License-Identifier: ISC */
/* LINK: dotproxy/sandbox_filter.c */
/*
 * Filters of system calls, by what the program says to a call: it is run here
 * as the kernel would run it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <linux/audit.h>
#include <linux/seccomp.h>

#include "dotproxy/sandbox_filter.h"

#define ALLOW SECCOMP_RET_ALLOW
#define DENY (SECCOMP_RET_ERRNO | 38)
#define KILL SECCOMP_RET_KILL_PROCESS
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#define ARCH AUDIT_ARCH_RISCV64
#endif

static struct filter f;

static int
setup(void **state)
{
	(void)state;
	memset(&f, 0, sizeof(f));
	return 0;
}

/* The few instructions that filters are made of. */
static uint32_t
run_on(const struct seccomp_data *data)
{
	const uint8_t *p = (const uint8_t *)data;
	const struct sock_filter *i;
	uint32_t acc = 0;
	size_t at = 0;
	bool yes;

	for (;;) {
		assert_true(at < f.ncode);
		i = &f.code[at++];
		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			assert_true(i->k + 4 <= sizeof(*data));
			memcpy(&acc, p + i->k, 4);
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			acc &= i->k;
			break;
		case BPF_JMP | BPF_JA:
			at += i->k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
		case BPF_JMP | BPF_JSET | BPF_K:
			yes = BPF_OP(i->code) == BPF_JEQ ? acc == i->k
							 : (acc & i->k) != 0;
			at += yes ? i->jt : i->jf;
			break;
		case BPF_RET | BPF_K:
			return i->k;
		default:
			fail_msg("instruction 0x%x", i->code);
		}
	}
}

static uint32_t
verdict_on(int nr, uint64_t arg0, uint64_t arg2)
{
	struct seccomp_data data = { .nr = nr, .arch = ARCH };

	data.args[0] = arg0;
	data.args[2] = arg2;
	return run_on(&data);
}

static void
test_what_is_listed_is_allowed_and_nothing_else(void **state)
{
	static const struct allowance rules[] = { { .nr = 7 }, { .nr = 3 },
		{ .nr = 300 } };
	int nr;

	(void)state;
	filter_add(&f, rules, COUNT(rules));
	assert_true(filter_make(&f, DENY));
	for (nr = 0; nr < 1024; nr++)
		assert_int_equal(verdict_on(nr, 0, 0),
		    nr == 3 || nr == 7 || nr == 300 ? ALLOW : DENY);
}

static void
test_all_conditions_have_to_hold_in_all_bits(void **state)
{
	static const struct allowance rules[] = {
		{ 5, 2,
		    { { 0, SCMP_CMP_EQ, 0x100000002, 0 },
			{ 2, SCMP_CMP_MASKED_EQ, 0xf00000004, 4 } } },
		{ 5, 1, { { 0, SCMP_CMP_EQ, 9, 0 } } },
		{ .nr = 6 },
	};

	(void)state;
	filter_add(&f, rules, COUNT(rules));
	assert_true(filter_make(&f, DENY));
	assert_int_equal(verdict_on(5, 0x100000002, 4), ALLOW);
	assert_int_equal(verdict_on(5, 0x100000002, 0xff), ALLOW);
	assert_int_equal(verdict_on(5, 0x100000002, 0), DENY);
	assert_int_equal(verdict_on(5, 0x100000002, 0x100000004), DENY);
	assert_int_equal(verdict_on(5, 2, 4), DENY);
	assert_int_equal(verdict_on(5, 0x300000002, 4), DENY);
	assert_int_equal(verdict_on(5, 0x100000003, 4), DENY);
	assert_int_equal(verdict_on(5, 9, 0), ALLOW); /* the second rule */
	assert_int_equal(verdict_on(5, 0x100000009, 0), DENY);
	assert_int_equal(verdict_on(6, 1, 1), ALLOW); /* after a failure */
	assert_int_equal(verdict_on(4, 9, 4), DENY);
}

/* Whatever is asked for without conditions is not asked for with some. */
static void
test_rule_without_conditions_is_enough(void **state)
{
	static const struct allowance with[] = {
		{ 5, 1, { { 0, SCMP_CMP_EQ, 1, 0 } } }, { .nr = 6 }
	};
	static const struct allowance without[] = { { .nr = 5 }, { .nr = 6 } };
	size_t len;

	(void)state;
	filter_add(&f, without, COUNT(without));
	assert_true(filter_make(&f, DENY));
	len = f.ncode;
	memset(&f, 0, sizeof(f));
	filter_add(&f, with, COUNT(with));
	filter_add(&f, without, COUNT(without));
	assert_true(filter_make(&f, DENY));
	assert_int_equal(f.ncode, len);
	assert_int_equal(verdict_on(5, 2, 0), ALLOW);
	assert_int_equal(verdict_on(6, 0, 0), ALLOW);
}

static void
test_call_that_is_not_there_is_left_out(void **state)
{
	static const struct allowance rules[] = { { .nr = -10001 },
		{ .nr = 1 } };

	(void)state;
	filter_add(&f, rules, COUNT(rules));
	assert_true(filter_make(&f, DENY));
	assert_int_equal(verdict_on(-10001, 0, 0), DENY);
	assert_int_equal(verdict_on(1, 0, 0), ALLOW);
}

static void
test_other_architecture_is_killed(void **state)
{
	static const struct allowance rules[] = { { .nr = 1 } };
	struct seccomp_data data = { .nr = 1, .arch = AUDIT_ARCH_I386 };

	(void)state;
	filter_add(&f, rules, COUNT(rules));
	assert_true(filter_make(&f, DENY));
	assert_int_equal(run_on(&data), KILL);
#ifdef __x86_64__ /* the same call by its other number */
	assert_int_equal(verdict_on(1 | 0x40000000, 0, 0), DENY);
#endif
}

/* There is no filter with a part of the rules. */
static void
test_too_many_rules_make_none(void **state)
{
	static struct allowance rules[FILTER_RULES_MAX + 1];
	int i;

	(void)state;
	for (i = 0; i <= FILTER_RULES_MAX; i++)
		rules[i].nr = i;
	filter_add(&f, rules, FILTER_RULES_MAX);
	assert_true(filter_make(&f, DENY));
	memset(&f, 0, sizeof(f));
	filter_add(&f, rules, FILTER_RULES_MAX + 1);
	assert_false(filter_make(&f, DENY));
	memset(&f, 0, sizeof(f));
	for (i = 0; i < FILTER_RULES_MAX; i++) {
		rules[i].nargs = 1;
		rules[i].args[0].op = SCMP_CMP_EQ;
	}
	filter_add(&f, rules, FILTER_RULES_MAX);
	assert_false(filter_make(&f, DENY)); /* too long */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(
		    test_what_is_listed_is_allowed_and_nothing_else, setup),
		cmocka_unit_test_setup(
		    test_all_conditions_have_to_hold_in_all_bits, setup),
		cmocka_unit_test_setup(
		    test_rule_without_conditions_is_enough, setup),
		cmocka_unit_test_setup(
		    test_call_that_is_not_there_is_left_out, setup),
		cmocka_unit_test_setup(
		    test_other_architecture_is_killed, setup),
		cmocka_unit_test_setup(test_too_many_rules_make_none, setup),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
