/*
 * init - `bulkheadd --init`: five questions, one configuration file with comments.
 *
 * Asks on a terminal; without one the answers are the lines of standard input, an empty or missing
 * one is the default.  Never writes over a file.  What was written is read again as -n does; when
 * that finds a mistake, the file stays and the sentence is printed.
 */
#ifndef SUPERVISOR_INIT_H
#define SUPERVISOR_INIT_H

/* conf: the file to write.  An exit status of contract.h. */
int	 init_main(const char *conf);

#endif
