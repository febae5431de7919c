/* SPDX-License-Identifier: ISC */
/*
 * The kernel of a replay: sockets in memory, one clock, and timers that fire
 * when it is turned.  What the daemon calls send, recv, clock_gettime,
 * event_add and so on ends here (the linker sees to that, with --wrap, and by
 * there being no libevent).  Nothing sleeps, and the same seed gives the same
 * run.
 */
#ifndef TESTS_REPLAY_VNET_H
#define TESTS_REPLAY_VNET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct event_base;

#define VNET_NEVER UINT64_MAX

/* What becomes of a datagram that the daemon sends. */
typedef void (*vnet_datagram)(
    void *arg, const struct sockaddr_in *to, const uint8_t *msg, size_t len);

/* --- vnet.c --- */

/* A world without sockets. */
void vnet_init(void);

/* So many bytes a stream takes from the daemon that were not read. */
void vnet_set_stream_cap(size_t);

/* All randomness from now on comes from this. */
void vnet_seed(uint64_t seed);

/* Forgets all; returns how many descriptors were still open. */
size_t vnet_clear(void);

/* One end of a stream, or a bound socket.  Ours are known by pointer. */
struct vsock;

/* A stream between fd, which is the daemon's, and what is returned. */
struct vsock *vnet_stream(int *fd);

/* A UDP socket that calls back with what is sent over it. */
struct vsock *vnet_udp(int *fd, vnet_datagram, void *arg);

/* A listening socket. */
struct vsock *vnet_listener(int *fd);

/* A descriptor of nothing, to be handed over. */
int vnet_null(void);

/* Another descriptor of the same. */
int vnet_dup(int fd);

/* A datagram arrives at a UDP socket. */
void vnet_arrive(struct vsock *, const struct sockaddr_in *from,
    const uint8_t *msg, size_t len);

/* A client connects to a listening socket; its end is returned. */
struct vsock *vnet_connect(struct vsock *, const struct sockaddr_in *from);

/* The other end cannot be written to yet, as while TCP connects. */
void vnet_set_connecting(struct vsock *, bool connecting);

/* Bytes to the other end, which takes any number of them. */
void vnet_write(struct vsock *, const void *p, size_t len);

/* Bytes that came, at most len; 0 if there are none. */
size_t vnet_read(struct vsock *, void *p, size_t len);

/* Bytes of ours that the other end has not read. */
size_t vnet_underway(const struct vsock *);

/* True if the other end is closed. */
bool vnet_is_closed(const struct vsock *);

/* Sends no more: the other end reads to the end of the stream. */
void vnet_end(struct vsock *);

/*
 * Ends our end; the other finds err, or if that is 0 the end of the stream.
 * NULL is ignored.
 */
void vnet_close(struct vsock *, int err);

/* Random numbers for whoever plays, apart from the daemon's. */
uint32_t vnet_random(uint32_t below);

/* --- vevent.c --- */

/* Microseconds, as the daemon's clock. */
uint64_t vclock_us(void);
void vclock_set(uint64_t us);
/* The machine has slept for so long: CLOCK_BOOTTIME alone has gone on. */
void vclock_sleep(uint64_t us);
uint64_t vclock_slept_us(void);

/* Timers added from now on fire up to so much later than they should. */
void vevent_set_slack(uint32_t us);

/* When the next timer is due: VNET_NEVER if there is none. */
uint64_t vevent_next(const struct event_base *);

/* True if some callback could be called now. */
bool vevent_ready(const struct event_base *);

/* How many callbacks have been called, to see that it comes to rest. */
uint64_t vevent_calls(const struct event_base *);

/* What is asked of the sockets for it; false if fd is none of them. */
bool vnet_is_readable(int fd);
bool vnet_is_writable(int fd);

#endif
