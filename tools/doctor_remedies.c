/* SPDX-License-Identifier: ISC */
/*
 * The table of directives. Tried with the servers of tests/integration: nginx,
 * Apache and lighttpd; those of Caddy and HAProxy are not tried. Pure.
 */
#include "doctor_remedies.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* For each server, and for each of the ways in which Apache runs programs: an
 * answer does not tell which of them it is. */
static const struct {
	const char *server; /* what the field Server begins with */
	const char *name;
	enum fault fault;
	const char *directive;
} table[] = {
    {"nginx", "nginx", FAULT_BUFFERED,
	"fastcgi_buffering off; where streams are passed on "
	"(proxy_buffering off; where another server is asked), and no gzip"},
    {"nginx", "nginx", FAULT_COMPRESSED,
	"gzip off; where streams are passed on"},
    {"nginx", "nginx", FAULT_CUT,
	"fastcgi_read_timeout 90s; where streams are passed on "
	"(proxy_read_timeout where another server is asked): more than the "
	"heartbeat"},
    {"nginx", "nginx", FAULT_AUTHORIZATION,
	"no fastcgi_param HTTP_AUTHORIZATION and no proxy_set_header "
	"Authorization: it passes the field by itself"},
    {"nginx", "nginx", FAULT_BODY, "client_max_body_size 32m; for /api/v1/"},
    {"nginx", "nginx", FAULT_ROUTE,
	"location and fastcgi_pass as in nginx.conf.example"},
    {"nginx", "nginx", FAULT_AWAY, "fastcgi_pass names the program's socket"},
    {"nginx", "nginx", FAULT_HTTP10,
	"proxy_http_version 1.1; in the server in front"},
    {"nginx", "nginx", FAULT_HEADERS,
	"no fastcgi_hide_header, expires or add_header Cache-Control for "
	"streams"},
    {"Apache", "Apache", FAULT_COMPRESSED, "SetEnv no-gzip 1 for streams"},
    {"Apache", "Apache", FAULT_AUTHORIZATION,
	"CGIPassAuth On in the <Location> (in .htaccess the line of "
	"contrib/htaccess.example)"},
    {"Apache", "Apache", FAULT_BODY, "LimitRequestBody 33554432"},
    {"Apache", "Apache", FAULT_ROUTE,
	"<LocationMatch> and SetHandler, FcgidWrapper or ScriptAliasMatch "
	"as in apache.conf.example"},
    {"Apache", "Apache", FAULT_HTTP10,
	"no downgrade-1.0 and no force-response-1.0"},
    {"Apache", "Apache", FAULT_HEADERS,
	"no Header set or unset of Cache-Control, no ExpiresByType for "
	"streams"},
    {"Apache", "Apache with mod_proxy_fcgi", FAULT_BUFFERED,
	"flushpackets=on with ProxySet (in a <Proxy> of the same name as "
	"in SetHandler) or with ProxyPass"},
    {"Apache", "Apache with mod_proxy_fcgi", FAULT_CUT,
	"timeout=90 with ProxySet or ProxyPass: more than the heartbeat"},
    {"Apache", "Apache with mod_proxy_fcgi", FAULT_AWAY,
	"SetHandler or ProxyPass names the program's socket"},
    {"Apache", "Apache with mod_fcgid", FAULT_BUFFERED,
	"FcgidOutputBufferSize 0 in the server or <VirtualHost>"},
    {"Apache", "Apache with mod_fcgid", FAULT_CUT,
	"FcgidIOTimeout 90, more than the heartbeat, and FcgidBusyTimeout "
	"4500, more than the lifetime"},
    {"Apache", "Apache with mod_fcgid", FAULT_BODY,
	"FcgidMaxRequestLen 34603008 in the server or <VirtualHost>"},
    {"Apache", "Apache with mod_fcgid", FAULT_AWAY,
	"FcgidWrapper names the program, whose user may use the database, "
	"and FcgidMaxProcessesPerClass allows enough of them"},
    {"Apache", "Apache with CGI", FAULT_CUT,
	"CGIDScriptTimeout 90 (with prefork CGIScriptTimeout): more than "
	"the heartbeat"},
    {"Apache", "Apache with CGI", FAULT_AWAY,
	"the program may be executed and its user may use the database; "
	"the error log says more"},
    {"lighttpd", "lighttpd", FAULT_BUFFERED,
	"server.stream-response-body = 1 for streams"},
    {"lighttpd", "lighttpd", FAULT_COMPRESSED,
	"deflate.mimetypes without text/event-stream"},
    {"lighttpd", "lighttpd", FAULT_CUT,
	"\"read-timeout\" in fastcgi.server and server.max-write-idle: "
	"more than the heartbeat"},
    {"lighttpd", "lighttpd", FAULT_AUTHORIZATION,
	"no setenv.set-request-header of Authorization: it passes the "
	"field by itself"},
    {"lighttpd", "lighttpd", FAULT_BODY,
	"server.max-request-size = 32768 (kB)"},
    {"lighttpd", "lighttpd", FAULT_ROUTE,
	"fastcgi.server in $HTTP[\"url\"] as in lighttpd.conf.example"},
    {"lighttpd", "lighttpd", FAULT_AWAY,
	"\"socket\" in fastcgi.server names the program's, with "
	"\"check-local\" => \"disable\""},
    {"lighttpd", "lighttpd", FAULT_HEADERS,
	"no setenv.set-response-header of Cache-Control, no expire.url for "
	"streams"},
    {"Caddy", "Caddy", FAULT_BUFFERED,
	"flush_interval -1 in reverse_proxy or php_fastcgi"},
    {"Caddy", "Caddy", FAULT_COMPRESSED,
	"encode with a matcher that leaves out streams"},
    {"Caddy", "Caddy", FAULT_CUT,
	"read_timeout in transport fastcgi and write_timeout in servers: "
	"more than the heartbeat, or none"},
    {"Caddy", "Caddy", FAULT_AUTHORIZATION, "no header_up -Authorization"},
    {"Caddy", "Caddy", FAULT_BODY, "request_body { max_size 32MB }"},
    {"Caddy", "Caddy", FAULT_ROUTE,
	"handle /api/v1/* with reverse_proxy and transport fastcgi"},
    {"Caddy", "Caddy", FAULT_AWAY, "reverse_proxy names the program's socket"},
    {"Caddy", "Caddy", FAULT_HEADERS, "no header_down of Cache-Control"},
    {"HAProxy", "HAProxy", FAULT_COMPRESSED,
	"compression type without text/event-stream"},
    {"HAProxy", "HAProxy", FAULT_CUT,
	"timeout server 90s and timeout client 90s: more than the heartbeat"},
    {"HAProxy", "HAProxy", FAULT_AUTHORIZATION,
	"no http-request del-header Authorization"},
    {"HAProxy", "HAProxy", FAULT_BODY, "no http-request deny by req.body_size"},
    {"HAProxy", "HAProxy", FAULT_ROUTE, "use_backend with path_beg /api/v1/"},
    {"HAProxy", "HAProxy", FAULT_AWAY,
	"the server line of the backend names the program's socket"},
    {"HAProxy", "HAProxy", FAULT_HEADERS,
	"no http-response set-header or del-header of Cache-Control"},
};

static bool
is_named(struct span server, size_t i)
{
	size_t n = strlen(table[i].server);

	return server.n >= n && strncasecmp(server.p, table[i].server, n) == 0;
}

void
remedies_add(struct buf *out, struct span server, enum fault fault)
{
	const size_t n = sizeof(table) / sizeof(table[0]);
	const char *separator = "";
	bool is_known = false;

	for (size_t i = 0; i < n; i++)
		is_known = is_known || is_named(server, i);
	for (size_t i = 0; i < n; i++) {
		if (table[i].fault != fault ||
		    (is_known && !is_named(server, i)))
			continue;
		buf_addf(out, "%s%s: %s", separator, table[i].name,
		    table[i].directive);
		separator = " | ";
	}
}
