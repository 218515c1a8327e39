/*
 * cfgscope - the rows of proto/options.def by scope.  No guard: it is included once for each use.
 *
 * Before it, name what becomes of a row of each scope that is wanted: OPT_GLOBAL(type, name),
 * OPT_POOL, OPT_MODEL, OPT_CHAT.  The others become nothing, and all are undefined after it.
 */
#ifndef OPT_GLOBAL
#define OPT_GLOBAL(type, name)
#endif
#ifndef OPT_POOL
#define OPT_POOL(type, name)
#endif
#ifndef OPT_MODEL
#define OPT_MODEL(type, name)
#endif
#ifndef OPT_CHAT
#define OPT_CHAT(type, name)
#endif
#define OPT(scope, type, name, def, min, max, reload, help)	OPT_##scope(type, name)
#include "proto/options.def"
#undef OPT
#undef OPT_GLOBAL
#undef OPT_POOL
#undef OPT_MODEL
#undef OPT_CHAT
