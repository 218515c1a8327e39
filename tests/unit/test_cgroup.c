/*
 * cgroup, limits: where the control group is, what is written into it, what is read from it.
 *
 * The hierarchy is a directory of files with the names of the kernel's: where it makes files with
 * a new group, the test does so before.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "supervisor/pool/cgroup.h"
#include "supervisor/pool/limits.h"

#define V2_MOUNT	"30 1 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
#define OTHERS		"22 1 0:20 / /proc rw - proc proc rw\n23 1 0:21 / /sys rw shared:7 - sysfs sysfs rw\n"

static char	 dir[] = "/tmp/test-cgroup-XXXXXX";

static void
found(const char *self, const char *mounts, enum cgroup_version version, const char *what)
{
	struct cgroups	 cg;
	bool		 ok = cgroup_find(span_of(self), span_of(mounts), &cg);

	assert_int_equal(ok, version != CGROUP_NONE);
	assert_int_equal(cg.version, version);
	assert_string_equal(ok ? cg.path : cg.why, what);
}

static void
own_group(void **state)
{
	(void)state;
	found("0::/system.slice/bulkhead.service\n", OTHERS V2_MOUNT, CGROUP_V2,
	    "/sys/fs/cgroup/system.slice/bulkhead.service");
	/* In a container with a namespace of its own. */
	found("0::/\n", OTHERS V2_MOUNT, CGROUP_V2, "/sys/fs/cgroup");
	/* After an upgrade: where we went ourselves is not where the workers go. */
	found("0::/a.service/" CGROUP_SELF "\n", V2_MOUNT, CGROUP_V2, "/sys/fs/cgroup/a.service");
	found("0::/" CGROUP_SELF "\n", V2_MOUNT, CGROUP_V2, "/sys/fs/cgroup");
	/* Both versions: who has the memory controller. */
	found("9:name=systemd:/\n4:cpu,memory:/user/1\n0::/x\n",
	    V2_MOUNT "33 1 0:9 / /cg/cpu rw - cgroup cgroup rw,cpu\n"
	    "34 1 0:9 / /cg/memory rw shared:1 master:2 - cgroup cgroup rw,cpu,memory\n", CGROUP_V1,
	    "/cg/memory/user/1");
	/* Only a part of the hierarchy is mounted. */
	found("0::/box/1/bot\n", "30 1 0:26 /box/1 /cg rw - cgroup2 none rw\n", CGROUP_V2, "/cg/bot");
	found("0::/x\n", OTHERS, CGROUP_NONE, "no control group that accounts for memory is mounted");
	found("4:memory:/x\n", OTHERS V2_MOUNT, CGROUP_NONE,
	    "no control group that accounts for memory is mounted");
	found("", V2_MOUNT, CGROUP_NONE, "this process is in no control group");
	found("garbage\n::\n7:pids:/\n", "\n - \n", CGROUP_NONE, "this process is in no control group");
}

static void
put(const char *name, const char *text)
{
	char	 path[300];
	FILE	*f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void
holds(const char *name, const char *text)
{
	char	 path[300], got[200];
	FILE	*f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "r");
	assert_non_null(f);
	got[fread(got, 1, sizeof(got) - 1, f)] = '\0';
	fclose(f);
	assert_string_equal(got, text);
}

static bool
is_there(const char *name)
{
	char	 path[300];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return access(path, F_OK) == 0;
}

static void
make_dir(const char *name)
{
	char	 path[300];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(mkdir(path, 0755), 0);
}

