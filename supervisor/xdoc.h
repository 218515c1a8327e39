/*
 * xdoc - the tables of proto/ as markdown on stdout: `bulkheadd -x WHAT`.
 *
 * Manuals and docs are made from this, so a row and its text never differ.
 */
#ifndef SUPERVISOR_XDOC_H
#define SUPERVISOR_XDOC_H

/*
 *	what	proto, options, counters, commands, errors, events, faults, lanes, moments or reasons
 * The exit status: 0; BULKHEADD_EXIT_USAGE for another word, BULKHEADD_EXIT_FAIL when stdout fails.
 */
int	 xdoc_main(const char *what);

#endif
