/*
 * template.h
 *	  Folder templates (P10): parsing them, and making folders from values.
 *	  Knows no database: store/tags.c finds the columns and the values.
 *
 * A template is names separated by '/'. In a name, {tag} stands for a value:
 *
 *	  {column}				of the dossier
 *	  {file.column}			of the file
 *	  {fk_column.column}	of the row that the dossier's column refers to
 *	  {dossier_key} {dossier_label} {procedure}
 *	  {tag:format}			of a date or timestamp, as to_char takes it
 *	  {tag|default}			if the value is null or blank
 *	  {tag:format|default}
 *
 * {{ and }} stand for braces. A column that has one of the characters {}|:."/
 * in it, or the name of a special tag, is written in double quotes (doubled
 * inside), as in SQL. A '/' before the first and after the last name is
 * allowed and means nothing.
 *
 * The leading segments that have no {file...} tag are the dossier's folder; at
 * least one is required. From the first one with such a tag on, segments are
 * subfolders of it, made for each file.
 *
 * Relies on utf8.h, name.h and palloc: usable in plain programs and in the
 * server.
 */
#ifndef CLOUDSYNC_TEMPLATE_H
#define CLOUDSYNC_TEMPLATE_H

#include "cloudsync/name.h"

#define CS_TEMPLATE_MAX 2000	  /* bytes */
#define CS_TEMPLATE_SEGMENTS_MAX 32
#define CS_TEMPLATE_TAGS_MAX 64

typedef enum CsTagKind
{
	CS_TAG_COLUMN,	  /* {column} */
	CS_TAG_FILE,	  /* {file.column} */
	CS_TAG_REFERENCE, /* {fk_column.column} */
	CS_TAG_KEY,		  /* {dossier_key} */
	CS_TAG_LABEL,	  /* {dossier_label} */
	CS_TAG_PROCEDURE  /* {procedure} */
} CsTagKind;

typedef struct CsTag
{
	CsTagKind kind;
	char *text;			   /* as written, with its braces, for messages */
	int position;		   /* of its brace: characters, from 1 */
	char *column;		   /* COLUMN, FILE, REFERENCE; else NULL */
	bool column_quoted;	   /* written in quotes: that very name */
	char *fk_column;	   /* REFERENCE; else NULL */
	bool fk_column_quoted;
	char *format;		   /* or NULL */
	char *fallback;		   /* the default, may be ""; or NULL */
} CsTag;

/* A piece of a segment: text as it is, or the value of tags[tag]. */
typedef struct CsTemplatePart
{
	char *literal; /* NULL: a tag */
	int tag;
} CsTemplatePart;

typedef struct CsTemplateSegment
{
	int n_parts;
	CsTemplatePart *parts;
	bool of_file; /* has a {file...} tag */
} CsTemplateSegment;

typedef struct CsTemplate
{
	int n_segments;
	CsTemplateSegment *segments;
	int n_folder;	/* the first so many are the dossier's folder */
	int n_tags;		/* in the order in which they are written */
	CsTag *tags;
	bool has_file_tags;
} CsTemplate;

typedef struct CsTemplateError
{
	int position;	   /* characters, from 1 */
	char message[160]; /* without full stop */
	char hint[160];	   /* a sentence */
} CsTemplateError;

/* NULL with *error filled in if the text is no template. text is copied. */
extern CsTemplate *cs_template_parse(const char *text, CsTemplateError *error);
extern void cs_template_free(CsTemplate *template);

/*
 * The dossier's folder, below the root: "Clients/Dupont", no '/' in front.
 * values has n_tags elements, NULL for null; those of {file...} tags are not
 * looked at.
 */
extern char *cs_template_folder(const CsTemplate *template,
								const char *const *values,
								const CsNameRules *rules);

/*
 * A file's folder below the dossier's: "" or "Letters/2026". {file...} tags are
 * taken from file_values, all others from values; both have n_tags elements.
 */
extern char *cs_template_subfolder(const CsTemplate *template,
								   const char *const *values,
								   const char *const *file_values,
								   const CsNameRules *rules);

#endif
