/*
 * follow - see follow.h.
 */
#include <sys/ioctl.h>

#include <err.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "common/clock.h"
#include "proto/contract.h"
#include "supervisor/ctl/doc.h"
#include "supervisor/ctl/follow.h"
#include "supervisor/ctl/table.h"

#define AGAIN_MS	1000
#define ENDLESS_MS	(UINT64_C(10) * 365 * 86400 * 1000)

#define SCREEN_OTHER	"\033[?1049h\033[?25l"	/* the alternate screen, no cursor */
#define SCREEN_BACK	"\033[?25h\033[?1049l"
#define HOME		"\033[H"
#define REST_OF_LINE	"\033[K"
#define REST_OF_SCREEN	"\033[J"

static volatile sig_atomic_t	 ended;

static void
on_signal(int sig)
{
	(void)sig;
	ended = 1;
}

static void
on_signal_exit(int sig)
{
	(void)sig;
	_exit(CTL_EXIT_OK);	/* each line is flushed when it is whole */
}

void
follow_begin(struct ctl *ctl, bool bounded)
{
	struct sigaction	 sa = { .sa_handler = on_signal_exit };

	sigemptyset(&sa.sa_mask);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	ctl->endless = true;
	if (!bounded)
		ctl->timeout_ms = ENDLESS_MS;
}

/* What was printed has to arrive: who reads it may be gone. */
static void
flush(void)
{
	if (fflush(stdout) != 0 || ferror(stdout))
		err(CTL_EXIT_FAILED, "stdout");
}

void
follow_moment(struct ctl *ctl, struct span json)
{
	json_t		*o;

	if (ctl->json || (o = json_loadb(json.p, json.n, 0, NULL)) == NULL) {
		fwrite(json.p, 1, json.n, stdout);
		putchar('\n');
		flush();
		return;
	}
	print_clean(stdout, get_str(o, "at"), "");
	printf("  %-8s  ", get_str(o, "event"));
	if (has_str(o, "who")) {
		print_clean(stdout, get_str(o, "who"), "");
		putchar(' ');
	}
	print_clean(stdout, json_string_value(json_object_get(o, "text")), "");
	putchar('\n');
	json_decref(o);
	flush();
}

/* ---- status --watch ---- */

static struct termios	 cooked;
static bool		 raw;

static void
screen_give_back(void)
{
	if (raw)
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &cooked);
	fputs(SCREEN_BACK, stdout);
	(void)fflush(stdout);
}

/* Keys come one by one and unseen; Ctrl-C stays a signal. */
static void
screen_take(void)
{
	struct sigaction	 sa = { .sa_handler = on_signal };
	struct termios		 t;

	sigemptyset(&sa.sa_mask);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	sigaction(SIGWINCH, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
	if (isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &cooked) == 0) {
		t = cooked;
		t.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		raw = tcsetattr(STDIN_FILENO, TCSANOW, &t) == 0;
	}
	fputs(SCREEN_OTHER, stdout);
	(void)atexit(screen_give_back);
}

/*
 * The first columns of a line: a longer one would wrap and push the others down.  Colors take none,
 * and what is cut off may have been the end of one.
 */
static void
draw_line(const char *p, size_t len, size_t columns)
{
	size_t	 n = 0, i = 0;

	while (i < len) {
		if (p[i] == '\033') {
			i += strcspn(p + i, "m");
		} else if (((unsigned char)p[i] & 0xc0) != 0x80 && n++ == columns) {
			break;
		}
		i++;
	}
	fwrite(p, 1, i < len ? i : len, stdout);
	fputs(i < len ? PLAIN REST_OF_LINE "\n" : REST_OF_LINE "\n", stdout);
}

/* As many lines as the window has; what is below is named. */
static void
draw(const char *text)
{
	struct winsize	 w = { .ws_row = 24, .ws_col = 80 };
	size_t		 rows, columns, n = 0, i;
	const char	*p;

	(void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &w);
	rows = w.ws_row < 4 ? 4 : w.ws_row;
	columns = w.ws_col < 20 ? 20 : w.ws_col;
	for (p = text; *p != '\0'; p++)
		n += *p == '\n';
	fputs(HOME, stdout);
	for (i = 0, p = text; *p != '\0' && i < (n <= rows - 1 ? n : rows - 2); i++) {
		size_t	 len = strcspn(p, "\n");

		draw_line(p, len, columns);
		p += len + (p[len] == '\n');
	}
	if (n > rows - 1)
		printf("(%zu more lines)" REST_OF_LINE "\n", n - i);
	fputs("q ends" REST_OF_LINE REST_OF_SCREEN, stdout);
	flush();
}

/* One status as text, to be freed. */
static char *
rendered(struct ctl *ctl, const json_t *doc, const struct look *look)
{
	char	*text = NULL;
	size_t	 bytes = 0;
	FILE	*f = open_memstream(&text, &bytes);

	if (f == NULL)
		err(CTL_EXIT_FAILED, "open_memstream");
	if (doc == NULL)
		fprintf(f, "no supervisor answers on %s\n", ctl->path);
	else
		output_text(f, "status", "", doc, look);
	if (fclose(f) != 0)
		err(CTL_EXIT_FAILED, "open_memstream");
	return text;
}

/* True: enough of it. */
static bool
wait_for_key(struct mono end)
{
	struct pollfd	 p = { .fd = raw ? STDIN_FILENO : -1, .events = POLLIN };
	uint64_t	 left = mono_ms_until(clock_mono(), end);
	char		 key;

	if (left == 0)
		return true;
	if (poll(&p, 1, left > AGAIN_MS ? AGAIN_MS : (int)left) != 1)
		return false;
	return read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q' || key == 3;
}

int
follow_status(struct ctl *ctl, void (*look_fn)(struct look *))
{
	struct mono	 end = mono_add_ms(clock_mono(), ctl->timeout_ms);
	bool		 screen = !ctl->json && isatty(STDOUT_FILENO);
	struct look	 look;
	json_t		*doc;
	char		*text;

	if (screen)
		screen_take();
	do {
		/* A supervisor that hangs must not hold up the redraw for long. */
		ctl->deadline = mono_add_ms(clock_mono(), 10 * AGAIN_MS);
		doc = link_status(ctl);
		look_fn(&look);
		if (ctl->json && doc != NULL) {
			json_dumpf(doc, stdout, JSON_COMPACT);
			putchar('\n');
		} else if (!ctl->json) {
			text = rendered(ctl, doc, &look);
			if (screen)
				draw(text);
			else
				printf("%s\n", text);
			free(text);
		}
		json_decref(doc);
		if (!screen)
			flush();
	} while (!ended && !wait_for_key(end) && !ended);
	return CTL_EXIT_OK;
}
