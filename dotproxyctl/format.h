/* SPDX-License-Identifier: ISC */
/*
 * Numbers and foreign text as people read them, in columns of known width.
 * Pure, but for what writes to the stream it is given.
 */
#ifndef DOTPROXYCTL_FORMAT_H
#define DOTPROXYCTL_FORMAT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define FORMAT_COLUMNS 80 /* no line is longer */
#define FORMAT_FIELD_COLUMN 15
#define FORMAT_MAX 32 /* holds any number below, with its NUL */

/* "3.2s", "5m12s", "3h05m", "2d3h", "412d": at most 6 columns. */
const char *format_age(char buf[FORMAT_MAX], uint64_t ms);

/* "0s", "12s", "5m", "3h", "49d": at most 4 columns; rounded up. */
const char *format_left(char buf[FORMAT_MAX], uint32_t ms);

/* "-" for 0, "840us", "3.2ms", "12.4ms", "245ms", "1.2s": at most 6. */
const char *format_latency(char buf[FORMAT_MAX], uint64_t us);

/* "12345", then "123k", "1.2M", "12.3M", up to "18.4E": at most 5 columns. */
const char *format_count(char buf[FORMAT_MAX], uint64_t);

/* "64", above 99 "99+": at most 3 columns. */
const char *format_few(char buf[FORMAT_MAX], uint64_t);

/* "1,234,567": at most 26 columns. */
const char *format_exact(char buf[FORMAT_MAX], uint64_t);

/*
 * "99.95%", "88.8%" of whole, rounded down: only all is 100%; "-" of nothing.
 */
const char *format_percent(char buf[FORMAT_MAX], uint64_t part, uint64_t whole);

/* Adds without wrapping around: UINT64_MAX is as much as there is. */
uint64_t format_sum(uint64_t, uint64_t);

/*
 * Foreign text: escaped, and cut, with ".." at its end, to width columns
 * (width < size, width >= 2).  Returns buf.
 */
const char *format_text(char *buf, size_t size, size_t width, const char *text);

/*
 * Writes text, escaped, from column on (where the stream stands) to the end of
 * the line and the following ones, indented to the same column; breaks
 * between the items of an enumeration, else at spaces, else anywhere.  Ends
 * with a newline.
 */
void format_wrap(FILE *out, size_t column, const char *text);

/* A line of a block, "  name         text", wrapped, and escaped. */
void format_field(FILE *out, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * Begins, or ends, what stands out; writes nothing unless the stream is a
 * terminal that has colours, and NO_COLOR is not set.
 */
enum format_paint { PAINT_GOOD, PAINT_WARN, PAINT_BAD, PAINT_NONE };
void format_paint(FILE *out, enum format_paint);

/* Writes text of len bytes, all but newlines, tabs and printables escaped. */
void format_page(FILE *out, const char *text, size_t len);

#endif
