/* SPDX-License-Identifier: ISC */
/*
 * Makes a tree of a text in YAML, with libyaml, and reads blocks of known keys
 * out of it.  Runs in the parent.  Opens nothing.  In the tree an alias is a
 * reference: nothing grows by being repeated.  Only "<<" brings one block into
 * another, and what that comes to is counted.
 */
#include "dotproxy/parent/conf_yaml_tree.h"

#include <stdio.h>
#include <string.h>

#include "dotproxy/parent/conf_go.h"

static void read_merged(
    struct yaml_tree *, struct yaml_block *, yaml_node_t *, unsigned int);

/* True if the indentation of a line, counted from 0, has a tab in it. */
static bool
has_tab(const char *text, size_t len, size_t line)
{
	size_t i = 0;

	for (; i < len && line > 0; i++)
		line -= text[i] == '\n';
	while (i < len && text[i] == ' ')
		i++;
	return i < len && text[i] == '\t';
}

/* Reports why the text is no YAML. */
static void
report(
    struct yaml_tree *t, const yaml_parser_t *p, const char *text, size_t len)
{
	struct conf_origin at = { .file = t->file, .line = 1 };
	size_t i;

	/* libyaml does not always say so. */
	if (p->error == YAML_MEMORY_ERROR || p->problem == NULL) {
		conf_errors_add(t->errs, at, "out of memory");
		return;
	}
	if (p->error == YAML_READER_ERROR) {
		for (i = 0; i < p->problem_offset && i < len; i++)
			at.line += text[i] == '\n';
		conf_errors_add(t->errs, at, "%s", p->problem);
		return;
	}
	at.line = (unsigned int)p->problem_mark.line + 1;
	if (has_tab(text, len, p->problem_mark.line))
		conf_errors_add(t->errs, at,
		    "a tab where YAML wants blanks for indentation");
	else
		conf_errors_add(t->errs, at, "%s%s%s", p->problem,
		    p->context != NULL ? " " : "",
		    p->context != NULL ? p->context : "");
}

/*
 * Goes through the first document: libyaml takes time that grows with the
 * square of the depth, and has no limit for it.
 */
static bool
is_good(struct yaml_tree *t, yaml_parser_t *p, const char *text, size_t len)
{
	struct conf_origin at = { .file = t->file };
	unsigned int depth = 0;
	yaml_event_type_t type;
	yaml_event_t e;

	do {
		if (yaml_parser_parse(p, &e) == 0) {
			report(t, p, text, len);
			return false;
		}
		type = e.type;
		at.line = (unsigned int)e.start_mark.line + 1;
		yaml_event_delete(&e);
		if (type == YAML_SEQUENCE_START_EVENT ||
		    type == YAML_MAPPING_START_EVENT)
			depth++;
		if (type == YAML_SEQUENCE_END_EVENT ||
		    type == YAML_MAPPING_END_EVENT)
			depth--;
		if (depth > YAML_DEPTH_MAX) {
			conf_errors_add(t->errs, at, "nested too deep");
			return false;
		}
	} while (
	    type != YAML_DOCUMENT_END_EVENT && type != YAML_STREAM_END_EVENT);
	if (type == YAML_STREAM_END_EVENT)
		return true; /* nothing in it */
	/* The original does not look behind the first document. */
	if (yaml_parser_parse(p, &e) == 0 || e.type != YAML_STREAM_END_EVENT)
		conf_errors_add(t->warnings, at,
		    "what is behind the first document is not read");
	yaml_event_delete(&e);
	return true;
}

static bool
start(struct yaml_tree *t, yaml_parser_t *p, const char *text, size_t len)
{
	struct conf_origin at = { .file = t->file, .line = 1 };

	if (yaml_parser_initialize(p) == 0) {
		conf_errors_add(t->errs, at, "out of memory");
		return false;
	}
	yaml_parser_set_input_string(p, (const unsigned char *)text, len);
	return true;
}

int
tree_load(struct yaml_tree *t, const char *file, const char *text, size_t len,
    struct conf_errors *errs, struct conf_errors *warnings)
{
	yaml_parser_t p;
	bool good;

