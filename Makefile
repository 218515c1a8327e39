# Bulkhead.  GNU Make; everything is built below $(BUILD), nothing in the tree.
#	make help	says what can be made

BUILD	?= build
CC	?= cc
PREFIX	?= /usr/local
DESTDIR	?=
T	?=
VERSION	:= 0.1.0

# msgpack-c is called msgpack in Debian 12 and msgpack-c in Debian 13.
MSGPACK	:= $(shell pkg-config --exists msgpack-c && echo msgpack-c || echo msgpack)
PKGS	:= libevent_core libevent_extra libbsd-overlay $(MSGPACK) libconfuse
PKGS_SUP := libwebsockets libuv zlib libzstd openssl
PKGS_WRK := libcurl jansson libbsd-ctor
PKGS_CTL := jansson

# Named at once, not by the compiler's first error.
MISSING	:= $(strip $(foreach p,$(PKGS) $(PKGS_SUP) $(PKGS_WRK),$(shell pkg-config --exists $(p) || echo $(p))))
ifneq ($(MISSING),)
ifeq ($(filter help clean uninstall,$(MAKECMDGOALS)),)
$(error pkg-config does not find: $(MISSING); scripts/deps run installs what is missing on Debian)
endif
endif

CSTD	:= -std=gnu11 -D_GNU_SOURCE
WARN	:= -Wall -Wextra -Wshadow -Wmissing-prototypes -Wstrict-prototypes
WERROR	?=
SAN	?=
OPT	?= -O2 -g
CPPFLAGS += -I. $(shell pkg-config --cflags $(PKGS) $(PKGS_SUP) $(PKGS_WRK) 2>/dev/null) \
	-DBULKHEAD_VERSION='"$(VERSION)"' -D_FORTIFY_SOURCE=$(if $(SAN),0,2)
ALLCFLAGS = $(CSTD) $(WARN) $(WERROR) $(OPT) $(SAN) -fstack-protector-strong -fno-omit-frame-pointer $(CFLAGS)
LIBS	:= $(shell pkg-config --libs $(PKGS))
LIBS_SUP := $(shell pkg-config --libs $(PKGS_SUP))
LIBS_WRK := $(shell pkg-config --libs $(PKGS_WRK)) -lm
LIBS_CTL := $(shell pkg-config --libs $(PKGS_CTL))

COMMON_SRCS := \
	common/address.c common/measure.c \
	common/histo.c common/span.c common/mem.c common/clock.c common/loop.c common/log.c \
	common/logfmt.c common/lograte.c \
	common/count.c common/fault.c common/chan.c common/msg.c common/json.c \
	common/capture.c common/resolve.c common/tables.c common/request.c common/url.c common/words.c \
	common/confine.c common/secret.c common/cfg.c common/cfgrow.c common/cfgscan.c common/cfgcheck.c common/cfgload.c common/cfgdiff.c

