/*
 * page - a snapshot as one HTML page: plain tables and small plots, no script, nothing from elsewhere.
 *
 * Pure.  At most PAGE_MAX bytes: long lists are cut, and say so.  It refreshes itself.
 */
#ifndef WORKER_WEB_PAGE_H
#define WORKER_WEB_PAGE_H

#include "worker/web/snap.h"

#define PAGE_MAX	(50u << 10)
#define PAGE_REFRESH_S	5

void	 page_html(const struct snap *, struct buf *out);

#endif
