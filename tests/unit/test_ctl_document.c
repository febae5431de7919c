/* SPDX-License-Identifier: ISC */
/* Every document in JSON that dotproxyctl makes: valid, and what is in it. */
/* LINK: common/msg%.c common/imsg.c common/log.c common/util.c */
/* LINK: dotproxyctl/data%.c dotproxyctl/output%.c dotproxyctl/text_%.c */
/* LINK: dotproxyctl/proc%.c dotproxyctl/security.c dotproxyctl/format.c */
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
#include "tests/unit/ctl_data.h"
#include "tests/unit/json_check.h"

/* A stream that fails is not a document that was written. */
static void
stream_errors_are_seen(void **state)
{
	FILE *out = fopen("/dev/full", "w");

	(void)state;
	assert_non_null(out);
	assert_int_equal(output_json_result(out, NULL), -1);
	(void)fclose(out);
}

/* Returns the document; the caller frees it. */
static char *
document(enum msg_show show, const struct data *d)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	assert_int_equal(output_json(out, show, d), 0);
	assert_int_equal(fclose(out), 0);
	assert_int_equal(strlen(text), len);
	return text;
}

/* Of ordinary, worst and empty answers, all documents are JSON. */
static void
documents_are_valid(void **state)
{
	struct data *d[3];
	char *text;
	int i, show;

	(void)state;
	d[0] = ordinary_data();
	d[1] = worst_data();
	d[2] = data_new();
	for (i = 0; i < 3; i++) {
		for (show = 0; show < SHOW_COUNT; show++) {
			text = document((enum msg_show)show, d[i]);
			assert_true(is_json(text));
			free(text);
		}
		data_free(d[i]);
	}
}

/* The document of d has this in it. */
static void
document_has(enum msg_show show, const struct data *d, const char *want)
{
	char *text = document(show, d);

	if (strstr(text, want) == NULL)
		fail_msg("no %s in %s", want, text);
	free(text);
}

static void
document_summary(void **state)
{
	struct data *d = ordinary_data();

	(void)state;
	document_has(SHOW_SUMMARY, d,
	    "{\"ok\":true,\"verdict\":\"degraded\",\"reason\":"
	    "\"1 of 3 upstreams down\",\"draining\":false,"
	    "\"uptime_ms\":100000000,"
	    "\"policy\":\"availability\",\"in_flight\":12,"
	    "\"max_in_flight\":8192,\"parked\":0,\"queries\":{\"received\":"
	    "1200446,\"answered\":1199000,\"failed\":538,\"refused\":336,"
	    "\"dropped\":462,\"abandoned\":118},\"upstreams\":[{");
	document_has(SHOW_SUMMARY, d,
	    "\"processes\":[{\"role\":\"parent\",\"pid\":1000,"
	    "\"uptime_ms\":100000000,\"restarts\":0,\"last_death\":\"\","
	    "\"not_on_offer\":[]},");
	d->processes[ROLE_POOL].pid = 0;
	document_has(SHOW_SUMMARY, d, "{\"role\":\"pool\",\"pid\":null,");
	document_has(SHOW_PROCESSES, d,
	    "{\"ok\":true,\"processes\":[{\"role\":\"parent\",");
	data_free(d);
}

/* Of one process, with what the kernel says. */
static const char pool_process[] =
    "{\"role\":\"pool\",\"pid\":1002,\"uptime_ms\":61000,\"restarts\":2,"
    "\"last_death\":\"killed by signal 9 (Killed)\",\"not_on_offer\":["
    "\"root directory\",\"Landlock\"],\"kernel\":{\"uid\":[970,970,970,970],"
    "\"gid\":[970,970,970,970],\"groups\":[33],\"capabilities\":{"
    "\"inheritable\":\"0000000000000000\",\"permitted\":\"0000000000000000\","
    "\"effective\":\"0000000000000000\",\"bounding\":\"0000000000000400\","
    "\"ambient\":\"0000000000000000\"},\"seccomp\":2,\"seccomp_filters\":2,"
    "\"no_new_privs\":true,\"rss_kb\":2500,\"executable\":"
    "\"/usr/libexec/dotproxy/dotproxy-pool\",\"root\":"
    "\"/run/dotproxy/empty\",\"root_empty\":true,\"own_namespaces\":{"
    "\"net\":false,\"ipc\":true,\"uts\":true,\"mnt\":true},"
    "\"limit_processes\":0,\"limit_core_size\":0,\"limit_file_size\":0,"
    "\"descriptors\":{\"udp\":0,\"tcp\":4,\"unix\":3,\"other_socket\":0,"
    "\"epoll\":1,\"pipe\":2,\"null\":3,\"file\":0,\"directory\":0,"
    "\"device\":0,\"other\":0},\"cpu_ms\":83000,\"pss_kb\":30720}}],"
    "\"offered\":{\"landlock_abi\":7,\"memory_deny_write_execute\":true}}";

