/* SPDX-License-Identifier: ISC */
/*
 * Changes to the OPT record of a message, in place: options put in or taken
 * out, the record added or removed.  Everything else stays as it is, byte for
 * byte. Pure: no sockets, no clock, no allocation.  The message may be
 * anything.
 *
 * A message is edited only if nothing can go wrong with it.  It is left alone
 * if it is signed (TSIG, SIG(0): the MAC covers every byte), if any of it
 * cannot be parsed or is left over, if it has several OPT records, or one that
 * is elsewhere than in the additional section, or of another version than 0, or
 * with options that do not add up; and if there are records behind the OPT that
 * cannot be moved, because they may hold compression pointers to one another.
 */
#ifndef COMMON_DNS_EDIT_H
#define COMMON_DNS_EDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Option codes. */
enum dns_option {
	DNS_OPTION_ECS = 8,        /* client subnet, RFC 7871 */
	DNS_OPTION_KEEPALIVE = 11, /* edns-tcp-keepalive, RFC 7828 */
	DNS_OPTION_PADDING = 12    /* RFC 7830 */
};

#define DNS_OPTION_HDR_LEN 4

/* A message under change.  All but len is dns_edit's own. */
struct dns_edit {
	uint8_t *msg; /* the caller's */
	size_t len;
	size_t cap;     /* <= DNS_MSG_MAX */
	size_t opt;     /* where the OPT record begins, or would */
	size_t opt_end; /* == opt: there is none */
};

/*
 * Begins with a message of len bytes where cap bytes may be used; cap may be
 * less than len, and beyond DNS_MSG_MAX nothing is used.  Returns false if the
 * message must be left as it is.
 */
bool dns_edit_begin(struct dns_edit *, uint8_t *msg, size_t len, size_t cap);

static inline bool
dns_edit_has_opt(const struct dns_edit *e)
{
	return e->opt_end > e->opt;
}

/* The upper bits of the RCODE, which are in the OPT record; 0 without one. */
uint8_t dns_edit_rcode_high(const struct dns_edit *);

/*
 * How many options of this code there are.  Of the first, *data and *len are
 * what it holds; they are valid until the next change.
 */
size_t dns_edit_find(const struct dns_edit *, enum dns_option,
    const uint8_t **data, uint16_t *len);

/*
 * Adds an OPT record without options to a message that has none: version 0, no
 * flags.  Returns false if there is no room.
 */
bool dns_edit_add_opt(struct dns_edit *, uint16_t udp_size);

/* Removes the OPT record, if there is one. */
void dns_edit_remove_opt(struct dns_edit *);

/*
 * Puts an option behind the others of the OPT record, which there must be; data
 * may be NULL, for so many zeros.  Returns false if there is no room.
 */
bool dns_edit_put(
    struct dns_edit *, enum dns_option, const uint8_t *data, uint16_t len);

/* Takes all options of this code out. */
void dns_edit_remove(struct dns_edit *, enum dns_option);

#endif
