# SPDX-License-Identifier: ISC
# GNU make. `make help` lists the targets; V=1 shows the commands, WERROR=1 makes
# warnings errors. Linux only (epoll, inotify).
#
# CFLAGS, LDFLAGS, DESTDIR and PREFIX are the user's; what jobwire itself needs
# is in JOBWIRE_CFLAGS. FLAVOUR names an object tree: `release` puts its programs
# into build/bin, any other into build/FLAVOUR/bin; `asan` and `tsan` add
# sanitizers, `coverage` counts lines.

VERSION := $(file <VERSION)
FLAVOUR ?= release
PREFIX  ?= /usr/local
PORT    ?= 8080
Q := $(if $(V),,@)

BUILD := build/$(FLAVOUR)
OBJ   := $(BUILD)/obj
GEN   := $(BUILD)/gen
BIN   := $(if $(filter release,$(FLAVOUR)),build/bin,$(BUILD)/bin)

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:

# --- flags -----------------------------------------------------------------
WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion \
	-Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
	-Wpointer-arith -Wcast-qual -Wwrite-strings -Wformat=2 -Wvla -Wundef \
	-Wnull-dereference -Wdouble-promotion -Wimplicit-fallthrough
GCC_WARNINGS := -Wduplicated-cond -Wduplicated-branches -Wlogical-op \
	-Wformat-signedness -Walloc-zero
IS_CLANG := $(findstring clang,$(shell $(CC) --version 2>/dev/null))

INSTRUMENT :=
ifeq ($(FLAVOUR),asan)
CFLAGS ?= -O1 -g
TEST_CFLAGS := -DJOBWIRE_MOVING_BUF
INSTRUMENT := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
else ifeq ($(FLAVOUR),tsan)
CFLAGS ?= -O1 -g
INSTRUMENT := -fsanitize=thread -fno-omit-frame-pointer
else ifeq ($(FLAVOUR),fuzz)
CFLAGS ?= -O1 -g
TEST_CFLAGS := -DJOBWIRE_MOVING_BUF
INSTRUMENT := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
else ifeq ($(FLAVOUR),coverage)
CFLAGS ?= -O1 -g
# The counters are a file that is mapped: what is killed, ends by _exit() or may open
# no files any more has counted all the same. %m is a number of the program.
TEST_CFLAGS := -mllvm -runtime-counter-relocation
INSTRUMENT := -fprofile-instr-generate=$(abspath $(BUILD))/counts/%m%c.profraw \
	-fcoverage-mapping
else
CFLAGS ?= -O2 -g
# glibc warns about _FORTIFY_SOURCE without optimisation.
HARDENING := $(if $(filter -O1 -O2 -O3 -Os,$(CFLAGS)), \
	-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2) -fstack-protector-strong
endif

# $(call pkg,--cflags|--libs,NAME,what to use where pkg-config knows no NAME)
pkg = $(shell pkg-config $1 $2 2>/dev/null || echo $3)
PKG_CFLAGS := $(call pkg,--cflags,fcgi) $(call pkg,--cflags,sqlite3) \
	$(call pkg,--cflags,json-c,-I/usr/include/json-c) $(call pkg,--cflags,libcrypto) \
	$(call pkg,--cflags,libseccomp)
LIBS := $(call pkg,--libs,fcgi,-lfcgi) $(call pkg,--libs,sqlite3,-lsqlite3) \
	$(call pkg,--libs,json-c,-ljson-c) $(call pkg,--libs,libcrypto,-lcrypto) \
	$(call pkg,--libs,libseccomp,-lseccomp)
# Of the command line and the runner; its flags are those of libcurl's own headers.
CURL_LIBS := $(call pkg,--libs,libcurl,-lcurl)
# Of the relay. hiredis has TLS from 1.0 on, in a library of its own.
REDIS_TLS  := $(wildcard /usr/include/hiredis/hiredis_ssl.h)
REDIS_LIBS := $(if $(REDIS_TLS),$(call pkg,--libs,hiredis_ssl libssl,-lhiredis_ssl -lssl)) \
	$(call pkg,--libs,hiredis,-lhiredis)
