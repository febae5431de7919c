/* SPDX-License-Identifier: ISC */
/*
 * The grammar of dotproxy.conf(5).  Runs in the parent, once a start and once
 * a reload; all of its state is in struct conf_parser.  What tokens are is
 * conf_lex.c's business, what a line means conf_set.c's.
 *
 * A line with a syntax error is skipped and parsing goes on with the next, so
 * that one run reports all that is wrong.
 */
%define api.pure full
%define api.prefix {conf_yy}
%define api.value.type {const char *}
%define api.location.type {struct conf_origin}
%define parse.error custom
%define parse.lac full
%locations
%param {struct conf_parser *p}
%initial-action { memset(&@$, 0, sizeof(@$)); }

%code requires {
#include "dotproxy/parent/conf_errors.h"

struct conf_parser;
}

%code top {
#include "dotproxy/parent/conf_parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dotproxy/parent/conf_lex.h"
#include "dotproxy/parent/conf_set.h"
#include "dotproxy/parent/conf_tls.h"
}

%code {
#define YYLLOC_DEFAULT(Cur, Rhs, N) ((Cur) = YYRHSLOC(Rhs, (N) != 0))

struct conf_parser {
	struct conf_lex lex;
	struct conf_set set;
	struct lex_token tok; /* the last one read */
	bool macro_value;     /* after "=": there are no keywords there */
};

static int yylex(YYSTYPE *, YYLTYPE *, struct conf_parser *);
static void yyerror(YYLTYPE *, struct conf_parser *, const char *);
}

%token WORD "a value" STRING "string" NAME "name of a macro"
%token NEWLINE "end of line" OPEN "{" CLOSE "}" COMMA "," EQUALS "="

/* The keywords.  keyword_token() finds them by their names here. */
%token ADDRESS "address" ALLOW "allow" BURST "burst" CA "ca" CERTIFICATE "certificate"
%token CIPHERS "ciphers" CLIENT "client"
%token CONNECT "connect" CONNECTIONS "connections" CONTROL "control"
%token ECS "ecs"
%token FAST "fast" CA_FILE "file" FLAVOUR "flavour" FLUSH "flush" FREEBIND "freebind" HANDSHAKE "handshake" HEDGE "hedge"
%token EDNS "edns" INCLUDE "include"
%token INFLIGHT "inflight" INTERVAL "interval" KEEP "keep" KEEPALIVE "keepalive"
%token KEY "key" LIMIT "limit" LISTEN "listen"
%token MAX "max" METRICS "metrics" SERVER_NAME "name" ON "on" ONLY "only" FAST_OPEN "open"
%token PADDING "padding" STRIP "strip"
%token PAYLOAD "payload" PER "per" PIN "pin" POLICY "policy" POOL "pool"
%token PORT "port" QUERY "query" RATE "rate" READ "read"
%token RESUMPTION "resumption" RETRIES "retries"
%token SAMPLE "sample" SERVER "server" SIZE "size" SOCKET "socket"
%token STALE "stale" STATISTICS "statistics" STATSD "statsd" TCP "tcp" TIMEOUT "timeout"
%token TAGS "tags" TLS "tls" TRANSFERS "transfers" UDP "udp"
%token UPSTREAM "upstream" USER "user" VERSION "version" WARM "warm" WORKERS "workers"
%token WRITE "write"

%%

conf	: %empty
	| conf statement nl
	| conf INCLUDE value nl	{ lex_include(&p->lex, $3, @3); }
	;

/* Lines are independent: after it, errors are reported again. */
nl	: NEWLINE		{ yyerrok; }
	;

value	: WORD
	| STRING
	;

port	: %empty		{ $$ = NULL; }
	| PORT value		{ $$ = $2; }
	;

transport
	: %empty		{ $$ = NULL; }
	| UDP			{ $$ = "udp"; }
	| TCP			{ $$ = "tcp"; }
	;

freebind
	: %empty		{ $$ = NULL; }
	| FREEBIND		{ $$ = "freebind"; }
	;

flavour	: value
	| STATSD		{ $$ = "statsd"; } /* a keyword, too */
	;

