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

#define LAST_MIN	12	/* columns of the last one, before others give way to it */
#define CUT_MIN		8
#define CELL_BYTES	160

struct cell {
	char		 text[CELL_BYTES];
	const char	*tint;
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
	(void)vsnprintf(cell(t, column), CELL_BYTES, fmt, ap);
	va_end(ap);
	clean(cell(t, column), "");
}

void
tint(struct table *t, size_t column, const char *color)
{
	t->cells[(t->rows - 1) * t->columns + column].tint = color;
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

static const char *
head_of(const struct table *t, size_t column)
{
	return t->heads[column] + strspn(t->heads[column], ">?");
}

static bool
is_right(const struct table *t, size_t column)
{
	return strchr(t->heads[column], '>') != NULL;
}

/* What the line takes.  0: the column is left out. */
static size_t
line_width(const size_t *widths, size_t n)
{
	size_t	 used = 0;

	for (size_t c = 0; c < n; c++)
		used += widths[c] == 0 ? 0 : widths[c] + (c + 1 < n ? 2 : 0);
	return used;
}

/*
 * Into the width of the terminal: the last column is cut, to LAST_MIN; then those that one can do
 * without go, from the right; then the widest texts are cut.  Numbers never are.
 */
static void
fit(const struct table *t, size_t *widths, size_t width)
{
	size_t	 last = t->columns - 1, natural = widths[t->columns - 1], used, most;

	if ((used = line_width(widths, t->columns)) > width && widths[last] > LAST_MIN) {
		most = used - width;
		widths[last] = widths[last] - LAST_MIN > most ? widths[last] - most : LAST_MIN;
	}
	for (size_t c = t->columns; c-- > 0;) {
		if (line_width(widths, t->columns) <= width)
			break;
		if (strchr(t->heads[c], '?') != NULL)
			widths[c] = 0;
	}
	while (line_width(widths, t->columns) > width) {
		most = last;
		for (size_t c = 0; c < t->columns; c++)
			if (!is_right(t, c) && widths[c] > widths[most])
				most = c;
		if (is_right(t, most) || widths[most] <= CUT_MIN)
			break;
		widths[most]--;
	}
	/* What a column that went has left, the last one takes. */
	used = line_width(widths, t->columns);
	if (used < width && widths[last] < natural)
		widths[last] += natural - widths[last] < width - used ? natural - widths[last] :
		    width - used;
}

static void
print_cell(FILE *f, const struct table *t, size_t r, size_t c, size_t width, const struct look *look)
{
	const struct cell	*body = r == 0 ? NULL : &t->cells[(r - 1) * t->columns + c];
	const char		*s = body == NULL ? head_of(t, c) : body->text;
	const char		*color = body == NULL || !look->color ? NULL : body->tint;
	size_t			 wide = width_of(s), pad = width > wide ? width - wide : 0;
	bool			 right = is_right(t, c);

	if (right)
		fprintf(f, "%*s", (int)pad, "");
	if (color != NULL)
		fputs(color, f);
	print_cut(f, s, width);
	if (color != NULL)
		fputs(PLAIN, f);
	if (c + 1 < t->columns)
		fprintf(f, "%*s", (int)(right ? 2 : pad + 2), "");
}

/* The last column takes what is left of the line. */
void
table_print(FILE *f, struct table *t, const struct look *look)
{
	size_t	 widths[COLUMNS_MAX] = { 0 }, w;

	for (size_t c = 0; c < t->columns; c++) {
		widths[c] = strlen(head_of(t, c));
		for (size_t r = 0; r < t->rows; r++)
			if ((w = width_of(t->cells[r * t->columns + c].text)) > widths[c])
				widths[c] = w;
	}
	fit(t, widths, look->width);
	for (size_t r = 0; r <= t->rows; r++) {
		if (r == 0 && look->color)
			fputs(BOLD, f);
		for (size_t c = 0; c < t->columns; c++)
			if (widths[c] > 0)
				print_cell(f, t, r, c, widths[c], look);
		fputs(r == 0 && look->color ? PLAIN "\n" : "\n", f);
	}
	free(t->cells);
	t->cells = NULL;
}
