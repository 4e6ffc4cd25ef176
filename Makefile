# cloudsync: builds by PGXS (`make && make install`). `make demo` and `make test`
# need nothing beforehand but git, make and gcc on a Debian machine: they
# install what they use.

EXTENSION = cloudsync
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" cloudsync.control)

MODULE_big = cloudsync
SOURCES = $(sort $(wildcard src/*.c src/*/*.c))
OBJS = $(SOURCES:.c=.o)
HEADERS_cloudsync = $(sort $(wildcard include/cloudsync/*.h))
ALL_HEADERS = $(HEADERS_cloudsync) $(sort $(wildcard src/*/*.h))

# The install script, one part a subject, in the order in which they build on
# each other.
SQL_PARTS = roles vault connection oauth source track_columns track push push_now inbox ocr recipient channel item history metrics status worker views search find report columns grants
DATA_built = cloudsync--$(EXTVERSION).sql

PG_CPPFLAGS = -Iinclude -DCLOUDSYNC_VERSION='"$(EXTVERSION)"'
WARNINGS = -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare \
	-Wno-missing-field-initializers
PG_CFLAGS = -std=gnu11 $(WARNINGS)
SHLIB_LINK = -lcurl -lexpat -lssl -lcrypto

# Named crash points (docs/internals.md), for tests alone.
ifdef CRASH_POINTS
PG_CPPFLAGS += -DCLOUDSYNC_CRASH_POINTS
endif

EXTRA_CLEAN = build cloudsync--*.sql

# The commands for people find their tools themselves; the rest is PGXS.
ifneq ($(filter-out demo test setup cppcheck format,$(or $(MAKECMDGOALS),all)),)
PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)

# Bitcode for the JIT is made where the server's own clang is, and left out
# where it is not.
PG_CLANG := $(shell sed -n 's/^CLANG *= *//p' $(dir $(PGXS))../Makefile.global)
ifeq ($(shell command -v $(or $(PG_CLANG),clang)),)
override with_llvm = no
endif
include $(PGXS)

# Objects of test builds are never linked with others, and an object whose
# source is gone does not stay in the library: these two files change when the
# kind of build or the list of objects does.
build/kind: NOW = $(EXTVERSION) $(PG_CONFIG) $(CRASH_POINTS) $(COPT)
build/objects: NOW = $(OBJS)
build/kind build/objects: FORCE
	@mkdir -p build
	@echo '$(NOW)' | cmp -s - $@ || echo '$(NOW)' > $@
.PHONY: FORCE

# The program that reads documents stands beside the library, which finds it there.
install: install-ocr
.PHONY: install-ocr
install-ocr: installdirs
	$(INSTALL_SCRIPT) $(srcdir)/src/ocr/cloudsync_ocr.sh '$(DESTDIR)$(pkglibdir)/cloudsync_ocr'
uninstall: uninstall-ocr
.PHONY: uninstall-ocr
uninstall-ocr:
	rm -f '$(DESTDIR)$(pkglibdir)/cloudsync_ocr'

$(OBJS) $(OBJS:.o=.bc): $(ALL_HEADERS) build/kind
$(shlib): build/objects

# src/sql and src/store hold .o files of other names than sql/*.sql
cloudsync--$(EXTVERSION).sql: $(SQL_PARTS:%=sql/%.sql) cloudsync.control Makefile
	cat $(SQL_PARTS:%=sql/%.sql) > $@

# Unit programs: test/unit/NAME.c with the sources that its first line names,
# /* sources: src/base/a.c src/base/b.c */, as plain programs that print TAP.
UNIT_PROGRAMS = $(patsubst test/unit/%.c,build/unit/%,$(sort $(wildcard test/unit/*.c)))
UNIT_FLAGS = $(WARNINGS) -std=gnu11 -O1 -g -DFRONTEND \
	$(filter-out -DCLOUDSYNC_CRASH_POINTS,$(CPPFLAGS))
UNIT_LIBS = -L$(shell $(PG_CONFIG) --pkglibdir) -L$(shell $(PG_CONFIG) --libdir) \
	-lpgcommon -lpgport -lcurl -lexpat -lssl -lcrypto -lpthread -lm
unit_sources = $(shell sed -n '1s,^/\* *sources:\(.*\)\*/.*,\1,p' test/unit/$(1).c)

# the tested sources' objects, shared by all programs
unit_objects = $(patsubst %.c,build/unit/objects/%.o,$(wildcard $(call unit_sources,$(1))))

.PHONY: unit
unit: $(UNIT_PROGRAMS)
.SECONDEXPANSION:
$(UNIT_PROGRAMS): build/unit/%: test/unit/%.c $$(call unit_objects,$$*) \
		$(wildcard test/unit/*.h test/fuzz/*.h) $(ALL_HEADERS) Makefile
	@mkdir -p build/unit
	$(CC) $(UNIT_FLAGS) -o $@ $(filter %.c %.o,$^) $(UNIT_LIBS)
build/unit/objects/%.o: %.c $(ALL_HEADERS) $(wildcard test/fuzz/*.h) Makefile
	@mkdir -p $(dir $@)
	$(CC) $(UNIT_FLAGS) -c -o $@ $<
endif

.PHONY: demo test setup cppcheck format
setup:
	@test/setup.sh
demo:
	@test/setup.sh && test/demo/demo.sh
test:
	@test/setup.sh && test/run.sh

# cppcheck's default set, over both kinds of build.
cppcheck:
	cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 -Iinclude \
		--include=test/cppcheck.h -DPG_VERSION_NUM=150000 -DCLOUDSYNC_CRASH_POINTS \
		--suppress=missingInclude --suppress=missingIncludeSystem \
		--suppress=normalCheckLevelMaxBranches src

format:
	clang-format -i $(SOURCES) $(ALL_HEADERS) $(wildcard test/unit/*.c)
