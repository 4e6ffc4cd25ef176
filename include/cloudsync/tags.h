/*
 * tags.h
 *	  A template's tags against the application's tables: are they all there,
 *	  the SQL that reads their values, and the values themselves (P10).
 *
 * How a push uses it, as the tables' owner (cs_enter_owner):
 *
 *	  template = cs_tags_parse(folder);
 *	  SELECT <cs_tags_dossier_expr(template, &table, "d")> FROM dossiers d ...
 *	  SELECT <cs_tags_file_expr(template, files, "f")> FROM files f ...
 *	  values = cs_tags_values(template, array)			 each a text[]
 *	  cs_template_folder(template, values, &provider->names)
 *	  cs_template_subfolder(template, values, file_values, &provider->names)
 */
#ifndef CLOUDSYNC_TAGS_H
#define CLOUDSYNC_TAGS_H

#include "postgres.h"

#include "access/attnum.h"
#include "cloudsync/template.h"
#include "nodes/pg_list.h"

/* What cloudsync.dossier_table knows of a table; 0: no such column. */
typedef struct CsTagTable
{
	Oid dossiers;
	AttrNumber key;
	AttrNumber label;
	AttrNumber procedure;
} CsTagTable;

/*
 * cs_template_parse that raises 22023 (invalid_parameter_value) with position
 * and HINT.
 */
extern CsTemplate *cs_tags_parse(const char *folder);

/*
 * One SQL expression of type text[], with an element for each tag of the
 * template: the value as text, and NULL for tags of the other kind. Names are
 * looked up now, all is quoted and schema-qualified, and alias (a plain
 * identifier) names the row. Raises an error, with a HINT, for a tag that is not
 * there (42703) or cannot be used so (22023, 42501).
 */
extern char *cs_tags_dossier_expr(const CsTemplate *template,
								  const CsTagTable *table, const char *alias);
extern char *cs_tags_file_expr(const CsTemplate *template, Oid files,
							   const char *alias);

/*
 * The elements of such an array, palloc'd; NULL for null. A null array (there
 * is no row) gives nulls.
 */
extern char **cs_tags_values(const CsTemplate *template, Datum array,
							 bool isnull);

/*
 * Parses the template and checks its tags against one tracked table and its
 * files tables, or, with InvalidOid, against every tracked one. Raises an error
 * as above. SPI must be connected.
 */
extern void cs_tags_check(const char *folder, Oid dossiers);

#endif