statsd_options
	: %empty
	| statsd_options SAMPLE RATE value
		{ conf_set_value(&p->set, KEY_SAMPLE_RATE, $4, @4); }
	| statsd_options FLAVOUR flavour
		{ conf_set_value(&p->set, KEY_FLAVOUR, $3, @3); }
	| statsd_options FLUSH INTERVAL value
		{ conf_set_value(&p->set, KEY_FLUSH_INTERVAL, $4, @4); }
	| statsd_options CLIENT TAGS value
		{ conf_set_value(&p->set, KEY_CLIENT_TAGS, $4, @4); }
	| statsd_options PAYLOAD value
		{ conf_set_value(&p->set, KEY_PAYLOAD, $3, @3); }
	;

statement
	: %empty
	| error
	| NAME EQUALS words
		{ (void)lex_define(&p->lex, $1, $3, false); /* reports */ }
	| USER value
		{ conf_set_value(&p->set, KEY_USER, $2, @2); }
	| CONTROL SOCKET value
		{ conf_set_value(&p->set, KEY_CONTROL_SOCKET, $3, @3); }
	| WORKERS value
		{ conf_set_value(&p->set, KEY_WORKERS, $2, @2); }
	| LISTEN ON value port transport freebind
		{ conf_set_listen(&p->set, $3, $4, $5, $6 != NULL, @3); }
	| ALLOW prefix		{ conf_set_allow_end(&p->set, @1); }
	| POLICY value
		{ conf_set_value(&p->set, KEY_POLICY, $2, @2); }
	| RETRIES value
		{ conf_set_value(&p->set, KEY_RETRIES, $2, @2); }
	| HEDGE value
		{ conf_set_value(&p->set, KEY_HEDGE, $2, @2); }
	| QUERY TIMEOUT value
		{ conf_set_value(&p->set, KEY_QUERY_TIMEOUT, $3, @3); }
	| KEEP WARM value
		{ conf_set_value(&p->set, KEY_ALL_KEEP_WARM, $3, @3); }
	| TCP FAST FAST_OPEN value
		{ conf_set_value(&p->set, KEY_ALL_FAST_OPEN, $4, @4); }
	| RESUMPTION value
		{ conf_set_value(&p->set, KEY_ALL_RESUMPTION, $2, @2); }
	| client OPEN client_lines CLOSE
	| upstream OPEN upstream_lines CLOSE
		{ conf_set_upstream_close(&p->set); }
	| METRICS STATSD value port statsd_options
		{ conf_set_statsd(&p->set, $3, $4, @3); }
	;

words	: value
	| words value
		{
			$$ = lex_join(&p->lex, $1, $2);
			if ($$ == NULL)
				YYABORT;
		}
	;

prefix	: value			{ conf_set_allow(&p->set, $1, @1); }
	| OPEN prefix_lines CLOSE
	;

prefix_lines
	: prefix_line
	| prefix_lines nl prefix_line
	;

prefix_line
	: %empty
	| error
	| prefix_line prefix
	| prefix_line prefix COMMA
	;

client	: CLIENT	{ (void)conf_set_once(&p->set, KEY_CLIENT, @1); }
	;

client_lines
	: client_line
	| client_lines nl client_line
	;

client_line
	: %empty
	| error
	| TCP READ TIMEOUT value
		{ conf_set_value(&p->set, KEY_TCP_READ_TIMEOUT, $4, @4); }
	| TCP WRITE TIMEOUT value
		{ conf_set_value(&p->set, KEY_TCP_WRITE_TIMEOUT, $4, @4); }
	| MAX INFLIGHT value
		{ conf_set_value(&p->set, KEY_MAX_INFLIGHT, $3, @3); }
	| MAX TCP CONNECTIONS value
		{ conf_set_value(&p->set, KEY_MAX_TCP, $4, @4); }
	| MAX TCP CONNECTIONS PER CLIENT value
		{ conf_set_value(&p->set, KEY_MAX_TCP_PER_CLIENT, $6, @6); }
	| EDNS KEEPALIVE value
		{ conf_set_value(&p->set, KEY_CLIENT_KEEPALIVE, $3, @3); }
	| STATISTICS value
		{ conf_set_value(&p->set, KEY_STATISTICS, $2, @2); }
	| MAX TRANSFERS value
		{ conf_set_value(&p->set, KEY_MAX_TRANSFERS, $3, @3); }
	| RATE LIMIT value burst
		{ conf_set_value(&p->set, KEY_RATE_LIMIT, $3, @3); }
	;

