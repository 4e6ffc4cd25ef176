/* sources: src/transfer/pace.c */
/*
 * The pace of an endpoint, with a clock of the test's own.
 */
#include "postgres_fe.h"

#include "../../src/transfer/pace.h"
#include "tap.h"

#define SECOND INT64CONST(1000000)

/* Requests, each begun as soon as it may, over so many seconds. */
static int
requests_in(CsPace *pace, int64 *now, int seconds)
{
	int64 end = *now + seconds * SECOND;
	int n = 0;

	while (*now < end)
	{
		CsPaceTicket ticket = {0};
		int64 at = cs_pace_start(pace, &ticket, *now);

		if (at == 0)
		{
			n++;
			cs_pace_end(pace, &ticket, *now, true, false, -1);
		}
		else
			*now = at;
	}
	return n;
}

static void
test_requests(void)
{
	CsPace pace = {0};
	int64 now = 5000 * SECOND;
	int n;

	cs_pace_set(&pace, 0, 0.5);
	n = requests_in(&pace, &now, 100);
	tap_ok(n >= 50 && n <= 51, "half a request a second");
	cs_pace_set(&pace, 0, 100);
	n = requests_in(&pace, &now, 10);
	tap_ok(n >= 1000 && n <= 1021, "a hundred a second");
	now += 1000 * SECOND;
	n = requests_in(&pace, &now, 1);
	tap_ok(n >= 100 && n <= 121, "a long rest is worth a few at once");
	cs_pace_set(&pace, 0, 0);
	pace.request_at = now + SECOND;
	{
		CsPaceTicket ticket = {0};

		tap_ok(cs_pace_start(&pace, &ticket, now) == 0, "no limit");
	}
}

static void
test_bytes(void)
{
	CsPace pace = {0};
	int64 now = 5000 * SECOND;
	int64 end;
	int64 again = 0;
	int64 sum = 0;

	tap_ok(cs_pace_bytes(&pace, 1000000, now, &again) == 1000000,
		   "bytes without a limit");
	cs_pace_set(&pace, 1000000, 0);
	for (end = now + 20 * SECOND; now < end;)
	{
		int64 n = cs_pace_bytes(&pace, 524288, now, &again);

		sum += n;
		if (n == 0)
		{
			if (again <= now)
				break;
			now = again;
		}
	}
	tap_ok(sum > 19500000 && sum < 20600000, "a megabyte a second");
	cs_pace_set(&pace, 10, 0);
	tap_ok(cs_pace_bytes(&pace, 100, now + 100000 * SECOND, &again) > 0,
		   "a very low limit lets something go");
}

/* Bytes that nobody asked about, as listings are, with each request. */
static void
test_spent(void)
{
	CsPace pace = {0};
	int64 now = 5000 * SECOND;
	int64 end = now + 20 * SECOND;
	int64 sum = 0;

	cs_pace_set(&pace, 1000000, 0);
	while (now < end)
	{
		CsPaceTicket ticket = {0};
		int64 at = cs_pace_start(&pace, &ticket, now);

		if (at != 0)
		{
			now = at;
			continue;
		}
		sum += 100000;
		cs_pace_spent(&pace, 100000, now);
		cs_pace_end(&pace, &ticket, now, true, false, -1);
	}
	tap_ok(sum > 19500000 && sum < 20600000,
		   "requests wait for what was spent before");
}

static void
test_overload(void)
{
	CsPace pace = {0};
	CsPaceTicket tickets[16] = {{0}};
	CsPaceTicket more = {0};
	int64 now = 5000 * SECOND;
	int running = 0;

	for (int i = 0; i < 16; i++)
		running += cs_pace_start(&pace, &tickets[i], now) == 0;
	tap_ok(running == 16, "without trouble there is no limit at once");
	for (int i = 0; i < 8; i++)
		cs_pace_end(&pace, &tickets[i], now, false, true, -1);
	tap_ok(pace.limit == 8, "the number is halved once for all that were sent");
	tap_ok(cs_pace_start(&pace, &more, now) == PG_INT64_MAX,
		   "the next waits until another has ended");
	cs_pace_end(&pace, &tickets[8], now, true, false, -1);
	tap_ok(cs_pace_start(&pace, &more, now) == 0, "which it does");
	cs_pace_end(&pace, &more, now, false, true, 2000);
	tap_ok(pace.limit == 4 && cs_pace_start(&pace, &more, now) == now + 2 * SECOND,
		   "trouble of a later one halves it again, and a pause is made");
	now += 2 * SECOND;
	for (int i = 9; i < 16; i++)
		cs_pace_end(&pace, &tickets[i], now, true, false, -1);
	tap_ok(pace.running == 0, "all ended");
	(void) requests_in(&pace, &now, 0);
	for (int i = 0; i < 16 * 70; i++)
	{
		if (cs_pace_start(&pace, &more, now) == 0)
			cs_pace_end(&pace, &more, now, true, false, -1);
	}
	tap_ok(pace.limit == 0, "successes lift the limit again");
	(void) cs_pace_start(&pace, &more, now);
	cs_pace_end(&pace, &more, now, false, true, INT64CONST(1) << 60);
	tap_ok(pace.not_before == now + 3600 * SECOND, "no pause is longer than an hour");
	cs_pace_end(&pace, &more, now, false, true, -1);
	tap_ok(pace.running == 0, "what ended does not end twice");
}

int
main(void)
{
	test_requests();
	test_bytes();
	test_spent();
	test_overload();
	return tap_done();
}
