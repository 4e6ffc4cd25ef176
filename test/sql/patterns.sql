-- Include and exclude of channels (L7), as a channel takes them.
SET client_min_messages = error;
CREATE EXTENSION cloudsync;
RESET client_min_messages;
\set SHOW_CONTEXT never

SELECT path, cloudsync.pattern_passes(path, '{*.pdf}', '{}') AS pdf,
       cloudsync.pattern_passes(path, '{}', '{old/}') AS not_old,
       cloudsync.pattern_passes(path, '{*.pdf,2026/**}', '{**/draft*}') AS both
FROM (VALUES ('a.pdf'), ('A.PDF'), ('a.txt'), ('old/a.pdf'), ('2026/x.txt'), ('2026/draft.txt'), ('x/old/a.pdf')) p (path);
SELECT cloudsync.pattern_passes('A.PDF', '{*.pdf}', '{}', true) AS ignoring_case;
SELECT cloudsync.pattern_passes('anything', '{}', '{}') AS no_patterns;

SELECT cloudsync.check_pattern('*.pdf');
SELECT cloudsync.check_pattern('[a-');
SELECT cloudsync.check_pattern('{a,b');
SELECT cloudsync.check_pattern('');
SELECT cloudsync.check_pattern(repeat('x', 1001)) IS NULL AS never;

SELECT cloudsync.normal_folder(f) FROM unnest(ARRAY['/Inbox', 'Inbox/', '//Inbox//2026/', '/', 'id:2049:77:1']) f;
SELECT cloudsync.normal_folder('');
SELECT cloudsync.normal_folder('/Inbox/../etc');
SELECT cloudsync.normal_folder(E'/In\nbox');
