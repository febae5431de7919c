/* SPDX-License-Identifier: ISC */
/*
 * Runs a fuzz target without libFuzzer: on each file that is named, and each
 * file of the directories that are named; and on a few changes of each, always
 * the same for the same bytes.  TAP, a line for each file.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

#define INPUT_MAX (1024 * 1024)
#define CHANGES 8

/* Not every target has it; the linker knows. */
#pragma weak LLVMFuzzerCustomMutator

/* Where libFuzzer has its own generator this has one, seeded by the input. */
struct replay {
	struct fuzz_random rnd;
	unsigned int ntests;
	unsigned int nfailed;
	uint8_t buf[INPUT_MAX];
};

size_t
LLVMFuzzerMutate(uint8_t *data, size_t len, size_t max)
{
	struct fuzz_random rnd;
	size_t i;

	fuzz_seed(&rnd, (unsigned int)len + (len > 0 ? data[len - 1] : 0));
	for (i = 0; len > 0 && i < 1 + len / 64; i++)
		data[fuzz_below(&rnd, (uint32_t)len)] =
		    (uint8_t)fuzz_below(&rnd, 256);
	return len < max && len > 0 ? len - fuzz_below(&rnd, 2) : len;
}

static void
run_copy(const uint8_t *data, size_t len)
{
	uint8_t *copy = fuzz_copy(data, len);

	FUZZ_ASSERT(LLVMFuzzerTestOneInput(copy, len) == 0);
	free(copy);
}

static void
run_changes(struct replay *rep, size_t len)
{
	unsigned int i, seed = (unsigned int)len;
	size_t n = len;

	for (i = 0; i < CHANGES; i++) {
		if (LLVMFuzzerCustomMutator != NULL)
			n = LLVMFuzzerCustomMutator(rep->buf, n,
			    n + 256 < INPUT_MAX ? n + 256 : INPUT_MAX,
			    seed + i);
		else
			n = LLVMFuzzerMutate(rep->buf, n, n);
		run_copy(rep->buf, n);
	}
}

/* In a process of its own: whatever comes of it, the other files follow. */
static void
run_file(struct replay *rep, const char *path)
{
	FILE *f = fopen(path, "rb");
	size_t len;
	int status;
	pid_t pid;

	if (f == NULL) {
		(void)printf("Bail out! %s: %s\n", path, strerror(errno));
		exit(1);
	}
	len = fread(rep->buf, 1, sizeof(rep->buf), f);
	(void)fclose(f);
	(void)fflush(stdout);
	pid = fork();
	FUZZ_ASSERT(pid != -1);
	if (pid == 0) {
		run_copy(rep->buf, len);
		run_changes(rep, len);
		free(rep);
		exit(0);
	}
	FUZZ_ASSERT(waitpid(pid, &status, 0) == pid);
	(void)printf(
	    "%s %u - %s\n", status == 0 ? "ok" : "not ok", ++rep->ntests, path);
	rep->nfailed += status != 0;
}

static void
run_dir(struct replay *rep, const char *path)
{
	char name[PATH_MAX];
	struct dirent **entries;
	int i, n = scandir(path, &entries, NULL, alphasort);

	for (i = 0; i < n; i++) {
		if (entries[i]->d_name[0] != '.') {
			(void)snprintf(name, sizeof(name), "%s/%s", path,
			    entries[i]->d_name);
			run_file(rep, name);
		}
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
}

int
main(int argc, char *argv[])
{
	struct replay *rep = fuzz_alloc(sizeof(*rep));
	struct stat st;
	int i;

	run_file(rep, "/dev/null");
	for (i = 1; i < argc; i++) {
		if (stat(argv[i], &st) == -1)
			continue; /* no regressions, say */
		if (S_ISDIR(st.st_mode))
			run_dir(rep, argv[i]);
		else
			run_file(rep, argv[i]);
	}
	(void)printf("1..%u\n", rep->ntests);
	i = rep->nfailed > 0;
	free(rep);
	return i;
}
