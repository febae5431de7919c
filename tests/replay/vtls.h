/* SPDX-License-Identifier: ISC */
/*
 * TLS as a replay has it: records of a type, a length and bytes as they are.
 * The pool's end is in place of session.c and libtls; a scripted upstream makes
 * the other end's records itself.
 */
#ifndef TESTS_REPLAY_VTLS_H
#define TESTS_REPLAY_VTLS_H

#define VTLS_HDR_LEN 3
#define VTLS_RECORD_MAX 16384

enum vtls_record {
	VTLS_HELLO = 'H',   /* from us; one byte: a ticket is shown */
	VTLS_DONE = 'O',    /* the handshake; one byte: it is resumed */
	VTLS_REFUSED = 'F', /* the same; enum info_phase, enum msg_cause */
	VTLS_TICKET = 'T',
	VTLS_DATA = 'D',
	VTLS_CLOSE = 'C', /* close_notify */
	VTLS_ALERT = 'A'
};

#endif
