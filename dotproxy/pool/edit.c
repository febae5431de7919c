/* SPDX-License-Identifier: ISC */
/*
 * The edits that keep a query more private, see edit.h.  Runs in the pool.  Of
 * a query and its answer both sides may be hostile: what is odd in any way goes
 * as it came.  It must never edit a message that is signed, nor a zone
 * transfer, and never show a client an option, or an OPT record, for which only
 * dotproxy has asked (RFC 6891 6.1.1).
 */
#include "dotproxy/pool/edit.h"

#include "common/dns.h"
#include "common/dns_edit.h"

/*
 * In the OPT record of ours: whatever is allowed over TCP, so that the upstream
 * is free to pad its answer (RFC 7830 4).
 */
#define UDP_SIZE 65535
#define ECS_HDR_LEN 4 /* family, two prefix lengths: RFC 7871 6 */
#define ECS_SOURCE_AT 2

/* Source prefix length 0: nobody's address, and do not add one (7.1.2). */
static const uint8_t ecs_nobody[ECS_HDR_LEN] = { 0, 1, 0, 0 };

/*
 * Hides the client's subnet, and asks the upstream not to tell ours.  It has
 * none to tell in another class than IN, and Unbound answers SERVFAIL there.
 */
static uint8_t
hide_subnet(struct dns_edit *e)
{
	/* The message is_plain(): its only question ends where the OPT begins.
	 */
	uint16_t class = wire_load_u16(e->msg + e->opt - 2);
	const uint8_t *data = NULL;
	uint16_t len = 0;
	size_t n = dns_edit_find(e, DNS_OPTION_ECS, &data, &len);

	/* The client has said so itself. */
	if (n == 1 && len == ECS_HDR_LEN && data[ECS_SOURCE_AT] == 0)
		return 0;
	if (n == 0 && class != DNS_CLASS_IN)
		return 0;
	dns_edit_remove(e, DNS_OPTION_ECS);
	(void)dns_edit_put(e, DNS_OPTION_ECS, ecs_nobody, sizeof(ecs_nobody));
	return EDIT_ECS;
}

static uint8_t
ask_idle_time(struct dns_edit *e)
{
	const uint8_t *data;
	uint16_t len;

	if (dns_edit_find(e, DNS_OPTION_KEEPALIVE, &data, &len) > 0 ||
	    !dns_edit_put(e, DNS_OPTION_KEEPALIVE, NULL, 0))
		return 0;
	return EDIT_KEEPALIVE;
}

/*
 * Pads to the next multiple, or as far as there is room.  A client's own
 * padding is made longer; the answer's is for it then.
 */
static uint8_t
pad(struct dns_edit *e)
{
	const uint8_t *data;
	uint16_t len;
	size_t bare, want = e->len;
	bool own = dns_edit_find(e, DNS_OPTION_PADDING, &data, &len) == 0;

	dns_edit_remove(e, DNS_OPTION_PADDING);
	bare = e->len + DNS_OPTION_HDR_LEN;
	if (bare > DNS_MSG_MAX)
		return 0;
	if (want < bare)
		want = bare;
	want = (want + EDIT_BLOCK - 1) / EDIT_BLOCK * EDIT_BLOCK;
	if (want > DNS_MSG_MAX)
		want = DNS_MSG_MAX;
	(void)dns_edit_put(
	    e, DNS_OPTION_PADDING, NULL, (uint16_t)(want - bare));
	return own ? EDIT_PADDING : 0;
}

/*
 * True for a question and nothing else, but perhaps an OPT record: servers have
 * their own opinions of any other query, which an OPT could change.
 */
static bool
is_plain(const uint8_t *msg)
{
	return dns_opcode(msg) == DNS_OPCODE_QUERY &&
	       wire_load_u16(msg + 4) == 1 && wire_load_u32(msg + 6) == 0 &&
	       wire_load_u16(msg + 10) <= 1;
}

size_t
edit_query(const struct conf_edit *conf, uint8_t *msg, size_t len, uint8_t *put)
{
	struct dns_edit e;
	bool bare;

	*put = 0;
	if (!is_plain(msg) || !dns_edit_begin(&e, msg, len, DNS_MSG_MAX))
		return len;
	bare = !dns_edit_has_opt(&e);
	if (bare && wire_load_u16(msg + 10) != 0)
		return len;
	if (bare && !dns_edit_add_opt(&e, UDP_SIZE))
		return len;
	if (conf->strip_ecs)
		*put |= hide_subnet(&e);
	if (conf->keepalive)
		*put |= ask_idle_time(&e);
	/* Last, for it depends on all others: RFC 7830 3. */
	if (conf->padding)
		*put |= pad(&e);
	if (bare)
		*put = EDIT_OPT;
	return e.len;
}

size_t
edit_answer(uint8_t put, uint8_t *msg, size_t len)
{
	struct dns_edit e;

	if (!dns_edit_begin(&e, msg, len, len))
		return len;
	if (put & EDIT_PADDING)
		dns_edit_remove(&e, DNS_OPTION_PADDING);
	if (put & EDIT_KEEPALIVE)
		dns_edit_remove(&e, DNS_OPTION_KEEPALIVE);
	if (put & EDIT_ECS)
		dns_edit_remove(&e, DNS_OPTION_ECS);
	if (!(put & EDIT_OPT))
		return e.len;
	/* An error that only EDNS can tell must not look like success. */
	if (dns_edit_rcode_high(&e) != 0)
		msg[3] = (uint8_t)((msg[3] & 0xf0) | DNS_RCODE_SERVFAIL);
	dns_edit_remove_opt(&e);
	return e.len;
}
