/*
 * Data to measure with, the same for the same seed, faster than any disk.
 *
 *	bench_data random SEED MIB             bytes that nothing makes smaller
 *	bench_data csv SEED MIB                rows of a table
 *	bench_data jsonl SEED MIB              one event a line
 *	bench_data log SEED MIB                lines of a web server
 *	bench_data edit SEED PER_MILLION       standard input with so many of a million
 *	                                       lines changed, shorter and longer ones too
 *	bench_data insert OFFSET               standard input with one byte more there
 *
 * Writes to standard output.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK    (1 << 20)
#define LINE_MAX 512

static uint64_t state;

static uint64_t roll(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state * 0x2545f4914f6cdd1d;
}

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "bench_data: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void put(const void *data, size_t len)
{
	must(fwrite(data, 1, len, stdout) == len, "write");
}

static void random_bytes(uint64_t mib)
{
	static uint64_t block[BLOCK / sizeof(uint64_t)];

	while (mib--) {
		for (size_t i = 0; i < sizeof(block) / sizeof(*block); i++)
			block[i] = roll();
		put(block, sizeof(block));
	}
}

static const char *const words[] = {
	"amber",  "basalt", "cedar",   "delta",  "ember",  "fjord",  "garnet", "harbor",
	"island", "jasper", "kelp",    "lagoon", "meadow", "nectar", "orchid", "pebble",
	"quartz", "river",  "saffron", "tundra", "umber",  "valley", "willow", "zephyr",
};

static const char *word(void)
{
	return words[roll() % (sizeof(words) / sizeof(*words))];
}

static int csv_line(char *out, uint64_t row)
{
	uint64_t a = roll(), b = roll();

	return snprintf(out, LINE_MAX,
			"%" PRIu64 ",2024-%02u-%02uT%02u:%02u:%02u,%s-%s,%u,%u.%02u,%d.%04u,%s\n",
			row, (unsigned)(a % 12) + 1, (unsigned)(a >> 8) % 28 + 1,
			(unsigned)(a >> 16) % 24, (unsigned)(a >> 24) % 60,
			(unsigned)(a >> 32) % 60, word(), word(), (unsigned)(b % 100000),
			(unsigned)(b >> 20) % 1000, (unsigned)(b >> 32) % 100,
			(int)(a >> 40) % 180 - 90, (unsigned)(b >> 40) % 10000,
			a >> 62 ? "active" : "retired");
}

static int jsonl_line(char *out, uint64_t row)
{
	uint64_t a = roll(), b = roll();

	return snprintf(out, LINE_MAX,
			"{\"id\": %" PRIu64
			", \"user\": \"%s%u\", \"event\": \"%s\", \"value\": %u.%03u, "
			"\"tags\": [\"%s\", \"%s\"], \"session\": \"%016" PRIx64 "\"}\n",
			row, word(), (unsigned)(a % 5000), word(), (unsigned)(a >> 20) % 1000,
			(unsigned)(b % 1000), word(), word(), b);
}

static int log_line(char *out, uint64_t row)
{
	static const unsigned codes[] = { 200, 200, 200, 200, 200, 301, 304, 404, 500 };
	uint64_t a = roll();

	return snprintf(out, LINE_MAX,
			"10.%u.%u.%u - - [%02" PRIu64 "/Mar/2024:%02" PRIu64 ":%02" PRIu64
			":%02" PRIu64
			" +0000] \"GET /%s/%s/%u HTTP/1.1\" %u %u \"-\" \"agent/%u.0 (%s)\"\n",
			(unsigned)a % 4, (unsigned)(a >> 8) % 64, (unsigned)(a >> 16) % 256,
			row / 864000 % 28 + 1, row / 36000 % 24, row / 600 % 60, row / 10 % 60,
			word(), word(), (unsigned)(a >> 24) % 10000,
			codes[(a >> 40) % (sizeof(codes) / sizeof(*codes))],
			(unsigned)(a >> 44) % 50000, (unsigned)(a >> 60), word());
}

static void lines(int (*line)(char *out, uint64_t row), uint64_t mib)
{
	char text[LINE_MAX];
	uint64_t done = 0;

	for (uint64_t row = 0; done < mib << 20; row++) {
		int len = line(text, row);

		put(text, (size_t)len);
		done += (uint64_t)len;
	}
}

/* Another number somewhere in the line, with a digit less, as many, or one more. */
static void put_changed(const char *line, size_t len)
{
	size_t at = roll() % len;
	uint64_t value = roll() % 100000;

	while (at > 0 && (line[at] < '0' || line[at] > '9'))
		at--;
	put(line, at);
	fprintf(stdout, "%" PRIu64, value % (roll() % 2 ? 10 : 100));
	put(line + at + 1, len - at - 1);
}

static void edit(uint64_t per_million)
{
	char text[1 << 16];
	uint64_t changed = 0;

	while (fgets(text, sizeof(text), stdin)) {
		size_t len = strlen(text);

		if (roll() % 1000000 < per_million) {
			put_changed(text, len);
			changed++;
		} else
			put(text, len);
	}
	must(!ferror(stdin), "read");
	fprintf(stderr, "%" PRIu64 "\n", changed);
}

static void insert(uint64_t off)
{
	static char block[BLOCK];
	uint64_t done = 0;
	size_t n;

	while ((n = fread(block, 1, sizeof(block), stdin)) > 0) {
		size_t before = off >= done && off - done < n ? (size_t)(off - done) : n;

		put(block, before);
		if (before < n)
			put("!", 1);
		put(block + before, n - before);
		done += n;
	}
	must(!ferror(stdin), "read");
}

int main(int argc, char **argv)
{
	static char buffer[BLOCK];
	const char *what = argc > 2 ? argv[1] : "";
	uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
	uint64_t second = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;

	setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
	state = first * 0x9e3779b97f4a7c15 + 88172645463325252;
	if (argc == 4 && strcmp(what, "random") == 0)
		random_bytes(second);
	else if (argc == 4 && strcmp(what, "csv") == 0)
		lines(csv_line, second);
	else if (argc == 4 && strcmp(what, "jsonl") == 0)
		lines(jsonl_line, second);
	else if (argc == 4 && strcmp(what, "log") == 0)
		lines(log_line, second);
	else if (argc == 4 && strcmp(what, "edit") == 0)
		edit(second);
	else if (argc == 3 && strcmp(what, "insert") == 0)
		insert(first);
	else {
		fprintf(stderr, "usage: bench_data random|csv|jsonl|log SEED MIB | "
				"edit SEED PER_MILLION <IN | insert OFFSET <IN\n");
		return 2;
	}
	must(fflush(stdout) == 0, "write");
	return 0;
}
