#include "base/id.h"

#include <criterion/criterion.h>
#include <string.h>

Test(id, prints_and_parses_back)
{
	struct pfs_id id, back;
	char text[PFS_ID_HEX_SIZE];

	for (size_t i = 0; i < PFS_ID_SIZE; i++)
		id.bytes[i] = (unsigned char)(i * 37);
	pfs_id_format(&id, text);
	cr_expect_eq(strlen(text), 64);
	cr_expect_eq(pfs_id_parse(text, &back, NULL), 0);
	cr_expect(pfs_id_equal(&id, &back));
}

Test(id, refuses_other_lengths_and_digits)
{
	struct pfs_commit_id id = { { 7 } }, before = id;

	cr_expect_eq(pfs_commit_id_parse("0123456789abcdef0123456789abcde", &id, NULL),
		     PFS_E_INVALID);
	cr_expect_eq(pfs_commit_id_parse("0123456789abcdef0123456789abcdef0", &id, NULL),
		     PFS_E_INVALID);
	cr_expect_eq(pfs_commit_id_parse("0123456789abcdefg123456789abcdef", &id, NULL),
		     PFS_E_INVALID);
	cr_expect(pfs_commit_id_equal(&id, &before), "a failed parse wrote to out");
}
