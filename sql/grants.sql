/*
 * grants.sql: rights, row-level security and what pg_dump carries (spec 2, S2,
 * W11). Last, so that it sees every object.
 */
