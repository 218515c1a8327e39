/*
 * symbols - see symbols.h.
 */
#include <sys/mman.h>
#include <sys/stat.h>

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "worker/runtime/symbols.h"

static const ElfW(Sym)	*table;
static size_t		 table_n;
static const char	*names;
static size_t		 names_bytes;
static uintptr_t	 base;		/* where the program was loaded */

/* The first object that the loader names is the program. */
static int
note_base(struct dl_phdr_info *info, size_t bytes, void *arg)
{
	(void)bytes;
	(void)arg;
	base = info->dlpi_addr;
	return 1;
}

static bool
is_inside(size_t file_bytes, uint64_t offset, uint64_t bytes)
{
	return offset <= file_bytes && bytes <= file_bytes - offset;
}

static void
find_table(const char *file, size_t bytes)
{
	const ElfW(Ehdr)	*h = (const void *)file;
	const ElfW(Shdr)	*sections;

	if (bytes < sizeof(*h) || memcmp(h->e_ident, ELFMAG, SELFMAG) != 0 ||
	    h->e_shentsize != sizeof(*sections) || h->e_shoff % sizeof(uint64_t) != 0 ||
	    !is_inside(bytes, h->e_shoff, (uint64_t)h->e_shnum * sizeof(*sections)))
		return;
	sections = (const void *)(file + h->e_shoff);
	for (size_t i = 0; i < h->e_shnum; i++) {
		const ElfW(Shdr)	*s = &sections[i], *strings;

		if (s->sh_type != SHT_SYMTAB || s->sh_link >= h->e_shnum ||
		    s->sh_offset % sizeof(uint64_t) != 0)
			continue;
		strings = &sections[s->sh_link];
		if (!is_inside(bytes, s->sh_offset, s->sh_size) || strings->sh_size == 0 ||
		    !is_inside(bytes, strings->sh_offset, strings->sh_size) ||
		    file[strings->sh_offset + strings->sh_size - 1] != '\0')
			continue;
		names = file + strings->sh_offset;
		names_bytes = strings->sh_size;
		table = (const void *)(file + s->sh_offset);
		table_n = s->sh_size / sizeof(*table);
		return;
	}
}

void
symbols_init(void)
{
	struct stat	 st;
	void		*file;
	int		 fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	if (fd == -1)
		return;
	/* Stays mapped to the end: the handler may come at any time. */
	if (fstat(fd, &st) == 0 && st.st_size > 0 && (file = mmap(NULL, (size_t)st.st_size,
	    PROT_READ, MAP_PRIVATE, fd, 0)) != MAP_FAILED) {
		(void)dl_iterate_phdr(note_base, NULL);
		find_table(file, (size_t)st.st_size);
	}
	close(fd);
}

const char *
symbols_find(const void *address, size_t *offset_r)
{
	uintptr_t	 at = (uintptr_t)address - base;

	for (size_t i = 0; i < table_n; i++) {
		const ElfW(Sym)	*s = &table[i];

		if ((s->st_info & 0xf) != STT_FUNC || s->st_shndx == SHN_UNDEF ||
		    at < s->st_value || at - s->st_value >= s->st_size ||
		    s->st_name >= names_bytes)
			continue;
		*offset_r = at - s->st_value;
		return names + s->st_name;
	}
	return NULL;
}
