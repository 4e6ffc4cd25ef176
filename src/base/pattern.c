/*
 * pattern.c
 *	  Patterns of names and paths (pattern.h has the grammar): compiled to a
 *	  small program that is run on all its threads at once, character by
 *	  character, so that no pattern makes matching explode.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/pattern.h"
#include "cloudsync/utf8.h"

#define NESTING_MAX 8
#define STEPS_MAX (CS_PATTERN_MAX * 4 + 16)

typedef enum StepKind
{
	STEP_CHAR, /* this character */
	STEP_NAME, /* any but '/' */
	STEP_ANY,  /* any */
	STEP_SET,  /* by ranges from..to of the pattern */
	STEP_FORK, /* goes on at both next and other */
	STEP_GOTO, /* goes on at next */
	STEP_MATCH
} StepKind;

typedef struct Step
{
	StepKind kind;
	uint32 character;
	bool negated; /* STEP_SET */
	int next;	  /* FORK, GOTO; STEP_SET: first range */
	int other;	  /* FORK; STEP_SET: behind the last range */
} Step;

typedef struct Range
{
	uint32 first;
	uint32 last;
} Range;

struct CsPattern
{
	bool ignore_case;
	bool of_path; /* compared with the path, not with the name */
	int n_steps;
	Step *steps;
	int n_ranges;
	Range *ranges;
	/* working memory of a match */
	int *now;
	int *then;
	int *todo;
	uint32 *seen; /* by step: the round in which it was added last */
};

typedef struct Compiler
{
	CsPattern *pattern;
	const char *text;
	const char *at;
	int nesting;
	CsPatternError *error;
} Compiler;

static bool
fail(Compiler *c, const char *where, const char *message, const char *hint)
{
	c->error->position = cs_utf8_count(c->text, (size_t) (where - c->text)) + 1;
	strlcpy(c->error->message, message, sizeof(c->error->message));
	strlcpy(c->error->hint, hint, sizeof(c->error->hint));
	return false;
}

/* Adds a step and returns its number. A pattern's length bounds them. */
static int
add(Compiler *c, StepKind kind, uint32 character)
{
	CsPattern *p = c->pattern;
	Step *step = &p->steps[p->n_steps];

	step->kind = kind;
	step->character = p->ignore_case ? cs_utf8_fold(character) : character;
	return p->n_steps++;
}

/* The character at c->at, which moves behind it. The text is valid UTF-8. */
static uint32
take(Compiler *c)
{
	uint32 character = 0;

	c->at += cs_utf8_decode(c->at, strnlen(c->at, 4), &character);
	return character;
}

/* fork -> kind -> back to fork; the fork's other way is what follows. */
static void
add_repeated(Compiler *c, StepKind kind)
{
	int fork = add(c, STEP_FORK, 0);

	c->pattern->steps[fork].next = add(c, kind, 0);
	c->pattern->steps[add(c, STEP_GOTO, 0)].next = fork;
	c->pattern->steps[fork].other = c->pattern->n_steps;
}

/* One or more '*'. c->at is at the first. */
static void
compile_stars(Compiler *c)
{
	const char *start = c->at;
	bool begins = start == c->text || strchr("/{,", start[-1]) != NULL;
	size_t stars = strspn(start, "*");
	char after = start[stars];

	c->at += stars;
	if (stars == 2 && begins && after == '/' && c->pattern->of_path)
	{
		/* any number of folders, each with its '/', or none */
		int fork = add(c, STEP_FORK, 0);

		c->pattern->steps[fork].next = c->pattern->n_steps;
		add_repeated(c, STEP_ANY);
		add(c, STEP_CHAR, '/');
		c->pattern->steps[fork].other = c->pattern->n_steps;
		c->at++;
	}
	else if (stars == 2 && begins && strchr(",}", after) != NULL &&
			 c->pattern->of_path)
	{
		/* everything below; strchr finds the end of the text too */
		add(c, STEP_ANY, 0);
		add_repeated(c, STEP_ANY);
	}
	else
		add_repeated(c, STEP_NAME);
}

