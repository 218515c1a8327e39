/*
 * testchecks - the checks of test-worker, one for each thing that proto/README.md promises.
 */
#ifndef SUPERVISOR_CTL_TESTCHECKS_H
#define SUPERVISOR_CTL_TESTCHECKS_H

#include "supervisor/ctl/teststeps.h"

struct check {
	const char	*name;
	/* Starts the program; whoever calls ends it. */
	void		(*run)(struct test *);
	const char	*help;
};

extern const struct check	 checks[];
extern const size_t		 checks_n;

#endif
