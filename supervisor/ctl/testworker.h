/*
 * testworker - `bulkheadctl test-worker -- PROGRAM`: does a program keep the protocol?
 *
 * Needs no running supervisor: it plays one (testlink), starts the program anew for each check, and
 * says what it found, a line per check.
 */
#ifndef SUPERVISOR_CTL_TESTWORKER_H
#define SUPERVISOR_CTL_TESTWORKER_H

#include <stdbool.h>
#include <stdio.h>

/* argv[0] is "test-worker".  The exit status. */
int	 testworker_main(int argc, char **argv, bool json);
void	 testworker_help(FILE *);

#endif
