/* SPDX-License-Identifier: ISC */
/*
 * Changes to the OPT record of a message, see dns_edit.h.  Runs in the pool and
 * in the listener.  What it reads is hostile, and is read once from end to end
 * before anything is changed; the work is bounded by the bytes of the message,
 * however many options there are.  It must never change what is not the OPT
 * record, nor move a byte that a compression pointer may point to.
 */
#include "common/dns_edit.h"

#include <string.h>

#include "common/dns.h"
#include "common/wire.h"

#define COUNT_AT 10   /* ARCOUNT in the header */
#define VERSION_AT 6  /* in an OPT record */
#define RDLENGTH_AT 9 /* in an OPT record */
#define POINTER 0xc0  /* both top bits: RFC 1035 4.1.4 */

/* Reads one option of the OPT record; false at the end, or if it is none. */
static bool
option_next(
    struct wire_reader *r, uint16_t *code, const uint8_t **data, uint16_t *len)
{
	if (wire_remaining(r) == 0)
		return false;
	*code = wire_get_u16(r);
	*len = wire_get_u16(r);
	*data = wire_get_bytes(r, *len);
	return !r->error;
}

/* Begins before the first option; there must be an OPT record. */
static void
options_begin(struct wire_reader *r, const struct dns_edit *e)
{
	wire_reader_init(r, e->msg, e->opt_end);
	r->pos = e->opt + DNS_OPT_LEN;
}

/* True if the options fill the record, and it is of the version known. */
static bool
opt_is_sound(const struct dns_edit *e)
{
	struct wire_reader r;
	const uint8_t *data;
	uint16_t code, len;

	if (e->msg[e->opt + VERSION_AT] != 0)
		return false;
	options_begin(&r, e);
	while (option_next(&r, &code, &data, &len))
		continue;
	return wire_done(&r);
}

/*
 * True if a record behind the OPT can be moved: its owner does not point there,
 * and its data is of a type that is never compressed (RFC 3597 4, RFC 4034
 * 3.1.7).
 */
static bool
can_move(const struct dns_edit *e, const struct dns_rr *rr)
{
	size_t at = rr->start;

	if (rr->type != DNS_TYPE_A && rr->type != DNS_TYPE_AAAA &&
	    rr->type != DNS_TYPE_RRSIG)
		return false;
	/* The record was read before: its name ends within the message. */
	while (e->msg[at] > 0 && e->msg[at] < POINTER)
		at += (size_t)e->msg[at] + 1;
	return e->msg[at] == 0 ||
	       (wire_load_u16(e->msg + at) & 0x3fffu) < e->opt;
}

/* Looks at a record of the additional section; false: hands off. */
static bool
look_at(struct dns_edit *e, const struct dns_rr *rr)
{
	if (rr->type == DNS_TYPE_TSIG || rr->type == DNS_TYPE_SIG)
		return false;
	if (rr->type != DNS_TYPE_OPT)
		return !dns_edit_has_opt(e) || can_move(e, rr);
	if (dns_edit_has_opt(e) || !rr->at_root)
		return false;
	e->opt = rr->start;
	e->opt_end = rr->end;
	return true;
}

bool
dns_edit_begin(struct dns_edit *e, uint8_t *msg, size_t len, size_t cap)
{
	struct dns_walk w;
	struct dns_rr rr;

	e->msg = msg;
	e->len = len;
	e->cap = cap < DNS_MSG_MAX ? cap : DNS_MSG_MAX;
	e->opt = e->opt_end = 0;
	if (len > DNS_MSG_MAX || !dns_walk_answers(&w, msg, len))
		return false;
	w.left += wire_load_u16(msg + 8);
	while (w.left > 0)
		if (!dns_walk_rr(&w, &rr) || rr.type == DNS_TYPE_OPT)
			return false;
	w.left = wire_load_u16(msg + COUNT_AT);
	while (w.left > 0)
		if (!dns_walk_rr(&w, &rr) || !look_at(e, &rr))
			return false;
	if (!wire_done(&w.r))
		return false;
	if (dns_edit_has_opt(e))
		return opt_is_sound(e);
	e->opt = e->opt_end = len;
	return true;
}

