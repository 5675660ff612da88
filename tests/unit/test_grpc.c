#include "base/limits.h"
#include "net/grpc.h"
#include "net/grpcwire.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <pthread.h>
#include <unistd.h>

Test(grpc, an_empty_message_is_five_zero_bytes)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(100);

	cr_assert_eq(pfs_grpcwire_add(&b, NULL, 0, NULL), 0);
	cr_expect_eq(b.len, 5);
	cr_expect_eq(memcmp(b.data, "\0\0\0\0\0", 5), 0);
}

Test(grpc, finds_messages_wherever_the_bytes_are_cut)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(100);
	size_t from = 77, len = 77;

	cr_assert_eq(pfs_grpcwire_add(&b, "hello", 5, NULL), 0);
	cr_assert_eq(pfs_grpcwire_add(&b, "", 0, NULL), 0);
	for (size_t have = 0; have < 10; have++) {
		cr_expect_eq(pfs_grpcwire_next(b.data, have, &from, &len, NULL), 0, "%zu bytes",
			     have);
		cr_expect_eq(from, 77, "wrote to out");
	}
	cr_expect_eq(pfs_grpcwire_next(b.data, b.len, &from, &len, NULL), 1);
	cr_expect(from == 5 && len == 5);
	cr_expect_eq(pfs_grpcwire_next(b.data + 10, b.len - 10, &from, &len, NULL), 1);
	cr_expect(from == 5 && len == 0);
}

Test(grpc, refuses_frames_it_cannot_take)
{
	static const struct {
		unsigned char head[5];
		int want;
		const char *why;
	} rows[] = {
		{ { 1, 0, 0, 0, 1 }, PFS_E_CORRUPT, "compressed" },
		{ { 255, 0, 0, 0, 1 }, PFS_E_CORRUPT, "an unknown flag" },
		{ { 0, 1, 0, 0, 1 }, PFS_E_LIMIT, "one byte past 16 MiB" },
		{ { 0, 255, 255, 255, 255 }, PFS_E_LIMIT, "the longest length" },
		{ { 0, 1, 0, 0, 0 }, 0, "16 MiB are taken" },
	};
	size_t from, len;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		cr_expect_eq(pfs_grpcwire_next(rows[i].head, 5, &from, &len, NULL), rows[i].want,
			     "%s", rows[i].why);
}

Test(grpc, sends_no_message_that_nobody_takes)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(64u << 20);
	void *big = calloc(1, PFS_GRPC_MESSAGE_MAX + 1);

	cr_expect_eq(pfs_grpcwire_add(&b, big, PFS_GRPC_MESSAGE_MAX, NULL), 0);
	cr_expect_eq(pfs_grpcwire_add(&b, big, PFS_GRPC_MESSAGE_MAX + 1, NULL), PFS_E_LIMIT);
	cr_expect_eq(b.len, PFS_GRPC_MESSAGE_MAX + 5);
	free(big);
}

