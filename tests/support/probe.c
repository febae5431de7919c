/* SPDX-License-Identifier: ISC */
/* LINK: common/log.c dotproxy/sandbox.c dotproxy/sandbox_layers.c */
/* LIBS: -lseccomp -lcap-ng */
/*
 * Tries what a process may no longer do.  Enters the confinement of a role by
 * sandbox_enter() itself, in a child for each try, and prints a line for each:
 * "WHAT ok", "WHAT errno NAME" or "WHAT signal NAME".
 *
 *	probe names                      system calls: number and name
 *	probe export ROLE                the filter's BPF program, as it is
 *	probe try ROLE WHAT...           a number, or a name from attempts[]
 *	probe layers ROLE WHAT...        the same without the filter
 *	probe without CALL ROLE WHAT...  the same without one system call
 *
 * It takes the place of seccomp_load(), to get at the filter of the code under
 * test, and of time(), so that an hour can pass for OpenSSL.
 */
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <dlfcn.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/rand.h>
#include <openssl/ssl.h>

#include "dotproxy/sandbox.h"

#define NOBODY 65534
#define SECONDS_MAX 5 /* for one try */
#define CALL_LAST 1023
#define ANY (-1L)

/* What a child had before it was confined, under fixed numbers. */
enum { FD_UDP = 20, FD_TCP, FD_FILE, FD_PIPE, FD_RESULT };

struct outcome {
	long rc;
	int err;
};

/* An attempt is a system call, or a function where one is not enough. */
struct attempt {
	const char *name;
	long nr;
	long args[6];
	long (*run)(void);
};

/* For the two functions that take another's place; set once, in main(). */
static struct {
	const char *export_role;
	bool skip_filter;
	int without; /* a system call; -1 if none */
	time_t ahead;
} probe = { .without = -1 };

static SSL_CTX *server_tls, *client_tls; /* made before the confinement */
static pid_t peer;                       /* a process of the same user */

time_t
time(time_t *out)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	now.tv_sec += probe.ahead;
	if (out != NULL)
		*out = now.tv_sec;
	return now.tv_sec;
}

int
seccomp_load(const scmp_filter_ctx ctx)
{
	int (*real)(const scmp_filter_ctx);
	scmp_filter_ctx deny;

	*(void **)&real = dlsym(RTLD_NEXT, "seccomp_load");
	if (probe.export_role != NULL) {
		if (seccomp_export_bpf(ctx, STDOUT_FILENO) != 0)
			errx(1, "seccomp_export_bpf");
		_exit(0);
	}
	if (probe.skip_filter)
		return 0;
	if (probe.without != -1) {
		deny = seccomp_init(SCMP_ACT_ALLOW);
		if (deny == NULL ||
		    seccomp_rule_add(
			deny, SCMP_ACT_KILL_PROCESS, probe.without, 0) != 0 ||
		    real(deny) != 0)
			errx(1, "seccomp");
		seccomp_release(deny);
	}
	return real(ctx);
}

/* --- attempts that take more than one call --- */

static long
map_executable(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? -1 : 0;
}

static long
map_data(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? -1 : 0;
}

static long
protect_executable(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return mprotect(p, 4096, PROT_READ | PROT_EXEC);
}

static struct sockaddr_in
loopback(void)
{
	struct sockaddr_in sin;

	memset(&sin, 0, sizeof(sin));
	sin.sin_family = AF_INET;
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return sin;
}

static long
bind_tcp(void)
{
	struct sockaddr_in sin = loopback();

	return bind(FD_TCP, (struct sockaddr *)&sin, sizeof(sin));
}

static long
connect_tcp(void)
{
	struct sockaddr_in sin = loopback();

	return connect(FD_TCP, (struct sockaddr *)&sin, sizeof(sin));
}

static long
send_to_address(void)
{
	struct sockaddr_in sin = loopback();

	sin.sin_port = htons(9);
	return sendto(FD_UDP, "x", 1, 0, (struct sockaddr *)&sin, sizeof(sin));
}

