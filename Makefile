# cloudsync: builds by PGXS. `make demo` and `make test` need nothing beforehand
# but git, make and gcc on a Debian machine: they install what they use.

EXTENSION = cloudsync
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" cloudsync.control)

MODULE_big = cloudsync
SOURCES = $(sort $(wildcard src/*.c src/*/*.c))
OBJS = $(SOURCES:.c=.o)
HEADERS_cloudsync = $(sort $(wildcard include/cloudsync/*.h))

# The install script, one part a subject, in the order in which they build on
# each other.
SQL_PARTS = roles connection source push inbox channel history worker views grants
DATA_built = cloudsync--$(EXTVERSION).sql

PG_CPPFLAGS = -Iinclude -DCLOUDSYNC_VERSION='"$(EXTVERSION)"'
PG_CFLAGS = -std=gnu11 -Wall -Wextra -Werror -Wno-unused-parameter \
	-Wno-sign-compare -Wno-missing-field-initializers
SHLIB_LINK = -lcrypto

# Named crash points (docs/internals.md), for tests alone.
ifdef CRASH_POINTS
PG_CPPFLAGS += -DCLOUDSYNC_CRASH_POINTS
endif

EXTRA_CLEAN = build cloudsync--*.sql

# The two commands for people find their tools themselves; the rest is PGXS.
ifneq ($(filter-out demo test setup,$(or $(MAKECMDGOALS),all)),)
PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

$(OBJS): $(HEADERS_cloudsync)

# src/sql and src/store hold .o files of other names than sql/*.sql
cloudsync--$(EXTVERSION).sql: $(SQL_PARTS:%=sql/%.sql) cloudsync.control Makefile
	cat $(SQL_PARTS:%=sql/%.sql) > $@
endif

.PHONY: demo test setup
setup:
	@test/setup.sh
demo:
	@test/setup.sh && test/demo/demo.sh
test:
	@test/setup.sh && test/run.sh