static int
setup(void **state)
{
	(void)state;
	memcpy(dir + sizeof(dir) - 7, "XXXXXX", 6);
	return mkdtemp(dir) == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	char	 command[100];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

static void
version_2(void **state)
{
	struct cgroups	 cg;
	struct cgroup	 c;
	char		 name[80], file[120];
	const char	*why;

	(void)state;
	put("cgroup.controllers", "cpu memory pids\n");
	put("cgroup.subtree_control", "cpu\n");
	cgroups_take(&cg, dir);
	assert_int_equal(cg.version, CGROUP_V2);
	assert_false(cg.moved);
	holds("cgroup.subtree_control", "+memory +pids");
	assert_true(cg.pids);

	snprintf(name, sizeof(name), "bulkhead-%d-echo.0#1", (int)getpid());
	make_dir(name);
	for (const char *const *f = (const char *const[]){ "memory.max", "memory.swap.max",
	    "memory.oom.group", "pids.max", "cgroup.procs", NULL }; *f != NULL; f++) {
		snprintf(file, sizeof(file), "%s/%s", name, *f);
		put(file, "");
	}
	assert_int_equal(cgroup_make(&cg, "echo.0#1", 256u << 20, 200, &c, &why), 0);
	snprintf(file, sizeof(file), "%s/memory.max", name);
	holds(file, "268435456");
	snprintf(file, sizeof(file), "%s/memory.swap.max", name);
	holds(file, "0");
	snprintf(file, sizeof(file), "%s/pids.max", name);
	holds(file, "200");
	assert_int_equal(write(c.procs_fd, "0", 1), 1);
	assert_int_equal(cgroup_oom_kills(&cg, &c), 0);
	snprintf(file, sizeof(file), "%s/memory.events", name);
	put(file, "low 0\nhigh 0\nmax 31\noom 2\noom_kill 1\noom_group_kill 1\n");
	assert_int_equal(cgroup_oom_kills(&cg, &c), 1);
	cgroup_remove(&cg, &c);
	assert_int_equal(c.procs_fd, -1);
	assert_string_equal(c.path, "");
	assert_int_equal(cgroup_oom_kills(&cg, &c), 0);
}

/* Where processes are not counted memory is kept all the same; and a limit of processes needs none. */
static void
one_of_both(void **state)
{
	struct cgroups	 cg;
	struct cgroup	 c;
	char		 name[80], file[120];
	const char	*why;

	(void)state;
	put("cgroup.controllers", "cpu memory\n");
	put("cgroup.subtree_control", "memory\n");
	cgroups_take(&cg, dir);
	assert_int_equal(cg.version, CGROUP_V2);
	assert_false(cg.pids);
	holds("cgroup.subtree_control", "memory\n");
	put("cgroup.controllers", "memory pids\n");
	cgroups_take(&cg, dir);
	assert_true(cg.pids);
	holds("cgroup.subtree_control", "+memory +pids");
	put("cgroup.subtree_control", "memory pids\n");
	cgroups_take(&cg, dir);
	assert_true(cg.pids);
	holds("cgroup.subtree_control", "memory pids\n");

	snprintf(name, sizeof(name), "bulkhead-%d-echo.0#1", (int)getpid());
	make_dir(name);
	for (const char *const *f = (const char *const[]){ "memory.max", "pids.max", "cgroup.procs",
	    NULL }; *f != NULL; f++) {
		snprintf(file, sizeof(file), "%s/%s", name, *f);
		put(file, "");
	}
	assert_int_equal(cgroup_make(&cg, "echo.0#1", 0, 99, &c, &why), 0);
	snprintf(file, sizeof(file), "%s/memory.max", name);
	holds(file, "");
	snprintf(file, sizeof(file), "%s/pids.max", name);
	holds(file, "99");
	cgroup_remove(&cg, &c);
}

static void
version_1(void **state)
{
	struct cgroups	 cg;
	struct cgroup	 c;
	char		 name[80], file[120];
	const char	*why;

	(void)state;
	put("memory.limit_in_bytes", "9223372036854771712\n");
	cgroups_take(&cg, dir);
	assert_int_equal(cg.version, CGROUP_V1);
	snprintf(name, sizeof(name), "bulkhead-%d-echo.0#1", (int)getpid());
	make_dir(name);
	snprintf(file, sizeof(file), "%s/memory.limit_in_bytes", name);
	put(file, "");
	snprintf(file, sizeof(file), "%s/cgroup.procs", name);
	put(file, "");
	assert_int_equal(cgroup_make(&cg, "echo.0#1", 64u << 20, 200, &c, &why), 0);
	snprintf(file, sizeof(file), "%s/memory.limit_in_bytes", name);
	holds(file, "67108864");
	snprintf(file, sizeof(file), "%s/memory.oom_control", name);
	put(file, "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
	assert_int_equal(cgroup_oom_kills(&cg, &c), 3);
	cgroup_remove(&cg, &c);
}

/* What does not do what it should costs the group, never the worker. */
static void
unwilling(void **state)
{
	struct cgroups	 cg;
	struct cgroup	 c;
	const char	*why;

	(void)state;
	cgroups_take(&cg, dir);
	assert_int_equal(cg.version, CGROUP_NONE);
	assert_non_null(strstr(cg.why, "is no control group that accounts for memory"));
	put("cgroup.controllers", "cpu memoryless\n");
	cgroups_take(&cg, dir);
	assert_int_equal(cg.version, CGROUP_NONE);
	assert_non_null(strstr(cg.why, "has no memory controller"));
	put("cgroup.controllers", "memory\n");
	cgroups_take(&cg, dir);
	assert_int_equal(cg.version, CGROUP_NONE);
	assert_non_null(strstr(cg.why, "does not hand the memory controller down: No such file"));
	put("cgroup.subtree_control", "memory\n");
	cgroups_take(&cg, dir);
	assert_int_equal(cg.version, CGROUP_V2);
	/* The kernel made no files in it. */
	assert_int_equal(cgroup_make(&cg, "echo.0#1", 1 << 20, 0, &c, &why), -1);
	assert_non_null(strstr(why, "No such file"));
	assert_string_equal(c.path, "");
	assert_int_equal(c.procs_fd, -1);
	cgroups_init(&cg, "none");
	assert_int_equal(cg.version, CGROUP_NONE);
	assert_string_equal(cg.why, "option cgroup is none");
}

static void
what_the_dead_left(void **state)
{
	struct cgroups	 cg;
	char		 own[80];

	(void)state;
	snprintf(own, sizeof(own), "bulkhead-%d-echo.0#1", (int)getpid());
	put("memory.limit_in_bytes", "");
	make_dir("bulkhead-1-echo.0#1");		/* a supervisor that lives */
	make_dir("bulkhead-2147480000-echo.0#1");	/* one that cannot */
	make_dir("bulkhead-2147480000-busy.0#1");
	put("bulkhead-2147480000-busy.0#1/process", "");
	make_dir("bulkhead-supervisor");
	make_dir("somebody else's");
	make_dir(own);
	cgroups_take(&cg, dir);
	assert_false(is_there("bulkhead-2147480000-echo.0#1"));
	assert_false(is_there(own));
	assert_true(is_there("bulkhead-2147480000-busy.0#1"));
	assert_true(is_there("bulkhead-1-echo.0#1"));
	assert_true(is_there("bulkhead-supervisor"));
	assert_true(is_there("somebody else's"));
	make_dir(own);
	cgroups_sweep(&cg, false);
	assert_true(is_there(own));
}

static void
limits(void **state)
{
	struct limits	 none = { 0 }, l = { .memory_bytes = 100u << 20 };

	(void)state;
	assert_false(limits_above(&none, UINT64_MAX));
	assert_false(limits_above(&l, (100u << 10) - 1));
	assert_true(limits_above(&l, 100u << 10));
	assert_false(limits_above(&l, 0));		/* not looked yet */
	assert_int_equal(limits_recycle_bytes(&none, 0), 0);
	assert_int_equal(limits_recycle_bytes(&none, 7), 7);
	assert_int_equal(limits_recycle_bytes(&l, 0), (100u << 20) / 100 * 90);
	assert_int_equal(limits_recycle_bytes(&l, 5), 5);
	assert_int_equal(limits_recycle_bytes(&l, 1ull << 40), (100u << 20) / 100 * 90);
	assert_int_equal(limits_grant(100, 50), 50);
	assert_int_equal(limits_grant(100, UINT64_MAX), 100);
	assert_int_equal(limits_grant(0, 50), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		TEST(own_group),
		TEST(version_2),
		TEST(one_of_both),
		TEST(version_1),
		TEST(unwilling),
		TEST(what_the_dead_left),
		TEST(limits),
	};

	return cmocka_run_group_tests_name("cgroup", tests, NULL, NULL);
}
