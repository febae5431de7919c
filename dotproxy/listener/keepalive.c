/* SPDX-License-Identifier: ISC */
/*
 * edns-tcp-keepalive towards clients; see keepalive.h.  Runs in the listener.
 * Must never change anything but that one option.
 */
#include "dotproxy/listener/keepalive.h"

#include "common/dns.h"
#include "common/dns_edit.h"

#define VALUE_LEN 2

bool
keepalive_is_asked(uint8_t *query, size_t len)
{
	struct dns_edit e;
	const uint8_t *data;
	uint16_t n;

	return dns_edit_begin(&e, query, len, len) &&
	       dns_edit_find(&e, DNS_OPTION_KEEPALIVE, &data, &n) > 0;
}

size_t
keepalive_put(uint8_t *answer, size_t len, size_t cap, uint16_t value)
{
	uint8_t data[VALUE_LEN];
	struct dns_edit e;

	/* Room for all of it, so that nothing is taken out in vain. */
	if (len > cap || cap - len < DNS_OPTION_HDR_LEN + VALUE_LEN ||
	    !dns_edit_begin(&e, answer, len, cap) || !dns_edit_has_opt(&e))
		return len;
	wire_store_u16(data, value);
	dns_edit_remove(&e, DNS_OPTION_KEEPALIVE);
	(void)dns_edit_put(&e, DNS_OPTION_KEEPALIVE, data, VALUE_LEN);
	return e.len;
}