REDIS_CFLAGS := $(if $(REDIS_TLS),-DJOBWIRE_REDIS_TLS)

# Also what clang-tidy and the header check compile with.
BASE_CFLAGS := -std=c11 -D_GNU_SOURCE -DJOBWIRE_VERSION='"$(VERSION)"' \
	-Isrc -I$(GEN) $(PKG_CFLAGS) $(REDIS_CFLAGS) -pthread -fno-common $(WARNINGS)
JOBWIRE_CFLAGS := $(BASE_CFLAGS) $(if $(IS_CLANG),,$(GCC_WARNINGS)) -fPIE \
	$(HARDENING) $(INSTRUMENT) $(TEST_CFLAGS) $(if $(WERROR),-Werror)
JOBWIRE_LDFLAGS := -pie -pthread -Wl,-z,relro,-z,now $(INSTRUMENT)

# --- what there is ----------------------------------------------------------
LIB_OBJS  := $(patsubst %.c,$(OBJ)/%.o,$(wildcard src/*/*.c))
TOOL_OBJS := $(patsubst %.c,$(OBJ)/%.o,$(filter-out tools/runner.c tools/relay.c,$(wildcard tools/*.c)))
LIB       := $(OBJ)/libjobwire.a
PROGRAMS  := $(patsubst fcgi/%.c,jobwire-%,$(wildcard fcgi/*.c)) jobwire jobwire-runner jobwire-relay
CGI       := $(patsubst cgi-bin/%.c,%.cgi,$(wildcard cgi-bin/*.c))
# Scripts that the command line finds beside its folder, built or installed.
SIMULATED := $(patsubst tools/simulate/%,$(dir $(BIN))share/jobwire/simulate/%, \
	$(wildcard tools/simulate/*.py))
UNIT      := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/test_*.c))
FUZZ      := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
MICRO     := $(BUILD)/bench/micro
LOAD      := $(BUILD)/bench/load
FAULTS    := $(BUILD)/faults/recorder.so $(BUILD)/faults/faulty.so
GENERATED := $(GEN)/schema_sql.h $(GEN)/sequence_lua.h

# --- building ---------------------------------------------------------------
all: $(addprefix $(BIN)/,$(PROGRAMS) $(CGI)) $(SIMULATED) ## build the programs (the default)
unit-programs: $(UNIT) $(FUZZ) $(MICRO) $(LOAD) $(FAULTS)

say = $(if $(V),,@printf '  %-5s %s\n' $1 $@)
link = $(Q)mkdir -p $(@D) && \
	$(CC) $(CFLAGS) $(JOBWIRE_LDFLAGS) $(LDFLAGS) -o $@ $(filter %.o %.a,$^)

# Rewritten when a flag or the compiler changes, and with it every object.
FLAGS = $(CC) $(CPPFLAGS) $(JOBWIRE_CFLAGS) $(CFLAGS) $(JOBWIRE_LDFLAGS) $(LDFLAGS)
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(FLAGS))' | cmp -s - $@ || \
		printf '%s\n' '$(subst ','\'',$(FLAGS))' >$@

$(OBJ)/%.o: %.c $(BUILD)/flags | $(GENERATED)
	$(call say,CC)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(JOBWIRE_CFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(GEN)/schema_sql.h: schema.sql scripts/embed-schema
	$(call say,GEN)
	$(Q)mkdir -p $(@D) && scripts/embed-schema $< >$@

$(GEN)/sequence_lua.h: src/relay/sequence.lua scripts/embed-script
	$(call say,GEN)
	$(Q)mkdir -p $(@D) && scripts/embed-script $< >$@

$(LIB): $(LIB_OBJS)
	$(call say,AR)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(BIN)/jobwire-%: $(OBJ)/fcgi/%.o $(LIB)
	$(call say,LD)
	$(link) $(LIBS)

$(BIN)/%.cgi: $(OBJ)/cgi-bin/%.o $(LIB)
	$(call say,LD)
	$(link) $(LIBS)

# For `make bundle`: an RPATH, because a RUNPATH does not count for what the
# libraries need in their turn; or, with STATIC=1, no libraries.
$(BUILD)/bundle/cgi-bin/%.cgi: $(OBJ)/cgi-bin/%.o $(LIB) FORCE
	$(call say,LD)
	$(link) $(if $(STATIC),-static-pie,-Wl,--disable-new-dtags,-rpath,'$$ORIGIN/lib') \
		$(LIBS) $(if $(STATIC),-lm)

# Debian has no static libraries of what its libcurl needs.
$(BUILD)/bundle/jobwire/jobwire-runner: $(OBJ)/tools/runner.o $(LIB) FORCE
	$(call say,LD)
	$(link) -Wl,--disable-new-dtags,-rpath,'$$ORIGIN/lib' $(LIBS) $(CURL_LIBS)

$(BIN)/jobwire: $(TOOL_OBJS) $(LIB)
	$(call say,LD)
	$(link) $(LIBS) $(CURL_LIBS) -lm

$(BIN)/jobwire-runner: $(OBJ)/tools/runner.o $(LIB)
	$(call say,LD)
	$(link) $(LIBS) $(CURL_LIBS)

$(BIN)/jobwire-relay: $(OBJ)/tools/relay.o $(LIB)
	$(call say,LD)
	$(link) $(LIBS) $(REDIS_LIBS)

$(dir $(BIN))share/jobwire/simulate/%: tools/simulate/%
	$(Q)install -D -m 644 $< $@

# What a test of failing allocations is linked with; see the header.
WRAP_FLAGS := -Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=realloc
WRAP = $(if $(shell grep -ls '"alloc_fail.h"' tests/unit/$*.c),$(WRAP_FLAGS))
# What is named before the library stands in for its part of that name.
MOVING_BUF := $(OBJ)/tests/unit/moving_buf.o
$(BUILD)/unit/%: $(OBJ)/tests/unit/%.o $(MOVING_BUF) $(LIB)
	$(call say,LD)
	$(link) $(WRAP) -lcmocka $(LIBS) -Wl,--as-needed $(CURL_LIBS) $(REDIS_LIBS)

# Only the flavour `fuzz` makes up inputs; the others replay the corpus.
IS_FUZZ := $(filter fuzz,$(FLAVOUR))
$(BUILD)/fuzz/%: $(OBJ)/tests/fuzz/%.o $(if $(IS_FUZZ),,$(OBJ)/tests/fuzz/replay.o) \
		$(MOVING_BUF) $(LIB)
	$(call say,LD)
	$(link) $(if $(IS_FUZZ),-fsanitize=fuzzer) $(LIBS) -Wl,--as-needed $(CURL_LIBS) \
		$(REDIS_LIBS) -lm
$(BUILD)/fuzz/fuzz_exposition: $(OBJ)/tools/exposition.o

$(MICRO): $(patsubst %.c,$(OBJ)/%.o,$(wildcard tests/bench/micro*.c)) $(LIB)
	$(call say,LD)
	$(link) $(LIBS)

$(LOAD): $(OBJ)/tests/bench/load.o
	$(call say,LD)
	$(link)

# Preloaded into the programs under test, so without what these are built with.
$(BUILD)/faults/%.so: tests/faults/%.c tests/faults/preload.h
	$(call say,LD)
	$(Q)mkdir -p $(@D) && $(CC) -std=c11 -D_GNU_SOURCE -O2 $(WARNINGS) \
		$(if $(WERROR),-Werror) -shared -fPIC -pthread -o $@ $< -ldl

-include $(shell find $(OBJ) -name '*.d' 2>/dev/null)

client: ## the browser client and its types, in build/client
	@scripts/client --types

# --- running and testing ----------------------------------------------------
# What was missing when this make started may be installed by the time the
# build begins: a make of its own looks again. Its own -j unless we have one.
submake = $(MAKE) --no-print-directory \
	$(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))
CHECK = BIN='$(BIN)' BUILD='$(BUILD)' T='$(T)' scripts/check

run: ## start everything on 127.0.0.1:PORT and print what to open [PORT=8080]
	@scripts/run --check --port '$(PORT)'
	@scripts/deps build run $(if $(wildcard build/client/jobwire.js),,client)
	@+$(submake) all
	@scripts/client || echo 'run: the pages need build/client; all else works'
	@exec scripts/run --port '$(PORT)'

complete: ## report a job of `make run` as done, as RunPod would [JOB=id]
	@scripts/complete '$(JOB)'

check: ## all tests a newcomer expects; installs what they need
	@scripts/deps build run test browser
	@+$(submake) all unit-programs
	@$(CHECK) unit integration client browser

unit: unit-programs ## unit tests [T=part of a program's name]
	@$(CHECK) unit

integration: all ## tests over sockets and processes [T=pytest -k pattern]
	@$(CHECK) integration

browser: all ## the client's tests, and all that runs in Chromium [T=part of a name]
	@$(CHECK) client browser

check-npm: all ## what the npm registry is needed for: the client in fresh sites, linters [T=part of a name]
	@$(CHECK) npm

asan: ## unit and integration tests with ASan and UBSan
	@+$(submake) FLAVOUR=asan all unit-programs
	@$(MAKE) --no-print-directory FLAVOUR=asan asan-tests

asan-tests:
	@UBSAN_OPTIONS=print_stacktrace=1 JOBWIRE_SLOW=10 $(CHECK) unit integration

# Of those that reach threads: the webhook's workers, the janitor, the relay's
# backfill, the time limit of a check.
THREADED := publish or webhook or inbox or reload or retention or backup or relay or cluster
tsan: ## unit tests, and the integration tests of what has threads, with the thread sanitizer
	@+$(submake) FLAVOUR=tsan all unit-programs
	@JOBWIRE_SLOW=10 $(MAKE) --no-print-directory FLAVOUR=tsan unit
	@JOBWIRE_SLOW=10 $(MAKE) --no-print-directory FLAVOUR=tsan integration T='$(or $(T),$(THREADED))'

coverage: ## lines of src that no unit or integration test reaches (needs clang)
	@scripts/deps build run test lint
	@+$(submake) FLAVOUR=coverage CC=clang all unit-programs
	@$(MAKE) --no-print-directory FLAVOUR=coverage coverage-report

coverage-report:
	@BIN='$(BIN)' BUILD='$(BUILD)' scripts/coverage $(if $(REPORT),report)

FUZZ_SECONDS ?= 30
fuzz: ## fuzz each parser for FUZZ_SECONDS (needs clang) [FUZZ_SECONDS=30]
	@+$(submake) FLAVOUR=fuzz CC=clang fuzz-run

fuzz-run: $(FUZZ)
	$(Q)set -e; for f in $(FUZZ); do c=$(BUILD)/corpus/$${f##*/fuzz_}; \
	mkdir -p $$c; $$f -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=$${f}- \
	$$c tests/fuzz/corpus/$${f##*/fuzz_}; done

bench: all $(LOAD) ## measure against budgets and peers [T=name QUICK=1 BASE=revision DOC=1]
	$(Q)BIN='$(BIN)' LOAD='$(LOAD)' QUICK='$(QUICK)' BASE='$(BASE)' DOC='$(DOC)' \
		HISTORY='$(HISTORY)' /usr/bin/python3 tests/bench/bench.py $(T)

STATES ?= 100000
powercut: all $(FAULTS) ## open disks that a power cut may have left [STATES=100000 SEED=N]
	$(Q)JOBWIRE_BIN='$(abspath $(BIN))' FAULTS='$(BUILD)/faults' /usr/bin/python3 \
		tests/faults/powercut.py --states $(STATES) $(if $(SEED),--seed $(SEED))

HOURS ?= 1
soak: all ## run at a steady rate; plot memory, files, latency [HOURS=1]
	$(Q)JOBWIRE_BIN='$(abspath $(BIN))' /usr/bin/python3 tests/faults/soak.py --hours $(HOURS)

SEEDS ?= 1-100
faults: all $(FAULTS) ## play schedules of faults over all programs [SEEDS=1-100 JOBS=1]
	$(Q)JOBWIRE_BIN='$(abspath $(BIN))' FAULTS='$(BUILD)/faults' /usr/bin/python3 \
		tests/faults/driver.py --seeds $(SEEDS) --jobs $(or $(JOBS),1)

.PHONY: peers
ROUNDS ?= 3
peers: all $(FAULTS) ## the promises tried on jobwire and its peers under faults [ROUNDS=3 SEED=1 DOC=1]
	$(Q)JOBWIRE_BIN='$(abspath $(BIN))' FAULTS='$(BUILD)/faults' /usr/bin/python3 \
		tests/faults/peers.py --rounds $(ROUNDS) --seed $(or $(SEED),1) $(if $(DOC),--doc)

bench-micro: $(MICRO) ## instructions of the hot paths against tests/bench/micro.txt [UPDATE=1]
	@CC='$(CC)' CFLAGS='$(CFLAGS)' tests/bench/micro.py $(MICRO) $(if $(UPDATE),update)

# --- looking at the source --------------------------------------------------
# The layout of .clang-format is that of version 14; others format differently.
CLANG_FORMAT ?= $(or $(shell command -v clang-format-14),clang-format)

lint: export LINT_CFLAGS = $(BASE_CFLAGS)
lint: $(GENERATED) ## layers, headers, formatting, static analysis, scripts, manuals
	@CC='$(CC)' CLANG_FORMAT='$(CLANG_FORMAT)' scripts/lint

format: ## rewrite the C files in the project's layout (clang-format 14)
	$(Q)$(CLANG_FORMAT) -i $(wildcard src/*/*.[ch] fcgi/*.c cgi-bin/*.c \
		tools/*.[ch] tests/*/*.[ch])

# --- installing and shipping ------------------------------------------------
CGIDIR ?= lib/cgi-bin
SHARE  := share/jobwire
CLIENT := $(foreach m,jobwire runs useJobEvents,$m.js $m.d.ts) jobwire.global.js package.json \
	jobwire-$(VERSION).tgz
COMPLETIONS := $(addprefix $(GEN)/completions/,jobwire _jobwire jobwire.fish)
SNIPPETS := nginx-http.conf nginx-server.conf nginx-location.conf apache.conf lighttpd.conf
# They name files below /usr/local; as installed, those where they are.
PLACED   := $(wildcard man/*.[1-8] *.conf.example contrib/*.example \
	contrib/systemd/*.service contrib/logrotate/* contrib/apparmor/*)
# source:folder below PREFIX
FILES := $(patsubst %,$(BIN)/%:bin,$(PROGRAMS)) \
	$(patsubst %,$(BIN)/%:$(CGIDIR),$(CGI)) \
	$(foreach m,$(wildcard man/*.[1-8]),$(GEN)/placed/$m:share/man/man$(subst .,,$(suffix $m))) \
	schema.sql:$(SHARE) \
	$(patsubst %,%:$(SHARE)/simulate,$(SIMULATED)) \
	$(patsubst %,%:$(SHARE)/publish,publish/python/jobwire.py publish/php/Jobwire.php publish/node/jobwire.js) \
	$(patsubst %,%:$(SHARE)/demo,docs/benchmarks.md $(filter-out %.py,$(wildcard client/demo/*))) \
	$(patsubst %,build/client/%.js:$(SHARE)/demo/client,jobwire runs) \
	$(patsubst %,build/client/%:$(SHARE)/client,$(CLIENT)) \
	$(GEN)/completions/jobwire:share/bash-completion/completions \
	$(GEN)/completions/_jobwire:share/zsh/site-functions \
	$(GEN)/completions/jobwire.fish:share/fish/vendor_completions.d \
	$(patsubst %,$(GEN)/snippets/%:$(SHARE)/web-server,$(SNIPPETS)) \
	$(patsubst %,$(GEN)/placed/%:share/doc/jobwire/examples,$(filter %.example,$(PLACED))) \
	$(foreach d,logrotate apparmor,$(GEN)/placed/contrib/$d/jobwire:share/doc/jobwire/examples/$d) \
	$(patsubst %,$(GEN)/placed/%:lib/systemd/system,$(filter %.service,$(PLACED))) \
	$(patsubst %,%:lib/systemd/system,$(wildcard contrib/systemd/*.socket)) \
	$(patsubst %,%:lib/sysusers.d,$(wildcard contrib/systemd/sysusers.d/*)) \
	$(patsubst %,%:lib/tmpfiles.d,$(wildcard contrib/systemd/tmpfiles.d/*))

placed: FORCE # PREFIX and CGIDIR may be others than the last time
	$(Q)rm -rf $(GEN)/placed $(GEN)/snippets
	$(Q)for f in $(PLACED); do mkdir -p "$(GEN)/placed/$$(dirname $$f)"; \
	sed 's|/usr/local/lib/cgi-bin|$(PREFIX)/$(CGIDIR)|; s|/usr/local/|$(PREFIX)/|g' \
		$$f >"$(GEN)/placed/$$f"; done
	$(Q)scripts/snippets '$(GEN)/placed' '$(PREFIX)/$(SHARE)' $(GEN)/snippets

# What shells complete, as the program's own tables have it.
$(GEN)/completions/jobwire: SHELL_NAME = bash
$(GEN)/completions/_jobwire: SHELL_NAME = zsh
$(GEN)/completions/jobwire.fish: SHELL_NAME = fish
$(COMPLETIONS): $(BIN)/jobwire
	$(Q)mkdir -p $(@D) && $< completion $(SHELL_NAME) >$@

# The client is not part of `all`: most who build servers have it already.
install: all placed $(COMPLETIONS) ## install below DESTDIR/PREFIX what was built [PREFIX=/usr/local]
	$(Q)set -e; for f in $(FILES); do [ -e "$${f%:*}" ] || continue; \
	mode=644; case $${f#*:} in bin|$(CGIDIR)) mode=755;; esac; \
	install -D -m $$mode "$${f%:*}" \
		"$(DESTDIR)$(PREFIX)/$${f#*:}/$$(basename "$${f%:*}")"; done

uninstall: ## remove what install installed
	$(Q)set -e; for f in $(FILES); do \
	rm -f "$(DESTDIR)$(PREFIX)/$${f#*:}/$$(basename "$${f%:*}")"; done
	$(Q)cd "$(DESTDIR)$(PREFIX)" && rmdir -p --ignore-fail-on-non-empty $(SHARE)/simulate $(SHARE)/publish \
		$(SHARE)/demo/client $(SHARE)/client $(SHARE)/web-server share/doc/jobwire/examples 2>/dev/null || true

# The client comes along, so that who builds a release needs no tools for it.
dist: client ## a tarball of the last commit, with the client built, in build/
	$(Q)git archive --prefix=jobwire-$(VERSION)/build/client/ $(patsubst %,--add-file=build/client/%,$(CLIENT)) \
		--prefix=jobwire-$(VERSION)/ -o build/jobwire-$(VERSION).tar.gz HEAD
	@echo build/jobwire-$(VERSION).tar.gz

.PHONY: placed deb check-deb apt check-hosting
deb: ## a Debian package for this Debian, in build/
	@scripts/deps build client package
	@scripts/deb

check-deb: ## install, use, upgrade and purge the package; on a machine to throw away, as root
	@tests/packaging/check-deb

apt: ## put build/*.deb into a signed repository for apt [KEY=gpg-key APT=build/apt]
	@scripts/apt '$(KEY)' '$(or $(APT),build/apt)' build/*.deb

bundle: $(addprefix $(BUILD)/bundle/,$(CGI:%=cgi-bin/%) jobwire/jobwire-runner) ## all that a host needs which only takes uploads [STATIC=1]
	$(Q)scripts/client
	$(Q)scripts/bundle $(BUILD)/bundle build/jobwire-bundle.tar.gz

check-hosting: ## an account with a hoster, from INSTALL.txt to a restored photo; on a machine to throw away, as root
	@tests/packaging/check-hosting

site: ## the documentation as pages, in build/site; they need no server
	@scripts/deps build run client site
	@+$(submake) all
	@scripts/client
	@docs/site/record build/site-run.svg
	@scripts/site build/site

deps: ## install Debian packages [G="build run client test browser lint bench package site"]
	@scripts/deps $(or $(G),build run client test browser lint bench package site)

clean: ## remove what was built
	$(Q)rm -rf build

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

FORCE:
.PHONY: all unit-programs client run complete check unit integration browser check-npm asan asan-tests tsan \
	coverage coverage-report \
	fuzz fuzz-run bench powercut soak faults bench-micro lint format install uninstall dist bundle site deps clean help FORCE