/* One sendmmsg with an address over UDP, as the listener does; or not. */
static long
send_batch(int fd, int flags)
{
	struct sockaddr_in sin = loopback();
	struct mmsghdr m;
	struct iovec iov = { &sin, 1 };

	sin.sin_port = htons(9);
	memset(&m, 0, sizeof(m));
	m.msg_hdr.msg_name = &sin;
	m.msg_hdr.msg_namelen = sizeof(sin);
	m.msg_hdr.msg_iov = &iov;
	m.msg_hdr.msg_iovlen = 1;
	return sendmmsg(fd, &m, 1, flags | MSG_DONTWAIT | MSG_NOSIGNAL);
}

static long
send_answers(void)
{
	return send_batch(FD_UDP, 0);
}

static long
connect_by_send(void)
{
	return send_batch(FD_TCP, MSG_FASTOPEN);
}

/* From a socket of its own: the namespace has no way to anywhere. */
static long
send_from_new_socket(void)
{
	struct sockaddr_in sin = loopback();
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	sin.sin_port = htons(9);
	return sendto(fd, "x", 1, 0, (struct sockaddr *)&sin, sizeof(sin));
}

static long
signal_peer(void)
{
	return kill(peer, 0);
}

static long
trace_peer(void)
{
	return syscall(SYS_ptrace, 16L, (long)peer, 0L, 0L); /* ATTACH */
}

static long
signal_peer_thread(void)
{
	return syscall(SYS_tgkill, (long)peer, (long)peer, (long)SIGABRT);
}

static long
signal_self(void)
{
	return syscall(
	    SYS_tgkill, (long)getpid(), syscall(SYS_gettid), (long)SIGTERM);
}

static long
end_by_abort(void)
{
	abort();
}

/* A whole handshake, in memory. */
static int
shake_hands(void)
{
	SSL *s = SSL_new(server_tls), *c = SSL_new(client_tls);
	BIO *up = BIO_new(BIO_s_mem()), *down = BIO_new(BIO_s_mem());
	int i;

	if (s == NULL || c == NULL || up == NULL || down == NULL)
		return -1;
	BIO_up_ref(up);
	BIO_up_ref(down);
	SSL_set_bio(s, up, down);
	SSL_set_bio(c, down, up);
	SSL_set_accept_state(s);
	SSL_set_connect_state(c);
	for (i = 0; i < 4; i++) {
		(void)SSL_do_handshake(c);
		(void)SSL_do_handshake(s);
	}
	return SSL_is_init_finished(c) && SSL_is_init_finished(s) ? 0 : -1;
}

/* OpenSSL seeds its generators anew an hour after it did so last. */
static long
reseed_after_hours(void)
{
	uint8_t buf[32];

	probe.ahead += 2 * 60 * 60;
	if (RAND_bytes(buf, sizeof(buf)) != 1 ||
	    RAND_priv_bytes(buf, sizeof(buf)) != 1)
		return -1;
	return shake_hands();
}

static const char root[] = "/";
static const char proc_file[] = "/proc/1/stat";
static const char some_program[] = "/bin/true";
static const int one = 1;