Test(grpc, reads_statuses_and_calls_everything_else_unknown)
{
	static const struct {
		const char *text;
		int want;
	} rows[] = {
		{ "0", 0 },  { "14", 14 },  { "", 2 },  { "-1", 2 },
		{ "5 ", 2 }, { "9999", 2 }, { "x", 2 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		cr_expect_eq(pfs_grpcwire_status(rows[i].text, strlen(rows[i].text)), rows[i].want,
			     "%s", rows[i].text);
}

Test(grpc, decodes_percent_and_lets_nothing_hide)
{
	static const struct {
		const char *in, *want;
	} rows[] = {
		{ "plain", "plain" },
		{ "a%20b%0Ac", "a b\nc" },
		{ "%c3%a4", "\xc3\xa4" },
		{ "100%", "100%" },
		{ "%4", "%4" },
		{ "%zz", "%zz" },
		{ "before%00after", "before after" },
	};
	char out[PFS_GRPC_TEXT_SIZE], small[4];

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		pfs_grpcwire_text(rows[i].in, strlen(rows[i].in), out, sizeof(out));
		cr_expect_str_eq(out, rows[i].want);
	}
	pfs_grpcwire_text("longer", 6, small, sizeof(small));
	cr_expect_str_eq(small, "lon");
}

Test(grpc, only_an_absent_peer_is_an_io_error)
{
	for (int status = 1; status < 40; status++)
		cr_expect_eq(pfs_grpcwire_code(status) == PFS_E_IO, status == PFS_GRPC_UNAVAILABLE,
			     "%d", status);
	cr_expect_eq(pfs_grpcwire_code(PFS_GRPC_OK), 0);
	cr_expect_eq(pfs_grpcwire_code(PFS_GRPC_NOT_FOUND), PFS_E_NOTFOUND);
	cr_expect_eq(pfs_grpcwire_code(PFS_GRPC_ALREADY_EXISTS), PFS_E_EXISTS);
}

/* A peer that accepts, perhaps says something, and hangs up or stays silent. */
struct peer {
	char dir[64];
	struct sockaddr_un address;
	int fd;
	const char *says;
	size_t len;
	bool stays;
	pthread_t thread;
};

static void *run_peer(void *arg)
{
	struct peer *p = arg;
	char drain[4096];
	int fd;

	while ((fd = accept(p->fd, NULL, NULL)) >= 0) {
		if (p->len && send(fd, p->says, p->len, MSG_NOSIGNAL) < 0)
			p->len = 0;
		while (p->stays && read(fd, drain, sizeof(drain)) > 0)
			;
		close(fd);
	}
	return NULL;
}

static void peer_start(struct peer *p)
{
	strcpy(p->dir, "/tmp/pfs-grpc.XXXXXX");
	cr_assert(mkdtemp(p->dir));
	p->address.sun_family = AF_UNIX;
	snprintf(p->address.sun_path, sizeof(p->address.sun_path), "%s/s", p->dir);
	p->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(p->fd, (struct sockaddr *)&p->address, sizeof(p->address)), 0);
	cr_assert_eq(listen(p->fd, 8), 0);
	cr_assert_eq(pthread_create(&p->thread, NULL, run_peer, p), 0);
}

static void peer_stop(struct peer *p)
{
	shutdown(p->fd, SHUT_RDWR);
	pthread_join(p->thread, NULL);
	close(p->fd);
	unlink(p->address.sun_path);
	rmdir(p->dir);
}

Test(grpc, a_peer_that_hangs_up_lies_or_is_silent_ends_the_call, .timeout = 100)
{
	static const char settings[] = "\0\0\0\4\0\0\0\0\0";
	static const struct {
		const char *says;
		size_t len;
		bool stays;
		int want;
		const char *why;
	} rows[] = {
		{ "", 0, false, PFS_E_IO, "hangs up" },
		{ "HTTP/1.1 400 Bad Request\r\n\r\n", 28, true, PFS_E_IO, "speaks HTTP/1.1" },
		{ settings, 9, false, PFS_E_IO, "greets and hangs up" },
		{ settings, 9, true, PFS_E_TIMEOUT, "greets and is silent" },
		{ "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12, true, PFS_E_IO,
		  "talks nonsense" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		PFS_AUTO(pfs_buf_fini) struct pfs_buf reply = PFS_BUF_INIT(1000);
		struct peer p = { .says = rows[i].says,
				  .len = rows[i].len,
				  .stays = rows[i].stays };
		struct pfs_grpc *g = NULL;
		struct pfs_error err = { 0 };

		peer_start(&p);
		cr_assert_eq(pfs_grpc_open(p.address.sun_path, &g, NULL), 0);
		for (int again = 0; again < 3; again++) {
			/* Long enough for a busy machine, where only the silent one needs it. */
			int64_t timeout_ms = rows[i].want == PFS_E_TIMEOUT ? 200 : 20000;
			int rc = pfs_grpc_unary(g, "/a.B/C", NULL, 0, "x", 1, timeout_ms, &reply,
						&err);

			cr_expect_eq(rc, rows[i].want, "%s: %d %s", rows[i].why, rc, err.text);
		}
		pfs_grpc_close(&g);
		peer_stop(&p);
	}
}

Test(grpc, names_the_socket_where_nobody_is)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf reply = PFS_BUF_INIT(1000);
	struct pfs_grpc *g = NULL;
	struct pfs_error err = { 0 };

	cr_assert_eq(pfs_grpc_open("/nowhere/c.sock", &g, NULL), 0);
	cr_expect_eq(pfs_grpc_unary(g, "/a.B/C", NULL, 0, NULL, 0, 100, &reply, &err), PFS_E_IO);
	cr_expect_str_eq(err.text, "connect to /nowhere/c.sock: No such file or directory");
	pfs_grpc_close(&g);
	cr_expect_null(g);
}
