/*
 * views.sql: what people and applications read (C7, F1, F2, H1 to H3, B1).
 * Each is a security barrier with the tenant's predicate inside (S3).
 */
