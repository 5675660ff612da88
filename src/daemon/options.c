#include "daemon/options.h"
#include "base/log.h"
#include "fuse/handover.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOLD_MAX_S 3600u /* nobody who waits in the mount can be killed for so long */

static const char usage[] =
	"usage: pfsd [--data DIR] [--mount DIR | --no-mount] [--listen HOST:PORT|none]\n"
	"            [--socket PATH] [--maintenance on|off] [--rest SECONDS]\n"
	"            [--gc-every HOURS] [--scrub-rate BYTES] [--without FEATURE]...\n"
	"            [--mount-flags LIST] [--hold SECONDS] [--background] [--log FILE]\n"
	"            [--verbose]\n"
	"\n"
	"  --data DIR          where everything is kept      /var/lib/pfs\n"
	"  --mount DIR         where it is seen as files     /pfs\n"
	"  --no-mount          serve HTTP only\n"
	"  --listen HOST:PORT  HTTP for this machine; none: no  127.0.0.1:6500\n"
	"  --socket PATH       HTTP for pfs and pfs-runner   /run/pfs/pfsd.sock\n"
	"  --maintenance off   never tidy, collect or scrub by itself\n"
	"  --rest SECONDS      leave alone what is younger   300\n"
	"  --gc-every HOURS    collect garbage; 0: only after deletions  24\n"
	"  --scrub-rate BYTES  read so much a second to find damage; 0: never  4M\n"
	"  --without FEATURE   of the kernel; all: every one\n"
	"  --mount-flags LIST  ro, noexec, ... as for mount(8)\n"
	"  --hold SECONDS      when it ends, keep the mount so long for the next one  0\n"
	"  --background        return when it is mounted and answers\n"
	"  --log FILE          append the log to it          standard error\n"
	"  --verbose           log every request\n"
	"\n"
	"SIGTERM ends it, and so does an unmount. SIGHUP starts the program anew, also a\n"
	"newer one, with all that is open. The manual is pfsd(8).\n";

/* "64M"; false when it is no number up to 2^40. */
static bool parse_amount(const char *text, uint64_t *out)
{
	static const char units[] = "KMGT";
	const char *unit;
	char *end;
	uint64_t n, max = 1ULL << 40;
	unsigned shift = 0;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	n = strtoull(text, &end, 10);
	unit = *end ? strchr(units, *end) : NULL;
	if (unit) {
		shift = 10 * (unsigned)(unit - units + 1);
		end++;
	}
	if (errno || *end || n > max >> shift)
		return false;
	*out = n << shift;
	return true;
}

/* Options of the keeper; false when the value makes no sense. */
static bool parse_keeper(int c, const char *text, struct pfs_keeper_options *k)
{
	uint64_t n = 0;

	if (c == 'M') {
		k->off = strcmp(text, "off") == 0;
		return k->off || strcmp(text, "on") == 0;
	}
	if (!parse_amount(text, &n))
		return false;
	if (c == 'S')
		k->scrub_rate = n;
	if (c == 'G' && n <= 24 * 365)
		k->gc_every_s = (int64_t)n * 3600;
	if (c == 'R' && n <= 365 * 86400)
		k->rest_s = (int64_t)n;
	return c == 'S' || n <= (c == 'G' ? 24 * 365 : 365 * 86400);
}

/* "a,b": each word has to be one that `flags` of a mount may have. */
static bool are_flags(const char *list)
{
	char word[32];
	size_t len;

	for (;; list += len + 1) {
		len = strcspn(list, ",");
		if (len == 0 || len >= sizeof(word))
			return false;
		memcpy(word, list, len);
		word[len] = '\0';
		if (!pfs_fuse_is_flag(word))
			return false;
		if (!list[len])
			return true;
	}
}

static bool parse_mount(int c, const char *text, struct pfs_fuse_options *o)
{
	if (c == 'W')
		return pfs_fuse_switch(o, text, false);
	o->flags = text;
	return are_flags(text);
}

