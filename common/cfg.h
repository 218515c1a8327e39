/*
 * cfg - the configuration: struct from options.def, parsed by a child process.
 *
 * libConfuse can end the process on odd input, so a short-lived child reads every
 * configuration, checks it whole and writes one CONFIG or CONFIG_BAD frame to its stdout.
 * Owner: main, from cfg_load to cfg_unload; all else borrows.
 * Secrets: cfg_unload wipes them.  (Not cfg_free: libConfuse has that name and calls it.)
 */
#ifndef COMMON_CFG_H
#define COMMON_CFG_H

#include "common/loop.h"
#include "common/mem.h"
#include "common/span.h"
#include "common/tables.h"

struct cfg_list {
	char	**v;
	size_t	  n;
	bool	  set;		/* false: the default */
};

/* Where a value comes from; the file is the one that was read last, or a former one. */
enum cfg_from { CFG_FROM_DEFAULT, CFG_FROM_FILE, CFG_FROM_ENVIRONMENT, CFG_FROM_CREDENTIAL };
struct cfg_origin {
	enum cfg_from	 from;
	unsigned	 line;		/* of the file */
	bool		 former;	/* the file has another value by now, which needs a start */
};

#define CFG_FIELD(field, name)	field; struct cfg_origin name##_origin;
#define CFG_STR(name)		CFG_FIELD(char *name, name)
#define CFG_SECRET(name)	CFG_FIELD(char *name, name)
#define CFG_MS(name)		CFG_FIELD(uint64_t name##_ms, name)
#define CFG_INT(name)		CFG_FIELD(uint64_t name, name)
#define CFG_BYTES(name)		CFG_FIELD(uint64_t name##_bytes, name)
#define CFG_BOOL(name)		CFG_FIELD(bool name, name)
#define CFG_LIST(name)		CFG_FIELD(struct cfg_list name, name)

struct cfg_pool {
	/* the title: [a-z0-9_-], 1 to 32 bytes, not rest, supervisor, discord, gateway */
	char	*name;
#define OPT_POOL(type, name)	CFG_##type(name)
#include "common/cfgscope.h"
};

struct cfg_model {
	char	*title;		/* of the same letters */
#define OPT_MODEL(type, name)	CFG_##type(name)
#include "common/cfgscope.h"
};

struct cfg_chat {
#define OPT_CHAT(type, name)	CFG_##type(name)
#include "common/cfgscope.h"
};

/*
 * Variables that the file names as ${NAME}.  They were taken out of the environment; whoever reads
 * the file again has to give them to the child.
 */
struct cfg_vars {
	struct cfg_var { char *name, *value; } *v;
	size_t	 n;
};

struct cfg {
#define OPT_GLOBAL(type, name)	CFG_##type(name)
#include "common/cfgscope.h"
	struct cfg_pool	*pools;
	size_t		 pools_n;
	struct cfg_model *models;
	size_t		 models_n;
	struct cfg_chat	 chat;
	uint64_t	 intents_bits;	/* made from intents, content and the pools' events */
	uint64_t	 hash;		/* of everything but secrets, for the first log line */
	struct cfg_vars	 vars;		/* secrets too */
};

#undef CFG_FIELD
#undef CFG_STR
#undef CFG_SECRET
#undef CFG_MS
#undef CFG_INT
#undef CFG_BYTES
#undef CFG_BOOL
#undef CFG_LIST

/*
 * The child: read path, check everything, append one CONFIG or CONFIG_BAD frame payload to out.
 * May exit inside libConfuse.  Expands ${NAME}, reads token_file.
 *	need_token	false under --no-gateway
 * 0 when it is CONFIG.
 */
int	 cfg_check_file(const char *path, bool need_token, struct buf *out);

/*
 * The parent: run `program -x config -c path` and turn its frame into a struct; at most 10 s.
 *	vars	for the child's environment beside our own; borrowed until fn; NULL: none
 *	fn	called once, in a later turn: the configuration, owned by the callee, or NULL and
 *		borrowed sentences joined by newlines
 * NULL with errno when there is no child.
 */
