/*
 * media.c
 *	  A document's media type by its name's extension: for people and viewers,
 *	  never a promise about the bytes.
 */
#include "postgres.h"

#include "cloudsync/collect.h"

typedef struct MediaType
{
	const char *extension;
	const char *type;
} MediaType;

static const MediaType media_types[] = {
	{"bmp", "image/bmp"},
	{"csv", "text/csv"},
	{"doc", "application/msword"},
	{"docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
	{"eml", "message/rfc822"},
	{"gif", "image/gif"},
	{"gz", "application/gzip"},
	{"heic", "image/heic"},
	{"htm", "text/html"},
	{"html", "text/html"},
	{"jpeg", "image/jpeg"},
	{"jpg", "image/jpeg"},
	{"json", "application/json"},
	{"md", "text/markdown"},
	{"mp3", "audio/mpeg"},
	{"mp4", "video/mp4"},
	{"msg", "application/vnd.ms-outlook"},
	{"odp", "application/vnd.oasis.opendocument.presentation"},
	{"ods", "application/vnd.oasis.opendocument.spreadsheet"},
	{"odt", "application/vnd.oasis.opendocument.text"},
	{"pdf", "application/pdf"},
	{"png", "image/png"},
	{"ppt", "application/vnd.ms-powerpoint"},
	{"pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"},
	{"rtf", "application/rtf"},
	{"svg", "image/svg+xml"},
	{"tif", "image/tiff"},
	{"tiff", "image/tiff"},
	{"txt", "text/plain"},
	{"webp", "image/webp"},
	{"xls", "application/vnd.ms-excel"},
	{"xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
	{"xml", "application/xml"},
	{"zip", "application/zip"},
};

/* See collect.h. */
const char *
cs_media_type(const char *name)
{
	const char *dot = strrchr(name, '.');

	if (dot != NULL && dot != name)
	{
		for (int i = 0; i < lengthof(media_types); i++)
		{
			if (pg_strcasecmp(dot + 1, media_types[i].extension) == 0)
				return media_types[i].type;
		}
	}
	return "application/octet-stream";
}