static void
document_processes(void **state)
{
	struct data *d = ordinary_data();
	struct proc_facts *f = &d->facts[ROLE_POOL];

	(void)state;
	ordinary_look(d);
	d->processes[ROLE_POOL].absent =
	    1u << LAYER_ROOT_DIR | 1u << LAYER_LANDLOCK;
	f->caps[CAPS_BOUNDING] = 0x400;
	f->ns[NS_NET] = d->facts[ROLE_PARENT].ns[NS_NET];
	f->ngroups = 1;
	f->groups[0] = 33;
	document_has(SHOW_PROCESSES, d, pool_process);
	/* The same, as far as one who is not root may see it. */
	f->have = 1u << PROC_STATUS | 1u << PROC_CPU;
	document_has(SHOW_PROCESSES, d, "\"executable\":null,");
	document_has(SHOW_PROCESSES, d, "\"root\":null,\"root_empty\":null,");
	document_has(SHOW_PROCESSES, d,
	    "{\"net\":null,\"ipc\":null,\"uts\":null,\"mnt\":null}");
	document_has(SHOW_PROCESSES, d,
	    "\"limit_processes\":null,\"limit_core_size\":null,"
	    "\"limit_file_size\":null,\"descriptors\":null,"
	    "\"cpu_ms\":83000,\"pss_kb\":null}");
	d->have_facts[ROLE_POOL] = false;
	document_has(SHOW_PROCESSES, d, "\"kernel\":null}]");
	data_free(d);
}

static void
document_pool(void **state)
{
	struct data *d = ordinary_data();

	(void)state;
	document_has(SHOW_POOL, d,
	    "\"upstreams\":[{\"index\":0,\"name\":\"cloudflare\","
	    "\"address\":\"1.1.1.1\",\"port\":853,\"server_name\":"
	    "\"cloudflare-dns.com\",\"state\":\"up\",\"down\":false,"
	    "\"backoff_left_ms\":0,\"last_failure\":\"no answer in time\","
	    "\"pool_size\":8,\"open\":3,\"idle\":1,\"connecting\":1,"
	    "\"in_flight\":12,\"waiting\":0,\"queries\":1234567,"
	    "\"answers\":1234550,\"retries\":5,\"opened\":45,\"resumed\":40,"
	    "\"closed_by_peer\":41,\"warm_dials\":7,"
	    "\"idle_limit_ms\":10000,\"warm_left_ms\":299000,"
	    "\"hedges\":12,\"hedges_won\":8,\"hedges_lost\":6,"
	    "\"hedges_denied\":1,\"rescues\":2,"
	    "\"failures\":{\"connect\":1,"
	    "\"handshake\":0,\"verify\":0,\"write\":0,\"read\":0,"
	    "\"timeout\":2,\"protocol\":0},\"latency_mean_us\":12149,"
	    "\"latency_p50_us\":11702,\"latency_p99_us\":240113,"
	    "\"connect_p50_us\":11264,\"handshake_p50_us\":23955,"
	    "\"connections\":[{\"state\":\"ready\",\"age_ms\":312345,"
	    "\"idle_ms\":210,\"in_flight\":12,\"served\":812345,"
	    "\"resumed\":false,\"tls_version\":\"TLSv1.3\",\"cipher\":"
	    "\"TLS_CHACHA20_POLY1305_SHA256\"},");
	document_has(SHOW_POOL, d,
	    "\"state\":\"back-off\",\"down\":true,\"backoff_left_ms\":11400,"
	    "\"last_failure\":\"certificate has expired or is not yet "
	    "valid\",");
	document_has(SHOW_POOL, d, "\"last_failure\":null,");
	document_has(SHOW_POOL, d, "\"connections\":[]}");
	data_free(d);
}

