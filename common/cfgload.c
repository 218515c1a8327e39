/*
 * cfgload - the parent of the configuration child: run it, take its frame.  See cfg.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/capture.h"
#include "common/cfg.h"
#include "common/fault.h"
#include "common/msg.h"
#include "common/secret.h"

#define FRAME_BYTES_MAX	(4u << 20)
#define TEXT_BYTES_MAX	65536
#define CHILD_MS	10000

struct cfg_reading {
	struct capture		*child;
	char			*path;
	const struct cfg_vars	*vars;
	void			(*fn)(void *, struct cfg *, const char *);
	void			*arg;
};

/* ---- variables ---- */

static void
vars_add(struct cfg_vars *vars, const char *name, const char *value)
{
	vars->v = mem_grow(vars->v, vars->n + 1, sizeof(*vars->v));
	vars->v[vars->n].name = mem_strdup(name);
	vars->v[vars->n++].value = mem_strdup(value);
}

static const char *
vars_get(const struct cfg_vars *vars, const char *name)
{
	for (size_t i = 0; vars != NULL && i < vars->n; i++)
		if (strcmp(vars->v[i].name, name) == 0)
			return vars->v[i].value;
	return NULL;
}

void
cfg_vars_fini(struct cfg_vars *vars)
{
	for (size_t i = 0; i < vars->n; i++) {
		free(vars->v[i].name);
		mem_wipe_free(&vars->v[i].value);
	}
	free(vars->v);
	*vars = (struct cfg_vars){ NULL, 0 };
}

void
cfg_vars_pack(const struct cfg_vars *vars, struct buf *out)
{
	for (size_t i = 0; vars != NULL && i < vars->n; i++) {
		buf_add_span(out, span_of(vars->v[i].name));
		buf_add(out, "=", 1);
		buf_add(out, vars->v[i].value, strlen(vars->v[i].value) + 1);
	}
}

void
cfg_vars_setenv(struct span in)
{
	const char	*end, *eq;
	char		*name;

	while (in.n > 0 && (end = memchr(in.p, '\0', in.n)) != NULL) {
		if ((eq = strchr(in.p, '=')) != NULL && eq != in.p) {
			name = mem_spandup(span_make(in.p, (size_t)(eq - in.p)));
			(void)setenv(name, eq + 1, 0);
			free(name);
		}
		in.n -= (size_t)(end + 1 - in.p);
		in.p = end + 1;
	}
}

/*
 * What was taken from the environment is no longer there for anyone to read; it is kept for the
 * next reading of the file.
 */
static void
keep_variables(struct msg_list rows, const struct cfg_vars *before, struct cfg_vars *out)
{
	struct msg_list_iter	 it = { rows.raw, 0 };
	struct span		 section, skip, name;
	const char		*kept;
	char			*key, *value;

	while (msg_list_more(&it)) {
		if (!msg_list_next_str(&it, &section) || !msg_list_next_str(&it, &skip) ||
		    !msg_list_next_str(&it, &name) || !msg_list_next_str(&it, &skip) ||
		    !msg_list_next_str(&it, &skip))
			return;
		if (!span_is(section, "env"))
			continue;
		key = mem_spandup(name);
		value = getenv(key);
		if ((kept = value != NULL ? value : vars_get(before, key)) != NULL)
			vars_add(out, key, kept);
		if (value != NULL)
			explicit_bzero(value, strlen(value));
		(void)unsetenv(key);
		free(key);
	}
}

/* ---- the child's end ---- */

/* Why there was no frame: the child's last words, or how it ended. */
static char *
child_obituary(const struct capture_result *res, const char *why)
{
	struct span	 s = res->err;
	size_t		 start;

	if (res->late)
		return mem_printf("the configuration could not be read: no answer within %u s",
		    CHILD_MS / 1000);
	while (s.n > 0 && (s.p[s.n - 1] == '\n' || s.p[s.n - 1] == '\r'))
		s.n--;
	for (start = s.n; start > 0 && s.p[start - 1] != '\n'; start--)
		continue;
	if (s.n > 0)
		return mem_printf("the configuration could not be read: %.*s", (int)(s.n - start),
		    s.p + start);
	if (WIFSIGNALED(res->status))
		return mem_printf("the configuration could not be read: its reader died of"
		    " signal %d", WTERMSIG(res->status));
	return mem_printf("the configuration could not be read: %s", why);
}

static char *
join_errors(struct msg_list errors)
{
	struct msg_list_iter	 it = { errors.raw, 0 };
	struct buf		 b = { 0 };
	struct span		 s;
	char			*text;

	while (msg_list_more(&it))
		if (msg_list_next_str(&it, &s)) {
			if (b.n > 0)
				buf_add(&b, "\n", 1);
			buf_add_span(&b, s);
		}
	text = mem_spandup(buf_span(&b));
	buf_fini(&b);
	return text;
}

/*
 * To common/secret: what goes out as text must not show them.  Of a program's environment those
 * values that came out of ours: others may be words that stand everywhere.
 */
