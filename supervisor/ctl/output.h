/*
 * output - the JSON of the supervisor as text for people.
 *
 * Pure but for the stream.  Whatever is missing or of another type in the document is shown as "-":
 * an older or newer supervisor makes no program fall over.
 */
#ifndef SUPERVISOR_CTL_OUTPUT_H
#define SUPERVISOR_CTL_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

struct look {
	bool	 color;
	/* columns of the terminal; the last column of a table is cut there */
	size_t	 width;
};

/*
 * verb and topic ("" when there is none) choose the form; a verb without one of its own is printed
 * as indented JSON.
 */
void	 output_text(FILE *, const char *verb, const char *topic, const json_t *doc,
	    const struct look *);

#endif