burst	: %empty
	| BURST value
		{ conf_set_value(&p->set, KEY_RATE_BURST, $2, @2); }
	;

upstream
	: UPSTREAM value	{ conf_set_upstream_open(&p->set, $2, @2); }
	;

upstream_lines
	: upstream_line
	| upstream_lines nl upstream_line
	;

upstream_line
	: %empty
	| error
	| ADDRESS value port
		{ conf_set_address(&p->set, $2, $3, @2); }
	| SERVER SERVER_NAME value
		{ conf_set_value(&p->set, KEY_SERVER_NAME, $3, @3); }
	| POOL SIZE value
		{ conf_set_value(&p->set, KEY_POOL_SIZE, $3, @3); }
	| CONNECT TIMEOUT value
		{ conf_set_value(&p->set, KEY_CONNECT_TIMEOUT, $3, @3); }
	| HANDSHAKE TIMEOUT value
		{ conf_set_value(&p->set, KEY_HANDSHAKE_TIMEOUT, $3, @3); }
	| READ TIMEOUT value
		{ conf_set_value(&p->set, KEY_READ_TIMEOUT, $3, @3); }
	| WRITE TIMEOUT value
		{ conf_set_value(&p->set, KEY_WRITE_TIMEOUT, $3, @3); }
	| STALE TIMEOUT value
		{ conf_set_value(&p->set, KEY_STALE_TIMEOUT, $3, @3); }
	| KEEP WARM value
		{ conf_set_value(&p->set, KEY_KEEP_WARM, $3, @3); }
	| TCP FAST FAST_OPEN value
		{ conf_set_value(&p->set, KEY_FAST_OPEN, $4, @4); }
	| RESUMPTION value
		{ conf_set_value(&p->set, KEY_RESUMPTION, $2, @2); }
	| PADDING value
		{ conf_set_value(&p->set, KEY_PADDING, $2, @2); }
	| EDNS KEEPALIVE value
		{ conf_set_value(&p->set, KEY_EDNS_KEEPALIVE, $3, @3); }
	| STRIP ECS value
		{ conf_set_value(&p->set, KEY_STRIP_ECS, $3, @3); }
	| CA CA_FILE value
		{ conf_set_value(&p->set, KEY_CA_FILE, $3, @3); }
	| PIN value
		{ conf_tls_pin(&p->set, $2, @2); }
	| PIN ONLY
		{ conf_tls_pin_only(&p->set, @1); }
	| CLIENT CERTIFICATE value KEY value
		{ conf_tls_client(&p->set, $3, $5, @3); }
	| TLS VERSION value
		{ conf_tls_version(&p->set, $3, @3); }
	| CIPHERS value
		{ conf_tls_ciphers(&p->set, $2, @2); }
	;

%%

/* The token of a keyword, or WORD. */
static int
keyword_token(const char *text)
{
	int tok;

	for (tok = ADDRESS; tok <= WRITE; tok++)
		if (strcmp(yysymbol_name(YYTRANSLATE(tok)), text) == 0)
			return tok;
	return WORD;
}

/* A name before "=": it must be one, and must not be a keyword. */
static int
macro_name_token(struct conf_parser *p)
{
	const char *name = p->tok.text;

	if (keyword_token(name) != WORD)
		conf_errors_add(p->set.errs, p->tok.at,
		    "\"%s\" is a keyword and cannot name a macro", name);
	else if (!lex_name_valid(name))
		conf_errors_add(p->set.errs, p->tok.at,
		    "\"%s\" cannot name a macro", name);
	else
		return NAME;
	lex_skip(&p->lex);
	return CONF_YYerror;
}

