/*
 * words.c
 *	  The words that searches look for: a text search dictionary that takes a
 *	  word as French and as English at once, with and without its accents; and
 *	  names in the form in which cloudsync_find compares them.
 *
 * One dictionary of ours over the two stemmers of PostgreSQL, rather than two
 * configurations side by side, since variants of one word stand at one place:
 * phrases, and words that must not be there, then mean the same in both
 * languages.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "nodes/value.h"
#include "tsearch/ts_cache.h"
#include "tsearch/ts_public.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "cloudsync/plain.h"

PG_FUNCTION_INFO_V1(cloudsync_words_init);
PG_FUNCTION_INFO_V1(cloudsync_words_lexize);
PG_FUNCTION_INFO_V1(cloudsync_plain);
PG_FUNCTION_INFO_V1(cloudsync_name_keys);

#define MAX_VARIANTS 3

/* How many words of a text are remembered, and how long they may be. */
#define REMEMBERED 4096
#define LONGEST_WORD 28
#define LONGEST_LEXEME 24

/* What was made of a word: the same words come again and again in a text. */
typedef struct Remembered
{
	char word[LONGEST_WORD]; /* "" where nothing is remembered */
	char lexemes[MAX_VARIANTS][LONGEST_LEXEME];
	int n;
} Remembered;

typedef struct Words
{
	/* a word that means nothing in either language is left out, not only one
	 * that does in neither: for queries, so that "the" need not be there */
	bool either;
	Oid french;
	Oid english;
	Remembered *remembered; /* by hash, REMEMBERED of them; NULL for queries */
} Words;

static Oid
stemmer(char *name)
{
	return get_ts_dict_oid(
		list_make2(makeString("pg_catalog"), makeString(name)), false);
}

static bool
is_ascii(const char *word)
{
	while (*word != '\0')
		if ((unsigned char) *word++ >= 0x80)
			return false;
	return true;
}

Datum
cloudsync_words_init(PG_FUNCTION_ARGS)
{
	List *options = (List *) PG_GETARG_POINTER(0);
	Words *words = palloc0(sizeof(Words));
	ListCell *cell;

	foreach (cell, options)
	{
		DefElem *option = (DefElem *) lfirst(cell);

		if (strcmp(option->defname, "either") != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("option \"%s\" of the dictionary is not known",
							option->defname)));
		words->either = defGetBoolean(option);
	}
	words->french = stemmer("french_stem");
	words->english = stemmer("english_stem");
	if (!words->either)
		words->remembered = palloc0(sizeof(Remembered) * REMEMBERED);
	PG_RETURN_POINTER(words);
}

/* What the stemmer makes of a word; NULL: it is a stop word there. */
static char *
stem(Oid dictionary, char *word)
{
	TSDictionaryCacheEntry *entry = lookup_ts_dictionary_cache(dictionary);
	TSLexeme *found;

	found = (TSLexeme *) DatumGetPointer(FunctionCall4(
		&entry->lexize, PointerGetDatum(entry->dictData), PointerGetDatum(word),
		Int32GetDatum((int32) strlen(word)), PointerGetDatum(NULL)));
	return found != NULL ? found[0].lexeme : NULL;
}

/* One variant more, unless it is there already. */
static void
add(TSLexeme *lexemes, int *n, char *lexeme)
{
	if (lexeme == NULL || lexeme[0] == '\0')
		return;
	for (int i = 0; i < *n; i++)
		if (strcmp(lexemes[i].lexeme, lexeme) == 0)
			return;
	lexemes[*n].lexeme = lexeme;
	lexemes[*n].nvariant = (uint16) (*n + 1);
	(*n)++;
}

/*
 * What is made of a word; n 0: nothing. A word with accents is stemmed with
 * them, since French endings have some, and without: whoever leaves them out, as
 * capitals do, finds it and is found. No lexeme has any.
 */
