/*
 * replay - run a fuzzer over corpora without libFuzzer, so that gcc builds can.
 *
 *	fuzz_NAME DIRECTORY|FILE...
 *
 * Every file is one input; prints how many there were.  A crash is the failure.
 */
#include <dirent.h>
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"

static size_t	 inputs_n;

static void
run_file(const char *path, size_t bytes)
{
	FILE	*f = fopen(path, "rb");
	uint8_t	*p = malloc(bytes == 0 ? 1 : bytes);	/* of its exact size, for ASan */
	size_t	 n;

	if (f == NULL || p == NULL)
		err(1, "%s", path);
	n = fread(p, 1, bytes, f);
	if (ferror(f))
		err(1, "%s", path);
	(void)fclose(f);
	(void)LLVMFuzzerTestOneInput(p, n);
	free(p);
	inputs_n++;
}

static void
run(const char *path)
{
	struct dirent	*e;
	struct stat	 st;
	char		*inner;
	DIR		*d;

	if (stat(path, &st) == -1)
		err(1, "%s", path);
	if (!S_ISDIR(st.st_mode)) {
		run_file(path, (size_t)st.st_size);
		return;
	}
	if ((d = opendir(path)) == NULL)
		err(1, "%s", path);
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		if (asprintf(&inner, "%s/%s", path, e->d_name) == -1)
			err(1, NULL);
		run(inner);
		free(inner);
	}
	(void)closedir(d);
}

int
main(int argc, char **argv)
{
	int	 i;

	for (i = 1; i < argc; i++)
		run(argv[i]);
	printf("%zu inputs\n", inputs_n);
	return inputs_n == 0;
}