/* [...]; c->at is behind the '['. */
static bool
compile_set(Compiler *c)
{
	const char *start = c->at - 1;
	CsPattern *p = c->pattern;
	int number = add(c, STEP_SET, 0);
	Step *step = &p->steps[number];
	bool first = true;

	step->next = p->n_ranges;
	if (*c->at == '!' || *c->at == '^')
	{
		step->negated = true;
		c->at++;
	}
	for (; *c->at != ']' || first; first = false)
	{
		const char *where = c->at;
		Range *range = &p->ranges[p->n_ranges];

		if (*c->at == '\\')
			c->at++;
		if (*c->at == '\0')
			return fail(c, start, "\"[\" without \"]\"",
						"Close the set, or write \\[ for the character.");
		if (*c->at == '/')
			return fail(c, where, "\"/\" in a set",
						"A set stands for a character of a name.");
		range->first = range->last = take(c);
		if (*c->at == '-' && c->at[1] != ']' && c->at[1] != '\0')
		{
			c->at++;
			if (*c->at == '\\' && c->at[1] != '\0')
				c->at++;
			range->last = take(c);
			if (range->last < range->first)
				return fail(c, where, "range in a set runs backwards",
							"Write the lower character first, as in [a-z].");
		}
		p->n_ranges++;
	}
	c->at++;
	step->other = p->n_ranges;
	return true;
}

static bool compile_sequence(Compiler *c);

/* {a,b,c}; c->at is behind the '{'. */
static bool
compile_choice(Compiler *c)
{
	const char *start = c->at - 1;
	CsPattern *p = c->pattern;
	int last_goto =
		-1; /* ends of alternatives, chained until the end is known */

	if (c->nesting >= NESTING_MAX)
		return fail(c, start, "braces are nested too deeply",
					"Use several patterns instead.");
	c->nesting++;
	for (;;)
	{
		int fork = add(c, STEP_FORK, 0);
		int leave;

		p->steps[fork].next = p->n_steps;
		if (!compile_sequence(c))
			return false;
		if (*c->at == '\0')
			return fail(c, start, "\"{\" without \"}\"",
						"Close the braces, or write \\{ for the character.");
		leave = add(c, STEP_GOTO, 0);
		p->steps[leave].next = last_goto;
		last_goto = leave;
		p->steps[fork].other = p->n_steps;
		if (*c->at++ == '}')
		{
			/* the last alternative has no other */
			p->steps[fork].kind = STEP_GOTO;
			break;
		}
	}
	while (last_goto >= 0)
	{
		int before = p->steps[last_goto].next;

		p->steps[last_goto].next = p->n_steps;
		last_goto = before;
	}
	c->nesting--;
	return true;
}

/* Up to the end, or inside braces up to the ',' or '}' that ends it. */
static bool
compile_sequence(Compiler *c)
{
	for (;;)
	{
		switch (*c->at)
		{
			case '\0':
				return true;
			case ',':
			case '}':
				if (c->nesting > 0)
					return true;
				if (*c->at == '}')
					return fail(c, c->at, "\"}\" without \"{\"",
								"Write \\} for the character.");
				add(c, STEP_CHAR, take(c));
				break;
			case '{':
				c->at++;
				if (!compile_choice(c))
					return false;
				break;
			case '[':
				c->at++;
				if (!compile_set(c))
					return false;
				break;
			case '*':
				compile_stars(c);
				break;
			case '?':
				c->at++;
				add(c, STEP_NAME, 0);
				break;
			case '\\':
				if (c->at[1] == '\0')
					return fail(c, c->at, "\"\\\" at the end",
								"Write \\\\ for the character.");
				c->at++;
				add(c, STEP_CHAR, take(c));
				break;
			default:
				add(c, STEP_CHAR, take(c));
				break;
		}
	}
}

/* Checks and compiles c->text, which is in NFC. */
static bool
compile(Compiler *c)
{
	CsPattern *p = c->pattern;
	size_t len = strlen(c->text);

	p->of_path = strchr(c->text, '/') != NULL;
	if (*c->at == '/')
		c->at++;
	if (*c->at == '\0')
		return fail(c, c->text, "empty pattern",
					"Write a name, as in *.pdf, or ** for everything.");
	if (strstr(c->text, "//") != NULL)
		return fail(c, strstr(c->text, "//"), "empty folder name",
					"Write one \"/\" between two names.");
	if (!compile_sequence(c))
		return false;
	if (c->text[len - 1] == '/')
	{
		/* a folder: everything below it */
		add(c, STEP_ANY, 0);
		add_repeated(c, STEP_ANY);
	}
	add(c, STEP_MATCH, 0);
	return true;
}

