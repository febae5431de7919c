/* SPDX-License-Identifier: ISC */
/* LINK: common/imsg.c common/log.c common/msg%.c common/util.c */
/* LINK: dotproxyctl/data%.c dotproxyctl/sum.c dotproxyctl/format.c */
/* LINK: dotproxyctl/text_%.c dotproxyctl/output%.c dotproxyctl/json.c */
/* LINK: dotproxyctl/metrics%.c dotproxyctl/proc%.c dotproxyctl/security.c */
/* LIBS: -levent_core */
/*
 * What a hostile daemon answers dotproxyctl: nothing it says leads to anything
 * but text for a terminal, and JSON, and metrics; from one worker, and added up
 * from several.  The first octet says what was asked, in which form it is
 * shown, and of how many workers the stream is.
 */
/* Its rules are static. */
#include "dotproxyctl/client.c"

#include "dotproxyctl/metrics.h"
#include "dotproxyctl/output.h"
#include "dotproxyctl/sum.h"
#include "tests/fuzz/frames.h"
#include "tests/fuzz/fuzz.h"

#define ID 1

/* One line, or several; nothing that a terminal obeys. */
static void
check_text(const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		FUZZ_ASSERT(text[i] == '\n' || text[i] == '\t' ||
			    (text[i] >= ' ' && text[i] != 0x7f));
}

/* Strings end, brackets match, and nothing is behind the document. */
static void
check_json(const char *text, size_t len)
{
	char stack[64];
	size_t i, depth = 0, documents = 0;
	bool string = false;

	for (i = 0; i < len; i++) {
		if (string && text[i] == '\\')
			FUZZ_ASSERT(++i < len);
		else if (text[i] == '"')
			string = !string;
		else if (!string && (text[i] == '{' || text[i] == '[')) {
			FUZZ_ASSERT(depth < sizeof(stack));
			documents += depth == 0;
			stack[depth++] = text[i] == '{' ? '}' : ']';
		} else if (!string && (text[i] == '}' || text[i] == ']'))
			FUZZ_ASSERT(depth > 0 && stack[--depth] == text[i]);
		FUZZ_ASSERT((unsigned char)text[i] >= ' ' || text[i] == '\n');
	}
	FUZZ_ASSERT(!string && depth == 0 && documents == 1);
}

/* Each line is a comment, or a name that begins with ours. */
static void
check_metrics(char *text)
{
	char *line;

	while ((line = strsep(&text, "\n")) != NULL)
		FUZZ_ASSERT(line[0] == '\0' || line[0] == '#' ||
			    strncmp(line, "dotproxy_", 9) == 0);
}

/* Shows what was collected in every form there is. */
static void
show(const struct data *d, uint8_t how)
{
	enum msg_show what = (enum msg_show)(how % SHOW_COUNT);
	char reason[DATA_REASON_MAX], *text = NULL;
	struct data_queries q;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	FUZZ_ASSERT(f != NULL);
	switch (how / SHOW_COUNT % 4) {
	case 0:
		output_text(f, what, d);
		break;
	case 1:
		FUZZ_ASSERT(output_json(f, what, d) == 0);
		break;
	case 2:
		FUZZ_ASSERT(metrics_write(f, d, how & 1) == 0);
		break;
	default:
		FUZZ_ASSERT(output_json_health(f, d, how & 1) == 0);
		break;
	}
	FUZZ_ASSERT(fclose(f) == 0);
	if (how / SHOW_COUNT % 4 != 0 || what != SHOW_CONFIG)
		check_text(text, len);
	if (how / SHOW_COUNT % 2 == 1)
		check_json(text, len);
	else if (how / SHOW_COUNT % 4 == 2)
		check_metrics(text);
	free(text);
	FUZZ_ASSERT((unsigned int)data_judge(d, reason) < HEALTH_COUNT);
	check_text(reason, strlen(reason));
	data_queries(d, &q);
	FUZZ_ASSERT(data_usable(d) <= CONF_UPSTREAMS_MAX);
}

