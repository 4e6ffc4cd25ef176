/*
 * report.sql: cloudsync_report(), one page of HTML that needs nothing but itself
 * (H5): no script, no picture or font from elsewhere, charts as inline SVG. It is
 * well-formed XML too. Names, errors and whatever else people or services wrote is
 * put in by cloudsync.html alone. Each chart has its figures as a table beside it,
 * and is a picture with title and description for who hears the page.
 */

-- Text as it may stand in an element or a quoted attribute; what no page may hold
-- (controls, noncharacters) becomes U+FFFD.
CREATE FUNCTION cloudsync.html(value text) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT replace(replace(replace(replace(replace(
        regexp_replace(coalesce(html.value, ''), '[\u0001-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\ufdd0-\ufdef\ufffe\uffff]', chr(65533), 'g'),
        '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;'), '''', '&#39;');
END;
-- The same for a name, whose direction of writing must not reach into what stands beside it.
CREATE FUNCTION cloudsync.html_name(value text) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT '<bdi>' || cloudsync.html(html_name.value) || '</bdi>';
END;

CREATE FUNCTION cloudsync.html_count(value numeric) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT to_char(coalesce(html_count.value, 0), 'FM999,999,999,999,990');
END;
CREATE FUNCTION cloudsync.html_bytes(value numeric) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT CASE WHEN v = 0 THEN '0' WHEN n < 1 THEN format(CASE round(v) WHEN 1 THEN '%s byte' ELSE '%s bytes' END, trim_scale(round(v)))
                ELSE format('%s %s', trim_scale(round(w, CASE WHEN w < 10 THEN 1 ELSE 0 END)),
                            (ARRAY['kB', 'MB', 'GB', 'TB', 'PB', 'EB'])[n]) END
    FROM (SELECT coalesce(html_bytes.value, 0)) t (v),
         -- what would be rounded to 1024 is one of the next unit
         LATERAL (SELECT CASE WHEN v < 1023.5 THEN 0 ELSE least(6, floor(log(1024, v * 1024 / 1023.5)))::integer END) u (n),
         LATERAL (SELECT v / power(1024::numeric, n)) d (w);
END;
CREATE FUNCTION cloudsync.html_share(part numeric, whole numeric) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    -- 100 % is said of all alone, 0 % of none
    SELECT CASE WHEN coalesce(whole, 0) = 0 THEN '–' WHEN part = whole THEN '100 %' WHEN part = 0 THEN '0 %'
                ELSE to_char(least(99.9, greatest(0.1, 100 * part / whole)), 'FM990.0') || ' %' END;
END;

-- What ended in a day (week, month), for each connection, kind and state.
CREATE TYPE cloudsync.report_fact AS (
    bucket date,
    connection_id bigint,
    kind text,
    state text,
    runs bigint,
    files_done bigint,
    bytes_sent numeric,
    bytes_received numeric,
    on_time bigint,
    late bigint,
    last_at timestamptz
);

-- One pass over the history since then. A run that shared another's execution is not counted beside it. The planner
-- cannot know how few buckets there are, and would sort the history to find them.
CREATE FUNCTION cloudsync.report_facts(connections bigint[], since timestamptz, step text, zone text) RETURNS SETOF cloudsync.report_fact
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_sort = off
BEGIN ATOMIC
    SELECT date_trunc(report_facts.step, r.finished_at AT TIME ZONE report_facts.zone)::date, r.connection_id, r.kind, r.state,
           count(*), sum(r.files_done), sum(r.bytes_sent), sum(r.bytes_received),
           count(*) FILTER (WHERE r.started_at <= r.due_at), count(*) FILTER (WHERE r.started_at > r.due_at), max(r.finished_at)
    FROM cloudsync.run r
    WHERE r.kind IN ('push', 'collect') AND r.finished_at >= report_facts.since
      AND r.connection_id = ANY (report_facts.connections) AND r.shared_run_id IS NULL
    GROUP BY 1, 2, 3, 4;
END;

-- A round number at or above the largest value, half of which is round too.
CREATE FUNCTION cloudsync.report_top(largest numeric, bytes boolean) RETURNS numeric
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT unit * magnitude * (SELECT min(s) FROM unnest(CASE WHEN bytes OR magnitude >= 10 THEN ARRAY[1, 2, 3, 4, 5, 6, 8, 10]
                                                              ELSE ARRAY[2, 4, 6, 8, 10] END) s
                               WHERE s * magnitude * unit >= m)
    FROM (SELECT greatest(report_top.largest, 1)) a (m),
         LATERAL (SELECT CASE WHEN bytes THEN 1024 ^ floor(log(1024, m)) ELSE 1 END) b (unit),
         LATERAL (SELECT 10 ^ floor(log(m / unit))) c (magnitude);
END;

-- A date as the axis, the title of a bar and the table's rows have it.
CREATE FUNCTION cloudsync.report_date(day date, step text) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT CASE step WHEN 'month' THEN to_char(day, 'Mon YYYY') WHEN 'week' THEN 'week of ' || to_char(day, 'FMDD Mon YYYY')
                     ELSE to_char(day, 'FMDD Mon YYYY') END;
END;

-- A time, to the minute where it is clear of which year it is.
CREATE FUNCTION cloudsync.report_time(at timestamptz, zone text) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT to_char(report_time.at AT TIME ZONE report_time.zone,
                   CASE WHEN report_time.at > statement_timestamp() - interval '300 days' THEN 'FMDD Mon HH24:MI' ELSE 'FMDD Mon YYYY' END);
END;

/*
 * One chart: stacked bars, a bar a bucket, with its legend, its summary in words,
 * and its figures as a table. counts[series][bucket]. The picture is stretched to
 * the width there is, so no text is in it: axes are beside it.
 */
CREATE FUNCTION cloudsync.report_chart(id text, title text, step text, buckets date[], series text[], classes text[],
    counts numeric[], bytes boolean) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    n integer := cardinality(buckets);
    total numeric := 0;
    largest numeric := 0;
    largest_at integer := 1;
    top numeric;
    sums numeric[] := '{}';
    one numeric;
    y numeric;
    height numeric;
    parts text;
    told text;
    bars text := '';
    grid text := '';
    rows text := '';
    cells text;
    labels text := '';
    legend text := '';
    words text;
    position integer;
BEGIN
    FOR i IN 1..n LOOP
        one := (SELECT sum(counts[s][i]) FROM generate_subscripts(series, 1) s);
        sums := sums || one;
        total := total + one;
        IF one > largest THEN
            largest := one;
            largest_at := i;
        END IF;
    END LOOP;
    IF total = 0 THEN
        RETURN format('<section class="card chart" aria-labelledby="%1$s"><h2 id="%1$s">%2$s</h2><p class="none">None in this time.</p></section>',
                      id, cloudsync.html(title));
    END IF;
    top := cloudsync.report_top(largest, bytes);
    FOR i IN 1..n LOOP
        y := 100;
        parts := '';
        told := '';
        cells := '';
        FOR s IN 1..cardinality(series) LOOP
            one := counts[s][i];
            cells := cells || format('<td>%s</td>', CASE WHEN bytes THEN cloudsync.html_bytes(one) ELSE cloudsync.html_count(one) END);
            CONTINUE WHEN one = 0;
            -- what is there is seen, however little it is beside the rest
            height := greatest(round(100 * one / top, 2), 1.5);
            y := y - height;
            parts := parts || format('<rect class="%s" x="%s" y="%s" width="8" height="%s"/>', classes[s], i * 10 - 9, greatest(y, 0), height);
            told := told || format(', %s %s', CASE WHEN bytes THEN cloudsync.html_bytes(one) ELSE cloudsync.html_count(one) END, series[s]);
        END LOOP;
        IF parts <> '' THEN
            bars := bars || format('<g><title>%s: %s</title><rect class="hit" x="%s" y="0" width="10" height="100"/>%s</g>',
                                   cloudsync.report_date(buckets[i], step), cloudsync.html(substr(told, 3)), i * 10 - 10, parts);
        END IF;
        rows := format('<tr><th scope="row">%s</th>%s</tr>', cloudsync.report_date(buckets[i], step), cells) || rows;
    END LOOP;
    FOR line IN 0..2 LOOP
        grid := grid || format('<line x1="0" x2="%s" y1="%s" y2="%s"/>', n * 10, line * 50, line * 50);
    END LOOP;
    FOR k IN 0..least(n, 5) - 1 LOOP
        position := CASE WHEN n = 1 THEN 1 ELSE 1 + round(k * (n - 1) / (least(n, 5) - 1)::numeric) END;
        labels := labels || format('<span%s style="left:%s%%">%s</span>', CASE WHEN k % 2 = 1 AND n >= 5 THEN ' class="minor"' ELSE '' END,
            round((position - 0.5) * 100 / n, 2),
            to_char(buckets[position], CASE WHEN step = 'month' OR (step = 'week' AND n > 54) THEN 'Mon YYYY' ELSE 'FMDD Mon' END));
    END LOOP;
    FOR s IN 1..cardinality(series) LOOP
        legend := legend || format('<li><svg viewBox="0 0 12 12" aria-hidden="true"><rect class="%s" width="12" height="12" rx="2"/></svg>%s <b>%s</b></li>',
            classes[s], cloudsync.html(series[s]), (SELECT CASE WHEN bytes THEN cloudsync.html_bytes(sum(counts[s][i])) ELSE cloudsync.html_count(sum(counts[s][i])) END
                                                    FROM generate_series(1, n) i));
    END LOOP;
    words := format('%s in all, %s a %s on average; most in the %s %s: %s.',
        CASE WHEN bytes THEN cloudsync.html_bytes(total) ELSE cloudsync.html_count(total) END,
        CASE WHEN bytes THEN cloudsync.html_bytes(total / n) ELSE trim_scale(round(total / n, 1))::text END, step,
        step, replace(cloudsync.report_date(buckets[largest_at], step), 'week of', 'of'),
        CASE WHEN bytes THEN cloudsync.html_bytes(largest) ELSE cloudsync.html_count(largest) END);
    words := replace(replace(words, 'in the day ', 'on '), 'in the month ', 'in ');
    RETURN format('<section class="card chart" aria-labelledby="%1$s"><h2 id="%1$s">%2$s by %3$s</h2><p class="words">%4$s</p>'
        '<ul class="legend">%5$s</ul><div class="plot"><div class="y" aria-hidden="true"><span>%6$s</span><span>%7$s</span><span>0</span></div>'
        '<svg viewBox="0 0 %8$s 100" preserveAspectRatio="none" role="img" aria-labelledby="%1$s-t %1$s-d"><title id="%1$s-t">%2$s by %3$s</title>'
        '<desc id="%1$s-d">Bars, one a %3$s. %4$s The table below has each.</desc><g class="grid">%9$s</g>%10$s</svg>'
        '<div class="x" aria-hidden="true">%11$s</div></div>',
        id, cloudsync.html(title), step, words, legend,
        CASE WHEN bytes THEN cloudsync.html_bytes(top) ELSE cloudsync.html_count(top) END,
        CASE WHEN bytes THEN cloudsync.html_bytes(top / 2) ELSE cloudsync.html_count(top / 2) END,
        n * 10, grid, bars, labels)
        || format('<details><summary>Figures by %2$s</summary><div class="scroll" role="region" aria-label="%1$s by %2$s, figures" tabindex="0"><table>'
        '<caption class="unseen">%1$s by %2$s, the latest first</caption><thead><tr><th scope="col">%3$s</th>%4$s</tr></thead><tbody>%5$s</tbody></table></div></details></section>',
        cloudsync.html(title), step, initcap(step),
        (SELECT string_agg(format('<th scope="col">%s</th>', cloudsync.html(upper(left(t.name, 1)) || substr(t.name, 2))), '' ORDER BY t.no)
         FROM unnest(series) WITH ORDINALITY t (name, no)), rows);
END
$$;

-- A table with its heading, and the words in its place where it has no row. A
-- column of text has a * before its name.
CREATE FUNCTION cloudsync.report_table(id text, title text, caption text, head text[], rows text, if_none text) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT format('<section class="card" aria-labelledby="%1$s"><h2 id="%1$s">%2$s</h2>', report_table.id, cloudsync.html(report_table.title))
        || CASE WHEN coalesce(report_table.rows, '') = '' THEN format('<p class="none">%s</p>', cloudsync.html(report_table.if_none))
           ELSE format('<p class="words">%s</p><div class="scroll" role="region" aria-labelledby="%s" tabindex="0"><table><caption class="unseen">%s</caption>'
                '<thead><tr>%s</tr></thead><tbody>%s</tbody></table></div>',
                cloudsync.html(report_table.caption), report_table.id, cloudsync.html(report_table.title),
                (SELECT string_agg(format('<th scope="col"%s>%s</th>', CASE WHEN h.name LIKE '*%' THEN ' class="text"' ELSE '' END,
                                          cloudsync.html(ltrim(h.name, '*'))), '' ORDER BY h.no)
                 FROM unnest(report_table.head) WITH ORDINALITY h (name, no)), report_table.rows) END
        || '</section>';
END;

-- What a run's error says without the names and numbers in it, so that those of one cause come together.
CREATE FUNCTION cloudsync.failure_cause(error text) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT coalesce(nullif(btrim(left(regexp_replace(regexp_replace(left(failure_cause.error, 400),
        '"[^"]*"|''[^'']*''|(^|\s)/\S+', '\1…', 'g'), '[0-9a-f]{8,}|[0-9]+', 'n', 'g'), 160)), ''), 'no cause was noted');
END;

-- Why runs failed, most often first.
CREATE FUNCTION cloudsync.report_failures(connections bigint[], since timestamptz, zone text) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH failed AS (
        SELECT r.error, r.connection_id, r.state, count(*) AS n, max(r.finished_at) AS last_at
        FROM cloudsync.run r
        WHERE r.kind IN ('push', 'collect') AND r.finished_at >= report_failures.since AND r.state IN ('failed', 'partial')
          AND r.connection_id = ANY (report_failures.connections) AND r.shared_run_id IS NULL
        GROUP BY r.error, r.connection_id, r.state
    ), causes AS (
        SELECT cloudsync.failure_cause(f.error) AS cause, sum(f.n) AS n, coalesce(sum(f.n) FILTER (WHERE f.state = 'partial'), 0) AS in_part,
               max(f.last_at) AS last_at, array_agg(DISTINCT c.name ORDER BY c.name) AS connections
        FROM failed f JOIN cloudsync.connection c ON c.connection_id = f.connection_id
        GROUP BY 1
    )
    SELECT cloudsync.report_table('failures', 'Failures by cause', 'Runs that failed, or failed with some of their files, by what they said',
        ARRAY['Cause', '*Runs', 'Of them in part', '*Connections', 'Last'],
        (SELECT string_agg(format('<tr><th scope="row" class="long">%s</th><td class="text"><span class="bar"><svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
                '<rect class="failed" width="%s" height="8"/></svg></span>%s</td><td>%s</td><td class="text name">%s</td><td>%s</td></tr>',
                cloudsync.html_name(t.cause), greatest(round(100 * t.n / t.most, 1), 2), cloudsync.html_count(t.n), cloudsync.html_count(t.in_part),
                (SELECT string_agg(cloudsync.html_name(u.name), ', ') FROM unnest(t.connections[1:3]) u (name))
                    || CASE WHEN cardinality(t.connections) > 3 THEN format(' and %s more', cardinality(t.connections) - 3) ELSE '' END,
                cloudsync.report_time(t.last_at, report_failures.zone)), '' ORDER BY t.n DESC, t.cause)
         FROM (SELECT c.*, max(c.n) OVER () AS most FROM causes c ORDER BY c.n DESC, c.cause LIMIT 12) t),
        'No run failed in this time.');
END;

-- The runs that took longest.
CREATE FUNCTION cloudsync.report_slowest(connections bigint[], since timestamptz, zone text) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH slowest AS (
        SELECT r.run_id, r.kind, r.connection_id, r.channel_id, r.dossier, r.started_at, r.state, r.files_done,
               r.bytes_sent + r.bytes_received AS bytes, top.seconds
        FROM (SELECT o.run_id, date_part('epoch', o.finished_at - o.started_at) AS seconds
              FROM cloudsync.run o
              WHERE o.kind IN ('push', 'collect') AND o.finished_at >= report_slowest.since AND o.started_at IS NOT NULL
                AND o.connection_id = ANY (report_slowest.connections) AND o.shared_run_id IS NULL
              ORDER BY 2 DESC, 1 LIMIT 10) top
        JOIN cloudsync.run r ON r.run_id = top.run_id
    )
    SELECT cloudsync.report_table('slowest', 'Slowest runs', 'The ten runs that took longest, from their start to their end',
        ARRAY['Run', '*What', '*Connection', 'Began', 'Took', 'Files', 'Bytes', '*Ended'],
        (SELECT string_agg(format('<tr><th scope="row">%s</th><td class="text long">%s</td><td class="text name">%s</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td><td class="text">%s</td></tr>',
                s.run_id, CASE s.kind WHEN 'push' THEN 'push of dossier ' || cloudsync.html_name(s.dossier)
                               ELSE 'collection of channel ' || cloudsync.html_name(h.name) END,
                cloudsync.html_name(c.name), cloudsync.report_time(s.started_at, report_slowest.zone),
                cloudsync.short_time(s.seconds), cloudsync.html_count(s.files_done), cloudsync.html_bytes(s.bytes), s.state),
                '' ORDER BY s.seconds DESC, s.run_id)
         FROM slowest s JOIN cloudsync.connection c ON c.connection_id = s.connection_id
         LEFT JOIN cloudsync.channel h ON h.channel_id = s.channel_id),
        'No run ended in this time.');
END;

-- Each connection that there is, or that worked in this time.
CREATE FUNCTION cloudsync.report_connections(connections bigint[], facts cloudsync.report_fact[], zone text) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH done AS (
        SELECT f.connection_id, coalesce(sum(f.runs) FILTER (WHERE f.kind = 'push'), 0) AS pushes,
               coalesce(sum(f.runs) FILTER (WHERE f.kind = 'collect'), 0) AS collections,
               coalesce(sum(f.runs) FILTER (WHERE f.state IN ('failed', 'partial')), 0) AS failures,
               coalesce(sum(f.files_done) FILTER (WHERE f.kind = 'push'), 0) AS files,
               coalesce(sum(f.files_done) FILTER (WHERE f.kind = 'collect'), 0) AS documents,
               sum(f.bytes_sent) AS sent, sum(f.bytes_received) AS received, sum(f.on_time) AS on_time, sum(f.late) AS late,
               max(f.last_at) FILTER (WHERE f.state = 'succeeded') AS last_at
        FROM unnest(report_connections.facts) f GROUP BY f.connection_id
    )
    SELECT cloudsync.report_table('connections', 'Connections', 'What each connection did in this time, and how it stands now',
        ARRAY['Connection', '*State', 'Pushes', 'Files', 'Sent', 'Deadline kept', 'Collections', 'Documents', 'Received', 'Failures', 'Last success'],
        (SELECT string_agg(format('<tr><th scope="row" class="long">%s <small>%s%s</small></th><td class="text"><span class="state %s">%s</span></td><td>%s</td><td>%s</td><td>%s</td><td>%s</td>'
                '<td>%s</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td></tr>',
                cloudsync.html_name(c.name), cloudsync.html(c.provider), CASE WHEN c.tenant <> '' THEN ', ' || cloudsync.html_name(c.tenant) ELSE '' END,
                CASE c.state WHEN 'active' THEN CASE WHEN c.failures > 0 THEN 'bad' ELSE 'good' END
                             WHEN 'needs_consent' THEN 'bad' WHEN 'locked' THEN 'bad' ELSE 'idle' END,
                CASE WHEN c.state = 'active' AND c.failures > 0 THEN 'failing' ELSE replace(c.state, '_', ' ') END,
                cloudsync.html_count(d.pushes), cloudsync.html_count(d.files), cloudsync.html_bytes(d.sent),
                cloudsync.html_share(d.on_time, d.on_time + d.late), cloudsync.html_count(d.collections), cloudsync.html_count(d.documents),
                cloudsync.html_bytes(d.received), cloudsync.html_count(d.failures),
                coalesce(cloudsync.report_time(d.last_at, report_connections.zone), '–')), '' ORDER BY c.tenant, c.name, c.connection_id)
         FROM cloudsync.connection c LEFT JOIN done d ON d.connection_id = c.connection_id
         WHERE c.connection_id = ANY (report_connections.connections) AND (c.state <> 'disconnected' OR d.connection_id IS NOT NULL)),
        'There is no connection.');
END;

-- The figures at the top.
CREATE FUNCTION cloudsync.report_overview(facts cloudsync.report_fact[]) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH done AS (
        SELECT coalesce(sum(f.runs) FILTER (WHERE f.kind = 'push'), 0) AS pushes,
               coalesce(sum(f.runs) FILTER (WHERE f.kind = 'push' AND f.state IN ('failed', 'partial')), 0) AS pushes_failed,
               coalesce(sum(f.runs) FILTER (WHERE f.kind = 'collect'), 0) AS collections,
               coalesce(sum(f.runs) FILTER (WHERE f.kind = 'collect' AND f.state IN ('failed', 'partial')), 0) AS collections_failed,
               coalesce(sum(f.files_done) FILTER (WHERE f.kind = 'push'), 0) AS files,
               coalesce(sum(f.files_done) FILTER (WHERE f.kind = 'collect'), 0) AS documents,
               coalesce(sum(f.bytes_sent), 0) AS sent, coalesce(sum(f.bytes_received), 0) AS received,
               coalesce(sum(f.on_time), 0) AS on_time, coalesce(sum(f.late), 0) AS late
        FROM unnest(report_overview.facts) f
    )
    SELECT '<section class="tiles" aria-labelledby="glance"><h2 id="glance" class="unseen">At a glance</h2><dl>'
        || string_agg(format('<div%s><dt>%s</dt><dd>%s</dd><dd class="note">%s</dd></div>', t.class, t.name, t.value, t.note), '' ORDER BY t.no)
        || '</dl></section>'
    FROM done d, LATERAL (VALUES
        (1, CASE WHEN d.late > 0 THEN ' class="bad"' ELSE '' END, 'Deadline kept', cloudsync.html_share(d.on_time, d.on_time + d.late),
            CASE WHEN d.on_time + d.late = 0 THEN 'no changed dossier was pushed'
                 ELSE format(CASE d.on_time + d.late WHEN 1 THEN '%s of %s changed dossier was begun in time' ELSE '%s of %s changed dossiers were begun in time' END, cloudsync.html_count(d.on_time), cloudsync.html_count(d.on_time + d.late)) END),
        (2, CASE WHEN d.pushes_failed > 0 THEN ' class="bad"' ELSE '' END, 'Pushes', cloudsync.html_count(d.pushes),
            format('%s failed wholly or in part', CASE d.pushes_failed WHEN 0 THEN 'none' ELSE cloudsync.html_count(d.pushes_failed) END)),
        (3, '', 'Sent', cloudsync.html_bytes(d.sent), format(CASE d.files WHEN 1 THEN 'in %s file' ELSE 'in %s files' END, cloudsync.html_count(d.files))),
        (4, CASE WHEN d.collections_failed > 0 THEN ' class="bad"' ELSE '' END, 'Collections', cloudsync.html_count(d.collections),
            format('%s failed wholly or in part', CASE d.collections_failed WHEN 0 THEN 'none' ELSE cloudsync.html_count(d.collections_failed) END)),
        (5, '', 'Received', cloudsync.html_bytes(d.received), format(CASE d.documents WHEN 1 THEN 'in %s document' ELSE 'in %s documents' END, cloudsync.html_count(d.documents)))
    ) t (no, class, name, value, note);
END;

-- Colours stand 4.5 to 1 (text) and 3 to 1 (bars) off what they are on, by day and by night.
CREATE FUNCTION cloudsync.report_style() RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT $css$
:root{color-scheme:light dark;--page:#f4f5f7;--card:#fff;--ink:#171a21;--soft:#565d6b;--line:#dfe2e8;--grid:#e6e8ed;--good:#2563c9;--part:#b26a00;--bad:#c2283a;--idle:#737b8a;--sent:#2563c9;--got:#0b7f74;--late:#c2283a}
@media(prefers-color-scheme:dark){:root{--page:#101319;--card:#191d25;--ink:#eceef2;--soft:#a3abb9;--line:#2d333f;--grid:#2a303b;--good:#6ea3ff;--part:#e5a13a;--bad:#ff7480;--idle:#8b94a4;--sent:#6ea3ff;--got:#3cc2b2;--late:#ff7480}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--ink);font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif}
header,main,footer{max-width:76rem;margin:0 auto;padding:0 clamp(1rem,4vw,2.5rem)}
header{padding-top:clamp(1.5rem,5vw,3rem);padding-bottom:1.25rem}
footer{padding-top:1rem;padding-bottom:2.5rem;color:var(--soft);font-size:.875rem}
h1{margin:0;font-size:clamp(1.6rem,1.2rem + 2vw,2.25rem);line-height:1.15;letter-spacing:-.02em;text-wrap:balance}
h2{margin:0;font-size:1.0625rem;line-height:1.3;letter-spacing:-.005em}
header p{margin:.6rem 0 0;color:var(--soft);max-width:52rem;text-wrap:pretty}
header b{color:var(--ink);font-weight:600}
a{color:inherit}
.skip,.unseen{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.skip:focus{width:auto;height:auto;clip-path:none;padding:.5rem 1rem;background:var(--card)}
main{display:grid;gap:1rem;grid-template-columns:minmax(0,1fr)}
.card,.tiles dl>div{background:var(--card);border:1px solid var(--line);border-radius:.75rem}
.card{padding:1.25rem clamp(1rem,2.5vw,1.5rem);min-width:0}
.tiles dl{display:grid;gap:1rem;margin:0;grid-template-columns:repeat(2,minmax(0,1fr))}
.tiles dl>div{padding:.9rem 1.1rem 1rem}
.tiles dl>div:first-child{grid-column:1/-1}
dt{color:var(--soft);font-size:.875rem}
dd{margin:0;font-size:1.6rem;line-height:1.25;font-weight:650;letter-spacing:-.02em;font-variant-numeric:tabular-nums}
dd.note{font-size:.8125rem;line-height:1.4;font-weight:400;letter-spacing:0;color:var(--soft)}
.bad dd.note{color:var(--bad)}
.words,.none{margin:.35rem 0 0;color:var(--soft);font-size:.875rem;text-wrap:pretty}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;margin:.75rem 0 0;padding:0;font-size:.8125rem;color:var(--soft)}
.legend svg{width:.7rem;height:.7rem;margin-right:.4rem;vertical-align:-.03rem}
.legend b{color:var(--ink);font-weight:600;font-variant-numeric:tabular-nums}
.plot{display:grid;grid-template-columns:auto minmax(0,1fr);column-gap:.6rem;margin-top:.9rem;font-size:.75rem;line-height:1rem;color:var(--soft);font-variant-numeric:tabular-nums}
.plot svg{display:block;width:100%;height:11rem;overflow:visible}
.y{display:flex;flex-direction:column;justify-content:space-between;text-align:right;margin:-.5rem 0;white-space:nowrap}
.x{grid-column:2;position:relative;height:1rem;margin-top:.5rem}
.x span{position:absolute;transform:translateX(-50%);white-space:nowrap}
.x span:first-child{transform:none;left:0!important}
.x span:last-child:not(:first-child){transform:none;left:auto!important;right:0}
.grid line{stroke:var(--grid);stroke-width:1;vector-effect:non-scaling-stroke}
.grid line:last-child{stroke:var(--idle)}
rect.hit{fill:transparent}
g:hover>rect.hit{fill:var(--grid);fill-opacity:.7}
rect.good{fill:var(--good)}rect.part{fill:var(--part)}rect.failed{fill:var(--bad)}rect.idle{fill:var(--idle)}rect.sent{fill:var(--sent)}rect.got{fill:var(--got)}rect.late{fill:var(--late)}
.plot rect:not(.hit){stroke:var(--card);stroke-width:1;vector-effect:non-scaling-stroke}
details{margin-top:.9rem;border-top:1px solid var(--line);padding-top:.7rem}
summary{cursor:pointer;font-size:.875rem;color:var(--soft);width:fit-content}
summary:hover{color:var(--ink)}
:focus-visible{outline:2px solid var(--good);outline-offset:2px;border-radius:.25rem}
.scroll{overflow:auto;margin:.6rem calc(-1*clamp(1rem,2.5vw,1.5rem)) -.4rem;padding:0 clamp(1rem,2.5vw,1.5rem) .4rem}
details .scroll{max-height:22rem}
table{position:relative;border-collapse:collapse;width:100%;font-size:.875rem;font-variant-numeric:tabular-nums}
th,td{padding:.45rem .5rem;text-align:right;white-space:nowrap;vertical-align:top;border-bottom:1px solid var(--line)}
tbody tr:last-child>*{border-bottom:0}
th{font-weight:600}
thead th{color:var(--soft);font-weight:500;font-size:.8125rem;vertical-align:bottom}
th:first-child,.text,th[scope=row]{text-align:left}
th:first-child{padding-left:0}
td:last-child,th:last-child{padding-right:0}
tbody th{font-weight:500}
.long,.name{white-space:normal;min-width:14rem;overflow-wrap:anywhere}
.name{min-width:10rem}
small{display:block;color:var(--soft);font-weight:400;font-size:.8125rem}
.bar{display:inline-block;width:clamp(3rem,9vw,8rem);margin-right:.6rem;vertical-align:.06rem}
.bar svg{display:block;width:100%;height:.5rem}
.state{display:inline-flex;align-items:center;gap:.4rem}
.state::before{content:"";width:.5rem;height:.5rem;border-radius:50%;background:var(--idle)}
.state.good::before{background:var(--good)}
.state.bad{color:var(--bad)}
.state.bad::before{background:var(--bad);border-radius:1px}
@media(max-width:30rem){.x .minor{display:none}}
@media(max-width:48rem){table th:first-child{position:sticky;left:0;background:var(--card)}.long{min-width:11rem}th.long:first-child{min-width:8rem;max-width:10rem}.scroll{padding:0 0 .4rem;margin-left:0}.scroll tr>:last-child{padding-right:1rem}}
@media(min-width:48rem){.tiles dl{grid-template-columns:repeat(5,minmax(0,1fr))}.tiles dl>div:first-child{grid-column:auto}}
@media(min-width:64rem){main{grid-template-columns:repeat(2,minmax(0,1fr))}.tiles,.card:not(.chart){grid-column:1/-1}}
@media print{body{background:#fff}.card,.tiles dl>div{break-inside:avoid}details:not([open]){display:none}}
$css$;
END;

CREATE FUNCTION @extschema@.cloudsync_report(since interval DEFAULT '30 days') RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    zone CONSTANT text := current_setting('TimeZone');
    made_at CONSTANT timestamptz := clock_timestamp();
    here CONSTANT timestamp := made_at AT TIME ZONE zone;
    step text;
    first timestamp;
    began timestamptz;
    connections bigint[];
    facts cloudsync.report_fact[];
    buckets date[];
    period text;
BEGIN
    IF coalesce(cloudsync_report.since <= '0', true) OR cloudsync_report.since > '10 years' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'since must be a time between nothing and ten years',
            HINT = 'For example: SELECT cloudsync_report(''90 days'');';
    END IF;
    step := CASE WHEN cloudsync_report.since <= '100 days' THEN 'day' WHEN cloudsync_report.since <= '2 years' THEN 'week' ELSE 'month' END;
    first := date_trunc(step, here - cloudsync_report.since);
    began := first AT TIME ZONE zone;
    connections := ARRAY(SELECT c.connection_id FROM cloudsync.connection c WHERE cloudsync.sees(c.tenant));
    facts := ARRAY(SELECT f::cloudsync.report_fact FROM cloudsync.report_facts(connections, began, step, zone) f);
    buckets := ARRAY(SELECT g::date FROM generate_series(first, here, ('1 ' || step)::interval) g ORDER BY g);
    period := format('%s to %s', to_char(first, 'FMDD FMMonth YYYY'), to_char(here, 'FMDD FMMonth YYYY'));
    RETURN '<!DOCTYPE html>' || E'\n<html lang="en"><head><meta charset="utf-8"/><meta name="viewport" content="width=device-width, initial-scale=1"/>'
        || '<meta http-equiv="Content-Security-Policy" content="default-src ''none''; style-src ''unsafe-inline''"/>'
        || format('<meta name="referrer" content="no-referrer"/><title>cloudsync, %s: %s</title><style>%s</style></head>',
                  cloudsync.html(current_database()), period, cloudsync.report_style())
        || format('<body><a class="skip" href="#figures">Skip to the figures</a><header><h1>Pushes and collections</h1>'
                  '<p>What cloudsync did in database <b>%s</b> from <b>%s</b>%s. Days begin at midnight in the time zone <b>%s</b>.</p></header><main id="figures">',
                  cloudsync.html_name(current_database()), period,
                  CASE WHEN cloudsync.tenant() <> '' THEN format(' for <b>%s</b>', cloudsync.html_name(cloudsync.tenant())) ELSE '' END, cloudsync.html(zone))
        || cloudsync.report_overview(facts)
        || cloudsync.report_chart('pushes', 'Pushes', step, buckets, ARRAY['succeeded', 'in part', 'failed', 'cancelled'],
               ARRAY['good', 'part', 'failed', 'idle'], cloudsync.report_counts(facts, buckets, 'push'), false)
        || cloudsync.report_chart('collections', 'Collections', step, buckets, ARRAY['succeeded', 'in part', 'failed', 'cancelled'],
               ARRAY['good', 'part', 'failed', 'idle'], cloudsync.report_counts(facts, buckets, 'collect'), false)
        || cloudsync.report_chart('bytes', 'Bytes', step, buckets, ARRAY['sent', 'received'], ARRAY['sent', 'got'],
               cloudsync.report_counts(facts, buckets, 'bytes'), true)
        || cloudsync.report_chart('deadlines', 'Deadlines', step, buckets, ARRAY['kept', 'missed'], ARRAY['good', 'late'],
               cloudsync.report_counts(facts, buckets, 'deadline'), false)
        || cloudsync.report_connections(connections, facts, zone)
        || cloudsync.report_failures(connections, began, zone)
        || cloudsync.report_slowest(connections, began, zone)
        || format('</main><footer><p>Made on %s (%s) by cloudsync %s. Runs are counted by the time at which they ended; a deadline is kept when '
                  'the push of a changed dossier begins within its connection''s <i>every</i>.</p></footer></body></html>', to_char(here, 'FMDD FMMonth YYYY HH24:MI'), cloudsync.html(zone),
                  cloudsync.html((SELECT e.extversion FROM pg_extension e WHERE e.extname = 'cloudsync'))) || E'\n';
END
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_report(interval) IS
    'Gives one HTML page with charts: runs by day, bytes, failures, the slowest, each connection. For '
    'cloudsync_reader.';

-- What a chart shows: a row for each series of it, in the order of its names, and a column for each bucket.
CREATE FUNCTION cloudsync.report_counts(facts cloudsync.report_fact[], buckets date[], what text) RETURNS numeric[]
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH shown AS (
        SELECT f.bucket, v.series, sum(v.n) AS n
        FROM unnest(report_counts.facts) f,
             LATERAL (VALUES (f.kind, array_position(ARRAY['succeeded', 'partial', 'failed', 'cancelled'], f.state), f.runs::numeric),
                             ('bytes', 1, f.bytes_sent), ('bytes', 2, f.bytes_received),
                             ('deadline', 1, f.on_time::numeric), ('deadline', 2, f.late::numeric)) v (what, series, n)
        WHERE v.what = report_counts.what
        GROUP BY f.bucket, v.series
    )
    SELECT array_agg(r.counts ORDER BY r.series)
    FROM (
        SELECT s.series, array_agg(coalesce(w.n, 0) ORDER BY b.day) AS counts
        FROM generate_series(1, CASE WHEN report_counts.what IN ('bytes', 'deadline') THEN 2 ELSE 4 END) s (series)
        CROSS JOIN unnest(report_counts.buckets) b (day)
        LEFT JOIN shown w ON w.series = s.series AND w.bucket = b.day
        GROUP BY s.series
    ) r;
END;
