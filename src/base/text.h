/*
 * Text from somebody else, shown to people: on a terminal, in a log, in a header.
 *
 * A terminal obeys control characters, and a line break begins a line that
 * nobody wrote. Each such byte is shown as a question mark: those below a
 * space, tabs and line breaks among them, and 127. All others stay, whatever
 * they mean, so UTF-8 does.
 *
 * Threads: any.
 */
#ifndef PFS_BASE_TEXT_H
#define PFS_BASE_TEXT_H

#include "base/room.h"

#include <stddef.h>

/* What a byte is shown as. */
char pfs_text_shown(char c);

/* The same for all of a text, in its place. */
void pfs_text_tame(char *text, size_t len);

#endif