SUPERVISOR_SRCS := \
	supervisor/delivery/took.c supervisor/control/snapshot.c \
	supervisor/gateway/envelope.c supervisor/gateway/inflate.c supervisor/gateway/session.c \
	supervisor/gateway/identify.c supervisor/gateway/payload.c supervisor/gateway/lwsloop.c \
	supervisor/gateway/presence.c \
	supervisor/gateway/deaf.c supervisor/gateway/frames.c supervisor/gateway/wire.c \
	supervisor/gateway/intake.c supervisor/gateway/receive.c supervisor/gateway/gateway.c \
	supervisor/journal/log.c supervisor/journal/record.c supervisor/journal/space.c \
	supervisor/journal/deliveries.c supervisor/journal/peers.c supervisor/journal/open.c \
	supervisor/journal/path.c supervisor/journal/channels.c \
	supervisor/delivery/route.c supervisor/delivery/queue.c supervisor/delivery/change.c supervisor/delivery/narrow.c supervisor/delivery/keys.c \
	supervisor/delivery/workers.c supervisor/delivery/give.c supervisor/delivery/due.c \
	supervisor/delivery/bound.c supervisor/delivery/letters.c supervisor/delivery/poison.c \
	supervisor/delivery/backfill.c supervisor/delivery/fetchgap.c \
	supervisor/delivery/answer.c supervisor/delivery/stale.c \
	supervisor/pool/throttle.c supervisor/pool/slot.c supervisor/pool/proc.c supervisor/pool/obituary.c \
	supervisor/pool/lastwords.c supervisor/pool/lines.c supervisor/pool/limits.c supervisor/pool/lacks.c supervisor/pool/cgroup.c supervisor/pool/life.c supervisor/pool/fence.c supervisor/pool/privs.c supervisor/pool/spawn.c \
	supervisor/pool/voice.c supervisor/pool/child.c supervisor/pool/childlink.c supervisor/pool/childlook.c \
	supervisor/pool/leftover.c supervisor/pool/orphans.c supervisor/pool/hello.c supervisor/pool/recycle.c \
	supervisor/pool/view.c supervisor/pool/change.c supervisor/pool/config.c supervisor/pool/pool.c \
	supervisor/control/control.c supervisor/control/verbs.c supervisor/control/health.c supervisor/control/putworker.c supervisor/control/status.c supervisor/control/dead.c \
	supervisor/control/call.c supervisor/control/settle.c supervisor/control/calls.c supervisor/control/succession.c supervisor/control/streams.c supervisor/control/poolcalls.c \
	supervisor/control/notify.c \
	supervisor/control/life.c \
	supervisor/control/gwservice.c \
	supervisor/control/quota.c \
	supervisor/control/monitor.c \
	supervisor/moments.c \
	supervisor/wiring.c supervisor/start.c supervisor/stop.c supervisor/reload.c \
	supervisor/policy.c supervisor/site.c supervisor/init.c \
	supervisor/upgrade.c supervisor/handover.c supervisor/xdoc.c

WORKER_SRCS := \
	worker/web/ask.c worker/web/server.c worker/web/snap.c worker/web/metrics.c worker/web/checks.c \
	worker/web/page.c worker/web/statsd.c worker/web/web.c \
	worker/runtime/crash.c worker/runtime/symbols.c worker/runtime/sandbox.c worker/runtime/strike.c worker/runtime/link.c worker/runtime/mailbox.c worker/runtime/option.c \
	worker/runtime/alarm.c worker/runtime/child.c worker/runtime/reply.c worker/runtime/task.c \
	worker/runtime/session.c worker/runtime/curlloop.c \
	worker/rest/limit.c worker/rest/limitshow.c worker/rest/limitread.c worker/rest/limitstate.c worker/rest/lanes.c worker/rest/route.c \
	worker/rest/nonce.c worker/rest/rest.c \
	worker/rest/codepoint.c worker/rest/token.c worker/rest/split.c worker/rest/show.c worker/rest/stream.c worker/rest/growing.c \
	worker/chat/sse.c worker/chat/provider.c worker/chat/failure.c worker/chat/body.c \
	worker/chat/field.c worker/chat/halves.c worker/chat/think.c worker/chat/toolcalls.c worker/chat/codec.c \
	worker/chat/arrival.c worker/chat/lineage.c worker/chat/model.c \
	worker/chat/trigger.c worker/chat/message.c worker/chat/context.c worker/chat/prompt.c worker/chat/fetch.c \
	worker/chat/models.c worker/chat/turn.c worker/chat/trial.c worker/chat/chat.c \
	worker/echo/echo.c worker/echo/recite.c

CTL_SRCS := supervisor/ctl/main.c supervisor/ctl/link.c supervisor/ctl/follow.c supervisor/ctl/output.c supervisor/ctl/table.c supervisor/ctl/lifeout.c \
	supervisor/ctl/doc.c supervisor/ctl/workerout.c supervisor/ctl/pathout.c \
	supervisor/ctl/quotaout.c \
	supervisor/ctl/testworker.c supervisor/ctl/testchecks.c supervisor/ctl/teststeps.c supervisor/ctl/testlink.c

PROGRAMS := $(BUILD)/bulkheadd $(BUILD)/bulkhead-worker $(BUILD)/bulkheadctl

