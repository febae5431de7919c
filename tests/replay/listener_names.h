/* SPDX-License-Identifier: ISC */
/*
 * The pool and the listener have functions of the same names.  In the one
 * program of a replay the listener's are called something else.
 */
#ifndef TESTS_REPLAY_LISTENER_NAMES_H
#define TESTS_REPLAY_LISTENER_NAMES_H

#define config_on_begin listener_config_on_begin
#define config_on_upstream listener_config_on_upstream
#define config_on_end listener_config_on_end
#define config_run_free listener_config_run_free

#endif
