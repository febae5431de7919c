/* SPDX-License-Identifier: ISC */
/*
 * Pins, certificates, versions and ciphers in the configuration; see
 * conf_tls.h.  Runs in the parent, which has no TLS library: it judges as far
 * as it can without, and the pool says the rest.  Must never read a key but to
 * see that it is one, nor keep any of it.
 */
#include "dotproxy/parent/conf_tls.h"

#include <string.h>

#include "dotproxy/parent/conf_file.h"
#include "dotproxy/parent/conf_value.h"

#define CA_HINT                                                            \
	" (install the package ca-certificates, or name another with: ca " \
	"file \"path\")"

void
conf_tls_pin(struct conf_set *s, const char *text, struct conf_origin at)
{
	struct conf_upstream *up = &s->up;
	uint8_t pin[CONF_PIN_LEN];
	const char *why = value_pin(text, pin);
	uint32_t i;

	if (why != NULL) {
		conf_errors_add(s->errs, at, "pin \"%.200s\" %s", text, why);
		return;
	}
	for (i = 0; i < up->npins; i++)
		if (memcmp(up->pins[i], pin, sizeof(pin)) == 0) {
			conf_set_again(s, "this pin", s->pin_at[i], at);
			return;
		}
	if (up->npins == CONF_PINS_MAX) {
		conf_errors_add(
		    s->errs, at, "too many pins (%d at most)", CONF_PINS_MAX);
		return;
	}
	s->pin_at[up->npins] = at;
	memcpy(up->pins[up->npins++], pin, sizeof(pin));
}

void
conf_tls_pin_only(struct conf_set *s, struct conf_origin at)
{
	if (conf_set_once(s, KEY_PIN_ONLY, at))
		s->up.pin_only = true;
}

void
conf_tls_version(struct conf_set *s, const char *text, struct conf_origin at)
{
	if (!conf_set_once(s, KEY_TLS_VERSION, at))
		return;
	if (strcmp(text, "1.2") == 0)
		s->up.tls_min = CONF_TLS_1_2;
	else if (strcmp(text, "1.3") == 0)
		s->up.tls_min = CONF_TLS_1_3;
	else
		conf_errors_add(s->errs, at,
		    "tls version \"%.200s\" is not 1.2 or 1.3", text);
}

void
conf_tls_ciphers(struct conf_set *s, const char *text, struct conf_origin at)
{
	const char *why = value_ciphers(text);

	if (!conf_set_once(s, KEY_CIPHERS, at))
		return;
	if (why != NULL)
		conf_errors_add(
		    s->errs, at, "ciphers \"%.200s\" %s", text, why);
	else
		(void)conf_set_text(s, "ciphers", text, s->up.ciphers,
		    sizeof(s->up.ciphers), at); /* reported */
}

static void
set_path(struct conf_set *s, const char *name, const char *path,
    char dst[CONF_PATH_MAX], struct conf_origin at)
{
	if (path[0] != '/')
		conf_errors_add(s->errs, at,
		    "%s \"%.200s\" is not an absolute path", name, path);
	else
		(void)conf_set_text(
		    s, name, path, dst, CONF_PATH_MAX, at); /* reported */
}

void
conf_tls_client(struct conf_set *s, const char *cert, const char *key,
    struct conf_origin at)
{
	if (!conf_set_once(s, KEY_CLIENT_CERT, at))
		return;
	set_path(s, "client certificate", cert, s->up.client_cert, at);
	set_path(s, "key", key, s->up.client_key, at);
}

void
conf_tls_check(struct conf_set *s)
{
	const struct conf_upstream *up = &s->up;

	if (up->pin_only && up->npins == 0)
		conf_errors_add(s->errs, s->seen[KEY_PIN_ONLY],
		    "pin only: upstream \"%s\" has no pin", up->name);
	if (up->pin_only && s->seen[KEY_CA_FILE].line != 0)
		conf_errors_add(s->errs, s->seen[KEY_CA_FILE],
		    "ca file has no meaning with pin only");
	if (up->tls_min == CONF_TLS_1_3 && up->ciphers[0] != '\0' &&
	    strstr(up->ciphers, "TLS_") == NULL)
		conf_errors_add(s->errs, s->seen[KEY_CIPHERS],
		    "ciphers: none of them is for TLS 1.3");
}

void
conf_tls_check_files(struct conf_set *s)
{
	const struct conf_upstream *up;
	const char *why;
	uint32_t i;

	for (i = 0; i < s->conf->nupstreams; i++) {
		up = &s->conf->upstreams[i];
		why = up->pin_only ? NULL : conf_file_check_ca(up->ca_file);
		if (why != NULL)
			conf_errors_add(s->errs, s->ca_at[i],
			    "ca file %s: %s%s", up->ca_file, why,
			    strcmp(up->ca_file, CONF_CA_FILE_DEFAULT) == 0
				? CA_HINT
				: "");
		if (up->client_cert[0] == '\0')
			continue;
		why = conf_file_check_ca(up->client_cert);
		if (why != NULL)
			conf_errors_add(s->errs, s->cert_at[i],
			    "client certificate %s: %s", up->client_cert, why);
		why = conf_file_check_key(up->client_key);
		if (why != NULL)
			conf_errors_add(s->errs, s->cert_at[i], "key %s: %s",
			    up->client_key, why);
	}
}
