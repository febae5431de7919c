/* SPDX-License-Identifier: ISC */
/* The listener's config.c as it is, but for names that the pool has, too. */
#include "tests/replay/listener_names.h"

#include "dotproxy/listener/config.c"