static int
yylex(YYSTYPE *text, YYLTYPE *at, struct conf_parser *p)
{
	lex_next(&p->lex, &p->tok);
	*text = p->tok.text;
	*at = p->tok.at;
	switch (p->tok.kind) {
	case LEX_NEWLINE:
		p->macro_value = false;
		return NEWLINE;
	case LEX_OPEN:
		return OPEN;
	case LEX_CLOSE:
		return CLOSE;
	case LEX_COMMA:
		return COMMA;
	case LEX_EQUALS:
		p->macro_value = true;
		return EQUALS;
	case LEX_WORD:
		return p->macro_value ? WORD : keyword_token(p->tok.text);
	case LEX_STRING:
		return STRING;
	case LEX_NAME:
		return macro_name_token(p);
	case LEX_BAD:
		return CONF_YYerror; /* is reported already */
	case LEX_END:
		break;
	}
	return CONF_YYEOF;
}

/* Bison calls this only when its stack is full or there is no memory. */
static void
yyerror(YYLTYPE *at, struct conf_parser *p, const char *msg)
{
	conf_errors_add(p->set.errs, *at, "%s", msg);
}

/*
 * The number of letters that differ, a swap of neighbours counting as one,
 * plus the difference in length; only good for words that are nearly alike.
 */
static size_t
word_distance(const char *a, const char *b)
{
	size_t d = 0;

	while (*a != '\0' && *b != '\0') {
		if (*a == *b) {
			a++, b++;
			continue;
		}
		d++;
		if (a[1] != '\0' && a[1] == b[0] && a[0] == b[1])
			a += 2, b += 2; /* swapped */
		else if (a[1] == b[0] && strlen(a) > strlen(b))
			a++; /* one too many */
		else if (a[0] == b[1] && strlen(a) < strlen(b))
			b++; /* one missing */
		else
			a++, b++;
	}
	return d + strlen(a) + strlen(b);
}

static bool
is_keyword(yysymbol_kind_t kind)
{
	return kind >= YYTRANSLATE(ADDRESS) && kind <= YYTRANSLATE(WRITE);
}

/* Reports a word where a line begins, and the keyword that may be meant. */
static void
unknown_keyword(
    struct conf_parser *p, const yysymbol_kind_t *expected, int nexpected)
{
	const char *word = p->tok.text, *name, *near = NULL;
	size_t d, best = strlen(word) < 5 ? 2 : 3;
	int i;

	for (i = 0; i < nexpected; i++) {
		name = yysymbol_name(expected[i]);
		if (!is_keyword(expected[i]) ||
		    (d = word_distance(word, name)) >= best)
			continue;
		best = d;
		near = name;
	}
	if (near != NULL)
		conf_errors_add(p->set.errs, p->tok.at,
		    "unknown keyword \"%.200s\" (did you mean \"%s\"?)", word,
		    near);
	else
		conf_errors_add(p->set.errs, p->tok.at,
		    "unknown keyword \"%.200s\"", word);
}

/* Reports the token at which a line went wrong, and what could go there. */
static void
unexpected_token(
    struct conf_parser *p, const yysymbol_kind_t *expected, int nexpected)
{
	const struct lex_token *t = &p->tok;
	char what[160] = "", text[96] = "end of line";
	size_t len = 0;
	int i, n = 0;

	for (i = 0; i < nexpected && nexpected <= 6; i++) {
		if (expected[i] == YYTRANSLATE(STRING))
			continue; /* goes with WORD */
		(void)snprintf(what + len, sizeof(what) - len,
		    expected[i] < YYTRANSLATE(OPEN) ? "%s%s" : "%s\"%s\"",
		    n++ == 0 ? ", expected " : " or ",
		    yysymbol_name(expected[i]));
		len += strlen(what + len);
	}
	if (t->kind == LEX_WORD || t->kind == LEX_STRING)
		(void)snprintf(text, sizeof(text), "\"%s\"", t->text);
	else if (t->kind != LEX_NEWLINE)
		(void)snprintf(text, sizeof(text), "\"%s\"",
		    t->kind == LEX_OPEN	 ? "{" :
		    t->kind == LEX_CLOSE ? "}" :
		    t->kind == LEX_COMMA ? "," :
					   "=");
	conf_errors_add(
	    p->set.errs, t->at, "syntax error at %s%s", text, what);
}

