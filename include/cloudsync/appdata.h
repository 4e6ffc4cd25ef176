/*
 * appdata.h
 *	  The application's own tables, as a push reads them: a dossier's tags, its
 *	  files with the identity of each content, and a content's bytes by slices
 *	  (design decision 6). Everything is read as the owner of the table in
 *	  question (S3), in the transaction and snapshot of the caller.
 */
#ifndef CLOUDSYNC_APPDATA_H
#define CLOUDSYNC_APPDATA_H

#include "postgres.h"

#include "cloudsync/tags.h"
#include "nodes/pg_list.h"

#define CS_SLICE (1024 * 1024)

/* A tracked table of files; names are quoted, as they are now. */
typedef struct CsSource
{
	int source_id;
	Oid files;
	Oid owner;
	char *relation; /* schema.table */
	char *key;
	char *name;
	char *content;
	char *of_dossier; /* condition: f's dossier is $1 */
	char *of_key;	  /* condition: f's key is $1 */
	char kind;		  /* 'b' bytea, 'o' large object, 't' text: it is elsewhere, */
	char *connection; /* at this connection, or NULL: at an address */
	char *content_sql;
} CsSource;

/* A tracked table of dossiers with its tables of files. */
typedef struct CsDossierTable
{
	int dossiers_id;
	Oid owner;
	CsTagTable tags; /* the table and its columns by number */
	char *relation;
	char *key;
	char *of_key;	 /* condition: d's key is $1 */
	char *tenant;	 /* column, or NULL */
	char *procedure; /* column, or NULL */
	List *sources;	 /* of CsSource */
} CsDossierTable;

/*
 * The table, looked up in the catalogs; everything in the current context. SPI
 * must be connected. Raises an error if the table or a column of it is gone;
 * not complete: only what finds a dossier and its tenant is looked up.
 */
extern CsDossierTable *cs_dossier_table_open(int dossiers_id, bool complete);

/* A dossier. tags are the values of a template's tags for it. */
typedef struct CsDossierRow
{
	char *key;	  /* as the column spells it */
	char *tenant; /* "" for none */
	char *procedure;
	char **tags;
} CsDossierRow;

/* NULL: there is none of that key. */
extern CsDossierRow *cs_dossier_read(CsDossierTable *table, const char *key,
									 const CsTemplate *template,
									 const char *time_zone);

typedef struct CsFileRow
{
	CsSource *source;
	char *key;
	char *name; /* NULL if null */
	char **tags;
	char *version; /* identity of the content; NULL: it is null */
	int64 size;
} CsFileRow;

/* The dossier's files in the order of their keys: a list of CsFileRow. */
extern List *cs_files_read(CsDossierTable *table, const char *key,
						   const CsTemplate *template, const char *time_zone);

/* A content on its way out; of one that is elsewhere, its address or path. */
typedef struct CsContent
{
	CsSource *source;
	const char *key;
	const char *version; /* as seen at the claim */
	int64 size;
	MemoryContext context; /* of what is kept between slices */
	char *whole;		   /* a compressed value, once decompressed */
} CsContent;

/*
 * Up to cap bytes from offset; 0 at the end; -1 if the value is not the one
 * seen at the claim (any more). In a transaction.
 */
extern int64 cs_content_read(CsContent *content, int64 offset, char *buf,
							 int64 cap);

/*
 * Whole small contents of one table, many in one go: take is called for each
 * that is the one seen at the claim, with its number and its bytes, which do
 * not outlive the call. In a transaction; raises what reading raises.
 */
extern void cs_contents_read(CsContent *contents, int n,
							 void (*take)(void *arg, int i, const char *bytes,
										  int64 size),
							 void *arg);

#endif