/* Reads a stream as client_ask() does; it is in the socket already. */
static struct data *
collect(const uint8_t *data, size_t len)
{
	struct client c = { .id = ID };
	const struct imsg_chan_opts opts = {
		.rules = client_rules,
		.in_cap = IMSG_HDR_LEN + MSG_INFO_MAX,
		.out_cap = 64,
		.phase = 1,
		.arg = &c,
		.on_down = on_down,
	};
	char error[CLIENT_ERROR_MAX];
	int sv[2];

	FUZZ_ASSERT(imsg_socketpair(sv) == 0);
	FUZZ_ASSERT(imsg_open(&c.chan, sv[0], &opts) == 0);
	FUZZ_ASSERT((c.data = data_new()) != NULL);
	(void)!send(sv[1], data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(sv[1]);
	while (!c.data->done && c.status == IMSG_OK)
		(void)imsg_read(&c.chan);
	FUZZ_ASSERT((verdict(&c, "path", 1000, error) == 0) ==
		    (c.data->done && c.status != IMSG_VIOLATION));
	imsg_close(&c.chan);
	return c.data;
}

/* The first frame that begins behind the middle. */
static size_t
middle(const uint8_t *data, size_t len)
{
	size_t at = 0, n;

	while (at < len / 2 && len - at >= IMSG_HDR_LEN) {
		n = wire_load_u32(data + at + 4);
		if (n > len - at - IMSG_HDR_LEN)
			break;
		at += IMSG_HDR_LEN + n;
	}
	return at;
}

/* Two workers, one after the other; NULL if they cannot be added up. */
static struct data *
collect_two(const uint8_t *data, size_t len)
{
	struct data *all = data_new();
	size_t i, half = middle(data, len);

	FUZZ_ASSERT(all != NULL);
	all->parts[0] = collect(data, half);
	all->parts[1] = collect(data + half, len - half);
	for (i = 0; i < 2; i++) {
		all->parts[i]->worker = (uint32_t)i;
		all->parts[i]->numbered = true;
	}
	all->nparts = 2;
	if (all->parts[0]->done && all->parts[1]->done && sum_parts(all) == 0)
		return all;
	data_free(all);
	return NULL;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct data *d;

	if (len < 1)
		return 0;
	d = data[0] & 0x80 ? collect_two(data + 1, len - 1)
			   : collect(data + 1, len - 1);
	if (d != NULL)
		show(d, data[0]);
	data_free(d);
	return 0;
}

size_t
LLVMFuzzerCustomMutator(
    uint8_t *data, size_t len, size_t max, unsigned int seed)
{
	static const uint16_t types[] = { MSG_INFO_COUNTERS, MSG_INFO_POOL,
		MSG_INFO_UPSTREAM, MSG_INFO_CONN, MSG_INFO_HIST, MSG_INFO_PIN,
		MSG_INFO_ERROR, MSG_INFO_CLIENT, MSG_INFO_PROCESS,
		MSG_INFO_PROBE, MSG_INFO_LISTENER, MSG_INFO_TEXT,
		MSG_INFO_END };
	struct fuzz_random rnd;
	struct fuzz_frame f = { 0, 0 };

	fuzz_seed(&rnd, seed);
	if (len < 1 || max < 64 || fuzz_below(&rnd, 8) == 0)
		return LLVMFuzzerMutate(data, len, max);
	if (fuzz_below(&rnd, 4) == 0)
		data[0] = (uint8_t)fuzz_below(&rnd, 256);
	len = 1 + frames_mutate(data + 1, len - 1, max - 1, &rnd, types,
		      sizeof(types) / sizeof(types[0]));
	/* Another ID ends it at once. */
	if (frames_choose(data + 1, len - 1, &rnd, &f))
		wire_store_u64(data + 1 + f.at + 8, ID);
	return len;
}