static bool parse_hold(const char *text, unsigned *out)
{
	uint64_t n = 0;

	if (!parse_amount(text, &n) || n > HOLD_MAX_S)
		return false;
	*out = (unsigned)n;
	return true;
}

/* Asked by the pfsd whose place this one is to take, after all other options made sense. */
static void answer_handover(const char *version)
{
	if (atol(version) == PFS_HANDOVER_VERSION)
		exit(0);
	fprintf(stderr, "pfsd: goes on with what has version %u, not %s\n", PFS_HANDOVER_VERSION,
		version);
	exit(pfs_code_exit(PFS_E_UNSUPPORTED));
}

static void refuse(int c, const char *text)
{
	static const char *const allowed[] = {
		['M'] = "--maintenance is on or off",
		['R'] = "--rest is a number of seconds, a year at most",
		['G'] = "--gc-every is a number of hours, a year at most; 0: only after deletions",
		['S'] = "--scrub-rate is a number of bytes, perhaps with K, M or G; 0: never",
		['H'] = "--hold is a number of seconds, an hour at most",
		['F'] = "--mount-flags are words of mount(8) like ro,noexec",
		['W'] = "--without is a feature, or all",
	};

	fprintf(stderr, "pfsd: %s, not \"%s\"\n", allowed[c], text);
	if (c == 'W')
		fprintf(stderr, "pfsd: features are %s\n", pfs_fuse_feature_names());
	exit(pfs_code_exit(PFS_E_INVALID));
}

static void give_up(void)
{
	fputs(usage, stderr);
	exit(pfs_code_exit(PFS_E_INVALID));
}

void pfs_options_parse(int argc, char **argv, struct pfs_options *o)
{
	static const struct option known[] = {
		{ "data", required_argument, NULL, 'd' },
		{ "mount", required_argument, NULL, 'm' },
		{ "no-mount", no_argument, NULL, 'n' },
		{ "listen", required_argument, NULL, 'l' },
		{ "socket", required_argument, NULL, 's' },
		{ "maintenance", required_argument, NULL, 'M' },
		{ "rest", required_argument, NULL, 'R' },
		{ "gc-every", required_argument, NULL, 'G' },
		{ "scrub-rate", required_argument, NULL, 'S' },
		{ "without", required_argument, NULL, 'W' },
		{ "mount-flags", required_argument, NULL, 'F' },
		{ "hold", required_argument, NULL, 'H' },
		{ "check-handover", required_argument, NULL, 'C' },
		{ "background", no_argument, NULL, 'b' },
		{ "log", required_argument, NULL, 'L' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "foreground", no_argument, NULL, 'f' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	const char *handover = NULL;
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (c) {
		case 'd':
			o->data = optarg;
			break;
		case 'm':
			o->mount = optarg;
			break;
		case 'n':
			o->no_mount = true;
			break;
		case 'l':
			o->listen = optarg;
			break;
		case 's':
			o->socket = optarg;
			break;
		case 'M':
		case 'R':
		case 'G':
		case 'S':
			if (!parse_keeper(c, optarg, &o->keeper))
				refuse(c, optarg);
			break;
		case 'W':
		case 'F':
			if (!parse_mount(c, optarg, &o->fuse))
				refuse(c, optarg);
			break;
		case 'H':
			if (!parse_hold(optarg, &o->hold_s))
				refuse(c, optarg);
			break;
		case 'C':
			handover = optarg;
			break;
		case 'b':
			o->background = true;
			break;
		case 'L':
			o->log = optarg;
			break;
		case 'v':
			pfs_log_set_level(PFS_LOG_DEBUG);
			break;
		case 'f':
			o->background = false;
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		case 'V':
			printf("pfsd %s\n", pfs_version());
			exit(0);
		default:
			give_up();
		}
	}
	if (optind < argc) {
		fprintf(stderr, "pfsd: unexpected argument \"%s\"\n", argv[optind]);
		give_up();
	}
	if (handover)
		answer_handover(handover);
	/* Rings end with their process, and nobody else can go on with them. */
	if (o->hold_s)
		pfs_fuse_switch(&o->fuse, "io_uring", false);
}