# One program per unit test, linked with the archives: what it does not name is not linked.
# One a line: neighbours' additions do not meet.
UNIT_TESTS := \
	test_address \
	test_alarm \
	test_arrival \
	test_backfill \
	test_calls \
	test_capture \
	test_cfg \
	test_cfgdiff \
	test_cgroup \
	test_chan \
	test_clock \
	test_codec \
	test_confine \
	test_context \
	test_count \
	test_deaf \
	test_envelope \
	test_fault \
	test_fetch \
	test_frames \
	test_handover \
	test_histo \
	test_http \
	test_identify \
	test_inflate \
	test_intake \
	test_journal \
	test_json \
	test_lanes \
	test_lacks \
	test_life \
	test_limit \
	test_limitstate \
	test_lines \
	test_log \
	test_logfmt \
	test_loop \
	test_mailbox \
	test_measure \
	test_mem \
	test_model \
	test_msg \
	test_nonce \
	test_notify \
	test_orphans \
	test_output \
	test_payload \
	test_pool \
	test_presence \
	test_poolcalls \
	test_poolservice \
	test_prompt \
	test_queue \
	test_recycle \
	test_reply \
	test_request \
	test_resolve \
	test_route \
	test_server \
	test_secret \
	test_session \
	test_settle \
	test_slot \
	test_snapshot \
	test_span \
	test_split \
	test_sse \
	test_stale \
	test_stream \
	test_streams \
	test_tables \
	test_task \
	test_throttle \
	test_trigger \
	test_url \
	test_voice \
	test_web \
	test_words
# One libFuzzer target per parser; `make check` replays tests/fuzz/corpus/NAME.
FUZZERS := fuzz_backfill fuzz_ask fuzz_msg fuzz_json fuzz_envelope fuzz_inflate fuzz_journal fuzz_url fuzz_split fuzz_sse fuzz_codec fuzz_limitstate

COMMON_A := $(BUILD)/libcommon.a
SUP_A	:= $(BUILD)/libsupervisor.a
WRK_A	:= $(BUILD)/libworker.a
CTL_A	:= $(BUILD)/libctl.a
objs	= $(patsubst %.c,$(BUILD)/%.o,$(1))

.PHONY: all help
all: $(PROGRAMS)

help:
	@echo 'make all                 bulkheadd, bulkhead-worker, bulkheadctl in $(BUILD)/'
	@echo 'make check               unit, corpus, fake, client and system tests'
	@echo 'make check-unit          unit tests and fuzz corpora'
	@echo 'make check-system [T=x]  system tests, of them those whose name contains x'
	@echo 'make check-clients       discord.py, discord.js, openai against the fakes; our bot against aimock'
	@echo 'make chaos T=600 SEED=n  everything goes wrong at once, for T seconds (default 60); a seed replays'
	@echo 'make check-web           the web worker before Prometheus and Chromium (scripts/deps web)'
	@echo 'make asan                the programs with AddressSanitizer and UBSan, in $(BUILD)-asan/'
	@echo 'make check-asan          unit and system tests with them'
	@echo 'make fuzz P=json SECS=60 fuzz one parser (clang)'
	@echo 'make bench               CPU per event, latency, memory beside a floor program; about 2 minutes'
	@echo 'make bench-rolling       delays while workers are replaced; half a minute'
	@echo 'make bench-streams       200 answers at once in one chat worker, and SIGTERM in the middle'
	@echo 'make walk [WALK=--vm]    the runbook under a real systemd, in a container or a virtual machine; needs root'
	@echo 'make soak N=10000 SEED=n conversations with random kills: one answer each, nothing leaks'
	@echo 'make lint                clang-tidy, cppcheck, form of the tables'
	@echo 'make docs                protocol and option tables from proto/'
	@echo 'make install             programs, manuals, units, and as root the user; DESTDIR= PREFIX=/usr/local'
	@echo 'make uninstall           what install put there; configuration and user stay'
	@echo 'make deb                 a Debian package in $(BUILD)/deb/'
	@echo 'make clean'

# V=1 shows the commands.
V	?=
Q	:= $(if $(V),,@)
say	= $(if $(V),,@echo '  $(1) $(2)')

$(BUILD)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(ALLCFLAGS) -MMD -MP -c -o $@ $<

$(COMMON_A): $(call objs,$(COMMON_SRCS))
	@rm -f $@; ar rcs $@ $^
$(SUP_A): $(call objs,$(SUPERVISOR_SRCS))
	@rm -f $@; ar rcs $@ $^
$(WRK_A): $(call objs,$(WORKER_SRCS))
	@rm -f $@; ar rcs $@ $^

