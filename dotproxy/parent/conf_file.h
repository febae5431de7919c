/* SPDX-License-Identifier: ISC */
/* Files which the configuration is made of, or names. */
#ifndef PARENT_CONF_FILE_H
#define PARENT_CONF_FILE_H

#include <stddef.h>

#define CONF_FILE_SIZE_MAX (1u << 20)

/*
 * Reads a configuration file into *buf, which the caller frees.  Refuses what
 * others could have written: it must be a regular file, owned by root or the
 * current user, and writable by its owner only.  Returns NULL, or what is
 * wrong, valid until the next call of strerror(3).
 */
const char *conf_file_read(const char *path, char **buf, size_t *len);

/*
 * Checks that a file of trusted certificates can be read and has at least one
 * in it.  Returns NULL, or what is wrong, valid as above.
 */
const char *conf_file_check_ca(const char *path);

/*
 * Opens a file of certificates, which is a regular file: others would keep the
 * parent waiting.  Returns NULL, and the descriptor, which becomes the
 * caller's; or what is wrong, valid as above.
 */
const char *conf_file_open(const char *path, int *fd);

/*
 * Opens a private key: a regular file, owned by root or the current user, that
 * group and others can neither read nor write.  Returns NULL, and the
 * descriptor, which becomes the caller's; or what is wrong, valid as above.
 */
const char *conf_file_open_key(const char *path, int *fd);

/* Checks that this works, and that the file has a private key in it. */
const char *conf_file_check_key(const char *path);

#endif
