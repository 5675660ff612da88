#include "daemon/guard.h"

#include <criterion/criterion.h>

Test(guard, lets_in_programs_of_this_machine_and_no_web_page)
{
	static const struct {
		const char *host, *origin;
		bool allowed;
		const char *why;
	} cases[] = {
		{ "localhost", NULL, true, "the name" },
		{ "localhost:6500", NULL, true, "the name with a port" },
		{ "LOCALHOST:6500", NULL, true, "in any case" },
		{ "127.0.0.1:6500", NULL, true, "the address" },
		{ "[::1]:6500", NULL, true, "the other address" },
		{ "127.0.0.7:6500", NULL, true, "what it listens on" },
		{ NULL, NULL, false, "no Host" },
		{ "", NULL, false, "an empty Host" },
		{ "evil.example", NULL, false, "a name that was bound to us" },
		{ "evil.example:6500", NULL, false, "with our port" },
		{ "localhost.evil.example", NULL, false, "a name that begins like ours" },
		{ "localhost:6500.evil.example", NULL, false, "a port that is none" },
		{ "localhost@evil.example", NULL, false, "a user that is none" },
		{ "127.0.0.1.evil.example", NULL, false, "a name that begins like an address" },
		{ "[::1", NULL, false, "a bracket that is not closed" },
		{ "[::1]evil", NULL, false, "more behind the bracket" },
		{ "localhost:6500", "http://localhost:6500", true, "our own page" },
		{ "localhost", "http://localhost:80", true, "the port that is meant" },
		{ "localhost:6500", "http://localhost:8080", false,
		  "a page of another program here" },
		{ "localhost:6500", "http://127.0.0.1:6500", false,
		  "another name is another origin" },
		{ "localhost:6500", "https://localhost:6500", false, "another scheme" },
		{ "localhost:6500", "http://evil.example", false, "a page from elsewhere" },
		{ "localhost:6500", "null", false, "a page from nowhere" },
		{ "localhost:6500", "", false, "an empty Origin" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct pfs_error err = { 0 };
		int rc = pfs_guard_check(cases[i].host, cases[i].origin, "127.0.0.7", &err);

		cr_expect_eq(rc, cases[i].allowed ? 0 : PFS_E_DENIED, "%s", cases[i].why);
		cr_expect(cases[i].allowed || err.text[0], "%s: says nothing", cases[i].why);
	}
}

Test(guard, takes_listen_addresses_apart)
{
	static const struct {
		const char *address, *host;
		int rc;
		uint16_t port;
	} cases[] = {
		{ "127.0.0.1:6500", "127.0.0.1", 0, 6500 },
		{ "[::1]:0", "::1", 0, 0 },
		{ "localhost:65535", "localhost", 0, 65535 },
		{ "localhost:65536", NULL, PFS_E_INVALID, 0 },
		{ "localhost", NULL, PFS_E_INVALID, 0 },
		{ "localhost:", NULL, PFS_E_INVALID, 0 },
		{ ":6500", NULL, PFS_E_INVALID, 0 },
		{ "[]:1", NULL, PFS_E_INVALID, 0 },
		{ "a:b", NULL, PFS_E_INVALID, 0 },
		{ "::1:5", NULL, PFS_E_INVALID, 0 },
		{ "h:-1", NULL, PFS_E_INVALID, 0 },
		{ "h:1234567", NULL, PFS_E_INVALID, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char host[256] = "";
		uint16_t port = 0;
		int rc = pfs_guard_split_address(cases[i].address, host, &port, NULL);

		cr_assert_eq(rc, cases[i].rc, "%s", cases[i].address);
		if (rc < 0)
			continue;
		cr_expect_str_eq(host, cases[i].host);
		cr_expect_eq(port, cases[i].port, "%s", cases[i].address);
	}
}
