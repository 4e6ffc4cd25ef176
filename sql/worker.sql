/*
 * worker.sql: functions that start, stop and watch the workers (W1 to W12, H2, H3).
 */