static const struct attempt attempts[] = {
	{ .name = "mmap-exec", .run = map_executable },
	{ .name = "mmap-data", .run = map_data },
	{ .name = "mprotect-exec", .run = protect_executable },
	{ .name = "bind", .run = bind_tcp },
	{ .name = "connect", .run = connect_tcp },
	{ .name = "sendto-address", .run = send_to_address },
	{ .name = "sendmmsg", .run = send_answers },
	{ .name = "sendmmsg-fastopen", .run = connect_by_send },
	{ .name = "new-socket", .run = send_from_new_socket },
	{ .name = "kill", .run = signal_peer },
	{ .name = "ptrace", .run = trace_peer },
	{ .name = "tgkill", .run = signal_peer_thread },
	{ .name = "tgkill-self", .run = signal_self },
	{ .name = "abort", .run = end_by_abort },
	{ .name = "reseed", .run = reseed_after_hours },
	{ .name = "send",
	    .nr = SYS_sendto,
	    .args = { FD_PIPE, (long)root, 1 } },
	{ .name = "open", .nr = SYS_openat, .args = { AT_FDCWD, (long)root } },
	{ .name = "open-proc",
	    .nr = SYS_openat,
	    .args = { AT_FDCWD, (long)proc_file } },
	{ .name = "execve", .nr = SYS_execve, .args = { (long)some_program } },
	{ .name = "fork", .nr = SYS_clone, .args = { SIGCHLD } },
	{ .name = "clone-user",
	    .nr = SYS_clone,
	    .args = { CLONE_NEWUSER | SIGCHLD } },
	{ .name = "unshare-pid", .nr = SYS_unshare, .args = { CLONE_NEWPID } },
	{ .name = "unshare-user",
	    .nr = SYS_unshare,
	    .args = { CLONE_NEWUSER } },
	{ .name = "setuid", .nr = SYS_setuid },
	{ .name = "write-file",
	    .nr = SYS_write,
	    .args = { FD_FILE, (long)root, 1 } },
	{ .name = "shutdown",
	    .nr = SYS_shutdown,
	    .args = { FD_UDP, SHUT_RDWR } },
	{ .name = "netlink",
	    .nr = SYS_socket,
	    .args = { AF_NETLINK, SOCK_RAW } },
	{ .name = "packet", .nr = SYS_socket, .args = { AF_PACKET, SOCK_RAW } },
	{ .name = "quickack",
	    .nr = SYS_setsockopt,
	    .args = { FD_TCP, IPPROTO_TCP, TCP_QUICKACK, (long)&one,
		sizeof(one) } },
	{ .name = "setsockopt-level",
	    .nr = SYS_setsockopt,
	    .args = { FD_TCP, SOL_SOCKET, TCP_QUICKACK, (long)&one,
		sizeof(one) } },
	{ .name = "setsockopt-name",
	    .nr = SYS_setsockopt,
	    .args = { FD_TCP, IPPROTO_TCP, TCP_NODELAY, (long)&one,
		sizeof(one) } },
	{ .name = "tiocsti",
	    .nr = SYS_ioctl,
	    .args = { FD_PIPE, 0x5412, (long)root } },
	{ .name = "io_uring", .nr = SYS_io_uring_setup, .args = { 1, 0 } },
	{ .name = "bpf", .nr = SYS_bpf },
	{ .name = "userfaultfd", .nr = SYS_userfaultfd },
	{ .name = "mount",
	    .nr = SYS_mount,
	    .args = { (long)root, (long)root, 0, 4096 /* MS_BIND */, 0 } },
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct attempt *
find_attempt(const char *name)
{
	size_t i;

	for (i = 0; i < COUNT(attempts); i++)
		if (strcmp(attempts[i].name, name) == 0)
			return &attempts[i];
	errx(2, "%s: no such attempt", name);
}

/* Makes a system call; arguments that are ANY point nowhere. */
static long
make_call(long nr, const long *a)
{
	return syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static long
perform(const char *what)
{
	static const long nowhere[6] = { ANY, ANY, ANY, ANY, ANY, ANY };
	const struct attempt *a;
	char *end;
	long nr = strtol(what, &end, 10);

	if (*end == '\0')
		return make_call(nr, nowhere);
	a = find_attempt(what);
	return a->run != NULL ? a->run() : make_call(a->nr, a->args);
}

static void
place(int fd, int at)
{
	if (fd == -1 || dup2(fd, at) == -1)
		err(1, "descriptor");
	if (fd != at)
		close(fd);
}

/* Handshakes without a certificate: what is tested is the randomness. */
static SSL_CTX *
new_tls(const SSL_METHOD *method)
{
	SSL_CTX *tls = SSL_CTX_new(method);

	if (tls == NULL ||
	    SSL_CTX_set_max_proto_version(tls, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_cipher_list(tls, "AECDH-AES128-SHA:@SECLEVEL=0") != 1)
		errx(1, "TLS");
	return tls;
}

/* All that a process of ours has when it is confined. */
static void
prepare(int result)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == -1)
		err(1, "socketpair");
	place(pair[0], FD_PIPE);
	place(socket(AF_INET, SOCK_DGRAM, 0), FD_UDP);
	place(socket(AF_INET, SOCK_STREAM, 0), FD_TCP);
	place(fileno(tmpfile()), FD_FILE);
	place(result, FD_RESULT);
	server_tls = new_tls(TLS_server_method());
	client_tls = new_tls(TLS_client_method());
	if (shake_hands() == -1)
		errx(1, "handshake");
	tzset();
}

static void
enter(const char *role)
{
	struct sandbox_opts o = { .uid = NOBODY,
		.gid = NOBODY,
		.nofile = 64,
		.confine = true,
		.low_ports = true };

	if (strcmp(role, "parent") == 0)
		(void)sandbox_enter(SANDBOX_PARENT, &o);
	else if (strcmp(role, "listener") == 0)
		(void)sandbox_enter(SANDBOX_LISTENER, &o);
	else if (strcmp(role, "pool") == 0)
		(void)sandbox_enter(SANDBOX_POOL, &o);
	else if (strcmp(role, "reader") == 0) {
		o.readable = open("/proc", O_PATH);
		(void)sandbox_enter(SANDBOX_READER, &o);
	} else if (strcmp(role, "server") == 0)
		(void)sandbox_enter(SANDBOX_SERVER, &o);
	else
		errx(2, "%s: no such role", role);
}

/* A process that a confined one could do something to, were it allowed. */
static pid_t
start_peer(void)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	if (setresgid(NOBODY, NOBODY, NOBODY) == -1 ||
	    setresuid(NOBODY, NOBODY, NOBODY) == -1 ||
	    prctl(PR_SET_DUMPABLE, 1) == -1 ||
	    prctl(PR_SET_PDEATHSIG, SIGKILL) == -1)
		_exit(1);
	for (;;)
		pause();
}

