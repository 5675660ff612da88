#include "daemon/guard.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The length of the host in "host", "host:port", "[v6]" or "[v6]:port"; 0 when it is none of them. */
static size_t host_len(const char *text)
{
	const char *end;
	size_t len;

	if (text[0] == '[') {
		end = strchr(text, ']');
		len = end ? (size_t)(end - text) + 1 : 0;
	} else {
		len = strcspn(text, ":");
	}
	if (len == 0 || (text[len] && text[len] != ':'))
		return 0;
	for (const char *p = text + len + (text[len] == ':'); *p; p++)
		if (!isdigit((unsigned char)*p))
			return 0;
	return len;
}

static bool is_host(const char *text, size_t len, const char *name)
{
	return strlen(name) == len && strncasecmp(text, name, len) == 0;
}

static bool host_allowed(const char *host, const char *listen)
{
	size_t len = host_len(host);

	if (len == 0)
		return false;
	if (is_host(host, len, "localhost") || is_host(host, len, "127.0.0.1") ||
	    is_host(host, len, "[::1]") || is_host(host, len, listen))
		return true;
	return host[0] == '[' && is_host(host + 1, len - 2, listen);
}

/* The same host and port, where "http://h" and "h:80" are one place. */
static bool same_place(const char *origin, const char *host)
{
	size_t a, b;
	const char *port_a, *port_b;

	if (strncasecmp(origin, "http://", 7) != 0)
		return false;
	origin += 7;
	a = host_len(origin);
	b = host_len(host);
	if (a == 0 || a != b || strncasecmp(origin, host, a) != 0)
		return false;
	port_a = origin[a] ? origin + a + 1 : "80";
	port_b = host[b] ? host + b + 1 : "80";
	return strcmp(port_a, port_b) == 0;
}

int pfs_guard_check(const char *host, const char *origin, const char *listen, struct pfs_error *err)
{
	if (!host)
		return pfs_fail(err, PFS_E_DENIED, "the request has no Host header");
	if (!host_allowed(host, listen))
		return pfs_fail(err, PFS_E_DENIED,
				"Host \"%.100s\" is not this machine: use localhost or 127.0.0.1",
				host);
	if (origin && !same_place(origin, host))
		return pfs_fail(err, PFS_E_DENIED,
				"requests of web pages of \"%.100s\" are refused", origin);
	return 0;
}

int pfs_guard_split_address(const char *address, char host[256], uint16_t *out_port,
			    struct pfs_error *err)
{
	size_t len = host_len(address);
	const char *from = address;
	unsigned long port;

	if (len == 0 || address[len] != ':' || !address[len + 1] || strlen(address + len) > 6)
		return pfs_fail(err, PFS_E_INVALID, "\"%.100s\" is not HOST:PORT", address);
	port = strtoul(address + len + 1, NULL, 10);
	if (port > 65535)
		return pfs_fail(err, PFS_E_INVALID, "port %lu of \"%.100s\": 65535 is the largest",
				port, address);
	if (from[0] == '[') {
		from++;
		len -= 2;
	}
	if (len == 0 || len > 255)
		return pfs_fail(err, PFS_E_INVALID, "\"%.100s\" is not HOST:PORT", address);
	memcpy(host, from, len);
	host[len] = 0;
	*out_port = (uint16_t)port;
	return 0;
}
