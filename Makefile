# Mobula. `make help` lists the targets.
#
# Sources are found by wildcard, so a new file needs no change here, with one exception: a file that does I/O is
# listed in SHELL_SOURCES. Variables: CC, SAN=address,undefined (sanitizers), BUILD (where everything is built).

.DEFAULT_GOAL := all
MAKEFLAGS += --no-builtin-rules --no-print-directory
.SUFFIXES:
.DELETE_ON_ERROR:
.SECONDARY:
SHELL := /bin/bash

comma := ,
JOBS ?= $(shell nproc)
# The file's own -j would override one from the command line, so it is given only when there is none.
ifeq ($(MAKELEVEL),0)
ifeq ($(filter -j%,$(shell tr '\0' ' ' < /proc/$$PPID/cmdline)),)
MAKEFLAGS += -j$(JOBS)
endif
endif

ifeq ($(origin CC),default)
CC := gcc
endif
SAN ?=
BUILD ?= build$(if $(SAN),/$(subst $(comma),-,$(SAN)))
PREFIX ?= /usr/local
DESTDIR ?=
LIBEXEC_DIR ?= $(abspath $(BUILD))
VERSION := 0.1.0

# ---- Flags -----------------------------------------------------------------------------------------------------

WARNINGS := -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wmissing-prototypes -Wvla -Werror
INCLUDES := -I. -Ilibclient/include
OPTIMIZE ?= -O2
# One set of objects serves the archives and the shared library: all of them are position independent and hidden.
CFLAGS := -std=gnu11 $(OPTIMIZE) -g -pthread -fPIC -fvisibility=hidden $(WARNINGS) -D_GNU_SOURCE $(INCLUDES) \
    -DMOBULA_LIBEXEC_DIR='"$(LIBEXEC_DIR)"' $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer) $(EXTRA_CFLAGS)
LDFLAGS := -pthread -Wl,--as-needed $(if $(SAN),-fsanitize=$(SAN)) $(EXTRA_LDFLAGS)

# pkg-config is asked at the first use, since `make help` and `make demo` start on machines without it.
lazy = $(eval $(1) := $(2))$($(1))
pkg_libs = $(shell pkg-config --libs $(1) || echo -l:packages-are-missing:run-make-install-packages)
PACKAGES := libzmq libczmq msgpack sqlite3
PACKAGE_CFLAGS = $(call lazy,PACKAGE_CFLAGS,$(patsubst -I%,-isystem %,$(shell pkg-config --cflags $(PACKAGES))))
CLIENT_LIBS = $(call lazy,CLIENT_LIBS,$(call pkg_libs,libzmq msgpack))
ALL_LIBS = $(call lazy,ALL_LIBS,$(call pkg_libs,$(PACKAGES)))
TEST_LIBS = $(call lazy,TEST_LIBS,$(call pkg_libs,cmocka $(PACKAGES)))

# ---- Sources ---------------------------------------------------------------------------------------------------

# Every other file of protocol, head, node and libclient is core: it does no I/O, reads no clock, takes no lock, and
# `make lint` and the link of the simulation prove it. A word with % is a pattern.
SHELL_SOURCES := %/main.c %_shell.c %/shell.c \
    protocol/ring.c protocol/doorbell.c protocol/control.c protocol/report.c protocol/descendants.c protocol/zmq.c protocol/transport.c protocol/clock.c \
    protocol/log.c protocol/daemon.c \
    head/journal.c head/status.c head/http.c \
    node/arena.c node/local.c node/loop.c node/lines.c \
    node/launch.c node/channel.c node/uplink.c node/members.c node/sites.c \
    libclient/connection.c libclient/crash.c libclient/output.c \
    libclient/typed.c libclient/turn.c libclient/seat.c libclient/process.c libclient/api.c libclient/worker.c libclient/zygote.c \
    libclient/driver.c libclient/hello.c libclient/private.c libclient/join.c

