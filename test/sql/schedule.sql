-- When the next collection is planned: arithmetic with the time as an argument (L2).
SET client_min_messages = error;
CREATE EXTENSION cloudsync;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';

-- the plans of a daily channel, one after the other, in local time
CREATE FUNCTION plans(every interval, at time, zone text, first timestamptz, n int)
    RETURNS TABLE (local timestamp, utc timestamptz) LANGUAGE plpgsql AS $$
DECLARE
    planned timestamptz := NULL;
BEGIN
    FOR i IN 1..n LOOP
        planned := cloudsync.next_collect(every, at, zone, planned, coalesce(planned, first));
        local := planned AT TIME ZONE zone;
        utc := planned;
        RETURN NEXT;
    END LOOP;
END
$$;

-- the clock jumps from 02:00 to 03:00 on 2026-03-29 in Paris
SELECT * FROM plans('1 day', '02:30', 'Europe/Paris', '2026-03-27 12:00+00', 4);
-- and back from 03:00 to 02:00 on 2026-10-25: 02:30 is there twice, one is taken
SELECT * FROM plans('1 day', '02:30', 'Europe/Paris', '2026-10-23 12:00+00', 4);
-- midnight does not exist on 2018-11-04 in Sao Paulo
SELECT * FROM plans('1 day', '00:00', 'America/Sao_Paulo', '2018-11-02 12:00+00', 4);
-- and 23:30 exists twice on 2018-02-17
SELECT * FROM plans('1 day', '23:30', 'America/Sao_Paulo', '2018-02-15 12:00+00', 4);
-- half an hour on Lord Howe
SELECT * FROM plans('1 day', '02:15', 'Australia/Lord_Howe', '2026-10-02 03:00+00', 3);
SELECT * FROM plans('1 day', '01:45', 'Australia/Lord_Howe', '2026-04-03 03:00+00', 3);
-- a whole local date that was left out: 2011-12-30 in Apia
SELECT * FROM plans('1 day', '02:00', 'Pacific/Apia', '2011-12-28 20:00+00', 3);
-- a local time that the clock jumps over at midnight does not skip the day after
SELECT * FROM plans('1 day', '23:30', 'America/Scoresbysund', '2025-03-28 12:00+00', 4);
SELECT * FROM plans('2 days', '23:30', 'America/Scoresbysund', '2025-03-27 12:00+00', 3);

-- every local date of a year has exactly one
SELECT zone, at, count(*) AS plans, count(DISTINCT local::date) AS dates, min(local::date), max(local::date)
FROM (VALUES ('Europe/Paris', time '02:30'), ('Europe/Paris', '02:00'), ('Europe/Paris', '03:00'), ('America/New_York', '02:59:59'),
             ('Australia/Lord_Howe', '02:10'), ('Africa/Casablanca', '02:30'), ('Asia/Kathmandu', '00:00'), ('UTC', '23:59:59')) z (zone, at),
     LATERAL plans('1 day', at, zone, (timestamp '2026-01-01' AT TIME ZONE zone) - interval '1 microsecond', 365)
GROUP BY zone, at ORDER BY zone, at;

-- every second day keeps its rhythm through a change of the clock
SELECT * FROM plans('2 days', '02:30', 'Europe/Paris', '2026-03-26 12:00+00', 4);
-- a month
SELECT * FROM plans('1 month', '06:00', 'Europe/Paris', '2026-01-30 12:00+00', 3);
-- 24 hours are a day
SELECT * FROM plans('24 hours', '02:30', 'Europe/Paris', '2026-03-27 12:00+00', 3);

-- with a time part: elapsed time, whatever the clock does
SELECT * FROM plans('1 hour', '02:00', 'Europe/Paris', '2026-03-29 00:10+00', 3);
SELECT * FROM plans('30 minutes', '02:00', 'Europe/Paris', '2026-10-25 00:10+00', 4);

-- missed for days: one, and then as planned
SELECT cloudsync.next_collect('1 day', '02:00', 'Europe/Paris', '2026-01-05 01:00+00', '2026-01-09 15:00+00');
SELECT cloudsync.next_collect('3 days', '02:00', 'Europe/Paris', '2026-01-05 01:00+00', '2026-01-09 15:00+00');
SELECT cloudsync.next_collect('1 hour', '02:00', 'Europe/Paris', '2026-01-05 01:20+00', '2026-01-09 15:00+00');
-- late by an hour: today's is made up, tomorrow's is at its time
SELECT cloudsync.next_collect('1 day', '02:00', 'Europe/Paris', '2026-01-05 01:00+00', '2026-01-05 02:00+00');
-- a moment before and after
SELECT cloudsync.next_collect('1 day', '02:00', 'UTC', NULL, '2026-01-05 01:59:59.999999+00');
SELECT cloudsync.next_collect('1 day', '02:00', 'UTC', NULL, '2026-01-05 02:00+00');
-- switched on in the middle of the day: it runs at once, and then at its time
SELECT cloudsync.next_collect('1 day', '02:00', 'UTC', '2026-01-05 15:00+00', '2026-01-05 15:00:01+00');
