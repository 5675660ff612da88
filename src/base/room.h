/*
 * base: bytes, errors, files, clocks, locks: what C should have come with.
 *
 * Knows nothing of pfs. Anybody may use it, so it has no key: there is no
 * room below it to keep out.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