uint8_t
dns_edit_rcode_high(const struct dns_edit *e)
{
	return dns_edit_has_opt(e) ? e->msg[e->opt + VERSION_AT - 1] : 0;
}

size_t
dns_edit_find(const struct dns_edit *e, enum dns_option which,
    const uint8_t **data, uint16_t *len)
{
	struct wire_reader r;
	const uint8_t *d;
	uint16_t code, n;
	size_t found = 0;

	if (!dns_edit_has_opt(e))
		return 0;
	options_begin(&r, e);
	while (option_next(&r, &code, &d, &n)) {
		if (code != which)
			continue;
		if (found++ > 0)
			continue;
		*data = d;
		*len = n;
	}
	return found;
}

/* What is behind the OPT record moves up or down, so that it ends at end. */
static void
set_opt_end(struct dns_edit *e, size_t end)
{
	memmove(e->msg + end, e->msg + e->opt_end, e->len - e->opt_end);
	e->len = e->len - e->opt_end + end;
	e->opt_end = end;
	if (dns_edit_has_opt(e))
		wire_store_u16(e->msg + e->opt + RDLENGTH_AT,
		    (uint16_t)(end - e->opt - DNS_OPT_LEN));
}

static bool
has_room(const struct dns_edit *e, size_t n)
{
	return e->len <= e->cap && n <= e->cap - e->len;
}

/*
 * Adds one to, or takes one from, the additional section's count, which does
 * not wrap: no message has room for so many records.
 */
static void
count_by(struct dns_edit *e, int n)
{
	wire_store_u16(e->msg + COUNT_AT,
	    (uint16_t)(wire_load_u16(e->msg + COUNT_AT) + n));
}

bool
dns_edit_add_opt(struct dns_edit *e, uint16_t udp_size)
{
	uint8_t *p = e->msg + e->opt;

	if (dns_edit_has_opt(e) || !has_room(e, DNS_OPT_LEN))
		return false;
	memset(p, 0, DNS_OPT_LEN);
	wire_store_u16(p + 1, DNS_TYPE_OPT);
	wire_store_u16(p + 3, udp_size);
	e->len += DNS_OPT_LEN;
	e->opt_end = e->len;
	count_by(e, 1);
	return true;
}

void
dns_edit_remove_opt(struct dns_edit *e)
{
	if (!dns_edit_has_opt(e))
		return;
	set_opt_end(e, e->opt);
	e->opt = e->opt_end = e->len;
	count_by(e, -1);
}

bool
dns_edit_put(struct dns_edit *e, enum dns_option which, const uint8_t *data,
    uint16_t len)
{
	size_t need = (size_t)DNS_OPTION_HDR_LEN + len, at = e->opt_end;
	uint8_t *p = e->msg + at;

	if (!dns_edit_has_opt(e) || !has_room(e, need))
		return false;
	set_opt_end(e, at + need);
	wire_store_u16(p, (uint16_t)which);
	wire_store_u16(p + 2, len);
	if (data != NULL)
		memcpy(p + DNS_OPTION_HDR_LEN, data, len);
	else
		memset(p + DNS_OPTION_HDR_LEN, 0, len);
	return true;
}

void
dns_edit_remove(struct dns_edit *e, enum dns_option which)
{
	struct wire_reader r;
	const uint8_t *data;
	uint16_t code, len;
	size_t need, to = e->opt + DNS_OPT_LEN;

	if (!dns_edit_has_opt(e))
		return;
	options_begin(&r, e);
	while (option_next(&r, &code, &data, &len)) {
		if (code == which)
			continue;
		need = (size_t)DNS_OPTION_HDR_LEN + len;
		memmove(e->msg + to, data - DNS_OPTION_HDR_LEN, need);
		to += need;
	}
	if (to != e->opt_end)
		set_opt_end(e, to);
}
