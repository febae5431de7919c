/* SPDX-License-Identifier: ISC */
/* A text in YAML as a tree of blocks with known keys; for conf_yaml.c. */
#ifndef PARENT_CONF_YAML_TREE_H
#define PARENT_CONF_YAML_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <yaml.h>

#include "dotproxy/parent/conf_errors.h"

#define YAML_KEYS_MAX 9      /* of a block, with the NULL */
#define YAML_DEPTH_MAX 32    /* of mappings and lists */
#define YAML_MERGES_MAX 8    /* "<<" in "<<", this deep */
#define YAML_STEPS_MAX 65536 /* pairs of key and value looked at, in all */

struct yaml_tree {
	yaml_document_t doc;
	const char *file;
	unsigned int steps;
	struct conf_errors *errs;
	struct conf_errors *warnings;
};

/* A mapping: the values of its known keys; NULL: not there, or null. */
struct yaml_block {
	const char *path; /* of names, for messages; borrowed */
	struct conf_origin at;
	const char *const *keys; /* ends with NULL */
	yaml_node_t *values[YAML_KEYS_MAX];
};

/*
 * Makes the tree of a text of len bytes.  Returns 0, or -1 with an error; file
 * is what messages call it.  Free it with tree_free().
 */
int tree_load(struct yaml_tree *, const char *file, const char *text,
    size_t len, struct conf_errors *errs, struct conf_errors *warnings);
void tree_free(struct yaml_tree *);

/* Where a node stands; NULL is the first line. */
struct conf_origin tree_origin(const struct yaml_tree *, const yaml_node_t *);

/*
 * Reads a mapping, and those merged into it.  A key that is not among keys is
 * a warning, one that stands twice an error.  Returns false if the node is no
 * mapping, which is an error, too; NULL is one without keys.
 */
bool tree_read(struct yaml_tree *, struct yaml_block *, yaml_node_t *,
    const char *path, const char *const *keys);

/* The text of a value; NULL if it is not there, or after an error. */
const char *tree_text(struct yaml_tree *, const struct yaml_block *, int key);

/* A number; 0 if it is not there.  Text in quotes is none, as in Go. */
int32_t tree_int(struct yaml_tree *, const struct yaml_block *, int key);

/* A duration in milliseconds; 0 if it is not there. */
uint32_t tree_duration(struct yaml_tree *, const struct yaml_block *, int key);

/* Reports a value that is there, with the end of a sentence about it. */
void tree_bad(
    struct yaml_tree *, const struct yaml_block *, int key, const char *why);

#endif
