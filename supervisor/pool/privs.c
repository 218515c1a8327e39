/*
 * privs - see privs.h.
 */
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "supervisor/pool/privs.h"

#define BIT(cap)	(1ull << (cap))
#define KEPT		(BIT(CAP_SETUID) | BIT(CAP_SETGID) | BIT(CAP_KILL))

/* ---- who ---- */

static int
find(const char *option, const char *name, struct privs_user *u, char *why, size_t why_bytes)
{
	const struct passwd	*pw;

	*u = (struct privs_user){ .set = false };
	if (name == NULL)
		return 0;
	errno = 0;
	if ((pw = getpwnam(name)) == NULL) {
		snprintf(why, why_bytes, "%s = \"%s\": %s", option, name,
		    errno == 0 ? "there is no such user on this machine" : strerror(errno));
		return -1;
	}
	u->set = true;
	u->uid = pw->pw_uid;
	u->gid = pw->pw_gid;
	u->groups_n = PRIVS_GROUPS_MAX;
	if (u->uid == 0 || u->gid == 0)
		snprintf(why, why_bytes, "%s = \"%s\": that is root, or root's group", option, name);
	else if (getgrouplist(name, u->gid, u->groups, &u->groups_n) == -1)
		snprintf(why, why_bytes, "%s = \"%s\" is in more than %d groups", option, name, PRIVS_GROUPS_MAX);
	else
		return 0;
	return -1;
}

int
privs_find(const struct cfg *cfg, struct privs *p, char *why, size_t why_bytes)
{
	if (find("user", cfg->user, &p->own, why, why_bytes) == -1 ||
	    find("rest_user", cfg->rest_user, &p->rest, why, why_bytes) == -1 ||
	    find("handler_user", cfg->handler_user, &p->handler, why, why_bytes) == -1)
		return -1;
	return 0;
}

/* ---- capabilities ---- */

static int
caps_set(uint64_t permitted, uint64_t inheritable)
{
	struct __user_cap_header_struct	 head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct	 data[2];

	for (int i = 0; i < 2; i++)
		data[i] = (struct __user_cap_data_struct){
			.effective = (uint32_t)(permitted >> 32 * i),
			.permitted = (uint32_t)(permitted >> 32 * i),
			.inheritable = (uint32_t)(inheritable >> 32 * i),
		};
	return (int)syscall(SYS_capset, &head, data);
}

static uint64_t
caps_permitted(void)
{
	struct __user_cap_header_struct	 head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct	 data[2] = { { 0 } };

	if (syscall(SYS_capget, &head, data) == -1)
		return 0;
	return data[0].permitted | (uint64_t)data[1].permitted << 32;
}

/* Only these from here on, over an exec too. */
static int
keep_caps(uint64_t caps)
{
	for (int c = 0; prctl(PR_CAPBSET_READ, c, 0, 0, 0) >= 0; c++)
		if ((caps & BIT(c)) == 0)
			(void)prctl(PR_CAPBSET_DROP, c, 0, 0, 0);	/* not root: it has none to lose */
	(void)prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED, 0, 0, 0);
	if (caps_set(caps, caps) == -1)
		return -1;
	for (int c = 0; c < 64; c++)
		if ((caps & BIT(c)) != 0 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, c, 0, 0) == -1)
			return -1;
	return 0;
}

bool
privs_stays_root(const struct cfg *cfg)
{
	return geteuid() == 0 && cfg->user == NULL;
}

static int
become(const struct privs_user *u)
{
	return setgroups((size_t)u->groups_n, u->groups) == -1 ||
	    setresgid(u->gid, u->gid, u->gid) == -1 ||
	    setresuid(u->uid, u->uid, u->uid) == -1 ? -1 : 0;
}

int
privs_become(const struct privs_user *u)
{
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (u->set && become(u) == -1)
		return -1;
	/* Root's child that stays root keeps what root has. */
	return geteuid() == 0 ? 0 : caps_set(0, 0);
}