	memset(t, 0, sizeof(*t));
	t->file = file;
	t->errs = errs;
	t->warnings = warnings;
	if (!start(t, &p, text, len))
		return -1;
	good = is_good(t, &p, text, len);
	yaml_parser_delete(&p);
	if (!good || !start(t, &p, text, len))
		return -1;
	good = yaml_parser_load(&p, &t->doc) != 0;
	if (!good) /* an alias of nothing, for one */
		report(t, &p, text, len);
	yaml_parser_delete(&p);
	return good ? 0 : -1;
}

void
tree_free(struct yaml_tree *t)
{
	yaml_document_delete(&t->doc);
}

struct conf_origin
tree_origin(const struct yaml_tree *t, const yaml_node_t *node)
{
	struct conf_origin at = { .file = t->file,
		.line = node == NULL
			    ? 1
			    : (unsigned int)node->start_mark.line + 1 };

	return at;
}

static const char *
node_text(const yaml_node_t *node)
{
	return (const char *)node->data.scalar.value;
}

/* Nothing, or one of the words for it (YAML 1.2.2 10.3.2). */
static bool
is_null(const yaml_node_t *node)
{
	static const char *const words[] = { "", "~", "null", "Null", "NULL" };
	size_t i;

	if (node == NULL)
		return true;
	if (node->type != YAML_SCALAR_NODE ||
	    node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return false;
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(node_text(node), words[i]) == 0)
			return true;
	return false;
}

/* "upstream.addr", or "addr" at the top; "" if key is NULL. */
static void
path_of(char *buf, size_t size, const char *path, const char *key)
{
	(void)snprintf(
	    buf, size, "%s%s%s", path, path[0] != '\0' ? "." : "", key);
}

static bool
is_merge(const yaml_node_t *key)
{
	return key->type == YAML_SCALAR_NODE &&
	       key->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       strcmp(node_text(key), "<<") == 0;
}

/* The index of a key, or -1 with a warning. */
static int
find_key(
    struct yaml_tree *t, const struct yaml_block *b, const yaml_node_t *key)
{
	char path[128];
	int i;

	if (key->type != YAML_SCALAR_NODE) {
		conf_errors_add(
		    t->errs, tree_origin(t, key), "a key is not a name");
		return -1;
	}
	for (i = 0; b->keys[i] != NULL; i++)
		if (strlen(b->keys[i]) == key->data.scalar.length &&
		    strcmp(b->keys[i], node_text(key)) == 0)
			return i;
	path_of(path, sizeof(path), b->path, node_text(key));
	conf_errors_add(t->warnings, tree_origin(t, key),
	    "unknown key %s is ignored", path);
	return -1;
}

static bool
count_step(struct yaml_tree *t, const yaml_node_t *node)
{
	if (t->steps < YAML_STEPS_MAX) {
		t->steps++;
		return true;
	}
	if (t->steps++ == YAML_STEPS_MAX)
		conf_errors_add(t->errs, tree_origin(t, node),
		    "aliases expand to too much");
	return false;
}

/* The values of a mapping's own keys, which stand once. */
static void
read_own(struct yaml_tree *t, struct yaml_block *b, yaml_node_t *node)
{
	yaml_node_t *own[YAML_KEYS_MAX] = { NULL }, *key, *value;
	yaml_node_pair_t *pair;
	int i;

	for (pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top && count_step(t, node);
	     pair++) {
		key = yaml_document_get_node(&t->doc, pair->key);
		value = yaml_document_get_node(&t->doc, pair->value);
		if (is_merge(key) || (i = find_key(t, b, key)) == -1)
			continue;
		if (own[i] != NULL) {
			conf_errors_add(t->errs, tree_origin(t, key),
			    "mapping key \"%s\" already defined at line %u",
			    b->keys[i], tree_origin(t, own[i]).line);
			continue;
		}
		own[i] = key;
		if (b->values[i] == NULL && !is_null(value))
			b->values[i] = value;
	}
}

