#include "base/text.h"

char pfs_text_shown(char c)
{
	return (unsigned char)c < ' ' || c == 127 ? '?' : c;
}

void pfs_text_tame(char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		text[i] = pfs_text_shown(text[i]);
}