$(BUILD)/bulkheadd: $(BUILD)/supervisor/main.o $(SUP_A) $(COMMON_A)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALLCFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS_SUP) $(LIBS)
$(BUILD)/bulkhead-worker: $(BUILD)/worker/main.o $(WRK_A) $(COMMON_A)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALLCFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS_WRK) $(LIBS)
$(CTL_A): $(call objs,$(filter-out supervisor/ctl/main.c,$(CTL_SRCS)))
	@rm -f $@; ar rcs $@ $^
$(BUILD)/bulkheadctl: $(BUILD)/supervisor/ctl/main.o $(CTL_A) $(COMMON_A)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALLCFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS_CTL) $(LIBS)

# Unit tests: archives are linked as they are needed, whichever program they belong to.
$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(CTL_A) $(SUP_A) $(WRK_A) $(COMMON_A)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALLCFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS_SUP) $(LIBS_WRK) $(LIBS) -lcmocka
# For work on one module while others do not build: make BUILD=... ONLY="a.c b.c" unit-NAME
unit-%:
	@mkdir -p $(BUILD)/tests/unit
	$(CC) $(CPPFLAGS) $(ALLCFLAGS) -o $(BUILD)/tests/unit/$* tests/unit/$*.c $(ONLY) \
	    $(LIBS_SUP) $(LIBS_WRK) $(LIBS) -lcmocka
	$(BUILD)/tests/unit/$*


# ---- tests ----
.SECONDARY:
.PHONY: check check-unit check-corpus check-fake check-clients check-system check-asan asan fuzz lint docs install
PYTEST	:= /usr/bin/python3 -B -m pytest -q -p no:cacheprovider

check: check-unit check-corpus check-fake check-clients check-system

check-unit: $(addprefix $(BUILD)/tests/unit/,$(UNIT_TESTS))
	@scripts/run-units $^

# Parsers alone.  Here each target replays its corpus; `make fuzz` looks for more.
$(BUILD)/tests/fuzz/%: $(BUILD)/tests/fuzz/%.o $(BUILD)/tests/fuzz/replay.o $(SUP_A) $(WRK_A) $(COMMON_A)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALLCFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS_SUP) $(LIBS_WRK) $(LIBS)
check-corpus: $(addprefix $(BUILD)/tests/fuzz/,$(FUZZERS))
	@for f in $(FUZZERS); do \
		printf '%s: ' $$f; $(BUILD)/tests/fuzz/$$f tests/fuzz/corpus/$${f#fuzz_} || exit 1; done

P	?= json
SECS	?= 60
fuzz:
	$(MAKE) BUILD=$(BUILD)-fuzz CC=clang SAN='-fsanitize=address,undefined,fuzzer-no-link' \
	    $(BUILD)-fuzz/libsupervisor.a $(BUILD)-fuzz/libworker.a $(BUILD)-fuzz/libcommon.a
	clang $(CPPFLAGS) $(CSTD) $(OPT) -fsanitize=address,undefined,fuzzer -o $(BUILD)-fuzz/fuzz_$(P) \
	    tests/fuzz/fuzz_$(P).c $(BUILD)-fuzz/libsupervisor.a $(BUILD)-fuzz/libworker.a \
	    $(BUILD)-fuzz/libcommon.a $(LIBS_SUP) $(LIBS_WRK) $(LIBS)
	@mkdir -p $(BUILD)-fuzz/new/$(P)
	$(BUILD)-fuzz/fuzz_$(P) -max_total_time=$(SECS) \
	    $(if $(wildcard tests/fuzz/fuzz_$(P).dict),-dict=tests/fuzz/fuzz_$(P).dict) \
	    $(BUILD)-fuzz/new/$(P) tests/fuzz/corpus/$(P)

check-fake:
	$(PYTEST) tests/discord
check-clients: all
	BULKHEAD_BUILD=$(BUILD) $(PYTEST) tests/clients
# The web worker before Debian's Prometheus and Chromium: scripts/deps web
.PHONY: check-web
check-web: all
	BULKHEAD_BUILD=$(BUILD) $(PYTEST) tests/web
check-system: all
	BULKHEAD_BUILD=$(BUILD) scripts/run-system '$(T)'

# Everything goes wrong at once; SEED=n does the same again.
SEED	?=
.PHONY: chaos
chaos: all
	BULKHEAD_BUILD=$(BUILD) /usr/bin/python3 -B tests/chaos/chaos.py $(if $(T),--secs $(T)) $(if $(SEED),--seed $(SEED))

# The runbook, walked through under a real systemd; needs root and scripts/deps walk.  WALK: options and steps.
WALK	?=
.PHONY: walk
walk:
	BUILD=$(BUILD) scripts/walk $(WALK)

asan:
	$(MAKE) BUILD=$(BUILD)-asan SAN='-fsanitize=address,undefined -fno-sanitize-recover=undefined' OPT='-O1 -g' all
check-asan:
	$(MAKE) BUILD=$(BUILD)-asan SAN='-fsanitize=address,undefined -fno-sanitize-recover=undefined' OPT='-O1 -g' \
	    all check-unit check-corpus check-system

# Figures, no verdict: not part of check.
$(BUILD)/bench/%: tests/bench/%.c Makefile
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CSTD) $(WARN) $(WERROR) -O2 -g -o $@ $< -lz -lzstd -lcrypto
.PHONY: bench bench-streams soak
# 200 answers at once in one chat worker, then SIGTERM; about a minute.
bench-streams: all
	/usr/bin/python3 -B tests/bench/streams.py $(BUILD)