/* The same, and of those that are merged into it, unless they are there. */
static bool
read_mapping(struct yaml_tree *t, struct yaml_block *b, yaml_node_t *node,
    unsigned int depth)
{
	yaml_node_pair_t *pair;

	if (node->type != YAML_MAPPING_NODE) {
		conf_errors_add(t->errs, tree_origin(t, node),
		    "%s is not a mapping of keys to values",
		    b->path[0] != '\0' ? b->path : "the file");
		return false;
	}
	if (depth > YAML_MERGES_MAX) {
		conf_errors_add(
		    t->errs, tree_origin(t, node), "\"<<\" is nested too deep");
		return false;
	}
	read_own(t, b, node);
	for (pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top && count_step(t, node); pair++)
		if (is_merge(yaml_document_get_node(&t->doc, pair->key)))
			read_merged(t, b,
			    yaml_document_get_node(&t->doc, pair->value),
			    depth + 1);
	return true;
}

/* What "<<" names: a mapping, or a list of them. */
static void
read_merged(struct yaml_tree *t, struct yaml_block *b, yaml_node_t *node,
    unsigned int depth)
{
	yaml_node_item_t *item;

	if (node->type != YAML_SEQUENCE_NODE) {
		(void)read_mapping(t, b, node, depth); /* reported */
		return;
	}
	for (item = node->data.sequence.items.start;
	     item < node->data.sequence.items.top && count_step(t, node) &&
	     !conf_errors_full(t->errs);
	     item++)
		(void)read_mapping(/* reported */
		    t, b, yaml_document_get_node(&t->doc, *item), depth);
}

bool
tree_read(struct yaml_tree *t, struct yaml_block *b, yaml_node_t *node,
    const char *path, const char *const *keys)
{
	memset(b, 0, sizeof(*b));
	b->path = path;
	b->at = tree_origin(t, node);
	b->keys = keys;
	return node == NULL || read_mapping(t, b, node, 0);
}

/* The text of a value; NULL if there is none, or after an error. */
const char *
tree_text(struct yaml_tree *t, const struct yaml_block *b, int i)
{
	const yaml_node_t *node = b->values[i];
	char path[128];

	if (node == NULL)
		return NULL;
	if (node->type == YAML_SCALAR_NODE &&
	    strlen(node_text(node)) == node->data.scalar.length)
		return node_text(node);
	path_of(path, sizeof(path), b->path, b->keys[i]);
	conf_errors_add(t->errs, tree_origin(t, node), "%s is %s", path,
	    node->type == YAML_SCALAR_NODE    ? "text with a NUL in it"
	    : node->type == YAML_MAPPING_NODE ? "a mapping, not a value"
					      : "a list, not a value");
	return NULL;
}

/* Reports a value that a parser does not take, with its reason. */
void
tree_bad(
    struct yaml_tree *t, const struct yaml_block *b, int i, const char *why)
{
	char path[128];

	path_of(path, sizeof(path), b->path, b->keys[i]);
	conf_errors_add(t->errs, tree_origin(t, b->values[i]),
	    "%s \"%.200s\" %s", path, node_text(b->values[i]), why);
}

/* A number; 0 if there is none.  Text in quotes is none, as in Go. */
int32_t
tree_int(struct yaml_tree *t, const struct yaml_block *b, int i)
{
	const char *text = tree_text(t, b, i), *why;
	int32_t number = 0;

	if (text == NULL)
		return 0;
	why = b->values[i]->data.scalar.style != YAML_PLAIN_SCALAR_STYLE
		  ? "is text, not a number: it has quotes"
		  : go_int(text, &number);
	if (why != NULL)
		tree_bad(t, b, i, why);
	return number;
}

/* The duration of a value; 0 if there is none. */
uint32_t
tree_duration(struct yaml_tree *t, const struct yaml_block *b, int i)
{
	const char *text = tree_text(t, b, i), *why;
	uint32_t ms = 0;

	if (text != NULL && (why = go_duration(text, &ms)) != NULL)
		tree_bad(t, b, i, why);
	return ms;
}
