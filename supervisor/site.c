/*
 * site - see site.h.
 */
#include <sys/stat.h>
#include <sys/vfs.h>

#include <errno.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supervisor/site.h"

/* ---- secrets ---- */

/* Everybody on the machine may read it, as far as the file itself says. */
static bool
is_open(const char *path)
{
	struct stat	 st;

	return path != NULL && stat(path, &st) == 0 && (st.st_mode & S_IROTH) != 0;
}

static size_t
warn_of_file(const char *option, const char *path, struct buf *out)
{
	if (!is_open(path))
		return 0;
	buf_printf(out, "warning: everybody may read %s, the file of %s: chmod 0600 or 0640\n", path,
	    option);
	return 1;
}

/* Does the value stand in the file itself, not in a variable? */
static bool
is_literal(const struct cfg *cfg, const char *value, const struct cfg_origin *origin,
    const char *file)
{
	if (value == NULL || file != NULL || origin->from != CFG_FROM_FILE)
		return false;
	for (size_t i = 0; i < cfg->vars.n; i++)
		if (strstr(value, cfg->vars.v[i].value) != NULL)
			return false;
	return true;
}

static size_t
warn_of_secrets(const struct cfg *cfg, const char *conf, struct buf *out)
{
	size_t	 warned = warn_of_file("token_file", cfg->token_file, out);
	bool	 literal = is_literal(cfg, cfg->token, &cfg->token_origin, cfg->token_file);

	for (size_t i = 0; i < cfg->models_n; i++) {
		const struct cfg_model	*m = &cfg->models[i];

		warned += warn_of_file("api_key_file", m->api_key_file, out);
		literal = literal || is_literal(cfg, m->api_key, &m->api_key_origin, m->api_key_file);
	}
	if (literal && is_open(conf)) {
		buf_printf(out, "warning: everybody may read %s, and a secret stands in it: chmod 0600 or"
		    " 0640, or token_file, api_key_file, ${NAME}\n", conf);
		warned++;
	}
	return warned;
}

/* ---- runtime_dir ---- */

static size_t
warn_of_room(const struct cfg *cfg, const char *dir, struct buf *out)
{
	char		*journal = mem_printf("%s/journal", cfg->runtime_dir);
	struct statfs	 fs;
	struct stat	 st;
	uint64_t	 room, there = stat(journal, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
	size_t		 warned = 0;

	free(journal);
	if (statfs(dir, &fs) == -1)
		return 0;
	if ((unsigned long)fs.f_type != TMPFS_MAGIC) {
		buf_printf(out, "warning: runtime_dir %s is not on tmpfs: a slow disk can stall the"
		    " heartbeat\n", cfg->runtime_dir);
		warned++;
	}
	room = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize + there;
	if (room < cfg->journal_bytes) {
		buf_printf(out, "warning: runtime_dir %s has room for %" PRIu64 " KiB, the journal takes %"
		    PRIu64 "\n", cfg->runtime_dir, room >> 10, cfg->journal_bytes >> 10);
		warned++;
	}
	return warned;
}

/* It is made at start when it is not there, in a directory that has to be. */
static size_t
warn_of_runtime_dir(const struct cfg *cfg, struct buf *out)
{
	char		*dir = mem_strdup(cfg->runtime_dir), *slash;
	struct stat	 st;
	size_t		 warned = 0;

	if (stat(dir, &st) == -1 && errno == ENOENT && (slash = strrchr(dir, '/')) != NULL) {
		slash[slash == dir] = '\0';
		if (stat(dir, &st) == -1) {
			buf_printf(out, "warning: runtime_dir %s cannot be made: %s: %s\n",
			    cfg->runtime_dir, dir, strerror(errno));
			free(dir);
			return 1;
		}
	}
	warned = warn_of_room(cfg, dir, out);
	free(dir);
	return warned;
}

size_t
site_put(const struct cfg *cfg, const char *conf, struct buf *out)
{
	size_t	 warned = warn_of_secrets(cfg, conf, out);

	return warned + warn_of_runtime_dir(cfg, out);
}
