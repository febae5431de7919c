/* SPDX-License-Identifier: ISC */
/*
 * As much DNS as a forwarder needs: the header, where the question ends, the
 * client's EDNS size, whether an answer belongs to a query, and the replies
 * dotproxy makes itself.  Pure: no sockets, no clock, no allocation.  Every
 * function takes bytes from outside and may be given anything.
 */
#ifndef COMMON_DNS_H
#define COMMON_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/wire.h"

#define DNS_HDR_LEN 12
#define DNS_MSG_MAX 65535
#define DNS_UDP_MIN 512      /* RFC 1035 4.2.1 */
#define DNS_OPT_LEN 11       /* an OPT record without options */
#define DNS_EDE_TEXT_MAX 128 /* bytes of text dns_error_reply() sends */

/* Buffer for dns_error_reply(): any sane question section fits. */
#define DNS_ERROR_REPLY_MAX 4096

enum dns_opcode {
	DNS_OPCODE_QUERY = 0,
	DNS_OPCODE_UPDATE = 5,
	DNS_OPCODE_DSO = 6 /* RFC 8490 */
};

enum dns_rcode {
	DNS_RCODE_NOERROR = 0,
	DNS_RCODE_FORMERR = 1,
	DNS_RCODE_SERVFAIL = 2,
	DNS_RCODE_NXDOMAIN = 3,
	DNS_RCODE_NOTIMP = 4,
	DNS_RCODE_REFUSED = 5
};

enum dns_type {
	DNS_TYPE_A = 1,
	DNS_TYPE_SOA = 6,
	DNS_TYPE_SIG = 24,
	DNS_TYPE_AAAA = 28,
	DNS_TYPE_OPT = 41,
	DNS_TYPE_RRSIG = 46,
	DNS_TYPE_TSIG = 250,
	DNS_TYPE_IXFR = 251,
	DNS_TYPE_AXFR = 252
};

#define DNS_CLASS_IN 1

/* Extended DNS Errors, RFC 8914 4; DNS_EDE_NONE adds no option. */
enum dns_ede {
	DNS_EDE_NONE = -1,
	DNS_EDE_OTHER = 0,
	DNS_EDE_NOT_READY = 14,
	DNS_EDE_PROHIBITED = 18,
	DNS_EDE_NOT_SUPPORTED = 21,
	DNS_EDE_NO_REACHABLE_AUTHORITY = 22,
	DNS_EDE_NETWORK_ERROR = 23
};

/* What a query says of itself. */
struct dns_query {
	uint16_t id;
	uint8_t opcode;
	/*
	 * Bytes of the question section, all questions together, from offset
	 * DNS_HDR_LEN; 0 if there is none (then the two below are 0, but EDNS
	 * is known: RFC 7873 5.4 asks for cookies that way) or if it cannot
	 * be parsed (then nothing is known, has_edns is false).
	 */
	size_t question_len;
	uint16_t qtype; /* of the first question */
	uint16_t qclass;
	bool has_edns;     /* there is an OPT record; the first one counts */
	bool edns_do;      /* its DO bit, which replies repeat: RFC 3225 3 */
	uint16_t udp_size; /* what the client can take over UDP, >= 512 */
};

enum dns_verdict {
	DNS_DROP,   /* shorter than a header, or a response */
	DNS_FORWARD /* anything else; the upstream is the judge */
};

static inline uint16_t
dns_id(const uint8_t *msg)
{
	return wire_load_u16(msg);
}

static inline void
dns_set_id(uint8_t *msg, uint16_t id)
{
	wire_store_u16(msg, id);
}

/* Says of an answer that it is cut off: RFC 1035 4.1.1. */
static inline void
dns_set_truncated(uint8_t *msg)
{
	msg[2] |= 0x02;
}

static inline bool
dns_is_response(const uint8_t *msg)
{
	return (msg[2] & 0x80) != 0;
}

static inline uint8_t
dns_opcode(const uint8_t *msg)
{
	return (msg[2] >> 3) & 0x0f;
}

static inline uint8_t
dns_rcode(const uint8_t *msg)
{
	return msg[3] & 0x0f;
}

