/* SPDX-License-Identifier: ISC */
/*
 * What "upstream NAME probe" has found, as text and as JSON.  Runs in
 * dotproxyctl.  The upstream's words are foreign text, and escaped.
 */
#include <time.h>

#include "common/util.h"

#include "dotproxyctl/format.h"
#include "dotproxyctl/output.h"

#define DAY_S 86400

/* A handshake that failed for the certificate is named by that. */
static const char *
step_name(unsigned int step, unsigned int phase)
{
	static const char *const names[STEP_COUNT] = { "socket", "connect",
		"handshake", "query" };

	if (step == STEP_HANDSHAKE && phase == PHASE_VERIFY)
		return "certificate";
	return step < STEP_COUNT ? names[step] : "?";
}

static const char *
rcode_name(char buf[FORMAT_MAX], unsigned int rcode)
{
	static const char *const names[] = { "NOERROR", "FORMERR", "SERVFAIL",
		"NXDOMAIN", "NOTIMP", "REFUSED" };

	if (rcode < sizeof(names) / sizeof(names[0]))
		return names[rcode];
	(void)snprintf(buf, FORMAT_MAX, "RCODE %u", rcode);
	return buf;
}

static void
put_certificate(FILE *out, const struct info_probe *p)
{
	char date[16] = "?"; /* until INFO_EXPIRES_MAX it fits */
	time_t now = time(NULL), expires = (time_t)p->expires_s;
	struct tm tm;

	if (p->expires_s == 0)
		return;
	if (gmtime_r(&expires, &tm) != NULL)
		(void)strftime(date, sizeof(date), "%Y-%m-%d", &tm);
	format_field(out, "certificate", "for %s, expires %s, in %lld days%s",
	    p->server_name, date, (long long)(expires - now) / DAY_S,
	    p->pinned ? ", a pin matches" : "");
}

void
text_probe(FILE *out, const struct info_probe *p)
{
	char addr[SOCKADDR_TEXT_MAX], us[FORMAT_MAX], rcode[FORMAT_MAX];
	char text[512];
	unsigned int i;

	(void)snprintf(text, sizeof(text), "%s (%s): %s%s", p->name,
	    sockaddr_text(&p->addr, addr),
	    p->failed == STEP_COUNT ? "works" : "failed: ",
	    p->failed == STEP_COUNT ? "" : step_name(p->failed, p->phase));
	format_wrap(out, 0, text);
	for (i = 0; i < STEP_COUNT && i <= p->failed; i++) {
		(void)format_latency(us, p->step_us[i]);
		if (i == p->failed)
			format_field(out, step_name(i, p->phase), "%-7s %s: %s",
			    us, msg_phase_name(p->phase), p->error);
		else if (i == STEP_HANDSHAKE)
			format_field(out, step_name(i, 0), "%-7s %s, %s", us,
			    p->version, p->cipher);
		else if (i == STEP_QUERY)
			format_field(out, step_name(i, 0),
			    "%-7s \". NS\": %s, %u bytes", us,
			    rcode_name(rcode, p->rcode), p->answer_len);
		else
			format_field(out, step_name(i, 0), "%s", us);
		if (i == STEP_HANDSHAKE)
			put_certificate(out, p);
	}
}

int
output_json_probe(FILE *out, const struct info_probe *p)
{
	static const char *const keys[STEP_COUNT] = { "socket_us", "connect_us",
		"handshake_us", "query_us" };
	char addr[SOCKADDR_TEXT_MAX];
	bool works = p->failed == STEP_COUNT;
	struct json j;
	unsigned int i;

	json_begin(&j, out);
	json_object(&j, NULL);
	json_bool(&j, "ok", works);
	if (!works) {
		json_string(&j, "error", p->error);
		json_string(&j, "failed", step_name(p->failed, p->phase));
	}
	json_string(&j, "name", p->name);
	json_string(&j, "address", sockaddr_host_text(&p->addr, addr));
	json_u64(&j, "port", sockaddr_port(&p->addr));
	json_string(&j, "server_name", p->server_name);
	for (i = 0; i < STEP_COUNT && i <= p->failed; i++)
		json_u64(&j, keys[i], p->step_us[i]);
	if (p->expires_s != 0) {
		json_string(&j, "tls_version", p->version);
		json_string(&j, "cipher", p->cipher);
		json_u64(&j, "certificate_expires_s", p->expires_s);
		json_bool(&j, "pinned", p->pinned);
	}
	if (works) {
		json_u64(&j, "rcode", p->rcode);
		json_u64(&j, "answer_bytes", p->answer_len);
	}
	json_object_end(&j);
	return json_end(&j);
}