static int
make_lexemes(const Words *words, char *word, TSLexeme *lexemes)
{
	char *plain = cs_plain(word, strlen(word));
	bool accents = !is_ascii(word);
	char *french = stem(words->french, accents ? word : plain);
	char *english = stem(words->english, plain);
	int n = 0;

	if (words->either && (french == NULL || english == NULL))
		return 0;
	if (french != NULL)
		add(lexemes, &n, cs_plain(french, strlen(french)));
	if (accents)
		add(lexemes, &n, stem(words->french, plain));
	add(lexemes, &n, english);
	return n;
}

static void
remember(Remembered *place, const char *word, const TSLexeme *lexemes, int n)
{
	for (int i = 0; i < n; i++)
		if (strlen(lexemes[i].lexeme) >= LONGEST_LEXEME)
			return;
	strlcpy(place->word, word, LONGEST_WORD);
	for (int i = 0; i < n; i++)
		strlcpy(place->lexemes[i], lexemes[i].lexeme, LONGEST_LEXEME);
	place->n = n;
}

Datum
cloudsync_words_lexize(PG_FUNCTION_ARGS)
{
	const Words *words = (Words *) PG_GETARG_POINTER(0);
	const char *given = (char *) PG_GETARG_POINTER(1);
	int32 len = PG_GETARG_INT32(2);
	TSLexeme *result = palloc0(sizeof(TSLexeme) * (MAX_VARIANTS + 1));
	Remembered *place = NULL;
	char *word;
	int n = 0;

	if (words->remembered != NULL && len > 0 && len < LONGEST_WORD &&
		memchr(given, '\0', (size_t) len) == NULL)
		place =
			&words->remembered[hash_bytes((const unsigned char *) given, len) %
							   REMEMBERED];
	if (place != NULL && strncmp(place->word, given, (size_t) len) == 0 &&
		place->word[len] == '\0')
	{
		while (n < place->n)
			add(result, &n, pstrdup(place->lexemes[n]));
		PG_RETURN_POINTER(result);
	}
	word = pnstrdup(given, (Size) len);
	n = make_lexemes(words, word, result);
	if (place != NULL)
		remember(place, word, result, n);
	PG_RETURN_POINTER(result);
}

Datum
cloudsync_plain(PG_FUNCTION_ARGS)
{
	text *given = PG_GETARG_TEXT_PP(0);

	PG_RETURN_TEXT_P(cstring_to_text(
		cs_plain(VARDATA_ANY(given), VARSIZE_ANY_EXHDR(given))));
}

static int
compare_keys(const void *a, const void *b)
{
	int32 x = *(const int32 *) a;
	int32 y = *(const int32 *) b;

	return x < y ? -1 : x > y;
}

/*
 * All runs of three bytes of a plain name, each once, as an array for a GIN
 * index: who contains a part has all of the part's runs.
 */
Datum
cloudsync_name_keys(PG_FUNCTION_ARGS)
{
	text *given = PG_GETARG_TEXT_PP(0);
	char *plain = cs_plain(VARDATA_ANY(given), VARSIZE_ANY_EXHDR(given));
	const unsigned char *s = (unsigned char *) plain;
	size_t len = strlen(plain);
	int32 *keys = palloc(sizeof(int32) * (len + 1));
	Datum *datums;
	int n = 0;
	int kept = 0;

	for (size_t i = 0; i + 3 <= len; i++)
		keys[n++] = s[i] << 16 | s[i + 1] << 8 | s[i + 2];
	qsort(keys, (size_t) n, sizeof(int32), compare_keys);
	datums = palloc(sizeof(Datum) * (size_t) (n + 1));
	for (int i = 0; i < n; i++)
		if (i == 0 || keys[i] != keys[i - 1])
			datums[kept++] = Int32GetDatum(keys[i]);
	PG_RETURN_ARRAYTYPE_P(construct_array(datums, kept, INT4OID, sizeof(int32),
										  true, TYPALIGN_INT));
}
