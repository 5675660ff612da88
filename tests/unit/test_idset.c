#include "base/idset.h"
#include "../scratch.h"

#include <criterion/criterion.h>

#define N 20000u

static struct pfs_id id_of(unsigned i)
{
	struct pfs_id id;

	scratch_fill(&id, sizeof(id), i + 1);
	return id;
}

Test(idset, an_id_is_new_once)
{
	struct pfs_idset s = { 0 };

	for (int round = 0; round < 2; round++) {
		for (unsigned i = 0; i < N; i++) {
			struct pfs_id id = id_of(i);

			cr_assert_eq(pfs_idset_has(&s, &id), round == 1);
			cr_assert_eq(pfs_idset_add(&s, &id, NULL), round == 0);
			cr_assert(pfs_idset_has(&s, &id));
		}
	}
	cr_expect_eq(s.len, N);
	pfs_idset_fini(&s);
}

Test(idset, ids_that_share_the_word_they_are_hashed_by_are_different_ids)
{
	struct pfs_idset s = { 0 };
	struct pfs_id id = { 0 };

	for (unsigned i = 0; i < 256; i++) {
		id.bytes[PFS_ID_SIZE - 1] = (unsigned char)i;
		cr_assert_not(pfs_idset_has(&s, &id));
		cr_assert_eq(pfs_idset_add(&s, &id, NULL), 1, "%u", i);
		cr_assert_eq(pfs_idset_add(&s, &id, NULL), 0, "%u", i);
	}
	pfs_idset_fini(&s);
	cr_expect_not(pfs_idset_has(&s, &id));
}
