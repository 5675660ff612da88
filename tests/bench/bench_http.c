/*
 * How many small requests a second does a server answer? Kept connections, one
 * thread each. Prints one line; asserts nothing.
 *
 *	bench_http PORT CONNECTIONS SECONDS GET /path
 *	bench_http PORT CONNECTIONS SECONDS POST /path BYTES
 *
 * A "%u" in a POST's path becomes a number, so that each makes a file.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 256

struct bench {
	int port;
	double seconds;
	const char *method, *path;
	size_t body_len;
	_Atomic unsigned next;
	_Atomic unsigned long done, bytes, failed;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int dial(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		perror("bench_http: connect");
		exit(1);
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

static size_t write_request(const struct bench *b, unsigned n, char *out, size_t size)
{
	char path[512];
	const char *mark = strstr(b->path, "%u");
	size_t len;

	if (mark)
		snprintf(path, sizeof(path), "%.*s%u%s", (int)(mark - b->path), b->path, n,
			 mark + 2);
	else
		snprintf(path, sizeof(path), "%s", b->path);
	len = (size_t)snprintf(out, size,
			       "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n",
			       b->method, path, b->body_len);
	memset(out + len, 'x', b->body_len);
	return len + b->body_len;
}

/* One whole answer with a Content-Length; its status. */
static int read_answer(int fd, unsigned long *bytes)
{
	static _Thread_local char buf[1 << 20];
	size_t have = 0, want = 0;
	char *end = NULL;

	while (!end || have < want) {
		ssize_t got = read(fd, buf + have, sizeof(buf) - 1 - have);

		if (got <= 0)
			return -1;
		have += (size_t)got;
		buf[have] = 0;
		if (!end && (end = strstr(buf, "\r\n\r\n"))) {
			const char *length = strcasestr(buf, "\r\nContent-Length:");

			want = (size_t)(end + 4 - buf);
			if (length)
				want += strtoul(length + 17, NULL, 10);
		}
	}
	*bytes += have;
	return atoi(buf + 9);
}

static void *drive(void *arg)
{
	struct bench *b = arg;
	char *request = malloc(b->body_len + 4096);
	double end = now() + b->seconds;
	int fd = dial(b->port);

	while (request && now() < end) {
		size_t len = write_request(b, b->next++, request, b->body_len + 4096);
		unsigned long bytes = 0;

		if (write(fd, request, len) != (ssize_t)len || read_answer(fd, &bytes) != 200)
			b->failed++;
		b->done++;
		b->bytes += bytes;
	}
	free(request);
	close(fd);
	return NULL;
}

int main(int argc, char **argv)
{
	struct bench b = { 0 };
	pthread_t threads[CONNECTIONS_MAX];
	int n = argc > 2 ? atoi(argv[2]) : 0;
	double start = now();

	if (argc < 6 || n < 1 || n > CONNECTIONS_MAX) {
		fputs("usage: bench_http PORT CONNECTIONS SECONDS GET|POST PATH [BYTES]\n", stderr);
		return 2;
	}
	b.port = atoi(argv[1]);
	b.seconds = atof(argv[3]);
	b.method = argv[4];
	b.path = argv[5];
	b.body_len = argc > 6 ? strtoul(argv[6], NULL, 10) : 0;
	for (int i = 0; i < n; i++)
		pthread_create(&threads[i], NULL, drive, &b);
	for (int i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	printf("%s connections=%d requests_per_second=%.0f megabytes_per_second=%.1f failed=%lu\n",
	       b.method, n, (double)b.done / (now() - start),
	       (double)b.bytes / 1e6 / (now() - start), b.failed);
	return b.failed != 0;
}
