/* SPDX-License-Identifier: ISC */
/* The listener's listener.c as it is, but for names that the pool has, too. */
#include "tests/replay/listener_names.h"

#include "dotproxy/listener/listener.c"