static void
name_secrets(const struct cfg *cfg)
{
	secret_add(cfg->token);
	for (size_t i = 0; i < cfg->models_n; i++)
		secret_add(cfg->models[i].api_key);
	for (size_t i = 0; i < cfg->pools_n; i++)
		for (size_t k = 0; k < cfg->pools[i].env.n; k++)
			for (size_t v = 0; v < cfg->vars.n; v++)
				if (strstr(cfg->pools[i].env.v[k], cfg->vars.v[v].value) != NULL)
					secret_add(cfg->vars.v[v].value);
}

static void
on_child_end(void *arg, const struct capture_result *res)
{
	struct cfg_reading	*r = arg;
	struct cfg		*cfg = NULL;
	struct msg_in		 in;
	const char		*why = "";
	char			*errors = NULL;
	msgpack_zone		 zone;

	if (!msgpack_zone_init(&zone, 1024))
		abort();
	if (res->late || msg_unpack(res->out, &zone, &in) == -1)
		errors = child_obituary(res, res->late ? "" : in.why);
	else if (in.type == MSG_CONFIG_BAD)
		errors = join_errors(in.CONFIG_BAD.errors);
	else {
		cfg = cfg_of_frame(res->out, &why);
		if (cfg == NULL)
			errors = mem_printf("%s: %s", r->path, why);
		else
			keep_variables(in.CONFIG.rows, r->vars, &cfg->vars);
		if (cfg != NULL)
			name_secrets(cfg);
	}
	msgpack_zone_destroy(&zone);
	r->fn(r->arg, cfg, errors);
	free(errors);
	free(r->path);
	free(r);
}

struct cfg_reading *
cfg_read(struct loop *l, const char *program, const char *path, bool need_token,
    const struct cfg_vars *vars, void (*fn)(void *, struct cfg *, const char *), void *arg)
{
	struct cfg_reading	*r = mem_alloc(sizeof(*r));
	struct buf		 input = { 0 };
	const char		*argv[7];
	struct capture_spec	 spec = {
		.program = program, .argv = argv, .deadline_ms = CHILD_MS,
		.out_max = FRAME_BYTES_MAX, .err_max = TEXT_BYTES_MAX,
	};
	int			 n = 0, e;

	if (fault_armed_any()) {		/* by bulkheadctl too, which the environment does not know */
		spec.env_name = "BULKHEAD_FAULTS";
		spec.env_value = fault_specs();
	}
	argv[n++] = program;
	argv[n++] = "-x";
	argv[n++] = "config";
	if (!need_token)
		argv[n++] = "--no-gateway";
	argv[n++] = "-c";
	argv[n++] = path;
	argv[n] = NULL;
	cfg_vars_pack(vars, &input);
	spec.input = buf_span(&input);
	r->path = mem_strdup(path);
	r->vars = vars;
	r->fn = fn;
	r->arg = arg;
	r->child = capture_new(l, &spec, on_child_end, r);
	e = errno;
	if (input.cap > 0)
		explicit_bzero(input.p, input.cap);
	buf_fini(&input);
	if (r->child == NULL) {
		free(r->path);
		free(r);
		errno = e;
		return NULL;
	}
	return r;
}

void
cfg_read_stop(struct cfg_reading **rp)
{
	struct cfg_reading	*r = *rp;

	if (r == NULL)
		return;
	*rp = NULL;
	capture_free(&r->child);
	free(r->path);
	free(r);
}

/* ---- at the start, when there is nothing else to do ---- */

struct load {
	struct loop		*loop;
	struct cfg_reading	*reading;
	struct cfg		*cfg;
	char			*errors;
};

static void
on_loaded(void *arg, struct cfg *cfg, const char *errors)
{
	struct load	*ld = arg;

	ld->reading = NULL;
	ld->cfg = cfg;
	ld->errors = mem_strdup(errors);
	loop_stop(ld->loop);
}

static void
on_stop_fd(int fd, int what, void *arg)
{
	struct load	*ld = arg;

	(void)fd;
	(void)what;
	loop_stop(ld->loop);
}

struct cfg *
cfg_load(const char *program, const char *path, bool need_token, int stop_fd, char **errors_r)
{
	struct load	 ld = { .loop = loop_new() };
	struct watch	*stop = NULL;

	*errors_r = NULL;
	if (ld.loop == NULL || (ld.reading = cfg_read(ld.loop, program, path, need_token, NULL,
	    on_loaded, &ld)) == NULL) {
		*errors_r = mem_printf("the configuration could not be read: %s", strerror(errno));
		if (ld.loop != NULL)
			loop_free(&ld.loop);
		return NULL;
	}
	if (stop_fd != -1) {
		stop = watch_new(ld.loop, stop_fd, on_stop_fd, &ld);
		watch_set(stop, LOOP_READ);
	}
	loop_run(ld.loop);
	watch_free(&stop);
	cfg_read_stop(&ld.reading);
	loop_free(&ld.loop);
	*errors_r = ld.errors;
	return ld.cfg;
}