static int
yyreport_syntax_error(const yypcontext_t *ctx, struct conf_parser *p)
{
	yysymbol_kind_t expected[YYNTOKENS];
	const struct lex_token *t = &p->tok;
	int n = yypcontext_expected_tokens(ctx, expected, YYNTOKENS);

	if (n < 0)
		return n; /* no memory */
	/* The end comes early only after something that was reported. */
	if (t->kind == LEX_END)
		return 0;
	if (t->kind == LEX_NAME)
		conf_errors_add(p->set.errs, t->at,
		    "macro \"%s\" cannot be defined inside of a block",
		    t->text);
	else if (is_keyword(yypcontext_token(ctx)) && t->first)
		conf_errors_add(p->set.errs, t->at,
		    "\"%s\" is not possible here", t->text);
	else if (t->kind == LEX_WORD && t->first)
		unknown_keyword(p, expected, n);
	else
		unexpected_token(p, expected, n);
	if (t->kind != LEX_NEWLINE && t->kind != LEX_CLOSE)
		lex_skip(&p->lex);
	return 0;
}

static void
define_macros(
    struct conf_parser *p, const struct conf_macro *macros, size_t nmacros)
{
	struct conf_origin at = { .file = NULL };
	size_t i;

	for (i = 0; i < nmacros; i++) {
		if (keyword_token(macros[i].name) != WORD ||
		    !lex_name_valid(macros[i].name))
			conf_errors_add(p->set.errs, at,
			    "\"%s\" cannot name a macro", macros[i].name);
		else if (strpbrk(macros[i].value, "\r\n") != NULL)
			conf_errors_add(p->set.errs, at,
			    "macro \"%s\" has more than one line",
			    macros[i].name);
		else
			(void)lex_define(&p->lex, macros[i].name,
			    macros[i].value, true); /* has reported */
	}
}

/* Parses what the lexer was started on, if it was.  Frees the parser. */
static struct conf *
parse(struct conf_parser *p, bool started, const char *file,
    const struct conf_macro *macros, size_t nmacros, bool check)
{
	struct conf_errors *errs = p->lex.errs;
	struct conf_origin at = { .file = file };
	struct conf *conf = NULL;

	if (!started)
		goto done;
	if ((conf = calloc(1, sizeof(*conf))) == NULL) {
		conf_errors_add(errs, at, "out of memory");
		goto done;
	}
	conf_set_init(&p->set, conf, errs);
	define_macros(p, macros, nmacros);
	if (yyparse(p) != 0 && errs->count == 0)
		conf_errors_add(errs, at, "out of memory");
	conf_set_finish(&p->set, file);
	if (check && errs->count == 0)
		conf_tls_check_files(&p->set);
	if (errs->count != 0) {
		free(conf);
		conf = NULL;
	}
done:
	lex_free(&p->lex);
	free(p);
	return conf;
}

/* Returns an empty parser, or NULL with errs saying so. */
static struct conf_parser *
parser_new(const char *file, struct conf_errors *errs)
{
	struct conf_parser *p = calloc(1, sizeof(*p));
	struct conf_origin at = { .file = file };

	conf_errors_clear(errs);
	if (p == NULL)
		conf_errors_add(errs, at, "out of memory");
	return p;
}

static struct conf *
parse_file(const char *path, const struct conf_macro *macros, size_t nmacros,
    struct conf_errors *errs, bool check)
{
	struct conf_parser *p = parser_new(path, errs);

	if (p == NULL)
		return NULL;
	return parse(p, lex_init_file(&p->lex, errs, path) == 0, path, macros,
	    nmacros, check);
}

struct conf *
conf_parse(const char *path, const struct conf_macro *macros, size_t nmacros,
    struct conf_errors *errs)
{
	return parse_file(path, macros, nmacros, errs, true);
}

struct conf *
conf_parse_unchecked(const char *path, const struct conf_macro *macros,
    size_t nmacros, struct conf_errors *errs)
{
	return parse_file(path, macros, nmacros, errs, false);
}

struct conf *
conf_parse_text(const char *name, const char *text, size_t len,
    const struct conf_macro *macros, size_t nmacros, struct conf_errors *errs)
{
	struct conf_parser *p = parser_new(name, errs);

	if (p == NULL)
		return NULL;
	return parse(p, lex_init_text(&p->lex, errs, name, text, len) == 0,
	    name, macros, nmacros, false);
}
