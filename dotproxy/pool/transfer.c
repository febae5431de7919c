/* SPDX-License-Identifier: ISC */
/*
 * Where a zone transfer ends, see transfer.h.  Runs in the pool.  What it reads
 * is hostile; it can only end a transfer too early or too late, which an
 * upstream can do anyway.  It must never take a transfer of any server for
 * ended that is not.
 */
#include "dotproxy/pool/transfer.h"

#include "common/dns.h"

/* True if a is not older than b: RFC 1982 3.2. */
static bool
serial_reached(uint32_t a, uint32_t b)
{
	return a - b <= INT32_MAX;
}

void
transfer_init(
    struct transfer *t, bool incremental, const uint8_t *query, size_t len)
{
	t->part = TRANSFER_START;
	t->incremental = incremental;
	t->old_serial = t->new_serial = 0;
	t->has_serial =
	    incremental && dns_ixfr_serial(query, len, &t->old_serial);
	t->unpaid = 0;
}

/* What a SOA means where it stands. */
static enum transfer_part
after_soa(struct transfer *t, uint32_t serial)
{
	switch (t->part) {
	case TRANSFER_START:
		t->new_serial = serial;
		/* The client has this version already: RFC 1995 4. */
		if (t->has_serial && serial_reached(t->old_serial, serial))
			return TRANSFER_END;
		return TRANSFER_SECOND;
	case TRANSFER_SECOND:
		if (t->incremental && serial != t->new_serial)
			return TRANSFER_DELETED;
		return TRANSFER_END; /* of a zone with nothing in it */
	case TRANSFER_ZONE:
		return TRANSFER_END;
	case TRANSFER_DELETED:
		return TRANSFER_ADDED;
	case TRANSFER_ADDED:
		return serial == t->new_serial ? TRANSFER_END
					       : TRANSFER_DELETED;
	default:
		return t->part;
	}
}

static enum transfer_part
after_other(const struct transfer *t)
{
	if (t->part == TRANSFER_START)
		return TRANSFER_END; /* no transfer at all */
	if (t->part == TRANSFER_SECOND)
		return TRANSFER_ZONE;
	return t->part;
}

bool
transfer_is_last(struct transfer *t, const uint8_t *msg, size_t len)
{
	struct dns_walk walk;
	uint32_t serial = 0;
	uint16_t type;
	int got;

	/* An error ends it, at any time: RFC 5936 2.2. */
	if (dns_rcode(msg) != DNS_RCODE_NOERROR)
		return true;
	if (!dns_walk_answers(&walk, msg, len)) {
		t->part = TRANSFER_LOST;
		return false;
	}
	/* Nothing where the SOA is due: the server will not say more. */
	if (t->part == TRANSFER_START && walk.left == 0)
		return true;
	while (t->part < TRANSFER_END &&
	       (got = dns_walk_next(&walk, &type, &serial)) != 0) {
		if (got == -1)
			t->part = TRANSFER_LOST;
		else if (type == DNS_TYPE_SOA)
			t->part = after_soa(t, serial);
		else
			t->part = after_other(t);
	}
	return t->part == TRANSFER_END;
}