# Conversations with random kills; N=10000 takes two to four minutes.
N	?= 10000
SEED	?=
soak: all
	/usr/bin/python3 -B tests/soak/soak.py $(BUILD) -n $(N) $(if $(SEED),--seed $(SEED))
bench: all $(BUILD)/bench/flood $(BUILD)/bench/floor
	/usr/bin/python3 -B tests/bench/bench.py $(BUILD)
.PHONY: bench-rolling
bench-rolling: all
	/usr/bin/python3 -B tests/bench/rolling.py $(BUILD)

lint:
	scripts/lint
docs: all
	scripts/gen-docs

# ---- install ----
BINDIR	= $(PREFIX)/bin
MANDIR	= $(PREFIX)/share/man
DOCDIR	= $(PREFIX)/share/doc/bulkhead
DATADIR	= $(PREFIX)/share/bulkhead
UNITDIR	?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
BASHDIR	?= $(PREFIX)/share/bash-completion/completions
ZSHDIR	?= $(PREFIX)/share/zsh/site-functions
FISHDIR	?= $(PREFIX)/share/fish/vendor_completions.d
CONFDIR	?= /etc/bulkhead
UNITS	:= bulkhead.service bulkhead@.service
EXAMPLES := $(wildcard worker/examples/*.py)
MAN1	:= supervisor/ctl/bulkheadctl.1
MAN5	:= supervisor/bulkhead.conf.5
MAN7	:= supervisor/bulkhead.7 worker/bulkhead-worker.7
MAN8	:= supervisor/bulkheadd.8
# What is there already is the operator's.
keep	= test -e $(2) || install -m $(1) $(3) $(2)

.PHONY: install install-files install-host uninstall deb
install: install-files
	@if [ -z '$(DESTDIR)' ] && [ "$$(id -u)" = 0 ]; then $(MAKE) --no-print-directory install-host; fi

install-files: all
	install -d $(addprefix $(DESTDIR),$(BINDIR) $(addprefix $(MANDIR)/man,1 5 7 8) $(BASHDIR) $(ZSHDIR) $(FISHDIR) $(UNITDIR) $(SYSUSERSDIR) \
	    $(DOCDIR) $(DATADIR)/examples $(DATADIR)/schema $(DATADIR)/prometheus $(DATADIR)/s6/bulkhead $(DATADIR)/runit/bulkhead $(CONFDIR))
	install -m 755 $(PROGRAMS) $(DESTDIR)$(BINDIR)/
	install -m 644 $(MAN1) $(DESTDIR)$(MANDIR)/man1/
	install -m 644 $(MAN5) $(DESTDIR)$(MANDIR)/man5/
	install -m 644 $(MAN7) $(DESTDIR)$(MANDIR)/man7/
	install -m 644 $(MAN8) $(DESTDIR)$(MANDIR)/man8/
	install -m 644 scripts/completions/bulkheadctl $(DESTDIR)$(BASHDIR)/
	install -m 644 scripts/completions/_bulkheadctl $(DESTDIR)$(ZSHDIR)/
	install -m 644 scripts/completions/bulkheadctl.fish $(DESTDIR)$(FISHDIR)/
	install -m 644 LICENSE README.md scripts/bulkhead.conf $(DESTDIR)$(DOCDIR)/
	install -m 644 proto/README.md $(DESTDIR)$(DOCDIR)/protocol.md
	install -m 644 proto/contract.h proto/messages.def $(DESTDIR)$(DOCDIR)/
	install -m 644 scripts/prometheus/bulkhead.rules.yml $(DESTDIR)$(DATADIR)/prometheus/
	$(if $(EXAMPLES),install -m 755 $(EXAMPLES) $(DESTDIR)$(DATADIR)/examples/)
	install -m 644 proto/schema/*.json $(DESTDIR)$(DATADIR)/schema/
	cp scripts/s6/bulkhead/* $(DESTDIR)$(DATADIR)/s6/bulkhead/
	cp scripts/runit/bulkhead/* $(DESTDIR)$(DATADIR)/runit/bulkhead/
	for u in $(UNITS); do sed 's|@bindir@|$(BINDIR)|' scripts/systemd/$$u >$(DESTDIR)$(UNITDIR)/$$u; done
	install -m 644 scripts/systemd/bulkhead.sysusers $(DESTDIR)$(SYSUSERSDIR)/bulkhead.conf
	$(call keep,644,$(DESTDIR)$(CONFDIR)/bulkhead.conf,scripts/bulkhead.conf)

# The machine's own: users, rights, an empty token file to fill in.
install-host:
	systemd-sysusers $(SYSUSERSDIR)/bulkhead.conf
	chown root:bulkhead $(CONFDIR) && chmod 0750 $(CONFDIR)
	$(call keep,600,$(CONFDIR)/token,/dev/null)
	if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
	@echo 'installed.  Put the token into $(CONFDIR)/token, then: systemctl enable --now bulkhead'

# Configuration, token, state and user stay.
uninstall:
	rm -f $(addprefix $(DESTDIR)$(BINDIR)/,$(notdir $(PROGRAMS))) \
	    $(addprefix $(DESTDIR)$(MANDIR)/man1/,$(notdir $(MAN1))) \
	    $(addprefix $(DESTDIR)$(MANDIR)/man5/,$(notdir $(MAN5))) \
	    $(addprefix $(DESTDIR)$(MANDIR)/man7/,$(notdir $(MAN7))) \
	    $(addprefix $(DESTDIR)$(MANDIR)/man8/,$(notdir $(MAN8))) \
	    $(DESTDIR)$(BASHDIR)/bulkheadctl $(DESTDIR)$(ZSHDIR)/_bulkheadctl $(DESTDIR)$(FISHDIR)/bulkheadctl.fish \
	    $(addprefix $(DESTDIR)$(UNITDIR)/,$(UNITS)) $(DESTDIR)$(SYSUSERSDIR)/bulkhead.conf
	rm -rf $(DESTDIR)$(DOCDIR) $(DESTDIR)$(DATADIR)
	@echo '$(DESTDIR)$(CONFDIR) and the users bulkhead, bulkhead-rest and bulkhead-handler stay'

# A Debian package from what git knows, in $(BUILD)/deb/.  Needs debhelper and dpkg-dev: scripts/deps deb
deb:
	rm -rf $(BUILD)/deb && mkdir -p $(BUILD)/deb/bulkhead-$(VERSION)
	git ls-files -z | tar --null -T - -c | tar -x -C $(BUILD)/deb/bulkhead-$(VERSION)
	cp -r scripts/debian $(BUILD)/deb/bulkhead-$(VERSION)/debian
	sed -e 's/@VERSION@/$(VERSION)/' -e "s/@DATE@/$$(git log -1 --format=%cD)/" scripts/debian/changelog.in \
	    >$(BUILD)/deb/bulkhead-$(VERSION)/debian/changelog
	cd $(BUILD)/deb/bulkhead-$(VERSION) && env -u MAKEFLAGS -u MAKELEVEL dpkg-buildpackage -us -uc -b
	@ls $(BUILD)/deb/*.deb

-include $(shell find $(BUILD) -name '*.d' -type f -not -path '*/deb/*' -not -path '*/walk/*' 2>/dev/null)

.PHONY: clean
clean:
	rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-fuzz

# For scripts/lint.
.PHONY: print-cppflags
print-cppflags:
	@echo $(filter-out -DBULKHEAD_VERSION=%,$(CPPFLAGS))