static void
document_latency(void **state)
{
	struct data *d = ordinary_data();

	(void)state;
	document_has(SHOW_LATENCY, d,
	    "\"histograms\":{\"latency\":{\"count\":110,\"mean_us\":13688,"
	    "\"p50_us\":11904,\"p90_us\":11904,\"p99_us\":32000,"
	    "\"max_us\":32000,\"buckets\":[{\"from_us\":50,\"count\":1},"
	    "{\"from_us\":11776,\"count\":99},"
	    "{\"from_us\":31744,\"count\":10}]},\"connect\":{\"count\":3,");
	document_has(SHOW_LATENCY, d,
	    "\"handshake\":{\"count\":0,\"mean_us\":0,\"p50_us\":0,");
	document_has(SHOW_LATENCY, d, "\"pool\":{\"uptime_ms\":");
	document_has(SHOW_LATENCY, d, "\"listener\":{\"uptime_ms\":");
	document_has(
	    SHOW_LATENCY, d, "\"last_minute\":{\"latency\":{\"count\":3,");
	document_has(SHOW_LATENCY, d,
	    "\"clients\":{\"histograms\":{\"rtt_udp\":{\"count\":2,"
	    "\"mean_us\":600,\"p50_us\":500,");
	document_has(SHOW_LATENCY, d,
	    "\"query_size_udp\":{\"count\":1,\"mean\":40,\"p50\":40,"
	    "\"p90\":40,\"p99\":40,\"max\":40,"
	    "\"buckets\":[{\"from\":40,\"count\":1}]}");
	document_has(
	    SHOW_LATENCY, d, "\"last_minute\":{\"rtt_udp\":{\"count\":1,");
	data_free(d);
}

static void
document_stats_and_config(void **state)
{
	static const char config[] = "upstream \"a\\b\" {\n\t\xff\0}";
	struct data *d = ordinary_data();
	char last[64];

	(void)state;
	document_has(SHOW_STATS, d,
	    "{\"ok\":true,\"listener\":{\"uptime_ms\":100000000,"
	    "\"queries_udp\":1200345,\"queries_tcp\":101,");
	document_has(SHOW_STATS, d,
	    "\"pool\":{\"uptime_ms\":61000,\"queries\":0,\"in_flight\":10,");
	(void)snprintf(last, sizeof(last), "\"bytes_received\":%d}",
	    10 * TSTAT_bytes_received);
	document_has(SHOW_STATS, d, last);
	d->text_len = sizeof(config) - 1;
	d->text = malloc(d->text_len);
	assert_non_null(d->text);
	memcpy(d->text, config, d->text_len);
	document_has(SHOW_CONFIG, d,
	    "{\"ok\":true,\"config\":"
	    "\"upstream \\\"a\\\\b\\\" {\\n\\t\\ufffd\\u0000}\"}\n");
	data_free(d);
}

/* A part of an answer comes with the reason why it is no more. */
static void
document_of_a_failure(void **state)
{
	struct data *d = data_new();
	char *text;
	size_t len;
	FILE *out;

	(void)state;
	assert_non_null(d);
	(void)strcpy(d->result.text, "pool \"gone\"");
	document_has(SHOW_SUMMARY, d,
	    "{\"ok\":false,\"error\":\"pool \\\"gone\\\"\","
	    "\"verdict\":\"down\",");
	data_free(d);
	out = open_memstream(&text, &len);
	assert_non_null(out);
	assert_int_equal(output_json_result(out, NULL), 0);
	assert_int_equal(output_json_result(out, "a\nb"), 0);
	assert_int_equal(fclose(out), 0);
	assert_string_equal(
	    text, "{\"ok\":true}\n{\"ok\":false,\"error\":\"a\\nb\"}\n");
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stream_errors_are_seen),
		cmocka_unit_test(documents_are_valid),
		cmocka_unit_test(document_summary),
		cmocka_unit_test(document_processes),
		cmocka_unit_test(document_pool),
		cmocka_unit_test(document_latency),
		cmocka_unit_test(document_stats_and_config),
		cmocka_unit_test(document_of_a_failure),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
