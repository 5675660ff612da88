#include "fuse/slots.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define N_PAGES (PFS_SLOTS_MAX / PFS_SLOTS_PAGE)
#define N_WORDS (PFS_SLOTS_PAGE / 64)

struct pfs_slots_page {
	struct pfs_slots_page *prev, *next; /* among those with room */
	uint32_t number;
	uint32_t n_used;
	uint64_t used[N_WORDS]; /* a bit each */
	_Alignas(16) unsigned char items[];
};

int pfs_slots_init(struct pfs_slots *s, size_t item_size, struct pfs_error *err)
{
	/* Pages of it that are not written to cost nothing. */
	struct pfs_slots_page *_Atomic *pages = calloc(N_PAGES, sizeof(*pages));

	if (!pages)
		return pfs_fail_nomem(err, "a table of numbers");
	*s = (struct pfs_slots){ .pages = pages, .item_size = item_size };
	return 0;
}

void pfs_slots_fini(struct pfs_slots *s)
{
	for (uint32_t i = 0; i < s->n_pages; i++)
		free(atomic_load_explicit(&s->pages[i], memory_order_relaxed));
	free((void *)s->pages);
	*s = (struct pfs_slots){ 0 };
}

static void add_roomy(struct pfs_slots *s, struct pfs_slots_page *p)
{
	p->prev = NULL;
	p->next = s->roomy;
	if (p->next)
		p->next->prev = p;
	s->roomy = p;
}

static void remove_roomy(struct pfs_slots *s, struct pfs_slots_page *p)
{
	if (p->prev)
		p->prev->next = p->next;
	else
		s->roomy = p->next;
	if (p->next)
		p->next->prev = p->prev;
}

static struct pfs_slots_page *page_at(const struct pfs_slots *s, uint32_t i)
{
	return atomic_load_explicit(&s->pages[i], memory_order_acquire);
}

static struct pfs_slots_page *add_page(struct pfs_slots *s, uint32_t i)
{
	struct pfs_slots_page *p = calloc(1, sizeof(*p) + PFS_SLOTS_PAGE * s->item_size);

	if (!p)
		return NULL;
	p->number = i;
	add_roomy(s, p);
	atomic_store_explicit(&s->pages[i], p, memory_order_release);
	if (i >= s->n_pages)
		s->n_pages = i + 1;
	return p;
}

static void remove_page(struct pfs_slots *s, struct pfs_slots_page *p)
{
	remove_roomy(s, p);
	atomic_store_explicit(&s->pages[p->number], NULL, memory_order_relaxed);
	while (s->n_pages && !page_at(s, s->n_pages - 1))
		s->n_pages--;
	free(p);
}

/* The lowest number that no page has: tables stay short. */
static struct pfs_slots_page *add_any_page(struct pfs_slots *s)
{
	uint32_t i = 0;

	while (i < s->n_pages && page_at(s, i))
		i++;
	return i < N_PAGES ? add_page(s, i) : NULL;
}

static void *use(struct pfs_slots *s, struct pfs_slots_page *p, uint32_t at)
{
	p->used[at / 64] |= 1ULL << (at % 64);
	s->n++;
	if (++p->n_used == PFS_SLOTS_PAGE)
		remove_roomy(s, p);
	return p->items + at * s->item_size;
}

void *pfs_slots_take(struct pfs_slots *s, uint32_t *out_number)
{
	struct pfs_slots_page *p = s->roomy ? s->roomy : add_any_page(s);
	uint32_t word = 0, at;

	if (!p)
		return NULL;
	while (p->used[word] == UINT64_MAX)
		word++;
	at = word * 64 + (uint32_t)__builtin_ctzll(~p->used[word]);
	*out_number = p->number * PFS_SLOTS_PAGE + at;
	return use(s, p, at);
}

void *pfs_slots_take_at(struct pfs_slots *s, uint32_t number)
{
	uint32_t i = number / PFS_SLOTS_PAGE, at = number % PFS_SLOTS_PAGE;
	struct pfs_slots_page *p;

	if (i >= N_PAGES)
		return NULL;
	p = page_at(s, i);
	if (!p)
		p = add_page(s, i);
	if (!p || p->used[at / 64] >> (at % 64) & 1)
		return NULL;
	return use(s, p, at);
}

void pfs_slots_give(struct pfs_slots *s, uint32_t number)
{
	struct pfs_slots_page *p = page_at(s, number / PFS_SLOTS_PAGE);
	uint32_t at = number % PFS_SLOTS_PAGE;

	assert(p && p->used[at / 64] >> (at % 64) & 1);
	p->used[at / 64] &= ~(1ULL << (at % 64));
	memset(p->items + at * s->item_size, 0, s->item_size);
	s->n--;
	if (p->n_used-- == PFS_SLOTS_PAGE)
		add_roomy(s, p);
	/* The last page with room stays, for who takes and gives one item over and over. */
	if (p->n_used == 0 && (p->prev || p->next))
		remove_page(s, p);
}

void *pfs_slots_find(const struct pfs_slots *s, uint64_t number)
{
	struct pfs_slots_page *p;

	if (number >= PFS_SLOTS_MAX)
		return NULL;
	p = page_at(s, (uint32_t)number / PFS_SLOTS_PAGE);
	return p ? p->items + (number % PFS_SLOTS_PAGE) * s->item_size : NULL;
}

void *pfs_slots_next(const struct pfs_slots *s, uint32_t *number)
{
	uint32_t n = *number;

	while (n / PFS_SLOTS_PAGE < s->n_pages) {
		const struct pfs_slots_page *p = page_at(s, n / PFS_SLOTS_PAGE);
		uint32_t at = n % PFS_SLOTS_PAGE;
		uint64_t left = p ? p->used[at / 64] >> (at % 64) : 0;

		if (left) {
			*number = n + (uint32_t)__builtin_ctzll(left);
			return pfs_slots_find(s, *number);
		}
		/* On to the next word, or page. */
		n += p ? 64 - at % 64 : PFS_SLOTS_PAGE - at;
	}
	return NULL;
}