static void
child(const char *role, const char *what, int result)
{
	struct outcome o;

	alarm(SECONDS_MAX);
	prepare(result);
	enter(role);
	errno = 0;
	o.rc = perform(what);
	o.err = errno;
	(void)sendto(FD_RESULT, &o, sizeof(o), 0, NULL, 0);
	_exit(0);
}

static void
try_one(const char *role, const char *what)
{
	struct outcome o;
	int pair[2], status;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == -1)
		err(1, "socketpair");
	pid = fork();
	if (pid == 0)
		child(role, what, pair[1]);
	close(pair[1]);
	if (pid == -1 || waitpid(pid, &status, 0) == -1)
		err(1, "child");
	if (WIFSIGNALED(status))
		printf("%s signal %s\n", what, sigabbrev_np(WTERMSIG(status)));
	else if (recv(pair[0], &o, sizeof(o), MSG_DONTWAIT) != sizeof(o))
		printf("%s exit %d\n", what, WEXITSTATUS(status));
	else if (o.rc == -1)
		printf("%s errno %s\n", what, strerrorname_np(o.err));
	else
		printf("%s ok\n", what);
	close(pair[0]);
}

static void
print_names(void)
{
	char *name;
	int nr;

	for (nr = 0; nr <= CALL_LAST; nr++) {
		name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, nr);
		if (name != NULL)
			printf("%d %s\n", nr, name);
		free(name);
	}
}

int
main(int argc, char *argv[])
{
	int i = 1;

	if (argc == 2 && strcmp(argv[1], "names") == 0) {
		print_names();
		return 0;
	}
	if (argc < 3)
		errx(2, "usage: see the source");
	if (strcmp(argv[1], "without") == 0) {
		probe.without = seccomp_syscall_resolve_name(argv[2]);
		i++;
	} else if (strcmp(argv[1], "layers") == 0)
		probe.skip_filter = true;
	else if (strcmp(argv[1], "export") == 0)
		probe.export_role = argv[2];
	sandbox_make_empty_dir();
	if (probe.export_role != NULL) {
		/* For a machine that has all of it, which an emulator lacks. */
		(void)seccomp_api_set(4);
		enter(probe.export_role);
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	peer = start_peer();
	for (i += 2; i < argc; i++)
		try_one(argv[probe.without == -1 ? 2 : 3], argv[i]);
	if (kill(peer, SIGKILL) == -1 || waitpid(peer, NULL, 0) == -1)
		err(1, "peer");
	return 0;
}
