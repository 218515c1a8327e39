/*
 * table - see table.h.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "supervisor/ctl/table.h"

#define COLUMNS_MAX	12

/*
 * What workers and Discord wrote must not talk to the terminal: control bytes, C1 in UTF-8 too,
 * become '?'. Newlines and tabs pass when keep says so.
 */
static void
clean(char *s, const char *keep)
{
	for (; *s != '\0'; s++) {
		unsigned char	 c = (unsigned char)*s, next = (unsigned char)s[1];

		if ((c < ' ' || c == 0x7f) && strchr(keep, c) == NULL)
			*s = '?';
		else if (c == 0xc2 && next >= 0x80 && next <= 0x9f) {
			s[0] = ' ';
			s[1] = '?';
		}
	}
}

void
print_clean(FILE *f, const char *s, const char *keep)
{
	char	*copy = strdup(s == NULL ? "-" : s);

	if (copy == NULL)
		abort();
	clean(copy, keep);
	fputs(copy, f);
	free(copy);
}

/* ---- tables: every column as wide as its widest cell ---- */

struct cell {
	char	 text[160];
};

void
table_init(struct table *t, const char *const *heads, size_t columns)
{
	*t = (struct table){ .heads = heads, .columns = columns };
}

static char *
cell(struct table *t, size_t column)
{
	return t->cells[(t->rows - 1) * t->columns + column].text;
}

void
row(struct table *t)
{
	size_t		 n = (t->rows + 1) * t->columns;
	struct cell	*cells = realloc(t->cells, n * sizeof(*cells));

	if (cells == NULL)
		abort();
	t->cells = cells;
	memset(cells + t->rows * t->columns, 0, t->columns * sizeof(*cells));
	t->rows++;
}

void
put(struct table *t, size_t column, const char *fmt, ...)
{
	va_list	 ap;

	va_start(ap, fmt);
	(void)vsnprintf(cell(t, column), sizeof(struct cell), fmt, ap);
	va_end(ap);
	clean(cell(t, column), "");
}

void
put_ms(struct table *t, size_t column, uint64_t ms)
{
	char	 text[32];

	put(t, column, "%s", clock_human_ms(ms, text, sizeof(text)));
}

/* Characters, not bytes: names may be UTF-8. */
static size_t
width_of(const char *s)
{
	size_t	 n = 0;

	for (; *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

/* At most width characters of s, cut with a dot, never inside one. */
static void
print_cut(FILE *f, const char *s, size_t width)
{
	size_t	 n = 0, i = 0;

	if (width_of(s) <= width) {
		fputs(s, f);
		return;
	}
	while (s[i] != '\0' && n + 1 < width) {
		do
			i++;
		while (((unsigned char)s[i] & 0xc0) == 0x80);
		n++;
	}
	fprintf(f, "%.*s…", (int)i, s);
}

/* The last column takes what is left of the line. */
void
table_print(FILE *f, struct table *t, const struct look *look)
{
	size_t	 widths[COLUMNS_MAX] = { 0 }, used = 0, w;

	for (size_t c = 0; c < t->columns; c++) {
		widths[c] = strlen(t->heads[c]) - (t->heads[c][0] == '>');
		for (size_t r = 0; r < t->rows; r++)
			if ((w = width_of(t->cells[r * t->columns + c].text)) > widths[c])
				widths[c] = w;
		if (c + 1 < t->columns)
			used += widths[c] + 2;
	}
	if (used + 20 < look->width && widths[t->columns - 1] > look->width - used)
		widths[t->columns - 1] = look->width - used;
	for (size_t r = 0; r <= t->rows; r++) {
		if (r == 0 && look->color)
			fputs(BOLD, f);
		for (size_t c = 0; c < t->columns; c++) {
			bool		 right = t->heads[c][0] == '>', last = c + 1 == t->columns;
			const char	*s = r == 0 ? t->heads[c] + right :
			    t->cells[(r - 1) * t->columns + c].text;
			size_t		 wide = width_of(s);
			size_t		 pad = widths[c] > wide ? widths[c] - wide : 0;

			if (right)
				fprintf(f, "%*s", (int)pad, "");
			print_cut(f, s, widths[c]);
			if (!last)
				fprintf(f, "%*s", (int)(right ? 2 : pad + 2), "");
		}
		fputs(r == 0 && look->color ? PLAIN "\n" : "\n", f);
	}
	free(t->cells);
	t->cells = NULL;
}