struct cfg_reading;
struct cfg_reading *cfg_read(struct loop *, const char *program, const char *path, bool need_token,
	    const struct cfg_vars *vars, void (*fn)(void *arg, struct cfg *, const char *errors),
	    void *arg);
/* Before fn: the child is killed. */
void	 cfg_read_stop(struct cfg_reading **);
/*
 * The same, waiting: for the start only.
 *	stop_fd		gives up when it can be read (a signalfd); -1 none
 *	errors_r	on failure: sentences joined by newlines, owned by the caller; NULL: stop_fd
 * NULL on failure.
 */
struct cfg *cfg_load(const char *program, const char *path, bool need_token, int stop_fd,
	    char **errors_r);
void	 cfg_unload(struct cfg **);

/* NAME=VALUE and a NUL each, to a pipe or a file; and from there into the environment. */
void	 cfg_vars_pack(const struct cfg_vars *, struct buf *out);
void	 cfg_vars_setenv(struct span in);
void	 cfg_vars_fini(struct cfg_vars *);

/* From a CONFIG payload (trusted only as far as it was checked by the table). */
struct cfg *cfg_of_frame(struct span payload, const char **why_r);

/* A row of options.def, in words for `show config` and the manual. */
enum cfg_type {
	CFG_TYPE_STR, CFG_TYPE_SECRET, CFG_TYPE_MS, CFG_TYPE_INT, CFG_TYPE_BYTES, CFG_TYPE_BOOL,
	CFG_TYPE_LIST
};
/* When a change takes effect: at once; with new workers; with a new start of the supervisor. */
enum cfg_when { CFG_LIVE, CFG_ROLL, CFG_START };
enum cfg_scope { CFG_SCOPE_GLOBAL, CFG_SCOPE_POOL, CFG_SCOPE_MODEL, CFG_SCOPE_CHAT, CFG_SCOPE__N };
struct cfg_option {
	const char	*scope, *type, *name, *def, *reload, *help;
	uint64_t	 min, max;
	enum cfg_type	 kind;
	enum cfg_scope	 in;
	enum cfg_when	 when;		/* reload, as a number */
	size_t		 offset;	/* of its value in the struct of its scope */
	size_t		 origin_offset;	/* of its struct cfg_origin there */
};
const struct cfg_option *cfg_options(size_t *n_r);
/* After a change: what is made from the options (intents_bits, hash). */
void	 cfg_settle(struct cfg *);
/* The effective configuration as one JSON object; secrets as "(set)".  path: the file's name, shown. */
void	 cfg_json(const struct cfg *, const char *path, struct buf *out);
/* Does the pool want this event (by its list, or its role's default)? */
bool	 cfg_pool_wants(const struct cfg_pool *, const char *event);
/* Is every worker of the pool told of this event? */
bool	 cfg_pool_states(const struct cfg_pool *, const char *event);
/* The built-in role, NULL for exec. */
const struct role_row *cfg_pool_role(const struct cfg_pool *);
/* The command line of a handler "exec:", for words_split, which takes it; NULL when built in. */
const char *cfg_pool_command(const struct cfg_pool *);
/* What HELLO calls it: the built-in role, or the program's name without its directory. */
#define CFG_ROLE_BYTES	65
const char *cfg_pool_role_name(const struct cfg_pool *, char dst[CFG_ROLE_BYTES]);
/* Deliveries open at once in one of its workers: the option, or the role's default. */
uint64_t cfg_pool_credit(const struct cfg_pool *);
/* The model that answers: a configuration with a pool of the role chat has one. */
const struct cfg_model *cfg_chat_model(const struct cfg *);
/* NULL: none is called so, or title is NULL. */
const struct cfg_model *cfg_model_titled(const struct cfg *, const char *title);
/* NULL: none is called so. */
const struct cfg_pool *cfg_pool_named(const struct cfg *, const char *name);

#endif