/* ---- the supervisor's own ---- */

/* A file of runtime_dir, as root's supervisor left it. */
static int
give_file(int dir, const char *name, const struct privs_user *u)
{
	struct stat	 st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == -1)
		return errno == ENOENT ? 0 : -1;
	if (!S_ISREG(st.st_mode) || st.st_nlink != 1 || st.st_uid != 0)
		return 0;
	return fchownat(dir, name, u->uid, u->gid, AT_SYMLINK_NOFOLLOW);
}

/*
 * While the directory is root's nobody else can have put anything there, so that what is given over
 * is ours; itself last.
 */
static int
give_runtime_dir(const char *path, const struct privs_user *u)
{
	struct stat	 st;
	int		 dir, rc = -1, err;

	if (mkdir(path, 0750) == -1 && errno != EEXIST)
		return -1;
	if ((dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)) == -1)
		return -1;
	if (fstat(dir, &st) == 0) {
		if (st.st_uid != 0 || (st.st_mode & 022) != 0)
			rc = 0;
		else if (give_file(dir, "journal", u) == 0 && give_file(dir, "lock", u) == 0)
			rc = fchown(dir, u->uid, u->gid);
	}
	err = errno;
	close(dir);
	errno = err;
	return rc;
}

/* What a reload, or the program of an upgrade, reads as this user. */
static int
check_readable(const struct cfg *cfg, const char *conf, char *why, size_t why_bytes)
{
	const char	*files[] = { conf, cfg->token_file, cfg->ca_file, cfg->resolv_conf };
	const char	*bad = NULL;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && bad == NULL; i++)
		if (files[i] != NULL && access(files[i], R_OK) == -1 && errno == EACCES)
			bad = files[i];
	for (size_t i = 0; i < cfg->models_n && bad == NULL; i++)
		if (cfg->models[i].api_key_file != NULL &&
		    access(cfg->models[i].api_key_file, R_OK) == -1 && errno == EACCES)
			bad = cfg->models[i].api_key_file;
	if (bad == NULL)
		return 0;
	snprintf(why, why_bytes, "user \"%s\" may not read %s, which a reload reads again: chgrp it to a"
	    " group of that user's and chmod 0640", cfg->user, bad);
	return -1;
}

int
privs_take(const struct privs *p, const struct cfg *cfg, const char *conf, char *why, size_t why_bytes)
{
	bool		 others = p->rest.set || p->handler.set, root = geteuid() == 0;
	bool		 self = !p->own.set || p->own.uid == geteuid();
	uint64_t	 keep = others ? KEPT : 0;

	if (!self && !root) {
		snprintf(why, why_bytes, "only root can become user \"%s\": start it as root, or as that user",
		    cfg->user);
		return -1;
	}
	if (others && (caps_permitted() & KEPT) != KEPT) {
		snprintf(why, why_bytes, "rest_user and handler_user need a start as root, or the capabilities"
		    " CAP_SETUID, CAP_SETGID and CAP_KILL");
		return -1;
	}
	if (self) {
		/* With capabilities from outside, or from before an upgrade: what is needed and no more. */
		if (!root && keep_caps(keep) == -1) {
			snprintf(why, why_bytes, "cannot keep capabilities: %s", strerror(errno));
			return -1;
		}
		return 0;
	}
	if (give_runtime_dir(cfg->runtime_dir, &p->own) == -1) {
		snprintf(why, why_bytes, "cannot give runtime_dir %s to user \"%s\": %s",
		    cfg->runtime_dir, cfg->user, strerror(errno));
		return -1;
	}
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == -1 || become(&p->own) == -1 ||
	    caps_set(KEPT | BIT(CAP_SETPCAP), KEPT) == -1 || keep_caps(keep) == -1) {
		snprintf(why, why_bytes, "cannot become user \"%s\": %s", cfg->user, strerror(errno));
		return -1;
	}
	prctl(PR_SET_DUMPABLE, 0);
	return check_readable(cfg, conf, why, why_bytes);
}
