#include "cli/verdict.h"

#include <criterion/criterion.h>

TestSuite(verdict, .timeout = 30);

static enum pfs_verdict judge(const char *report, bool repair, char line[512])
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf text = PFS_BUF_INIT(4096);
	PFS_AUTO(pfs_json_free) json_t *v = NULL;
	struct pfs_error err = { 0 };
	enum pfs_verdict got;

	cr_assert_eq(pfs_json_parse(report, strlen(report), &v, &err), 0, "%s", err.text);
	got = pfs_verdict_of(v, repair, &text, &err);
	snprintf(line, 512, "%s", pfs_buf_str(&text));
	return got;
}

Test(verdict, tells_clean_mended_damaged_and_stopped_apart)
{
	static const struct {
		const char *report;
		bool repair;
		enum pfs_verdict want;
		const char *line;
		const char *why;
	} cases[] = {
		{ "{\"level\":\"reach\",\"packs\":1,\"objects\":2,\"commits\":1}", false,
		  PFS_VERDICT_CLEAN,
		  "clean (reach: contents not read): 1 pack, 2 objects, 1 commit",
		  "nothing was found" },
		{ "{\"level\":\"full\",\"packs\":1}", false, PFS_VERDICT_CLEAN,
		  "clean (full: every byte read): 1 pack", "nor in any byte" },
		{ "{\"level\":\"quick\"}", false, PFS_VERDICT_CLEAN,
		  "clean (quick: neither trees nor contents looked at)", "as far as it looked" },
		{ "{}", false, PFS_VERDICT_CLEAN, "clean", "an empty instance" },
		{ "{\"packs\":2,\"damages\":1}", false, PFS_VERDICT_DAMAGED,
		  "damaged: 2 packs, 1 damage; --repair mends what can be mended",
		  "without repair any damage is left, needed or not" },
		{ "{\"damages\":1,\"missing\":1,\"mended\":1}", true, PFS_VERDICT_MENDED,
		  "mended: 1 damage, 1 object was missing, 1 mended; everything that is needed is "
		  "there",
		  "mended" },
		{ "{\"mended\":1}", true, PFS_VERDICT_MENDED,
		  "mended: 1 mended; everything that is needed is there",
		  "damage that an earlier look found" },
		{ "{\"missing\":2,\"mended\":1,\"remaining\":1,\"left_objects\":1,\"affected\":3}",
		  true, PFS_VERDICT_DAMAGED,
		  "damaged: 2 objects were missing, 3 paths cannot be read whole, 1 mended; 1 "
		  "object has no whole copy here: put the files, from a backup, into any branch "
		  "and repair again",
		  "some of it has no copy" },
		{ "{\"missing\":3,\"remaining\":3,\"left_records\":1,\"left_files\":2}", true,
		  PFS_VERDICT_DAMAGED,
		  "damaged: 3 objects were missing; 1 commit record cannot be made anew: stop "
		  "pfsd and bring the packs that have them back from a backup of the data folder; "
		  "2 losses of what was not committed: copy the files to their own paths again",
		  "each sort has its own way" },
		{ "{\"names\":1,\"remaining\":1,\"left_names\":1}", true, PFS_VERDICT_DAMAGED,
		  "damaged: 1 name led nowhere; 1 name leads nowhere or is contradicted: see the "
		  "notes above, or bring meta.db back from a backup",
		  "a name that leads nowhere" },
		{ "{\"stopped\":true}", true, PFS_VERDICT_STOPPED,
		  "stopped; the rest was not looked at", "nobody knows" },
		{ "{\"stopped\":true,\"damages\":1,\"mended\":1}", true, PFS_VERDICT_DAMAGED,
		  "damaged: 1 damage, 1 mended; the rest was not looked at",
		  "what was found before the stop was found" },
		{ "{\"damages\":-5,\"packs\":\"x\"}", false, PFS_VERDICT_CLEAN, "clean",
		  "figures that are none" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char line[512];

		cr_expect_eq(judge(cases[i].report, cases[i].repair, line), cases[i].want, "%s",
			     cases[i].why);
		cr_expect_str_eq(line, cases[i].line, "%s: %s", cases[i].why, line);
	}
}