CsPattern *
cs_pattern_compile(const char *text, bool ignore_case, CsPatternError *error)
{
	Compiler c = {0};
	CsPattern *p;
	char *normal;
	bool ok;

	c.text = c.at = text;
	c.error = error;
	if (strlen(text) > CS_PATTERN_MAX)
	{
		fail(&c, text, "pattern is too long", "A pattern takes 1000 bytes.");
		return NULL;
	}
	if (!cs_utf8_valid(text))
	{
		fail(&c, text, "pattern is not valid UTF-8", "Write it in UTF-8.");
		return NULL;
	}
	p = palloc0(sizeof(CsPattern));
	p->ignore_case = ignore_case;
	p->steps = palloc0(sizeof(Step) * STEPS_MAX);
	p->ranges = palloc0(sizeof(Range) * (CS_PATTERN_MAX * 3 + 1));
	normal = cs_utf8_nfc(text);
	c.pattern = p;
	c.text = c.at = normal;
	ok = strlen(normal) <= CS_PATTERN_MAX
			 ? compile(&c)
			 : fail(&c, normal, "pattern is too long",
					"A pattern takes 1000 bytes.");
	pfree(normal);
	if (!ok)
	{
		cs_pattern_free(p);
		return NULL;
	}
	p->now = palloc(sizeof(int) * (Size) p->n_steps);
	p->then = palloc(sizeof(int) * (Size) p->n_steps);
	p->todo = palloc(sizeof(int) * (Size) (p->n_steps * 2 + 1));
	p->seen = palloc0(sizeof(uint32) * (Size) p->n_steps);
	return p;
}

void
cs_pattern_free(CsPattern *pattern)
{
	if (pattern->seen != NULL)
	{
		pfree(pattern->now);
		pfree(pattern->then);
		pfree(pattern->todo);
		pfree(pattern->seen);
	}
	pfree(pattern->steps);
	pfree(pattern->ranges);
	pfree(pattern);
}

/* Adds a step and all that it leads to without a character. */
static void
follow(CsPattern *p, int *list, int *n, int step, uint32 round)
{
	int todo = 0;

	p->todo[todo++] = step;
	while (todo > 0)
	{
		const Step *s;

		step = p->todo[--todo];
		if (p->seen[step] == round)
			continue;
		p->seen[step] = round;
		s = &p->steps[step];
		if (s->kind == STEP_FORK)
			p->todo[todo++] = s->other;
		if (s->kind == STEP_FORK || s->kind == STEP_GOTO)
			p->todo[todo++] = s->next;
		else
			list[(*n)++] = step;
	}
}

static bool
in_set(const CsPattern *p, const Step *s, uint32 c)
{
	for (int i = s->next; i < s->other; i++)
	{
		if (c >= p->ranges[i].first && c <= p->ranges[i].last)
			return true;
	}
	return false;
}

static bool
takes(const CsPattern *p, const Step *s, uint32 c)
{
	uint32 folded = p->ignore_case ? cs_utf8_fold(c) : c;
	bool in;

	switch (s->kind)
	{
		case STEP_CHAR:
			return s->character == folded;
		case STEP_NAME:
			return c != '/';
		case STEP_ANY:
			return true;
		case STEP_SET:
			if (c == '/')
				return false;
			in = in_set(p, s, c) ||
				 (p->ignore_case && (in_set(p, s, folded) ||
									 in_set(p, s, cs_utf8_unfold(folded))));
			return in != s->negated;
		default:
			return false;
	}
}

/* Does the program take the whole text? */
static bool
run(CsPattern *p, const char *text)
{
	int *now = p->now;
	int *then = p->then;
	int n_now = 0;
	uint32 round = 1;
	size_t len = strlen(text);

	memset(p->seen, 0, sizeof(uint32) * (Size) p->n_steps);
	follow(p, now, &n_now, 0, round);
	while (len > 0 && n_now > 0)
	{
		uint32 c = 0xFFFD; /* for bytes that are not UTF-8 */
		int bytes = Max(cs_utf8_decode(text, len, &c), 1);
		int n_then = 0;
		int *list = now;

		round++;
		for (int i = 0; i < n_now; i++)
		{
			if (takes(p, &p->steps[now[i]], c))
				follow(p, then, &n_then, now[i] + 1, round);
		}
		now = then;
		then = list;
		n_now = n_then;
		text += bytes;
		len -= (size_t) bytes;
	}
	for (int i = 0; i < n_now; i++)
	{
		if (p->steps[now[i]].kind == STEP_MATCH)
			return len == 0;
	}
	return false;
}

bool
cs_pattern_matches(CsPattern *pattern, const char *name, const char *path)
{
	const char *text = pattern->of_path ? path : name;
	char *normal;
	bool matches;

	if (pattern->of_path && text[0] == '/')
		text++;
	normal = cs_utf8_valid(text) ? cs_utf8_nfc(text) : pstrdup(text);
	matches = run(pattern, normal);
	pfree(normal);
	return matches;
}
