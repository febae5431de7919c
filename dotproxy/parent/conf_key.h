/* SPDX-License-Identifier: ISC */
/* Settings with a single value: a part of conf_set.h. */
#ifndef PARENT_CONF_KEY_H
#define PARENT_CONF_KEY_H

#include "dotproxy/parent/conf_set.h"

/* Where a number or duration goes, and what it may be. */
struct conf_range {
	uint32_t *slot; /* in the set, or its configuration */
	uint32_t min;
	uint32_t max;
	bool duration;
	bool off; /* or 0, without a unit */
};

/* As the file has it. */
const char *conf_key_name(enum conf_key);

/* The range of a key; slot is NULL if its value is not a number. */
struct conf_range conf_key_range(struct conf_set *, enum conf_key);

/* Where a yes or no goes; NULL if the value of this key is none. */
bool *conf_key_bool(struct conf_set *, enum conf_key);

#endif