/*
 * Looks at a message from a client, once a query and so in one pass: header,
 * question, and as far as the OPT record.  Whatever has a header and is no
 * response is to be forwarded; what cannot be parsed of it is left unknown in
 * *q, which is filled in on DNS_FORWARD only.
 */
enum dns_verdict dns_query_parse(
    const uint8_t *msg, size_t len, struct dns_query *q);

/* True for AXFR and IXFR, whose answers may be many messages. */
static inline bool
dns_is_transfer(const struct dns_query *q)
{
	return q->opcode == DNS_OPCODE_QUERY && q->question_len > 0 &&
	       (q->qtype == DNS_TYPE_AXFR || q->qtype == DNS_TYPE_IXFR);
}

/*
 * True if it does no harm to send the query twice: opcode QUERY and no
 * transfer.
 */
static inline bool
dns_may_repeat(const struct dns_query *q)
{
	return q->opcode == DNS_OPCODE_QUERY && !dns_is_transfer(q);
}

/*
 * True if the answer is a response of the same opcode and its question
 * section, if it has one, is the query's: the same number of questions with
 * the same names (in any case, compressed or not), types and classes (RFC 5452
 * 4.2, RFC 7766 7).  A query whose question cannot be parsed is matched by any
 * response of its opcode: somebody has to be able to say FORMERR.  The ID is
 * not compared: that is done where it was made.
 */
bool dns_answer_matches(const uint8_t *query, size_t query_len,
    const uint8_t *answer, size_t answer_len);

/* A resource record within its message. */
struct dns_rr {
	size_t start;
	size_t end;
	bool at_root; /* the owner is the root */
	uint16_t type;
	uint16_t class;
	uint16_t data_len;
	uint32_t ttl;
};

/* The records of a section, one after another. */
struct dns_walk {
	struct wire_reader r;
	uint32_t left;
};

/* Begins before the answer section; false if the questions are garbage. */
bool dns_walk_answers(struct dns_walk *, const uint8_t *msg, size_t len);

/*
 * Goes on to the next record; *serial is set if it is a SOA.  Returns 1, 0 at
 * the end of the section, or -1 if it is no record.
 */
int dns_walk_next(struct dns_walk *, uint16_t *type, uint32_t *serial);

/*
 * The same, with all there is to know of the record; false at the end, and if
 * it is none.  Who adds the counts of the next sections to left goes on into
 * them.
 */
bool dns_walk_rr(struct dns_walk *, struct dns_rr *);

/* The serial in the authority section of an IXFR query (RFC 1995 3). */
bool dns_ixfr_serial(const uint8_t *query, size_t len, uint32_t *serial);

/*
 * Finds what the answer says of how long the connection may be idle
 * (edns-tcp-keepalive, RFC 7828).  Returns false if it says nothing.
 */
bool dns_keepalive(const uint8_t *answer, size_t len, uint32_t *idle_ms);

/*
 * Makes an error reply to a query that dns_query_parse() has passed: header
 * with QR set and opcode, RD and CD copied (and RA with SERVFAIL: recursion is
 * to be had here, only not now), the question if it can be parsed, and, if the
 * client sent an OPT record, an OPT with the Extended DNS Error (unless
 * DNS_EDE_NONE).  text may be NULL; it is cut to DNS_EDE_TEXT_MAX bytes, and
 * left out, as then is the question, rather than exceed cap.  Only header and
 * question of the query are read.  Returns the length; cap is at least
 * DNS_UDP_MIN.
 */
size_t dns_error_reply(const uint8_t *query, const struct dns_query *q,
    enum dns_rcode rcode, enum dns_ede ede, const char *text, uint8_t *out,
    size_t cap);

/*
 * Makes the truncated form of an answer: its header with TC set, its
 * question, and, if the client sent an OPT record, the answer's own OPT (with
 * its options cut off if they do not fit; none if the answer has none).  A
 * question section that does not fit, which takes several questions, is left
 * out.  limit is what the client can take, >= DNS_UDP_MIN, and out has room
 * for that much.  Returns the length, which is at most limit; 0 if the answer
 * is shorter than a header.  The ID stays the answer's.
 */
size_t dns_truncate(const uint8_t *answer, size_t answer_len,
    const struct dns_query *q, size_t limit, uint8_t *out);

#endif
