/*
 * floor - what no program on the other end of the flood can go below.
 *
 * One thread, blocking sockets, no journal, no second process, nothing of the product's code:
 * receive, take WebSocket frames apart, inflate, find t, s and op.  With "answer" it also looks for
 * !ping in each event and POSTs the answer over a connection that it keeps; only then can it end a
 * flood by POST and be paced.
 *	floor PORT plain|zlib|zstd [answer]
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <err.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#define IN_BYTES	(320u << 10)
#define OUT_BYTES	(1u << 20)

static int		 gw, rest = -1, port;
static bool		 packed, answers;	/* packed: zlib */
static z_stream		 z;
static ZSTD_DCtx	*zstd;			/* NULL: not asked for */
static char		 in[IN_BYTES], out[OUT_BYTES + 1];
static volatile uint64_t	 seen;	/* keeps the compiler from dropping the scan */

static int
dial(void)
{
	struct sockaddr_in	 sin = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int			 fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	if (fd == -1 || connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == -1)
		err(1, "connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static void
send_all(int fd, const char *p, size_t n)
{
	ssize_t	 done;

	for (; n > 0; p += done, n -= (size_t)done)
		if ((done = send(fd, p, n, MSG_NOSIGNAL)) <= 0)
			exit(0);
}

static void
send_text(const char *text)
{
	char	 frame[512];
	size_t	 n = strlen(text);

	frame[0] = (char)0x81;
	frame[1] = (char)(0x80 | 126);
	frame[2] = (char)(n >> 8);
	frame[3] = (char)n;
	memset(frame + 4, 0, 4);	/* a mask of zeroes is a mask */
	memcpy(frame + 8, text, n);
	send_all(gw, frame, n + 8);
}

static void
post(const char *d, size_t n)
{
	const char	*id = memmem(d, n, "},\"id\":\"", 8);
	const char	*channel = memmem(d, n, "\"channel_id\":\"", 14);
	char		 body[256], text[768], got[4096];
	int		 len;

	if (id == NULL || channel == NULL)
		return;
	if (rest == -1)
		rest = dial();
	snprintf(body, sizeof(body),
	    "{\"content\":\"pong\",\"message_reference\":{\"message_id\":\"%.19s\"}}", id + 8);
	len = snprintf(text, sizeof(text),
	    "POST /api/v10/channels/%.18s/messages HTTP/1.1\r\nHost: 127.0.0.1\r\n"
	    "Authorization: Bot x\r\nContent-Type: application/json\r\n"
	    "Content-Length: %zu\r\n\r\n%s",
	    channel + 14, strlen(body), body);
	send_all(rest, text, (size_t)len);
	if (recv(rest, got, sizeof(got), 0) <= 0)
		exit(0);
}

static void
message(const char *p, size_t n)
{
	const char	*end = p + (n < 200 ? n : 200), *at;
	int		 op = -1;

	/* t, s, op stand before d. */
	for (at = p; at < end && *at != 'd'; at++) {
		if (at[0] == '"' && at[1] == 's' && at[2] == '"' && at[3] == ':')
			seen += strtoull(at + 4, NULL, 10);
		else if (at[0] == '"' && at[1] == 'o' && at[2] == 'p' && at[3] == '"') {
			op = atoi(at + 5);
			break;
		}
	}
	if (op == 10)
		send_text("{\"op\":2,\"d\":{\"token\":\"x\",\"intents\":513,\"properties\":{}}}");
	else if (op == 1)
		send_text("{\"op\":1,\"d\":null}");
	else if (op == 0 && answers && (at = memmem(p, n, "\"!ping\"", 7)) != NULL)
		post(p, n);
}

static void
payload(char *p, size_t n)
{
	size_t	 got;

	if (zstd != NULL) {
		ZSTD_inBuffer	 from = { p, n, 0 };
		ZSTD_outBuffer	 to = { out, OUT_BYTES, 0 };

		while (from.pos < from.size)
			if (ZSTD_isError(ZSTD_decompressStream(zstd, &to, &from)))
				errx(1, "zstd");
		out[to.pos] = '\0';
		message(out, to.pos);
		return;
	}
	if (!packed) {
		message(p, n);
		return;
	}
	z.next_in = (unsigned char *)p;
	z.avail_in = (unsigned)n;
	z.next_out = (unsigned char *)out;
	z.avail_out = OUT_BYTES;
	if (inflate(&z, Z_SYNC_FLUSH) != Z_OK)
		errx(1, "inflate");
	got = OUT_BYTES - z.avail_out;
	out[got] = '\0';
	message(out, got);
}

int
main(int argc, char **argv)
{
	char	 text[512], *p;
	size_t	 have = 0, head, n, off;
	ssize_t	 got;
	bool	 first = true;

	if (argc < 3)
		errx(64, "usage: floor PORT plain|zlib|zstd [answer]");
	port = atoi(argv[1]);
	packed = strcmp(argv[2], "zlib") == 0;
	answers = argc > 3;
	if (strcmp(argv[2], "zstd") == 0 && (zstd = ZSTD_createDCtx()) == NULL)
		errx(1, "ZSTD_createDCtx");
	if (inflateInit2(&z, -15) != Z_OK)
		errx(1, "inflateInit2");
	gw = dial();
	snprintf(text, sizeof(text),
	    "GET /?v=10&encoding=json%s HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
	    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
	    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
	    packed ? "&compress=zlib-stream" : zstd != NULL ? "&compress=zstd-stream" : "");
	send_all(gw, text, strlen(text));
	while (memmem(in, have, "\r\n\r\n", 4) == NULL) {
		if ((got = recv(gw, in + have, IN_BYTES - have, 0)) <= 0)
			errx(1, "no upgrade");
		have += (size_t)got;
	}
	p = memmem(in, have, "\r\n\r\n", 4);
	off = (size_t)(p + 4 - in);
	for (;;) {
		while (have - off >= 2) {
			const unsigned char	*f = (unsigned char *)in + off;

			n = f[1] & 0x7f;
			head = n == 126 ? 4 : 2;
			if (have - off < head)
				break;
			if (n == 126)
				n = (size_t)f[2] << 8 | f[3];
			else if (n == 127)
				errx(1, "a frame above 64 KiB");
			if (have - off < head + n)
				break;
			if ((f[0] & 0x0f) == 8)
				return 0;
			/* The stream's two header bytes, once. */
			payload(in + off + head + (packed && first ? 2 : 0),
			    n - (packed && first ? 2 : 0));
			first = false;
			off += head + n;
		}
		memmove(in, in + off, have - off);
		have -= off;
		off = 0;
		if ((got = recv(gw, in + have, IN_BYTES - have, 0)) <= 0)
			return 0;
		have += (size_t)got;
	}
}