# WITHOUT=protocol/x.c leaves sources out, to go on while one of them does not compile; use a BUILD of its own with it.
sources = $(filter-out %/main.c $(WITHOUT),$(wildcard $(1)))
PROTOCOL_SOURCES := $(call sources,protocol/*.c)
HEAD_SOURCES := $(call sources,head/*.c)
NODE_SOURCES := $(call sources,node/*.c)
CLIENT_SOURCES := $(call sources,libclient/*.c)
LIBRARY_SOURCES := $(PROTOCOL_SOURCES) $(HEAD_SOURCES) $(NODE_SOURCES) $(CLIENT_SOURCES)
CORE_SOURCES := $(filter-out $(SHELL_SOURCES),$(LIBRARY_SOURCES))
SUPPORT_SOURCES := $(wildcard tests/support/*.c)
SIM_SOURCES := $(wildcard tests/sim/*.c)
BENCH_SOURCES := $(wildcard tests/bench/*.c)
UNIT_SOURCES := $(wildcard tests/unit/test_*.c)
INTEGRATION_SOURCES := $(wildcard tests/integration/test_*.c)
PROGRAM_SOURCES := $(wildcard tests/programs/*.c)
EXAMPLE_SOURCES := $(wildcard docs/examples/*.c)
FUZZ_SOURCES := $(wildcard tests/fuzz/fuzz_*.c)
MODELS := $(wildcard tests/model/*.pml)
WRONG_SOURCES := $(wildcard tests/wrong/*.c)

objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
binaries = $(patsubst %.c,$(BUILD)/%,$(1))

DAEMONS := $(patsubst %/main.c,$(BUILD)/mobula-%,$(wildcard head/main.c node/main.c))
ARCHIVES := $(BUILD)/libhead.a $(BUILD)/libnode.a $(BUILD)/libclient.a $(BUILD)/libprotocol.a
LIBRARIES := $(ARCHIVES) $(BUILD)/libmobula.a $(BUILD)/libmobula.so
EXAMPLES := $(patsubst docs/examples/%.c,$(BUILD)/examples/%,$(EXAMPLE_SOURCES))
UNIT_TESTS := $(call binaries,$(UNIT_SOURCES))
INTEGRATION_TESTS := $(call binaries,$(INTEGRATION_SOURCES))
PROGRAMS := $(call binaries,$(PROGRAM_SOURCES))
SIM := $(if $(SIM_SOURCES),$(BUILD)/sim)
BENCH := $(if $(BENCH_SOURCES),$(BUILD)/bench)

# ---- Build -----------------------------------------------------------------------------------------------------

.PHONY: all
all: $(LIBRARIES) $(DAEMONS) $(EXAMPLES) ## libraries, daemons and examples (the default)

.PHONY: objects
objects: $(call objects,$(LIBRARY_SOURCES) $(wildcard head/main.c node/main.c) $(SUPPORT_SOURCES) \
    $(BENCH_SOURCES) $(UNIT_SOURCES) $(INTEGRATION_SOURCES) $(PROGRAM_SOURCES) $(EXAMPLE_SOURCES) $(FUZZ_SOURCES) docs/generate/protocol.c) \
    $(patsubst %.c,$(BUILD)/mutants/%.o,$(CORE_SOURCES) $(SIM_SOURCES))

.PHONY: FORCE
FORCE:

# A file that holds a text, and is as old as the text: what depends on it is made again when the text changes.
define remember
@mkdir -p $(@D)
@printf '%s\n' '$(subst ','\'',$(1))' | cmp -s - $@ || printf '%s\n' '$(subst ','\'',$(1))' > $@
endef

$(BUILD)/flags: FORCE
	$(call remember,$(CC) $(CFLAGS))

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(CFLAGS) $(PACKAGE_CFLAGS) -MMD -MP -c -o $@ $<

# The cores once more, with the deliberate bugs that prove what the simulation finds.
$(BUILD)/mutants/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$< (mutants))$(CC) $(CFLAGS) -DMOB_MUTANTS $(PACKAGE_CFLAGS) -MMD -MP -c -o $@ $<

# V=1 shows whole commands.
say = $(if $(V),,@printf '%-5s %s\n' '$(1)' '$(2)' && )

define archive
$(BUILD)/$(1).members: FORCE
	$$(call remember,$(2))
$(BUILD)/$(1): $(2) $(BUILD)/$(1).members
	$$(call say,AR,$$@)rm -f $$@ && ar rcs $$@ $$(filter %.o,$$^)
endef
$(eval $(call archive,libprotocol.a,$(call objects,$(PROTOCOL_SOURCES))))
$(eval $(call archive,libhead.a,$(call objects,$(HEAD_SOURCES))))
$(eval $(call archive,libnode.a,$(call objects,$(NODE_SOURCES))))
$(eval $(call archive,libclient.a,$(call objects,$(CLIENT_SOURCES))))
$(eval $(call archive,libsupport.a,$(call objects,$(SUPPORT_SOURCES))))
$(eval $(call archive,libcores.a,$(patsubst %.c,$(BUILD)/mutants/%.o,$(CORE_SOURCES))))

MOBULA_OBJECTS := $(call objects,$(CLIENT_SOURCES) $(PROTOCOL_SOURCES))
$(BUILD)/libmobula.members: FORCE
	$(call remember,$(MOBULA_OBJECTS))

# What a user links statically is one object in which only mob_* is left global: our names cannot meet the user's.
$(BUILD)/libmobula.a: $(MOBULA_OBJECTS) $(BUILD)/libmobula.members
	$(call say,AR,$@)ld -r -o $(BUILD)/libmobula.o $(MOBULA_OBJECTS) && objcopy --localize-hidden $(BUILD)/libmobula.o && \
	    rm -f $@ && ar rcs $@ $(BUILD)/libmobula.o && rm $(BUILD)/libmobula.o

# The sanitizers leave their own symbols open in a shared library, so only the plain build insists that all are found.
$(BUILD)/libmobula.so.0: $(MOBULA_OBJECTS) libclient/libmobula.map $(BUILD)/libmobula.members
	$(call say,LD,$@)$(CC) -shared -Wl,-soname,libmobula.so.0 -Wl,--version-script=libclient/libmobula.map \
	    $(if $(SAN),,-Wl,-z,defs) $(LDFLAGS) -o $@ $(MOBULA_OBJECTS) $(CLIENT_LIBS)

$(BUILD)/libmobula.so: $(BUILD)/libmobula.so.0
	@ln -sf libmobula.so.0 $@

$(BUILD)/mobula-head: $(call objects,head/main.c) $(BUILD)/libhead.a $(BUILD)/libprotocol.a
	$(call say,LD,$@)$(CC) $(LDFLAGS) -o $@ $^ $(ALL_LIBS)

$(BUILD)/mobula-node: $(call objects,node/main.c) $(BUILD)/libnode.a $(BUILD)/libprotocol.a
	$(call say,LD,$@)$(CC) $(LDFLAGS) -o $@ $^ $(ALL_LIBS)

# Examples and tests/programs are what a user writes: one header, one shared library.
link_user = $(call say,LD,$@)mkdir -p $(@D) && $(CC) $(LDFLAGS) -o $@ $< -L$(BUILD) -lmobula -lm \
    -Wl,-rpath,'$$ORIGIN/..' -Wl,-rpath,'$$ORIGIN/../..'

$(EXAMPLES): $(BUILD)/examples/%: $(BUILD)/obj/docs/examples/%.o $(BUILD)/libmobula.so
	$(link_user)

$(PROGRAMS): $(BUILD)/%: $(BUILD)/obj/%.o $(BUILD)/libmobula.so
	$(link_user)

$(UNIT_TESTS) $(INTEGRATION_TESTS): $(BUILD)/%: $(BUILD)/obj/%.o $(BUILD)/libsupport.a $(ARCHIVES)
	$(call say,LD,$@)mkdir -p $(@D) && $(CC) $(LDFLAGS) -o $@ $< $(BUILD)/libsupport.a \
	    -Wl,--start-group $(ARCHIVES) -Wl,--end-group $(TEST_LIBS) -lm

$(BUILD)/bench: $(call objects,$(BENCH_SOURCES)) $(BUILD)/libsupport.a $(ARCHIVES)
	$(call say,LD,$@)$(CC) $(LDFLAGS) -o $@ $(call objects,$(BENCH_SOURCES)) $(BUILD)/libsupport.a \
	    -Wl,--start-group $(ARCHIVES) -Wl,--end-group $(ALL_LIBS) -lm

# Linked with the cores and msgpack alone: a core that needs a shell, a socket or a database does not link.
$(BUILD)/sim: $(patsubst %.c,$(BUILD)/mutants/%.o,$(SIM_SOURCES)) $(BUILD)/libcores.a
	$(call say,LD,$@)$(CC) $(LDFLAGS) -o $@ $^ $(call pkg_libs,msgpack) -lm

FUZZERS := $(call binaries,$(FUZZ_SOURCES))
$(FUZZERS): $(BUILD)/%: $(BUILD)/obj/%.o $(BUILD)/libcores.a
	$(call say,LD,$@)mkdir -p $(@D) && $(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(call pkg_libs,msgpack)

-include $(shell [ -d $(BUILD) ] && find $(BUILD)/obj $(BUILD)/mutants -name '*.d' 2>/dev/null)

# ---- Running ---------------------------------------------------------------------------------------------------

# Stops with a plain line when what a target runs is not in this tree: $(call need,sources,what).
need = $(if $(strip $(1)),,@echo 'make $@: $(2) is not in this tree yet, so there is nothing to run.' >&2; exit 1)

.PHONY: install-packages
install-packages: ## install what building and testing needs (apt-get; asks for nothing when all is there)
	@deploy/install-packages build test dev

DEMO_DIR ?= /usr/include
.PHONY: demo
demo: ## install, build, and count words over DEMO_DIR=/usr/include on a private cluster
	$(call need,$(wildcard docs/examples/wordcount.c),docs/examples/wordcount.c)
	@deploy/install-packages build
	@$(MAKE) all
	$(BUILD)/examples/wordcount $(DEMO_DIR)

SIM_SEEDS ?= 1..2000
RUN_TESTS := tests/support/run-tests
unit_commands = $(UNIT_TESTS)
sim_commands = $(if $(SIM),'$(SIM) --seeds $(SIM_SEEDS) --jobs $(JOBS)')
integration_commands = $(INTEGRATION_TESTS)
wrong_commands = $(if $(WRONG_SOURCES),tests/support/run-wrong)
example_commands = $(if $(EXAMPLES),'tests/support/run-examples $(BUILD)/examples')
model_commands = $(if $(MODELS),'tests/support/run-models $(BUILD)/model')

.PHONY: test
test: ## every test: unit, simulation, integration, wrong programs, examples, models
	@deploy/install-packages build test
	@$(MAKE) test-programs
	@$(RUN_TESTS) $(unit_commands) $(sim_commands) $(integration_commands) $(wrong_commands) $(example_commands) \
	    $(model_commands)

.PHONY: test-programs
test-programs: all $(UNIT_TESTS) $(INTEGRATION_TESTS) $(PROGRAMS) $(SIM)

.PHONY: test-unit
test-unit: $(UNIT_TESTS) ## unit tests only
	$(call need,$(UNIT_TESTS),tests/unit/test_*.c)
	@$(RUN_TESTS) $(unit_commands)

.PHONY: test-integration
test-integration: all $(INTEGRATION_TESTS) $(PROGRAMS) ## tests on real processes only
	$(call need,$(INTEGRATION_TESTS),tests/integration/test_*.c)
	@$(RUN_TESTS) $(integration_commands)

.PHONY: test-wrong
test-wrong: ## programs that the four compilers must refuse
	$(call need,$(WRONG_SOURCES),tests/wrong/*.c)
	@$(RUN_TESTS) $(wrong_commands)

.PHONY: test-examples
test-examples: all ## the examples, with small inputs
	$(call need,$(EXAMPLES),docs/examples/*.c)
	@$(RUN_TESTS) $(example_commands)

# What both sanitizer targets run, inside their own BUILD.
.PHONY: test-sanitized
test-sanitized: all $(UNIT_TESTS) $(INTEGRATION_TESTS) $(PROGRAMS)
	@$(RUN_TESTS) $(unit_commands) $(integration_commands)

SUPPRESSIONS := $(abspath tests/support/suppressions)
.PHONY: test-asan
test-asan: ## unit and integration tests with the address, leak and undefined sanitizers
	@ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:strict_string_checks=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
	    LSAN_OPTIONS=suppressions=$(SUPPRESSIONS)/lsan:print_suppressions=0 \
	    MOBULA_TEST_SLOWER=4 $(MAKE) SAN=address,undefined OPTIMIZE=-O1 test-sanitized

.PHONY: test-tsan
test-tsan: ## unit and integration tests with the thread sanitizer
	@TSAN_OPTIONS=suppressions=$(SUPPRESSIONS)/tsan:halt_on_error=1:second_deadlock_stack=1 \
	    MOBULA_TEST_SLOWER=8 $(MAKE) SAN=thread OPTIMIZE=-O1 test-sanitized

.PHONY: sim
sim: $(SIM) ## the simulated cluster: SEED=n [TRACE=1] replays one, SEEDS=a..b runs many
	$(call need,$(SIM),tests/sim/*.c)
	@$(SIM) $(if $(SEED),--seed $(SEED) $(if $(TRACE),--trace),--seeds $(or $(SEEDS),$(SIM_SEEDS)) --jobs $(JOBS))

.PHONY: sim-mutants
sim-mutants: $(SIM) ## show that the simulation finds each deliberate bug
	$(call need,$(SIM),tests/sim/*.c)
	@$(SIM) --mutants

.PHONY: bench
bench: all $(BENCH) $(PROGRAMS) ## measure: a table, and build/bench.json
	$(call need,$(BENCH),tests/bench/*.c)
	@$(BENCH) --json $(BUILD)/bench.json

.PHONY: bench-history
bench-history: ## compare with revision BASE=rev in alternating rounds
	$(call need,$(BENCH),tests/bench/*.c)
	$(call need,$(BASE),BASE=rev on the command line)
	@tests/support/bench-history $(BASE)

SECONDS_EACH ?= 20
.PHONY: fuzz
fuzz: ## fuzz each decoder for SECONDS_EACH=20 seconds
	$(call need,$(FUZZ_SOURCES),tests/fuzz/fuzz_*.c)
	@$(MAKE) BUILD=build/fuzz CC=clang OPTIMIZE=-O1 SAN=fuzzer-no-link,address,undefined fuzzers
	@for fuzzer in $(patsubst %.c,build/fuzz/%,$(FUZZ_SOURCES)); do \
	    tests/support/run-fuzzer $$fuzzer $(SECONDS_EACH) || exit 1; \
	done

.PHONY: fuzzers
fuzzers: $(FUZZERS)

.PHONY: model
model: ## check the Promela models and their seeded bugs
	$(call need,$(MODELS),tests/model/*.pml)
	@tests/support/run-models $(BUILD)/model

# The page of the protocol is printed from the .def files.
PROTOCOL_PAGE := $(BUILD)/protocol-page
$(PROTOCOL_PAGE): $(call objects,docs/generate/protocol.c)
	$(call say,LD,$@)$(CC) $(LDFLAGS) -o $@ $^

.PHONY: docs
docs: $(PROTOCOL_PAGE) ## write docs/PROTOCOL.md from the .def files
	@$(PROTOCOL_PAGE) < docs/generate/protocol.md > docs/PROTOCOL.md

.PHONY: lint
lint: ## everything that the style is kept by machine in
	@$(MAKE) all $(PROTOCOL_PAGE)
	@$(MAKE) CC=clang BUILD=build/clang objects
	@CORE_SOURCES='$(CORE_SOURCES)' BUILD='$(BUILD)' CFLAGS='$(CFLAGS)' PACKAGE_CFLAGS='$(PACKAGE_CFLAGS)' \
	    JOBS='$(JOBS)' tests/lint/run

.PHONY: format
format: ## rewrite all sources with clang-format
	@git ls-files -co --exclude-standard '*.c' '*.h' | xargs -r clang-format -i

.PHONY: coverage
coverage: ## lines of each folder that the unit, simulation and integration tests reach
	@rm -rf build/coverage
	@$(MAKE) BUILD=build/coverage OPTIMIZE=-O0 EXTRA_CFLAGS=--coverage EXTRA_LDFLAGS=--coverage test-coverage
	@tests/support/report-coverage build/coverage

.PHONY: test-coverage
test-coverage: test-programs
	@MOBULA_TEST_SLOWER=2 $(RUN_TESTS) $(unit_commands) $(sim_commands) $(integration_commands)

.PHONY: install
install: ## install to PREFIX=/usr/local (DESTDIR= for packaging)
	@$(MAKE) BUILD=build/install LIBEXEC_DIR=$(PREFIX)/libexec/mobula install-files

.PHONY: install-files
install-files: all
	install -d $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/libexec/mobula
	install -m 644 libclient/include/mobula.h $(DESTDIR)$(PREFIX)/include/
	install -m 644 $(BUILD)/libmobula.a $(DESTDIR)$(PREFIX)/lib/
	install -m 755 $(BUILD)/libmobula.so.0 $(DESTDIR)$(PREFIX)/lib/
	ln -sf libmobula.so.0 $(DESTDIR)$(PREFIX)/lib/libmobula.so
	install -m 755 $(DAEMONS) $(DESTDIR)$(PREFIX)/libexec/mobula/
	@printf '%s\n' 'prefix=$(PREFIX)' '' 'Name: mobula' 'Description: distributed tasks and objects for C programs' \
	    'Version: $(VERSION)' 'Requires.private: libzmq msgpack' 'Cflags: -I$${prefix}/include' \
	    'Libs: -L$${prefix}/lib -lmobula' 'Libs.private: -pthread' \
	    > $(DESTDIR)$(PREFIX)/lib/pkgconfig/mobula.pc

.PHONY: clean
clean: ## remove everything that was built
	@rm -rf build

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/\1\t\2/p' $(firstword $(MAKEFILE_LIST)) | \
	    while IFS=$$'\t' read -r target text; do printf '  make %-18s %s\n' "$$target" "$$text"; done
